"""The store gives back what was put in, mixes nothing up, and survives two writers, a kill and damage."""

import errno
import io
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from headstart.data.facts import FACTS_VERSION, ImageFacts
from headstart.data.miniatures import LIKENESS_VERSION, MINIATURES_VERSION, ROW_BYTES, LikenessSpace, MiniatureSpace
from headstart.data.opening import open_sources
from headstart.data.preprocess import Preprocess
from headstart.errors import HeadstartWarning, SettingsError
from headstart.model.extractor import Engine, Extractor, NetworkId
from headstart.model.feature_store import (
    FEATURES,
    FactSpace,
    FeatureSpace,
    FeatureStore,
    cache_limit,
    clear_store,
    store_size,
)
from headstart.model.features import Work, scan

SPACE = FeatureSpace("net", "w" * 64, "p" * 16, "onnxruntime", "fp32", "1-pillow13-jpeg3")
FACT_SPACE = FactSpace(FACTS_VERSION, 512, "1-pillow13-jpeg3")
SMALL_SPACE = MiniatureSpace(MINIATURES_VERSION, 512, "1-pillow13-jpeg3")
ALIKE_SPACE = LikenessSpace(LIKENESS_VERSION, MINIATURES_VERSION, 512, "1-pillow13-jpeg3")
SQUARE = Preprocess(size_px=32, resize_px=36, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)


def digests(n: int, first: int = 0) -> list[str]:
    return [f"{i:064x}" for i in range(first, first + n)]


def vectors(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 7)).astype(np.float32)


def miniatures(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(n, ROW_BYTES)).astype(np.uint8)


def mean_colour(views: np.ndarray) -> np.ndarray:
    return views.mean(axis=(1, 2), dtype=np.float32)


class Counting:
    """An extractor's function that counts what it is asked for."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, views: np.ndarray) -> np.ndarray:
        self.n += len(views)
        return mean_colour(views)


def test_what_was_put_in_comes_out() -> None:
    """Another process's store, and the same one, give the very same numbers, in any order and for any part of them."""
    writer = FeatureStore()
    writer.add_vectors(SPACE, digests(5), vectors(5))
    writer.add_vectors(SPACE, digests(3, first=5), vectors(3, seed=1))
    wanted = dict(zip(digests(8), np.concatenate([vectors(5), vectors(3, seed=1)]), strict=True))
    for store in (writer, FeatureStore()):
        asked = [*digests(8)[::-1], *digests(2, first=90)]
        found = store.vectors(SPACE, asked)
        assert set(found) == set(wanted)
        assert all(np.array_equal(found[digest], wanted[digest]) for digest in wanted)
    assert FeatureStore().vectors(SPACE, []) == {}


@pytest.mark.parametrize("field", [field.name for field in fields(FeatureSpace)])
def test_each_ingredient_is_part_of_the_key(field: str) -> None:
    """A vector of another backbone, weights, preprocessing, engine, precision or decoder is not found."""
    FeatureStore().add_vectors(SPACE, digests(2), vectors(2))
    assert FeatureStore().vectors(replace(SPACE, **{field: "another"}), digests(2)) == {}


@pytest.mark.parametrize(("field", "value"), [("facts_version", 99), ("decode_px", 1), ("pixels_version", "another")])
def test_facts_have_a_key_too(field: str, value: object) -> None:
    """Facts of another version or another scale of decoding are not found; those that fit are the very same."""
    facts = ImageFacts(format="PNG", mode="RGB", width=3, height=4, dhash=2**63 + 1, red=0.1, sharpness=1e-9)
    broken = ImageFacts(problem="the file is empty")
    FeatureStore().add_facts(FACT_SPACE, digests(2), [facts, broken])
    assert FeatureStore().facts(FACT_SPACE, digests(2)) == dict(zip(digests(2), [facts, broken], strict=True))
    assert FeatureStore().facts(replace(FACT_SPACE, **{field: value}), digests(2)) == {}


