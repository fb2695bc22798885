"""The index finds what a dictionary would, however its rows came in."""

import numpy as np
import pytest

from headstart.model.digest_index import DIGEST, DigestIndex, as_digests
from headstart.storage import sha256_of_bytes


def digests(numbers: np.ndarray) -> np.ndarray:
    return as_digests([sha256_of_bytes(str(number).encode()) for number in numbers.tolist()])


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_what_a_dictionary_finds(seed: int) -> None:
    """After additions of any size, with digests that come again, each is at the place that it had first."""
    rng = np.random.default_rng(seed)
    index, wanted, n_rows = DigestIndex(), dict[bytes, int](), 0
    for size in rng.integers(0, 60, 40).tolist():
        added, places = digests(rng.integers(0, 900, size)), np.arange(n_rows, n_rows + size)
        index.add(added, places)
        n_rows += size
        for digest, place in zip(added.tolist(), places.tolist(), strict=True):
            wanted.setdefault(digest, place)
    asked = digests(np.arange(1000))
    assert index.find(asked).tolist() == [wanted.get(digest, -1) for digest in asked.tolist()]
    assert len(index) == n_rows


def test_additions_are_merged() -> None:
    """A thousand additions leave a few runs, so that looking up stays fast."""
    index = DigestIndex()
    for first in range(0, 4000, 4):
        index.add(digests(np.arange(first, first + 4)), np.arange(first, first + 4))
    assert len(index._runs) <= 12


def test_what_is_dropped_is_found_elsewhere() -> None:
    """Where a digest was there twice and the first place is dropped, the second one is found."""
    index = DigestIndex()
    both = digests(np.arange(3))
    index.add(both, np.arange(3))
    index.add(both[:2], np.arange(2) + 8)
    index.keep(np.array([1]), 3)
    assert index.find(both).tolist() == [8, 9, -1]
    index.keep(np.array([], np.int64), 3)
    assert index.find(both).tolist() == [-1, -1, -1]


def test_digests_that_end_in_zeros() -> None:
    """Zero bytes at the end are part of a digest: numpy pads strings with them."""
    asked = as_digests(["ab" + "00" * 31, "ab" + "00" * 30 + "01"])
    index = DigestIndex()
    index.add(asked, np.arange(2))
    assert index.find(asked).tolist() == [0, 1]
    assert asked.dtype == DIGEST


@pytest.mark.parametrize("given", ["", "abc", "g" * 64, " " * 64, "a" * 65])
def test_what_is_no_digest(given: str) -> None:
    """Anything but 64 hexadecimal digits is refused."""
    with pytest.raises(ValueError, match="hexadecimal"):
        as_digests(["0" * 64, given])
