"""The one way from a file to what a network says of it: in order, complete, and with no more work than was asked for."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart.data.facts import facts_of
from headstart.data.opening import open_sources
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate
from headstart.model.extractor import Engine, Extractor, mean_of_views
from headstart.model.pipeline import NO_FACTS, Pipeline, features_of
from headstart.storage import sha256_of_bytes

SQUARE = Preprocess(size_px=32, resize_px=36, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)
BATCH = 4


def mean_colour(views: np.ndarray) -> np.ndarray:
    return views.mean(axis=(1, 2), dtype=np.float32)


class Recording:
    """An extractor's function that remembers how many views came together, and in which threads."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.threads: set[str] = set()

    def __call__(self, views: np.ndarray) -> np.ndarray:
        self.sizes.append(len(views))
        self.threads.add(threading.current_thread().name)
        return mean_colour(views)


def together(compute: Callable[[np.ndarray], np.ndarray]) -> Extractor:
    return Extractor(compute, Engine(name="torch-cpu"), BATCH)


@pytest.fixture
def candidates(draw_classes: Callable[..., Path]) -> list[Candidate]:
    """Eleven images with a broken file in their middle, one that is not there, and at the end an empty one and a text."""
    folder = draw_classes({"circles": 6, "squares": 5})
    (folder / "circles" / "circles-2-broken.png").write_bytes(b"\x89PNG")
    (folder / "squares" / "squares-9.png").touch()
    (folder / "squares" / "squares-9-notes.jpg").write_text("not an image")
    with open_sources(folder) as sources:
        found = list(sources.candidates)
    return [*found[:5], Candidate("gone.png", folder / "gone.png"), *found[5:]]


def view_of(candidate: Candidate) -> np.ndarray:
    return SQUARE.view(SQUARE.decode(candidate.read()).rgb)


def views_of(candidate: Candidate, preprocess: Preprocess = SQUARE) -> np.ndarray:
    return preprocess.views_of_file(candidate.read())


PROBLEMS = {
    "circles-2-broken.png": ("the image is damaged: a PNG cut off in its header", "damaged"),
    "gone.png": ("there is no such file", "damaged"),
    "squares-9.png": ("the file is empty", "damaged"),
    "squares-9-notes.jpg": ("a text file, not an image", "type"),
}


@pytest.mark.parametrize("workers", [1, 3, None])
@pytest.mark.parametrize("batch", [1, BATCH, 100])
def test_order(batch: int, workers: int | None, candidates: list[Candidate]) -> None:
    """Each candidate comes once, in order, with its own vector or its own problem, whatever the threads and batches."""
    extractor = Extractor(mean_colour, Engine(), batch)
    found = list(Pipeline(SQUARE, extractor).run(candidates, workers))
    assert [candidate for candidate, _ in found] == candidates
    for candidate, opened in found:
        if candidate.file.name in PROBLEMS:
            assert (opened.problem, opened.fault) == PROBLEMS[candidate.file.name]
            assert opened.vector is None and opened.pixels is None
        else:
            assert opened.problem == "" and opened.fault is None and opened.pixels is None
            np.testing.assert_allclose(opened.vector, mean_colour(view_of(candidate)[None])[0])


def test_batches_are_full(candidates: list[Candidate]) -> None:
    """An extractor that takes batches gets full ones, of readable images alone, and the rest; in the calling thread."""
    compute = Recording()
    pairs = list(Pipeline(SQUARE, together(compute)).run(candidates, 3))
    assert compute.sizes == [4, 4, 3]
    assert compute.threads == {threading.current_thread().name}
    seconds = [opened.network_seconds for _, opened in pairs]
    assert all((second > 0) == (opened.vector is not None) for second, (_, opened) in zip(seconds, pairs, strict=True))


def test_a_batch_does_not_hold_up_what_needs_no_network(candidates: list[Candidate]) -> None:
    """A broken file comes out at once where nothing before it waits for the network."""
    compute = Recording()
    broken = [candidate for candidate in candidates if candidate.file.name in PROBLEMS]
    whole = [candidate for candidate in candidates if candidate.file.name not in PROBLEMS]
    results = Pipeline(SQUARE, together(compute)).run([*broken, *whole], 1)
    assert [next(results)[0] for _ in broken] == broken
    assert compute.sizes == []
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("headstart")]


def test_one_by_one_in_the_threads(candidates: list[Candidate]) -> None:
    """An extractor that takes single images is called in the threads that decode them."""
    compute = Recording()
    found = list(Pipeline(SQUARE, Extractor(compute, Engine())).run(candidates, 2))
    assert compute.sizes == [1] * 11
    assert all(name.startswith("headstart") for name in compute.threads)
    assert sum(opened.vector is not None for _, opened in found) == 11


def test_pixels_alone(candidates: list[Candidate]) -> None:
    """Without an extractor the pixels are what is wanted: the views of prediction, or what `shape` makes."""
    for candidate, opened in Pipeline(SQUARE).run(candidates):
        if not opened.problem:
            assert np.array_equal(opened.pixels, views_of(candidate))
            assert opened.vector is None and opened.network_seconds == 0
    whole = Pipeline(SQUARE, shape=lambda decoded: np.asarray(decoded.rgb)).open(candidates[0].read)
    assert whole.pixels is not None and whole.pixels.shape == (80, 96, 3)