@pytest.mark.parametrize(("field", "value"), [("miniatures_version", 99), ("decode_px", 1), ("pixels_version", "another")])
def test_miniatures_come_out_as_they_were_and_have_a_key(field: str, value: object) -> None:
    """What was put in is found bit for bit, in any order; nothing of another version, scale or decoder is."""
    wanted = miniatures(5)
    FeatureStore().add_miniatures(SMALL_SPACE, digests(3), wanted[:3])
    store = FeatureStore()
    store.add_miniatures(SMALL_SPACE, digests(2, first=3), wanted[3:])
    rows, stored = store.miniatures(SMALL_SPACE, [*digests(5)[::-1], *digests(1, first=90)])
    assert stored.tolist() == [True] * 5 + [False]
    assert np.array_equal(rows[:5], wanted[::-1]) and not rows[5].any()
    assert store.not_stored(SMALL_SPACE, digests(7)) == digests(2, first=5)
    rows, stored = FeatureStore().miniatures(replace(SMALL_SPACE, **{field: value}), digests(2))
    assert not rows.any() and not stored.any()


@pytest.mark.parametrize("field", [field.name for field in fields(LikenessSpace)])
def test_likenesses_come_out_as_they_were_and_have_a_key(field: str) -> None:
    """The same of the likeness of pairs, of which 0 is one."""
    wanted = np.array([0.25, 0.0, 1.0], np.float32)
    FeatureStore().add_likenesses(ALIKE_SPACE, digests(3), wanted)
    values, stored = FeatureStore().likenesses(ALIKE_SPACE, [*digests(3)[::-1], *digests(1, first=90)])
    assert stored.tolist() == [True] * 3 + [False]
    assert np.array_equal(values, [*wanted[::-1], 0]) and values.dtype == np.float32
    other = replace(ALIKE_SPACE, **{field: "another" if field == "pixels_version" else 99})
    assert not FeatureStore().likenesses(other, digests(3))[1].any()


