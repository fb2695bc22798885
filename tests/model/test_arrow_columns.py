"""Columns made from buffers are those that pyarrow makes, and are read as pyarrow reads them."""

import numpy as np
import pyarrow
import pytest

from headstart.model.arrow_columns import cells, constant, lists, numbers, ragged, ragged_cells, texts


@pytest.mark.parametrize("words", [[], [""], ["a", "", "ä🙂", "x" * 1000]])
def test_text(words: list[str]) -> None:
    """Text of any length, empty text and no text."""
    assert texts(words).equals(pyarrow.array(words, pyarrow.string()))
    texts(words).validate(full=True)
    assert cells(pyarrow.chunked_array([texts(words)])).tolist() == words


@pytest.mark.parametrize("dtype", [np.uint64, np.int64, np.float64, np.float32, np.int32])
def test_numbers(dtype: type) -> None:
    """Each type of number, also from every other row of an array."""
    values = np.arange(10, dtype=dtype)
    for part in (values, values[::2], values[:0]):
        assert numbers(part).equals(pyarrow.array(part))
        assert cells(pyarrow.chunked_array([numbers(part)])).tolist() == part.tolist()


@pytest.mark.parametrize("value", ["a", "", "ä", 3, -1])
def test_a_value_for_all_rows(value: str | int) -> None:
    """One value is every row's."""
    assert constant(value, 3).to_pylist() == [value] * 3
    assert constant(value, 0).to_pylist() == []
    assert constant(value, 1).dictionary.equals(pyarrow.array([value]))


def test_vectors() -> None:
    """Vectors in one piece, in several, in a part of one, and none."""
    values = np.arange(24, dtype=np.float32).reshape(8, 3)
    column = lists(values)
    assert column.to_pylist() == values.tolist()
    assert lists(values.T[:2]).to_pylist() == values.T[:2].tolist()
    pieces = {"whole": [column], "two": [column[:3], column[3:]], "part": [column[2:5]], "parts": [column[2:5], column[7:]]}
    for chunks in pieces.values():
        found = cells(pyarrow.chunked_array(chunks))
        assert (found.dtype, found.tolist()) == (np.float32, [row for chunk in chunks for row in chunk.to_pylist()])
    assert cells(pyarrow.chunked_array([], column.type)).shape == (0, 3)
    assert cells(pyarrow.chunked_array([column[:0]])).shape == (0, 3)


def test_lists_of_different_lengths_come_back() -> None:
    """Also empty ones, those of a slice, and those of a column in several chunks."""
    rows = [np.arange(3), np.arange(0), np.arange(5)]
    column = pyarrow.chunked_array([ragged(rows), ragged(rows[::-1])])
    found = [cell.tolist() for cell in ragged_cells(column)]
    assert found == [row.tolist() for row in rows + rows[::-1]]
    assert [cell.tolist() for cell in ragged_cells(column.slice(2, 2))] == found[2:4]