@pytest.mark.parametrize("batch", [1, BATCH, 100])
def test_several_views(batch: int, candidates: list[Candidate]) -> None:
    """Each image has a vector of every view, in their order, and their mean; what is broken has none."""
    several = SQUARE.seen_as("whole+crop+mirrored")
    compute = Recording()
    for candidate, opened in Pipeline(several, Extractor(compute, Engine(), batch)).run(candidates, 2):
        if candidate.file.name in PROBLEMS:
            assert opened.vectors is None and opened.vector is None
        else:
            of_views = mean_colour(views_of(candidate, several))
            assert opened.vectors is not None and opened.vectors.shape == (4, 3)
            np.testing.assert_allclose(opened.vectors, of_views)
            np.testing.assert_allclose(opened.vector, of_views.mean(axis=0), rtol=1e-6)
    assert sum(compute.sizes) == 11 * 4
    assert compute.sizes == [1] * 44 if batch == 1 else max(compute.sizes) <= 4 * batch


def test_one_view_is_not_averaged() -> None:
    """The only view's vector is an image's vector to the bit, also where adding would round."""
    vectors = np.random.default_rng(0).normal(size=(5, 1, 7)).astype(np.float32)
    assert np.array_equal(mean_of_views(vectors), vectors[:, 0])
    several = np.random.default_rng(0).normal(size=(5, 3, 7)).astype(np.float32)
    assert mean_of_views(several).dtype == np.float32
    assert np.array_equal(mean_of_views(several), np.stack([mean_of_views(one) for one in several]))  # alone or among others


def test_a_model_that_joins_the_views_itself() -> None:
    """An exported file takes an image's views at once, or the one view as before, and returns one vector an image."""
    shapes = []

    def joined(views: np.ndarray) -> np.ndarray:
        shapes.append(views.shape)
        return views.reshape(len(views), -1, 3).mean(axis=1, dtype=np.float32)

    extractor = Extractor(joined, Engine(), joins_views=True)
    views = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    assert extractor.vectors(views).shape == (2, 1, 3) and extractor.features(views).shape == (2, 3)
    assert extractor.vectors(views[:, :1]).shape == (2, 1, 3)
    assert shapes == [(2, 3, 8, 8, 3), (2, 3, 8, 8, 3), (2, 8, 8, 3)]


@pytest.mark.parametrize("identify", [False, True])
@pytest.mark.parametrize("describe", [False, True])
def test_digests_and_facts_are_made_where_they_are_asked_for(
    identify: bool, describe: bool, candidates: list[Candidate]
) -> None:
    """Hashing and measuring cost time: without them there is the size alone; of a broken file there is the digest."""
    for candidate, opened in Pipeline(SQUARE, identify=identify, describe=describe).run(candidates):
        is_there = candidate.file.is_file()
        assert opened.sha256 == (sha256_of_bytes(candidate.read()) if identify and is_there else "")
        if opened.problem:
            assert opened.facts == NO_FACTS
        elif describe:
            assert opened.facts == facts_of(SQUARE.decode(candidate.read()))
        else:
            assert (opened.facts.width, opened.facts.height, opened.facts.format, opened.facts.dhash) == (96, 80, "", 0)


@pytest.mark.parametrize("batch", [1, BATCH])
def test_run_here(batch: int, candidates: list[Candidate]) -> None:
    """Bytes in, the same out as from files, all in the calling thread and all views at once where batches are taken."""
    compute = Recording()
    pipeline = Pipeline(SQUARE, Extractor(compute, Engine(), batch))
    there = [candidate for candidate in candidates if candidate.file.is_file()]
    found = pipeline.run_here(candidate.read() for candidate in there)
    assert compute.threads == {threading.current_thread().name}
    assert compute.sizes == ([1] * 11 if batch == 1 else [11])
    expected = [opened for _, opened in pipeline.run(there)]
    assert [one.problem for one in found] == [one.problem for one in expected]
    for here, there_opened in zip(found, expected, strict=True):
        np.testing.assert_array_equal(here.vector, there_opened.vector)
    assert pipeline.run_here([]) == []


def test_run_here_refuses_what_is_too_large(candidates: list[Candidate]) -> None:
    """An image above the caller's limit is not decoded, and its neighbours are answered."""
    pipeline = Pipeline(SQUARE, Extractor(mean_colour, Engine()))
    first, second = candidates[0].read(), candidates[1].read()
    found = pipeline.run_here([first, second], max_pixels=96 * 80 - 1)
    assert all("pixels" in one.problem and one.vector is None for one in found)
    assert all(one.vector is not None for one in pipeline.run_here([first, second], max_pixels=96 * 80))


@pytest.mark.parametrize("batch", [1, BATCH])
def test_an_error_of_the_network_is_raised(batch: int, candidates: list[Candidate]) -> None:
    """What goes wrong in the network is no problem of the file: it is raised, and no thread stays behind."""

    def fail(views: np.ndarray) -> np.ndarray:
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        list(Pipeline(SQUARE, Extractor(fail, Engine(), batch)).run(candidates, 2))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("headstart")]


def test_features_of_views() -> None:
    """Views that are there already are computed in batches, in order; none is no error."""
    views = np.random.default_rng(0).integers(0, 256, (10, 1, 8, 8, 3), dtype=np.uint8)
    compute = Recording()
    found = list(features_of(together(compute), iter(views)))
    assert compute.sizes == [4, 4, 2]
    np.testing.assert_array_equal(np.stack(found), mean_colour(views[:, 0]))
    assert list(features_of(together(compute), [])) == []