def test_other_tools_read_it(own_home: Path) -> None:
    """The tables are plain Parquet with the key in columns of their own."""
    FeatureStore().add_vectors(SPACE, digests(3), vectors(3))
    table = pyarrow.parquet.read_table(own_home / FEATURES)
    assert table.column_names[:2] == ["image", "vector"]
    assert table.column("engine").to_pylist() == ["onnxruntime"] * 3
    assert np.array_equal(np.array(table.column("vector").to_pylist(), np.float32), vectors(3))


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text"])
def test_a_damaged_part_is_told_and_left_out(damage: str, own_home: Path) -> None:
    """A part that cannot be trusted is reported once and removed; what the other parts hold is still found."""
    store = FeatureStore()
    store.add_vectors(SPACE, digests(4), vectors(4))
    (part,) = (own_home / FEATURES).iterdir()
    store.add_vectors(SPACE, digests(2, first=4), vectors(2))
    content = bytearray(part.read_bytes())
    place = content.find(vectors(4).tobytes()[:8])
    assert place > 0
    content[place] ^= 1
    damaged = {"cut": content[: len(content) // 2], "bit": content, "empty": b"", "text": b"hello"}
    part.write_bytes(damaged[damage])
    with pytest.warns(HeadstartWarning, match="a part of the store is damaged"):
        found = FeatureStore().vectors(SPACE, digests(6))
    assert set(found) == set(digests(2, first=4))
    assert len(FeatureStore().vectors(SPACE, digests(6))) == 2  # and no second warning, which would be an error here


@pytest.mark.parametrize(
    "columns", [{"image": ["0" * 64]}, {"image": ["x"], "vector": [[1.0]]}, {"image": [7], "vector": [[1.0]]}]
)
def test_a_part_of_something_else(columns: dict[str, list[object]], own_home: Path) -> None:
    """A part that is Parquet but lacks a column, or has one of another type, is damaged like any other."""
    store = FeatureStore()
    store.add_vectors(SPACE, digests(4), vectors(4))
    (part,) = (own_home / FEATURES).iterdir()
    pyarrow.parquet.write_table(pyarrow.table(columns), part)
    with pytest.warns(HeadstartWarning, match="a part of the store is damaged"):
        assert FeatureStore().vectors(SPACE, ["0" * 64]) == {}
    assert list((own_home / FEATURES).iterdir()) == []


def test_a_part_that_cannot_be_opened_stays(own_home: Path) -> None:
    """What the operating system refuses says nothing about the content: told once, left alone, and the rest is found."""
    store = FeatureStore()
    for first in (0, 4, 8):
        store.add_vectors(SPACE, digests(4, first=first), vectors(4))
    refused = sorted((own_home / FEATURES).iterdir())[:2]
    for part in refused:
        part.unlink()
        part.symlink_to(part)  # opening it is refused (ELOOP), also to root
    with pytest.warns(HeadstartWarning, match="cannot be read now") as told:
        assert len(FeatureStore().vectors(SPACE, digests(12))) == 4
    assert len(told) == 1
    assert all(part.is_symlink() for part in refused)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of open files are POSIX's")
def test_too_many_open_files_delete_nothing(own_home: Path) -> None:
    """A process that may open no more files computes anew what is stored, and the store is whole afterwards."""
    import resource

    store = FeatureStore()
    store.add_vectors(SPACE, digests(4), vectors(4))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.warns(HeadstartWarning, match="cannot be read now"):
            assert store.vectors(SPACE, digests(4)) == {}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(FeatureStore().vectors(SPACE, digests(4))) == 4
    store.add_vectors(SPACE, digests(4), vectors(4))  # what was computed anew takes the place of what could not be read
    assert len(store.vectors(SPACE, digests(4))) == 4


class Failing(io.FileIO):
    """A file on a disk that fails from a certain read on: the one error here that a healthy machine cannot be made to give."""

    def __init__(self, file: Path, reads: int) -> None:
        super().__init__(file)
        self.left = reads

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(-1 if size is None else size) or b""


def test_a_disk_that_fails_deletes_nothing(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever read fails, of the footer, of the digests or of the vectors, the part stays."""
    FeatureStore().add_vectors(SPACE, digests(400), vectors(400))
    (part,) = (own_home / FEATURES).iterdir()
    reads = 0
    while True:
        store = FeatureStore()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", lambda file, mode, reads=reads: Failing(file, reads))
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                found = store.vectors(SPACE, digests(400))
        assert part.exists()
        if found:
            break
        assert "cannot be read now" in str(told[0].message)
        reads += 1
    assert reads >= 2


def test_the_index_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often is asked, each part is opened once for the index and once for each time its rows are wanted."""
    for part in range(20):
        FeatureStore().add_vectors(SPACE, digests(50, first=50 * part), vectors(50, seed=part))
    opened = []
    really_open = Path.open
    monkeypatch.setattr(Path, "open", lambda file, mode: opened.append(file) or really_open(file, mode))
    store = FeatureStore()
    for part in range(20):
        assert len(store.vectors(SPACE, digests(50, first=50 * part))) == 50
        assert store.vectors(SPACE, digests(50, first=5000)) == {}
    assert len(opened) == 40
    store.add_vectors(SPACE, digests(50, first=5000), vectors(50))
    assert len(store.vectors(SPACE, digests(50, first=5000))) == 50
    assert len(opened) == 41


def test_the_folder_is_not_listed_for_every_part(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the limit, adding a part does not look at all the others; at the limit the oldest go as ever."""
    listed = []
    really_glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: listed.append(folder) or really_glob(folder, pattern))
    store = FeatureStore()
    for part in range(10):
        store.add_vectors(SPACE, digests(10, first=10 * part), vectors(10))
    assert len(listed) <= 4  # for the index, and all folders for their sizes
    size = next(iter((own_home / FEATURES).iterdir())).stat().st_size
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", str(3 * size + size // 2))
    store = FeatureStore()
    for part in range(10, 20):
        store.add_vectors(SPACE, digests(10, first=10 * part), vectors(10))
    assert store_size()["features"][0] == 3


def test_a_part_that_another_process_removed(own_home: Path) -> None:
    """A part that is gone since it was indexed counts as not stored."""
    store = FeatureStore()
    store.add_vectors(SPACE, digests(4), vectors(4))
    for part in (own_home / FEATURES).iterdir():
        part.unlink()
    assert store.vectors(SPACE, digests(4)) == {}


def test_the_oldest_goes_first(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit the parts that were not used for longest are removed, never the newest."""
    for number in range(4):
        FeatureStore().add_vectors(SPACE, digests(50, first=100 * number), vectors(50))
        for part in (own_home / FEATURES).iterdir():
            os.utime(part, ns=(part.stat().st_atime_ns, part.stat().st_mtime_ns - 10**12))
    one = next((own_home / FEATURES).iterdir()).stat().st_size
    FeatureStore().vectors(SPACE, digests(50))  # the first part was used just now
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", str(3 * one + one // 2))
    FeatureStore().add_vectors(SPACE, digests(50, first=900), vectors(50))
    left = [len(FeatureStore().vectors(SPACE, digests(50, first=first))) for first in (0, 100, 200, 300, 900)]
    assert left == [50, 0, 0, 50, 50]


def test_miniatures_count_for_the_limit(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of before that gets the miniatures it lacks stays below the limit, too."""
    FeatureStore().add_miniatures(SMALL_SPACE, digests(50), miniatures(50))
    one = next((own_home / "miniatures").iterdir()).stat().st_size
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", str(3 * one + one // 2))
    store = FeatureStore()
    for number in range(1, 6):
        store.add_miniatures(SMALL_SPACE, digests(50, first=100 * number), miniatures(50))
    assert store_size()["miniatures"][0] == 3


@pytest.mark.parametrize(("given", "wanted"), [("", 10**10), ("500 MB", 5 * 10**8), ("1.5gb", 15 * 10**8), ("0", 0), ("7", 7)])
def test_limits(given: str, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit is a number of bytes, perhaps with a unit; 10 GB without one."""
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", given)
    assert cache_limit() == wanted


@pytest.mark.parametrize("given", ["much", "-1", "1 PB", "nan", "inf"])
def test_limits_that_are_none(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else is an error that shows how a limit looks."""
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", given)
    with pytest.raises(SettingsError, match="HEADSTART_CACHE_LIMIT"):
        cache_limit()


def test_size_and_clearing(own_home: Path) -> None:
    """Sizes count files and bytes; clearing leaves nothing, not even what a killed process left half written."""
    FeatureStore().add_vectors(SPACE, digests(4), vectors(4))
    FeatureStore().add_facts(FACT_SPACE, digests(1), [ImageFacts()])
    FeatureStore().add_miniatures(SMALL_SPACE, digests(2), miniatures(2))
    FeatureStore().add_likenesses(ALIKE_SPACE, digests(2), np.ones(2, np.float32))
    (own_home / FEATURES / ".half.tmp").write_bytes(b"1234")
    sizes = store_size()
    assert [sizes[kind][0] for kind in ("features", "facts", "miniatures", "likenesses")] == [2, 1, 1, 1]
    clear_store()
    assert set(store_size().values()) == {(0, 0)}


# Through the scan


def extractor(compute: Callable[[np.ndarray], np.ndarray], batch_images: int = 1) -> Extractor:
    return Extractor(compute, Engine(name="torch-test"), batch_images, NetworkId("colours", "c" * 64))


@pytest.mark.parametrize("batch_images", [1, 4])
def test_nothing_is_computed_twice(batch_images: int, draw_classes: Callable[..., Path]) -> None:
    """A second scan computes nothing, one with new images computes those, and all give the same numbers."""
    folder = draw_classes({"circles": 6, "squares": 6})
    (folder / "circles" / "broken.png").write_bytes(b"\x89PNG")
    first, second = Counting(), Counting()
    with open_sources(folder) as sources:
        one = scan(sources.candidates, SQUARE, extractor(first, batch_images), store=FeatureStore())
        two = scan(sources.candidates, SQUARE, extractor(second, batch_images), store=FeatureStore())
    assert (first.n, second.n) == (12, 0)
    assert np.array_equal(one.vectors, two.vectors)
    assert (one.images, one.skipped) == (two.images, two.skipped)
    assert (two.work.computed, two.work.stored) == (0, 12)
    draw_classes({"triangles": 3})
    with open_sources(folder) as sources:
        three = scan(sources.candidates, SQUARE, extractor(second, batch_images), store=FeatureStore())
        plain = scan(sources.candidates, SQUARE, extractor(Counting(), batch_images))
    assert second.n == 3
    assert np.array_equal(three.vectors, plain.vectors)
    assert three.images == plain.images


def rows_of(home: Path) -> list[tuple[str, str]]:
    """(image, preprocessing) of every row of features in the store."""
    table = pyarrow.parquet.read_table(home / FEATURES, columns=["image", "preprocess"])
    return list(zip(table.column("image").to_pylist(), table.column("preprocess").to_pylist(), strict=True))


@pytest.mark.parametrize("batch_images", [1, 4])
@pytest.mark.parametrize("first", ["crop", "whole", "crop+whole", "crop+whole+mirrored"])
@pytest.mark.parametrize("second", ["whole", "whole+crop", "crop+whole+mirrored"])
def test_each_view_is_kept_for_itself(
    first: str, second: str, batch_images: int, draw_classes: Callable[..., Path], own_home: Path
) -> None:
    """What one run has stored of an image serves every run that sees the same view: only missing views go through the network,
    and the numbers are those of a cold run.
    """
    one, two = SQUARE.seen_as(first), SQUARE.seen_as(second)
    before, after, cold = Counting(), Counting(), Counting()
    with open_sources(draw_classes({"circles": 3, "squares": 3})) as sources:
        scan(sources.candidates, one, extractor(before, batch_images), store=FeatureStore())
        warm = scan(sources.candidates, two, extractor(after, batch_images), store=FeatureStore())
        again = scan(sources.candidates, two, extractor(after, batch_images), store=FeatureStore())
        expected = scan(sources.candidates, two, extractor(cold, batch_images))
    assert np.array_equal(warm.vectors, expected.vectors) and np.array_equal(again.vectors, expected.vectors)
    assert (before.n, cold.n) == (6 * one.n_views, 6 * two.n_views)
    names = [{part.digest() for part in preprocess.one_by_one()} for preprocess in (one, two)]
    assert after.n == 6 * len(names[1] - names[0])
    rows = rows_of(own_home)
    assert len(rows) == len(set(rows)) == 6 * len(names[0] | names[1])


@pytest.mark.parametrize("batch_images", [1, 4])
def test_images_that_lack_different_views(batch_images: int, draw_classes: Callable[..., Path]) -> None:
    """Of each image the network sees the views that are missing, whichever those are, and the rows keep their order."""
    with open_sources(draw_classes({"circles": 5, "squares": 5})) as sources:
        candidates, store, compute = sources.candidates, FeatureStore(), Counting()
        for view, part in (("crop", candidates[::2]), ("whole+mirrored", candidates[3:7]), ("pad", candidates[:4])):
            scan(part, SQUARE.seen_as(view), extractor(Counting(), batch_images), store=store)
        (Path(candidates[9].file)).write_bytes(b"no image any more")
        every = SQUARE.seen_as("crop+whole+pad+mirrored")
        warm = scan(candidates, every, extractor(compute, batch_images), store=store)
        expected = scan(candidates, every, extractor(Counting(), batch_images))
    assert compute.n == 9 * every.n_views - 5 - 4 * 2 - 4
    assert np.array_equal(warm.vectors, expected.vectors)
    assert (warm.images, warm.skipped) == (expected.images, expected.skipped) and len(warm.images) == 9


def test_the_features_of_an_image_are_the_mean_of_its_views(draw_classes: Callable[..., Path]) -> None:
    """A scan gives one vector an image: the plain mean, whatever came from the store."""
    views = SQUARE.seen_as("crop+whole+mirrored")
    with open_sources(draw_classes({"circles": 3, "squares": 3})) as sources:
        for _ in range(2):
            found = scan(sources.candidates, views, extractor(Counting()), store=FeatureStore())
            for candidate, vector in zip(sources.candidates, found.vectors, strict=True):
                of_views = mean_colour(views.views_of_file(candidate.read()))
                np.testing.assert_allclose(vector, of_views.mean(axis=0), rtol=1e-6)


def test_features_with_stages_are_kept_apart(draw_classes: Callable[..., Path]) -> None:
    """The same network with other stages, or with none, is computed anew: its vectors have another length."""
    counting = Counting()
    with open_sources(draw_classes({"circles": 3, "squares": 3})) as sources:
        for stages in ((), ("layer1",), ("layer1", "layer2"), ("layer2", "layer1")):
            kept_as = NetworkId("colours", "c" * 64, stages)
            for _ in range(2):
                scan(sources.candidates, SQUARE, Extractor(counting, Engine(), kept_as=kept_as), store=FeatureStore())
    assert counting.n == 4 * 6


def test_a_part_of_an_earlier_version_is_used(own_home: Path) -> None:
    """Versions that knew no stages named their parts by a key without them: what they stored is still found."""
    space = {name: value for name, value in asdict(SPACE).items() if name != "stages"}
    table = {"image": digests(3), "vector": pyarrow.FixedSizeListArray.from_arrays(vectors(3).ravel(), 7)}
    constant = {name: pyarrow.array([value] * 3) for name, value in space.items()}
    (own_home / FEATURES).mkdir()
    pyarrow.parquet.write_table(
        pyarrow.table(table | constant),
        own_home / FEATURES / "b03e7966f22b3fac-0123456789ab.parquet",  # as the version before named a part of SPACE
        write_page_checksum=True,
    )
    found = FeatureStore().vectors(SPACE, digests(3))
    assert np.array_equal(np.stack([found[digest] for digest in digests(3)]), vectors(3))
    assert FeatureStore().vectors(replace(SPACE, stages="layer1"), digests(3)) == {}
    FeatureStore().add_vectors(SPACE, digests(1, first=3), vectors(1))
    (own,) = set((own_home / FEATURES).iterdir()) - {own_home / FEATURES / "b03e7966f22b3fac-0123456789ab.parquet"}
    assert own.name.startswith("b03e7966f22b3fac-")  # and an earlier version finds what this one stores
    assert "stages" not in pyarrow.parquet.read_schema(own).names


def test_what_is_not_kept(draw_classes: Callable[..., Path], own_home: Path) -> None:
    """Features of a network without a name, such as one that was trained, are computed each time; facts are kept."""
    with open_sources(draw_classes({"circles": 3, "squares": 3})) as sources:
        counting = Counting()
        for _ in range(2):
            scan(sources.candidates, SQUARE, Extractor(counting, Engine()), store=FeatureStore())
    assert counting.n == 12
    assert store_size()["features"] == (0, 0) and store_size()["facts"][0] > 0


@pytest.mark.parametrize(
    "engine", [Engine(name="openvino"), Engine(name="openvino", precision="bf16"), Engine(name="torch-cuda")]
)
def test_engines_are_not_mixed(engine: Engine, draw_classes: Callable[..., Path]) -> None:
    """The same network in another engine, or another precision, is computed anew and kept apart."""
    kept_as = NetworkId("colours", "c" * 64)
    first, second = Counting(), Counting()
    with open_sources(draw_classes({"circles": 3, "squares": 3})) as sources:
        for _ in range(2):
            scan(sources.candidates, SQUARE, Extractor(first, Engine(), kept_as=kept_as), store=FeatureStore())
            scan(sources.candidates, SQUARE, Extractor(second, engine, kept_as=kept_as), store=FeatureStore())
    assert (first.n, second.n) == (6, 6)


def test_a_renamed_file_is_known(draw_classes: Callable[..., Path]) -> None:
    """What counts is the content: a file under another name and label is not computed again."""
    folder = draw_classes({"circles": 3, "squares": 3})
    counting = Counting()
    with open_sources(folder) as sources:
        scan(sources.candidates, SQUARE, extractor(counting), store=FeatureStore())
    (folder / "circles" / "circles-0.png").rename(folder / "squares" / "moved.png")
    with open_sources(folder) as sources:
        found = scan(sources.candidates, SQUARE, extractor(counting), store=FeatureStore())
    assert counting.n == 6
    assert [image.label for image in found.images].count("squares") == 4


def test_what_was_done_before_ctrl_c_is_kept(draw_classes: Callable[..., Path]) -> None:
    """Images that were computed when the scan is cancelled are not computed again."""

    def cancel(stage: str, done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    counting = Counting()
    with open_sources(draw_classes({"circles": 6, "squares": 6})) as sources:
        with pytest.raises(KeyboardInterrupt):
            scan(sources.candidates, SQUARE, extractor(counting), store=FeatureStore(), progress=cancel)
        again = Counting()
        scan(sources.candidates, SQUARE, extractor(again), store=FeatureStore())
    assert again.n <= 8


def test_a_home_that_cannot_be_written_to(
    draw_classes: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work goes on where nothing can be kept, and that is told once."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "file"))
    data = draw_classes({"circles": 3, "squares": 3})
    with open_sources(data) as sources, pytest.warns(HeadstartWarning, match="features are not stored") as told:
        found = scan(sources.candidates, SQUARE, extractor(mean_colour), store=FeatureStore())
    assert len(found.vectors) == 6
    assert len(told) == 1


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (Work(stored=7), ["all 7 images", "nothing was computed"]),
        (Work(computed=8, stored=2, decode_seconds=1, network_seconds=3, wall_seconds=2), ["4 per second", "75%", "2 were"]),
    ],
)
def test_the_work_in_words(work: Work, words: list[str]) -> None:
    """How many images a second there were and what limits them is said in one sentence."""
    assert all(word in work.sentence() for word in words)


# Two processes, and a kill

WRITER = """
import sys
import numpy as np
from headstart.model.feature_store import FeatureStore
sys.path.insert(0, sys.argv[2])
from test_feature_store import SPACE, digests, vectors
store = FeatureStore()
print("ready", flush=True)
for part in range(int(sys.argv[1])):
    store.add_vectors(SPACE, digests(200, first=200 * part), vectors(200, seed=part))
    print(part, flush=True)
"""


def start_writer(parts: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(parts), str(Path(__file__).parent)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def assert_right(n_parts: int) -> int:
    """Every stored vector is the right one; returns how many there are."""
    found = FeatureStore().vectors(SPACE, digests(200 * n_parts))
    for part in range(n_parts):
        for digest, vector in zip(digests(200, first=200 * part), vectors(200, seed=part), strict=True):
            assert digest not in found or np.array_equal(found[digest], vector)
    return len(found)


@pytest.mark.process
def test_two_processes_at_once() -> None:
    """Two writers of the same images leave a store that has each of them, and right."""
    writers = [start_writer(10) for _ in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.close()
    assert assert_right(10) == 2000


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX's")
@pytest.mark.process
@pytest.mark.parametrize("parts", [0, 1, 3])
def test_killed_in_the_middle_of_a_write(parts: int) -> None:
    """After kill -9 everything that is found is right, nothing is reported as damaged, and the rest can be added."""
    with start_writer(100_000) as writer:
        assert writer.stdout is not None
        for _ in range(1 + parts):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    assert_right(40)
    FeatureStore().add_vectors(SPACE, digests(200), vectors(200))
    assert assert_right(1) == 200
