"""One pass over the files: nothing is lost, nothing is reordered, and batches change no vector."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY

from headstart.data.opening import open_sources
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate
from headstart.model.backbones import Network, pretrained_network
from headstart.model.extractor import TORCH_BATCH, Engine, Extractor
from headstart.model.features import scan, scan_rows
from headstart.model.specs import find_backbone
from headstart.model.weights import WeightsFile
from headstart.storage import sha256_of_file

SQUARE = Preprocess(size_px=32, resize_px=36, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)


def mean_colour(views: np.ndarray) -> np.ndarray:
    return views.mean(axis=(1, 2), dtype=np.float32)


TORCH = Extractor(mean_colour, Engine(name="torch-cpu"), TORCH_BATCH)  # takes batches, as a network in torch does


@pytest.fixture
def candidates(draw_classes: Callable[..., Path]) -> Sequence[Candidate]:
    """Two classes of 11 images each, with three files among them that cannot be read."""
    folder = draw_classes({"circles": 11, "squares": 11})
    (folder / "circles" / "circles-3-broken.png").write_bytes(b"\x89PNG")
    (folder / "squares" / "empty.jpg").touch()
    (folder / "squares" / "notes.jpg").write_text("not an image")
    with open_sources(folder) as sources:
        return sources.candidates


@pytest.mark.parametrize("workers", [1, 2, 7, None])
def test_order_is_kept(candidates: Sequence[Candidate], workers: int | None) -> None:
    """Images and vectors come in the order of the candidates, whatever the number of threads."""
    found = scan(candidates, SQUARE, TORCH, workers=workers)
    unreadable = {entry.path for entry in found.skipped}
    assert [image.path for image in found.images] == [c.path for c in candidates if c.path not in unreadable]
    assert found.vectors.shape == (22, 3)
    for candidate, vector in zip((c for c in candidates if c.path not in unreadable), found.vectors, strict=True):
        view = SQUARE.view(SQUARE.decode(candidate.read()).rgb)
        np.testing.assert_allclose(vector, view.mean(axis=(0, 1)), rtol=1e-5)


def test_unreadable_files_are_listed(candidates: Sequence[Candidate]) -> None:
    """Every file is either an image or listed with its reason."""
    found = scan(candidates, SQUARE)
    assert [(Path(entry.path).name, entry.reason) for entry in found.skipped] == [
        ("circles-3-broken.png", "the image is damaged: a PNG cut off in its header"),
        ("empty.jpg", "the file is empty"),
        ("notes.jpg", "a text file, not an image"),
    ]
    assert len(found.images) + len(found.skipped) == len(candidates) == 25


def test_facts_of_an_image(candidates: Sequence[Candidate]) -> None:
    """Of each image the scan knows label, size and the digest of the file's bytes."""
    image = scan(candidates, SQUARE).images[0]
    assert (image.label, image.width, image.height) == ("circles", 96, 80)
    assert image.sha256 == sha256_of_file(image.file)


def test_without_a_network_nothing_is_computed(candidates: Sequence[Candidate]) -> None:
    """Where no function is given, the vectors have no columns and a row an image."""
    assert scan(candidates, SQUARE).vectors.shape == (22, 0)


@pytest.mark.parametrize("first", [1, 2, 100])
def test_a_short_first_chunk_changes_nothing(candidates: Sequence[Candidate], first: int) -> None:
    """All rows come once and in their order, also where there are none."""
    rows, others = (list(scan_rows(candidates, SQUARE, **asked)) for asked in ({"first": first}, {}))
    assert [getattr(row, "image", row) for row in rows] == [getattr(row, "image", row) for row in others]
    assert len(rows) == len(candidates)
    assert list(scan_rows([], SQUARE, first=first)) == []


def test_nothing_readable(tmp_path: Path) -> None:
    """A list without one readable image is no error here: all are listed."""
    missing = [Candidate(f"{i}.png", tmp_path / f"{i}.png") for i in range(3)]
    found = scan(missing, SQUARE, TORCH)
    assert found.images == ()
    assert [entry.reason for entry in found.skipped] == ["there is no such file"] * 3
    assert found.vectors.shape == (0, 0)
    assert scan([], SQUARE, TORCH).skipped == ()


def test_batches_change_no_vector(candidates: Sequence[Candidate], tiny_weights: Path) -> None:
    """An image has the same features alone as among others, within 1e-5 of their size."""
    weights = WeightsFile(tiny_weights, sha256_of_file(tiny_weights), "test")
    network: Network = pretrained_network(find_backbone(TINY), weights)
    network.preprocess = network.preprocess.at_size(64)
    together = scan(candidates, network.preprocess, network.extractor())
    alone = [scan([c], network.preprocess, network.extractor()).vectors for c in candidates]
    expected = np.concatenate([vectors for vectors in alone if len(vectors)])
    np.testing.assert_allclose(together.vectors, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_batches_are_bounded(candidates: Sequence[Candidate]) -> None:
    """The network is never given more than a batch, and every readable image once."""
    sizes: list[int] = []

    def compute(views: np.ndarray) -> np.ndarray:
        sizes.append(len(views))
        return mean_colour(views)

    scan(candidates, SQUARE, Extractor(compute, Engine(name="torch-cpu"), TORCH_BATCH))
    assert sizes == [TORCH_BATCH, 22 - TORCH_BATCH]


def test_progress_counts_files(candidates: Sequence[Candidate]) -> None:
    """Progress goes up by one for each file, readable or not, and ends at their number."""
    steps: list[tuple[str, int, int]] = []
    scan(candidates, SQUARE, TORCH, progress=lambda *step: steps.append(step), stage="looking")
    assert steps == [("looking", done, 25) for done in range(1, 26)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_progress_can_cancel(candidates: Sequence[Candidate], error: type[BaseException]) -> None:
    """Raising from progress ends the scan at once, and no thread stays behind."""
    done_until: list[int] = []

    def cancel(stage: str, done: int, total: int) -> None:
        done_until.append(done)
        if done == 3:
            raise error

    with pytest.raises(error):
        scan(candidates, SQUARE, TORCH, progress=cancel)
    assert done_until == [1, 2, 3]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("headstart")]
