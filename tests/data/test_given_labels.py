"""Labels as people have them in Python: one an image, none missing, in their own type."""

import datetime
from typing import Any

import numpy as np
import pytest

from headstart.data.given_labels import given_labels, name_of_label
from headstart.errors import DataError


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        (["a", "b"], "<U1"),
        (("a", "b"), "<U1"),
        (iter(["a", "b"]), "<U1"),
        (np.array(["a", "b"], object), "O"),
        (np.array(["a", "b"], np.dtypes.StringDType()), "<U1"),
        (np.array([["a"], ["b"]]), "<U1"),
        ([["a"], ["b"]], "<U1"),
        ([1, 2], "int64"),
        (np.array([1, 2], np.int8), "int8"),
        ([True, False], "bool"),
        ([0.0, 1.0], "float64"),
        ([0.5, 1.5], "float64"),
        (np.array([1, 2], object), "int64"),
    ],
)
def test_labels_keep_their_type(labels: Any, dtype: str) -> None:
    """Lists, arrays, iterators and columns (n, 1) are taken, and their type stays."""
    found = given_labels(labels)
    assert found.shape == (2,)
    assert found.dtype == np.dtype(dtype)


def test_columns_of_labels() -> None:
    """Columns of pandas and pyarrow are taken: text, numbers, categories, nullable numbers, a table with one column."""
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    texts, numbers = pandas.Series(["b", "a"], index=[7, 5]), pandas.Series([2, 1])
    for given in (texts, texts.astype("category"), texts.to_frame("label"), texts.astype(object), pyarrow.array(["b", "a"])):
        assert given_labels(given).tolist() == ["b", "a"]
    for given in (numbers, numbers.astype("Int64"), numbers.astype("category"), pyarrow.chunked_array([[2], [1]])):
        assert given_labels(given).tolist() == [2, 1]
        assert given_labels(given).dtype.kind == "i"
    with pytest.raises(DataError, match=r"labels is a table of 2 columns \(a, b\) .*; of one-hot columns, table\.idxmax"):
        given_labels(pandas.get_dummies(texts))


@pytest.mark.parametrize(
    ("labels", "positions"),
    [
        (["a", None, "b"], "1 label is missing, at position 1"),
        ([np.nan, 1.0, float("nan")], "2 labels are missing, at positions 0 and 2"),
        (np.array(["a", np.nan]), "at position 1"),
        (["", "a", "  "], "positions 0 and 2"),
        (["nan", "NaN", "None", "<NA>", "NaT", "a"], "5 labels are missing, at positions 0, 1, 2, 3 and 4"),
        (np.ma.masked_equal([3, 7, 7], 3), "position 0"),
        ([[None], ["a"]], "position 0"),
        ([np.datetime64("NaT"), "a"], "position 0"),
        ([None] * 12 + ["a"], "positions 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"),
    ],
)
def test_missing_labels_are_told(labels: Any, positions: str) -> None:
    """Whatever stands for a missing label is refused, with its positions: it never becomes a class."""
    with pytest.raises(DataError, match=f"{positions} \\(leave"):
        given_labels(labels)


def test_missing_labels_of_pandas() -> None:
    """pandas has three more ways to say that a label is missing."""
    pandas = pytest.importorskip("pandas")
    for values in (
        [pandas.NA, "a"],
        [pandas.NaT, "a"],
        pandas.Series([None, 1], dtype="Int64"),
        pandas.Categorical([None, "a"]),
    ):
        with pytest.raises(DataError, match="1 label is missing, at position 0"):
            given_labels(values)


def test_words_that_are_classes() -> None:
    """`none` and `na` are classes, as in "no defect"; so is a word that only begins like a missing value."""
    assert given_labels(["none", "na", "nano", "0"]).tolist() == ["none", "na", "nano", "0"]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.eye(3), r"shape \(3, 3\): one-hot rows, or several labels.*argmax\(axis=1\)"),
        (np.eye(2).tolist(), r"shape \(2, 2\): one-hot"),
        (np.array([["a", "b"]]), r"shape \(1, 2\)"),
        ([["a", "b"], ["c"]], r"shape \(2, 2\)"),
        ([("a", "b"), "c"], r"shape \(2, 2\)"),
        ([[["a"], ["b", "c"]], ["d"]], r"shape \(2, 2\)"),
        ("circles", "the labels are one text, 'circles'"),
        (3, "labels is a int, not a list"),
        ({"a", "b"}, "labels is a set, which has no order"),
        ({"a.jpg": "a"}, "labels is a dict, not a list .give its values"),
        (["a", 1], "some labels are text and others are numbers"),
        ([b"a", b"b"], "position 0 is a bytes"),
        (["a", {"b"}], "position 1 is a set"),
        ([datetime.date(2020, 1, 1)], "position 0 is a date"),
        ([0.0, np.inf], "some labels are infinite"),
        (np.linspace(0, 1, 20), "20 different numbers, such as 0.0526316: these are no classes"),
    ],
)
def test_what_is_no_class_is_refused(labels: Any, sentence: str) -> None:
    """One-hot rows, several labels an image, mixtures and measurements are refused before any image is read."""
    with pytest.raises(DataError, match=sentence):
        given_labels(labels)


def test_names_of_classes() -> None:
    """A whole number has one name, however it is stored."""
    assert [name_of_label(label) for label in (1, 1.0, np.float32(1), np.int8(1), True, 0.5, -0.0, "1.0")] == [
        "1",
        "1",
        "1",
        "1",
        "True",
        "0.5",
        "0",
        "1.0",
    ]
