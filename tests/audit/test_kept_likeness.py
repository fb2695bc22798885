"""Two pictures are compared once, in whatever order and company they come."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart.audit import kept_likeness as room
from headstart.audit.kept_likeness import kept_likeness
from headstart.audit.registration import likeness
from headstart.data.miniatures import lumas
from headstart.data.opening import open_sources
from headstart.data.preprocess import Preprocess
from headstart.model.feature_store import FeatureStore, store_size
from headstart.model.features import Scan, scan
from headstart.model.kept_miniatures import Miniatures

SQUARE = Preprocess(size_px=32, resize_px=36, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)
FIRST, SECOND = np.array([0, 0, 2, 5, 0]), np.array([1, 3, 7, 4, 1])  # one pair twice


@pytest.fixture
def scanned(draw_classes: Callable[..., Path]) -> Scan:
    """Eight pictures, as a scan finds and stores them."""
    with open_sources(draw_classes({"circles": 4, "squares": 4})) as sources:
        return scan(sources.candidates, SQUARE, store=FeatureStore())


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs were compared each time."""
    numbers: list[int] = []

    def counted(grey: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        numbers.append(len(one))
        return likeness(grey, one, other)

    monkeypatch.setattr(room, "likeness", counted)
    return numbers


def found(scanned: Scan, first: np.ndarray, second: np.ndarray, order: np.ndarray | None = None) -> np.ndarray:
    """The likeness of pairs by a process of its own, whose pictures come in some order."""
    order = np.arange(8) if order is None else order
    miniatures = Miniatures.stored([scanned.images[i] for i in order.tolist()], SQUARE)
    rows, _ = miniatures.of(np.arange(8))
    place = np.argsort(order)
    return kept_likeness(miniatures, place[first], place[second], lumas(rows), np.arange(8))


def test_a_pair_is_compared_once(scanned: Scan, compared: list[int]) -> None:
    """Who asks again gets the same bits, also the other way round and of pictures in another order; what is new is compared."""
    rows, _ = Miniatures(scanned.images, SQUARE).of(np.arange(8))
    values = found(scanned, FIRST, SECOND)
    assert np.allclose(values, likeness(lumas(rows), FIRST, SECOND), atol=1e-4) and len(set(values.tolist())) == 4
    assert np.array_equal(found(scanned, FIRST, SECOND), values)
    assert np.array_equal(found(scanned, SECOND, FIRST, np.random.default_rng(0).permutation(8)), values)
    assert compared == [5]
    more = found(scanned, np.append(FIRST, 6), np.append(SECOND, 7))
    assert np.array_equal(more[:5], values) and compared == [5, 1]


def test_without_a_shelf_nothing_is_kept(scanned: Scan, compared: list[int], own_home: Path) -> None:
    miniatures = Miniatures(scanned.images, SQUARE)
    rows, _ = miniatures.of(np.arange(8))
    for _ in range(2):
        kept_likeness(miniatures, FIRST, SECOND, lumas(rows), np.arange(8))
    assert compared == [5, 5] and store_size()["likenesses"] == (0, 0)


def test_another_picture_is_another_pair(scanned: Scan, compared: list[int]) -> None:
    """A pair goes by what the pictures are, not by where they are."""
    found(scanned, np.array([0]), np.array([1]))
    found(scanned, np.array([0]), np.array([2]))
    assert compared == [1, 1]


def test_nothing_to_compare(scanned: Scan, own_home: Path) -> None:
    assert found(scanned, np.empty(0, np.int64), np.empty(0, np.int64)).shape == (0,)
    assert store_size()["likenesses"] == (0, 0)
