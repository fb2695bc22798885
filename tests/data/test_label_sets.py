"""Several labels an image: as text, as a matrix, in the columns of tables."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.test_table_sources import parquet, table
from headstart.data.label_sets import (
    HAS,
    LACKS,
    NOT_KNOWN,
    LabelSet,
    in_words,
    label_matrix,
    labels_in,
    labels_to_learn,
    notes_on_labels,
    rarest_labels,
)
from headstart.data.opening import open_sources
from headstart.data.reading import Reading
from headstart.data.sources import Sources
from headstart.errors import DataError

SEVERAL = Reading(several=True)
NAMES = st.text(
    alphabet=st.characters(blacklist_characters="|?", blacklist_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8
)


def opened(file: Path) -> Sources:
    with open_sources(file, SEVERAL) as sources:
        return sources


def labels_of(file: Path) -> list[str | None]:
    return [candidate.label for candidate in opened(file).candidates]


@given(st.sets(NAMES, max_size=5), st.sets(NAMES, max_size=3))
def test_a_set_is_its_text(labels: set[str], unknown: set[str]) -> None:
    """Text and set are the same thing, and the text is never empty."""
    one = LabelSet(frozenset(labels), frozenset(unknown - labels))
    assert one.text and LabelSet.of(one.text) == one


def test_texts_are_read_in_any_order() -> None:
    assert LabelSet.of(" dog |cat|| cat").text == "cat|dog"
    assert LabelSet.of("").text == LabelSet.of("|").text == "|"
    assert LabelSet.of("? dog|cat").unknown == {"dog"}
    assert (in_words("a|?b"), in_words("|")) == ("a", "none")
    with pytest.raises(DataError, match="not known"):
        LabelSet.of("cat|?cat")


def test_matrix_and_rarest() -> None:
    texts = ["b|a2", "|", "a10|?b", "b"]
    labels = labels_in(texts)
    assert labels == ("a2", "a10", "b")
    matrix = label_matrix(texts, labels)
    assert matrix.tolist() == [[HAS, LACKS, HAS], [LACKS] * 3, [LACKS, HAS, NOT_KNOWN], [LACKS, LACKS, HAS]]
    assert rarest_labels(matrix).tolist() == [0, 3, 1, 2]


def test_a_column_of_sets(tmp_path: Path) -> None:
    """An empty cell is an image with none of the labels, which is told."""
    found = opened(table(tmp_path, "path,labels\na.jpg,dog|cat\nb.jpg,\nc.jpg,cat\n"))
    assert [candidate.label for candidate in found.candidates] == ["cat|dog", "|", "cat"] and found.several
    assert not found.columns
    assert any("1 row of labels.csv has no label" in note for note in found.notes)


def test_a_column_for_each_label(tmp_path: Path) -> None:
    """1 and 0, true and false; empty is not known; other columns are no labels, which is told."""
    text = "path,cat,dog,note,split\na.jpg,1,0,x,train\nb.jpg,,true,y,train\nc.jpg,0,FALSE,z,val\n"
    found = opened(table(tmp_path, text))
    assert [candidate.label for candidate in found.candidates] == ["cat", "dog|?cat", "|"]
    assert found.columns == {"cat", "dog"}
    assert [candidate.split for candidate in found.candidates] == ["train", "train", "val"]
    assert "'note' (row 2: 'x') of labels.csv is not 0 and 1: no labels" in found.notes


def test_columns_that_nearly_hold_a_label(tmp_path: Path) -> None:
    """One odd cell makes a column no label, and is shown with its row; a column of 0 and 1 without a name is refused."""
    found = opened(table(tmp_path, "path,,cat,dog,owl\na.jpg,0,1,0,\nb.jpg,1,0,2,\nc.jpg,2,0,1,\n"))
    assert [candidate.label for candidate in found.candidates] == ["cat", "|", "|"]  # pandas' index has no name
    assert "'dog' (row 3: '2') of labels.csv is not 0 and 1: no labels" in found.notes
    assert "'owl' of labels.csv is empty: no labels" in found.notes
    with pytest.raises(DataError, match=r"not 0 and 1: 'cat' \(row 3: '-1'\) and 'dog' \(row 2: 'o'\)"):
        opened(table(tmp_path, "path,cat,dog\na.jpg,0,o\nb.jpg,-1,1\n"))
    with pytest.raises(DataError, match=r"column 2 of .* holds 0 and 1, but has no name"):
        opened(table(tmp_path, "path,,dog\na.jpg,0,1\nb.jpg,1,0\n"))


def test_parquet_with_missing_values(tmp_path: Path) -> None:
    file = parquet(tmp_path, path=["a.jpg", "b.jpg"], cat=[1.0, None], dog=[0.0, 1.0])
    assert labels_of(file) == ["cat", "dog|?cat"]


def test_lists_in_parquet(tmp_path: Path) -> None:
    """A list of names; what is missing says nothing. A name that could not be told from others is refused."""
    assert labels_of(parquet(tmp_path / "t", path=["a.jpg", "b.jpg", "c.jpg"], labels=[["dog", "cat"], [], None])) == [
        "cat|dog",
        "|",
        "|",
    ]
    with pytest.raises(DataError, match="cannot be called"):
        labels_of(parquet(tmp_path / "t", path=["a.jpg", "b.jpg"], labels=[["dog|cat"], ["cat"]]))


def test_a_row_for_each_label_of_an_image(tmp_path: Path) -> None:
    """Rows of one image add up: a common form of tables."""
    found = opened(table(tmp_path, "path,label\na.jpg,cat\na.jpg,dog\nb.jpg,cat\n"))
    assert [candidate.label for candidate in found.candidates] == ["cat|dog", "cat"]
    assert found.notes == ("1 image of labels.csv has several rows: it has the labels of all of them",) and not found.skipped


def test_labels_that_cannot_be_learnt() -> None:
    """Two spellings of a label are likely one; and where every image has every label, there is nothing to tell apart."""
    with pytest.raises(DataError, match="the labels 'Cat' and 'cat' differ only in case"):
        labels_to_learn([("Cat|dog", None), ("cat", None)])
    with pytest.raises(DataError, match="no image is known to lack any of the labels 'cat' and 'dog'"):
        notes_on_labels([("cat|dog", None), ("cat|?dog", None)], ["cat", "dog"])
    notes = notes_on_labels([("cat|dog|owl", None), ("cat|?dog|owl", None), ("cat|dog", None)], ["cat", "dog", "owl"])
    assert "no image is known to lack 'cat' or 'dog': the model will always say them" in notes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('path,labels\na.jpg,"cat, dog"\nb.jpg,"cat, owl"\n', "separate labels by ','"),
        ("path,note\na.jpg,x\nb.jpg,y\n", "neither a column of labels"),
        ("path,labels\na.jpg,cat|?cat\n", "row 2"),
        ("path,cat,Cat,cat\na.jpg,1,0,0\n", "two columns called 'cat'"),
        ("path,c|t,dog\na.jpg,1,0\n", "cannot be called 'c|t'"),
    ],
)
def test_tables_that_are_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says.replace("|", r"\|")):
        opened(table(tmp_path, text))


def test_boxes_are_no_labels(tmp_path: Path) -> None:
    """Columns of a box of shares may be all 0 and 1."""
    found = opened(table(tmp_path, "path,x,y,w,h,cat,dog\na.jpg,0,0,0.5,1,1,0\nb.jpg,0,0,1,1,0,1\n"))
    assert [candidate.label for candidate in found.candidates] == ["cat", "dog"] and found.has_boxes


def test_several_labels_that_nobody_asked_for(tmp_path: Path) -> None:
    """Without --task multi-label a column of sets is not guessed, and a cell that looks like several labels is told."""
    with (
        pytest.raises(DataError, match="no column label, but 'labels'") as refused,
        open_sources(table(tmp_path, "path,labels\na.jpg,cat|dog\n")),
    ):
        pass
    assert refused.value.hint is not None and "--task multi-label" in refused.value.hint
    with open_sources(table(tmp_path, "path,label\na.jpg,cat|dog\nb.jpg,cat\n")) as sources:
        assert any("'cat|dog', each a class" in note for note in sources.notes)


def test_matrix_of_no_images() -> None:
    assert label_matrix([], ("a", "b")).shape == (0, 2)
    assert np.array_equal(rarest_labels(np.zeros((2, 2), np.int8)), [2, 2])
