"""Tables with an object on each line."""

from pathlib import Path

import pytest

from data.made_sets import make, read, rows, table
from headstart.data.json_lines import read_json_lines
from headstart.data.opening import open_sources
from headstart.data.reading import Reading
from headstart.errors import DataError

FILE = Path("metadata.jsonl")


def test_keys_are_columns() -> None:
    """What an object lacks is empty, whatever it is; rows are numbered by lines, and lines without an object are none."""
    found = read_json_lines(
        FILE, '{"path": "a.jpg", "n": 3, "x": 2.0}\n\n{"path": " b.jpg ", "yes": true, "n": null, "x": NaN}\r\n'
    )
    assert (found.names, found.numbers) == (("path", "n", "x", "yes"), (1, 3))
    assert [found.cells(i) for i in range(4)] == [["a.jpg", "b.jpg"], ["3", ""], ["2.0", ""], ["", "True"]]
    assert read_json_lines(FILE, "").names == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"path": "a.jpg"}\n{"path": \n', "line 2 is not JSON: Expecting value"),
        ("[1, 2]\n", "line 1 is JSON, but no object"),
        ('{"path": ' + "9" * 5000 + "}\n", "line 1 is not JSON: a number or a list is too long"),
        ('{"path": ' + "[" * 100_000 + "\n", "line 1 is not JSON: a number or a list is too long"),
    ],
)
def test_lines_that_are_no_objects(text: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_json_lines(FILE, text)


def test_a_file_is_data(tmp_path: Path) -> None:
    """Also with the mark that some editors write before the text."""
    make(tmp_path, "a.jpg", "b.jpg")
    text = '\ufeff{"path": "a.jpg", "label": "ants"}\n{"path": "b.jpg", "label": "bees", "split": "val"}\n'
    with pytest.raises(DataError, match="gives a split for only some images"):
        read(table(tmp_path, text, "list.jsonl"))
    found = read(table(tmp_path, text.replace(', "split": "val"', ""), "list.jsonl"))
    assert rows(found) == [("a.jpg", "ants", None), ("b.jpg", "bees", None)]


def test_beside_the_images_of_each_split(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        make(tmp_path / split, "1.jpg", "2.jpg")
        text = '{"file_name": "1.jpg", "label": "ants"}\n{"file_name": "2.jpg", "label": "bees"}\n'
        table(tmp_path / split, text, "metadata.jsonl")
    found = read(tmp_path)
    assert [split for _, _, split in rows(found)] == ["train", "train", "val", "val"]
    assert found.notes[0] == "the labels are from the metadata.jsonl of each split"


def test_lists_of_labels(tmp_path: Path) -> None:
    """With several labels an image they are its labels; else they are refused, with the option that reads them."""
    make(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    of_images = (
        '"a.jpg", "labels": ["dog", "cat"]',
        '"b.jpg", "labels": []',
        '"c.jpg", "labels": null',
        '"d.jpg", "labels": "owl|cat"',
    )
    table(tmp_path, "".join(f'{{"file_name": {one}}}\n' for one in of_images), "metadata.jsonl")
    with open_sources(tmp_path, Reading(several=True)) as found:
        assert [label for _, label, _ in rows(found)] == ["cat|dog", "|", "|", "cat|owl"]
    with pytest.raises(DataError) as refused:
        read(table(tmp_path, '{"path": "a.jpg", "label": ["dog"]}\n', "list.jsonl"))
    assert refused.value.hint is not None and "--task multi-label" in refused.value.hint
    bad = table(tmp_path, '{"path": "a.jpg", "labels": ["d|g"]}\n', "bad.jsonl")
    with pytest.raises(DataError, match="cannot be called"), open_sources(bad, Reading(several=True)):
        pass
