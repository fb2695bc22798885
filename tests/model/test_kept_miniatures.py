"""Miniatures are made once, by whoever decodes a picture, and looked up by whoever compares pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart.data.miniatures import ROW_BYTES
from headstart.data.opening import open_sources
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate
from headstart.jobs.scan_table import MINIATURES, rows_of, table_of
from headstart.model import kept_miniatures
from headstart.model.extractor import Engine, Extractor
from headstart.model.feature_store import FeatureStore, store_size
from headstart.model.features import Scan, collected, scan, scan_rows
from headstart.model.kept_miniatures import Miniatures

SQUARE = Preprocess(size_px=32, resize_px=36, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)
EVERY = np.arange(8)


@pytest.fixture
def scanned(draw_classes: Callable[..., Path]) -> Scan:
    """Eight pictures, as a scan finds and stores them."""
    with open_sources(draw_classes({"circles": 4, "squares": 4})) as sources:
        return scan(sources.candidates, SQUARE, store=FeatureStore())


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are opened to make a miniature."""
    files: list[Path] = []
    really = kept_miniatures.read_bytes
    monkeypatch.setattr(kept_miniatures, "read_bytes", lambda file: files.append(file) or really(file))
    return files


def test_what_a_scan_has_stored_is_not_made_again(scanned: Scan, opened: list[Path]) -> None:
    """No picture is opened, and the miniatures are those that are made of the files."""
    stored, known = Miniatures.stored(scanned.images, SQUARE).of(EVERY)
    assert known.all() and not opened
    made, can_be_made = Miniatures(scanned.images, SQUARE).of(EVERY)
    assert can_be_made.all() and len(opened) == 8
    assert np.array_equal(stored, made) and len(np.unique(stored, axis=0)) == 8


def test_a_store_of_before_gets_what_it_lacks(scanned: Scan, opened: list[Path], own_home: Path) -> None:
    """What is missing is made of the files when it is asked for, no more than that, and kept."""
    whole, _ = Miniatures.stored(scanned.images, SQUARE).of(EVERY)
    for part in (own_home / "miniatures").iterdir():
        part.unlink()
    some, known = Miniatures.stored(scanned.images, SQUARE).of(EVERY[2:5])
    assert known.all() and np.array_equal(some, whole[2:5])
    again, known = Miniatures.stored(scanned.images, SQUARE).of(EVERY)
    assert known.all() and np.array_equal(again, whole)
    assert len(opened) == 8 and store_size()["miniatures"][0] == 2


@pytest.mark.parametrize("change", [Path.unlink, lambda file: file.write_bytes(b"another picture")])
def test_a_file_that_is_another_now_has_none(scanned: Scan, change: Callable[[Path], object], own_home: Path) -> None:
    """What is gone, or was written over since the scan, is not compared, and nothing wrong is stored under its name."""
    for part in (own_home / "miniatures").iterdir():
        part.unlink()
    file = scanned.images[3].file
    assert isinstance(file, Path)
    change(file)
    rows, known = Miniatures.stored(scanned.images, SQUARE).of(EVERY)
    assert known.tolist() == [True] * 3 + [False] + [True] * 4 and not rows[3].any()
    assert FeatureStore().shelf(SQUARE, None).miniatures([scanned.images[3].sha256])[1].tolist() == [False]


def test_without_a_store_they_are_made_each_time(scanned: Scan, opened: list[Path]) -> None:
    """Nothing is kept that was not asked for."""
    for _ in range(2):
        assert Miniatures(scanned.images, SQUARE).of(EVERY)[1].all()
    assert len(opened) == 16


@pytest.mark.parametrize("on_disk", [False, True])
def test_those_that_come_along_count_first(
    scanned: Scan, opened: list[Path], on_disk: bool, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    """Results of workers bring them, also where memory should not hold them all; some images are asked for by their numbers."""
    monkeypatch.setattr("headstart.model.features.ON_DISK_BYTES", 0 if on_disk else 1 << 30)
    candidates = [Candidate(image.path, image.file, image.label) for image in scanned.images]
    colours = Extractor(lambda views: views.mean(axis=(1, 2), dtype=np.float32), Engine(name="torch-test"))
    rows = list(scan_rows(candidates, SQUARE, colours, store=FeatureStore(), with_miniatures=True))
    table = table_of(rows, 3, with_miniatures=True)
    assert MINIATURES in table.column_names and MINIATURES not in table_of(rows, 3).column_names
    found = collected(rows_of(table, candidates, 1), len(candidates), scanned.work, with_miniatures=True)
    assert isinstance(found.miniatures, np.ndarray) is not on_disk
    whole, _ = Miniatures.stored(scanned.images, SQUARE).of(EVERY)
    for part in (own_home / "miniatures").iterdir():
        part.unlink()
    along = Miniatures.stored(scanned.images, SQUARE, found.miniatures)
    assert np.array_equal(along.of(EVERY)[0], whole)
    assert np.array_equal(along.some(np.array([6, 1, 3])).of(np.array([2, 0]))[0], whole[[3, 6]])
    assert not opened
    lacking = np.zeros((8, ROW_BYTES), np.uint8)
    lacking[:6] = whole[:6]
    assert np.array_equal(Miniatures.stored(scanned.images, SQUARE, lacking).of(EVERY)[0], whole) and len(opened) == 2
