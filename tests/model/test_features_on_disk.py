"""Features in a file."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import HeadstartError
from headstart.model import features_on_disk
from headstart.model.features_on_disk import FeaturesOnDisk, SomeFeatures, first_columns, in_parts

N, N_FEATURES = 700, 6  # more than are copied at once


@pytest.fixture
def written(tmp_path: Path) -> Iterator[tuple[FeaturesOnDisk, np.ndarray]]:
    """A file and what is in it; its last rows are not written yet."""
    values = np.random.default_rng(0).normal(size=(N, N_FEATURES)).astype(np.float32)
    made = FeaturesOnDisk(tmp_path / "features.tmp", N, N_FEATURES, is_new=True)
    for row in range(N - 5):
        made[row] = values[row]
    values[N - 5 :] = 0
    yield made, values.astype(np.float16)
    made.remove()


def test_rows_are_asked_for_as_those_of_an_array(written: tuple[FeaturesOnDisk, np.ndarray]) -> None:
    """Numbers, slices, lists, flags; rows that are not written are 0; nothing that is given can change the file."""
    made, values = written
    flags = np.arange(N) % 3 == 0
    asked: tuple[object, ...] = (0, -1, np.int64(17), slice(None), slice(3, 690, 2), slice(None, None, -1), slice(9, 9))
    for rows in (*asked, np.array([600, 2, 2, 311]), np.arange(N)[::-1], flags, np.empty(0, np.int64)):
        found = made[rows]
        assert found.dtype == np.float16 and np.array_equal(found, values[rows])
        found += 1
    assert (len(made), made.shape) == (N, (N, N_FEATURES))
    assert np.array_equal(made[:], values)
    for wrong in (N, -N - 1, np.array([0, N])):
        with pytest.raises(IndexError):
            made[wrong]


def test_another_reader_sees_what_is_written_later(written: tuple[FeaturesOnDisk, np.ndarray]) -> None:
    """A file that is open twice, as in two processes, has one content; after it is removed it can still be read."""
    made, values = written
    reader = FeaturesOnDisk(made.path, N, N_FEATURES)
    made[N - 1] = np.ones(N_FEATURES)
    assert (reader[N - 1] == 1).all()
    made.remove()
    assert not made.path.exists()
    assert np.array_equal(reader[:9], values[:9]) and np.array_equal(made[:9], values[:9])


def test_a_file_that_is_mapped_is_removed_on_windows_too(
    written: tuple[FeaturesOnDisk, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system does not remove what is mapped, the mapping is given up first."""
    made, _ = written
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if not made._map.closed:
            raise PermissionError(13, "in use")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    made.remove()
    assert not made.path.exists()


def test_what_a_killed_studio_left_is_written_over(written: tuple[FeaturesOnDisk, np.ndarray]) -> None:
    """A new file begins with zeros."""
    made, _ = written
    new = FeaturesOnDisk(made.path, 10, N_FEATURES, is_new=True)
    assert not new[:].any()
    new.remove()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_file_without_a_name(tmp_path: Path, dtype: type[np.floating[Any]]) -> None:
    """It keeps all bits of what is written, and is not there to be left behind by a process that is killed."""
    values = np.random.default_rng(0).normal(size=(N, N_FEATURES)).astype(dtype)
    made = FeaturesOnDisk.nameless(tmp_path / "scans", N, N_FEATURES, dtype)
    for row in range(N):
        made[row] = values[row]
    made.close()
    assert made[:].dtype == dtype and np.array_equal(made[:], values)
    if os.name == "posix":
        assert list((tmp_path / "scans").iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    """A sentence with the path, and how much room is needed."""
    with pytest.raises(HeadstartError, match=re.escape("cannot hold the features")) as told:
        FeaturesOnDisk(tmp_path / "nowhere" / "features.tmp", 100_000, 2_000, is_new=True)
    assert "400 MB" in (told.value.hint or "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
def test_a_full_disk_is_told(written: tuple[FeaturesOnDisk, np.ndarray]) -> None:
    """A row that finds no room is an error with a sentence."""
    made, values = written
    made._file.close()
    with Path("/dev/full").open("wb", buffering=0) as made._file, pytest.raises(HeadstartError, match="No space left"):
        made[0] = values[0]


def test_some_rows_and_columns(written: tuple[FeaturesOnDisk, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are what an array of them would be, as float32, and few are read together."""
    monkeypatch.setattr(features_on_disk, "AT_ONCE", 16)
    made, values = written
    rows = np.array([600, 2, 311, 5])
    some, wanted = SomeFeatures(made, rows, 4), values[rows, :4].astype(np.float32)
    assert some.shape == (4, 4) and len(some) == 4
    for asked in (1, slice(None), slice(1, 3), np.array([3, 0]), np.array([True, False, False, True])):
        assert some[asked].dtype == np.float32 and np.array_equal(some[asked], wanted[asked])


def test_few_are_in_memory_at_a_time(written: tuple[FeaturesOnDisk, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows come in parts, in their order; of no rows there is one part without any."""
    monkeypatch.setattr(features_on_disk, "READ_TOGETHER", 16)
    made, values = written
    rows = np.arange(100)[::-1]
    parts = list(in_parts(made, rows))
    assert [len(part) for part in parts] == [16] * 6 + [4] and np.array_equal(np.concatenate(parts), values[rows])
    assert [part.shape for part in in_parts(made, rows[:0])] == [(0, N_FEATURES)]


def test_the_first_columns(written: tuple[FeaturesOnDisk, np.ndarray]) -> None:
    """Of an array they are a view of it, of a file what is read when it is asked for."""
    made, values = written
    assert np.shares_memory(first_columns(values, 4), values)
    assert first_columns(made, 4).shape == (N, 4)
    assert np.array_equal(first_columns(made, 4)[::7], first_columns(values, 4)[::7])
