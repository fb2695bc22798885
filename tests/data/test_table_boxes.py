"""Tables of boxes: which columns they are in, what their numbers mean, and which images stay together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.drawn_boxes import draw_pictures, write_table
from headstart.data.boxes import Box
from headstart.data.exclusions import without_excluded
from headstart.data.opening import boxes_named_in, open_sources
from headstart.data.reading import Reading
from headstart.data.sources import Sources
from headstart.errors import DataError


def read(file: Path, **reading: Any) -> Sources:
    with open_sources(file, Reading(**reading)) as sources:
        return sources


def boxes(folder: Path, header: str, *rows: str, **reading: Any) -> list[str | None]:
    """The box of each image that a table names, as text."""
    file = write_table(folder / "boxes.csv", [[row] for row in rows], header)
    (folder / "a.png").touch()
    return [None if one.box is None else f"{one.box.unit} {one.box}" for one in read(file, **reading).candidates]


def refused(folder: Path, header: str, *rows: str, **reading: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        boxes(folder, header, *rows, **reading)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("path,label,x,y,w,h", "a.png,ant,10,20,30,40"),
        ("path,label,X,Y,Width,Height", "a.png,ant,10,20,30,40"),
        ("path,label,left,top,width,height", "a.png,ant,10.0,20,30,40"),
        ("path,label,bbox_x,bbox_y,bbox_w,bbox_h", "a.png,ant,10,20,30,40"),
        ("path,label,xmin,ymin,xmax,ymax", "a.png,ant,10,20,40,60"),
        ("filename,width,height,class,x_min,y_min,x_max,y_max", "a.png,640,480,ant,10,20,40,60"),
        ("path,label,x1,y1,x2,y2", "a.png,ant,10,20,40,60"),
        ("path,label,left,top,right,bottom", "a.png,ant,10,20,40,60"),
        ("path,x,y,w,h,width,height,label", "a.png,10,20,30,40,640,480,ant"),
    ],
)
def test_the_forms(tmp_path: Path, header: str, row: str) -> None:
    """All usual ways to write a box mean the same box; width and height beside corners are the picture's."""
    assert boxes(tmp_path, header, row) == ["pixels 10,20,30,40"]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("path,label", "a.png,ant"),
        ("path,label,width,height", "a.png,ant,640,480"),
        ("path,label,x,y", "a.png,ant,4,5"),
        ("x,y", "a.png,ant"),
        ("path,label,left,width,height", "a.png,ant,1,640,480"),
    ],
)
def test_no_boxes(tmp_path: Path, header: str, row: str) -> None:
    """Columns that are not the four of a box change nothing."""
    columns = {"path_column": "x", "label_column": "y"} if header == "x,y" else {}
    assert boxes(tmp_path, header, row, **columns) == [None]


@pytest.mark.parametrize(
    ("header", "row", "told"),
    [
        ("path,label,x,y,w", "a.png,ant,1,2,3", "no column h"),
        ("path,label,xmin,ymin,xmax", "a.png,ant,1,2,3", "no column ymax"),
        ("path,label,x,y,w,h,xmin,ymin,xmax,ymax", "a.png,ant,1,2,3,4,1,2,4,6", "which are meant"),
        ("path,label,x_center,y_center,width,height", "a.png,ant,9,9,3,4", "by their centres"),
        ("path,label,x,y,w,h", "a.png,ant,1,two,3,4", "row 2 has y 'two', which is not a number"),
        ("path,label,x,y,w,h", "a.png,ant,1,inf,3,4", "is not a number"),
    ],
)
def test_what_is_refused(tmp_path: Path, header: str, row: str, told: str) -> None:
    """What could mean two things, or is written wrongly, is told; --boxes none reads the table as if there were no boxes."""
    assert told in refused(tmp_path, header, row).message
    assert boxes(tmp_path, header, row, boxes="none") == [None]


HEADER = "path,label,x,y,w,h"


@pytest.mark.parametrize(
    ("rows", "unit"),
    [
        (["a.png,ant,10,20,30,40"], "pixels"),
        (["a.png,ant,0.1,0.2,0.3,0.4", "a.png,bee,0,0,1,1"], "shares"),
        (["a.png,ant,0.5,20.5,30,40", "a.png,bee,0,0,1,1"], "pixels"),
        (["a.png,ant,10,20,30,40", "a.png,bee,0,0,0,0"], "pixels"),
        (["a.png,ant,0.1,0.2,0.3,0.4", "a.png,bee,0,0,0,0"], "shares"),
        (["a.png,ant,-5,20,30,40"], "pixels"),
    ],
)
def test_the_unit(tmp_path: Path, rows: list[str], unit: str) -> None:
    """Numbers that are all in 0 .. 1 are shares of the picture, others pixels; what was found out is told."""
    assert boxes(tmp_path, HEADER, *rows)[0] == f"{unit} {','.join(rows[0].split(',')[2:])}"
    note = read(tmp_path / "boxes.csv").notes[-1]
    assert ("in pixels" if unit == "pixels" else "in shares of the picture's width and height") in note


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["a.png,ant,0,0,1,1"], "all numbers of the boxes"),
        (["a.png,ant,0.1,0.2,0.3,0.4", "a.png,bee,10,20,30,40"], "in pixels and in shares"),
        (["a.png,ant,0.8,0.2,0.3,1.05"], "hardly pixels"),
        (["a.png,ant,-0.01,0.2,0.3,0.4"], "hardly pixels"),
    ],
)
def test_unclear_units(tmp_path: Path, rows: list[str], told: str) -> None:
    """Where the numbers do not tell the unit, the owner is asked, and --boxes answers."""
    error = refused(tmp_path, HEADER, *rows)
    assert told in error.message
    assert "--boxes pixels or --boxes shares" in error.hint
    assert boxes(tmp_path, HEADER, rows[0], boxes="pixels")[0] == f"pixels {','.join(rows[0].split(',')[2:])}"
    assert boxes(tmp_path, HEADER, rows[0], boxes="shares")[0] == f"shares {','.join(rows[0].split(',')[2:])}"


def test_no_shares(tmp_path: Path) -> None:
    """Pixels that are said to be shares are refused."""
    assert "has 10 in a box" in refused(tmp_path, HEADER, "a.png,ant,10,20,30,40", boxes="shares").message


def test_rows_without_a_usable_box(tmp_path: Path) -> None:
    """A row without any number is the whole picture; one that has some, or an empty box, is left out with the reason."""
    assert boxes(tmp_path, HEADER, "a.png,ant,,,,", "a.png,bee,1,2,,4", "a.png,bee,5,5,0,9", "a.png,cat,1,2,3,4") == [
        None,
        "pixels 1,2,3,4",
    ]
    sources = read(tmp_path / "boxes.csv")
    assert [(Path(entry.path).name, entry.reason) for entry in sources.skipped] == [
        ("a.png", "its box has no w (row 3)"),
        ("a.png", "its box is empty: 0 wide, 9 high (row 4)"),
    ]
    assert {Path(one.group or "").name for one in sources.candidates} == {"a.png"}


def test_only_unusable_boxes(tmp_path: Path) -> None:
    """Where no box is left, the error gives the first reason."""
    assert "its box is empty" in refused(tmp_path, HEADER, "a.png,ant,5,5,0,9").message


def test_parquet(tmp_path: Path) -> None:
    """Typed columns, with missing values as NaN and null."""
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "a.png").touch()
    numbers = {"x": [1.5, float("nan")], "y": [2, None], "w": [3, None], "h": [4, None]}
    pyarrow.parquet.write_table(pyarrow.table({"path": ["a.png"] * 2, "label": ["a", "b"], **numbers}), tmp_path / "b.parquet")
    assert [str(one.box) for one in read(tmp_path / "b.parquet").candidates] == ["1.5,2,3,4", "None"]


def test_boxes_are_named_by_picture_and_place(tmp_path: Path) -> None:
    """Each box is one image with the picture's path and its place; a box that two rows name is used once, or is a conflict."""
    rows = ["a.png,ant,1,2,3,4", "a.png,bee,5,6,7,8", "a.png,ant,1.0,2,3,4", "a.png,cow,5,6,7,8", "a.png,cow,5,6,7,9"]
    boxes(tmp_path, HEADER, *rows)
    sources = read(tmp_path / "boxes.csv")
    assert [(Path(one.path).name, one.label) for one in sources.candidates] == [
        ("a.png#1,2,3,4", "ant"),
        ("a.png#5,6,7,9", "cow"),
    ]
    assert [(Path(entry.path).name, entry.kind) for entry in sources.skipped] == [
        ("a.png#1,2,3,4", "repeated"),
        ("a.png#5,6,7,8", "conflict"),
    ]


def test_a_picture_is_in_one_split_and_one_group(tmp_path: Path) -> None:
    """Rows that put boxes of one picture into two splits or two groups contradict each other."""
    header = "path,label,x,y,w,h,split"
    assert (
        "in train (row 2) and in val (row 3)"
        in refused(tmp_path, header, "a.png,ant,1,2,3,4,train", "a.png,bee,5,6,7,8,val").message
    )
    header = "path,label,x,y,w,h,group"
    assert (
        "in the group 'k' (row 2) and in 'm' (row 3)"
        in refused(tmp_path, header, "a.png,ant,1,2,3,4,k", "a.png,bee,5,6,7,8,m").message
    )
    boxes(tmp_path, header, "a.png,ant,1,2,3,4,", "a.png,bee,5,6,7,8,k")
    assert [one.group for one in read(tmp_path / "boxes.csv").candidates] == ["k", "k"]


def test_the_group_is_the_picture(tmp_path: Path) -> None:
    """Without a group column the boxes of a picture are a group, however its path is written."""
    draw_pictures(tmp_path, 2)
    rows = [("p000.png", "a", 1, 2, 30, 40), ("./p000.png", "b", 5, 6, 30, 40), ("p001.png", "a", 1, 2, 30, 40)]
    groups = [one.group for one in read(write_table(tmp_path / "t.csv", rows)).candidates]
    assert groups[0] == groups[1] != groups[2]


def test_excluded_with_the_picture(tmp_path: Path) -> None:
    """A table of images to leave out can name a box, or a picture with all its boxes."""
    rows = draw_pictures(tmp_path, 2)
    sources = read(write_table(tmp_path / "boxes.csv", rows))
    first = sources.candidates[0].path
    (tmp_path / "out.csv").write_text(f'path,reason\n"{first}",blurred\np001.png,dark\n', encoding="utf-8")
    (kept,) = without_excluded([sources], tmp_path / "out.csv")
    assert [one.path for one in kept.candidates] == [one.path for one in sources.candidates[1:3]]
    assert {entry.reason for entry in kept.skipped} == {"excluded: blurred", "excluded: dark"}


def test_named_in_a_table_without_labels(tmp_path: Path) -> None:
    """For predictions labels, splits and conflicts of them do not matter; a table without boxes is none of boxes."""
    (tmp_path / "a.png").touch()
    rows = ["a.png,1,2,3,4,ant,train", "a.png,1,2,3,4,bee,val", "a.png,5,6,7,8,,"]
    found = boxes_named_in(write_table(tmp_path / "t.csv", [[row] for row in rows], "path,x,y,w,h,label,split"))
    assert found is not None
    assert [(str(one.box), one.label) for one in found.candidates] == [("1,2,3,4", None), ("5,6,7,8", None)]
    assert boxes_named_in(write_table(tmp_path / "u.csv", [["a.png,ant"]], "path,label")) is None
    assert boxes_named_in(write_table(tmp_path / "v.csv", [["a.png,1,2,3"]], "path,left,top,right")) is None
    assert boxes_named_in(tmp_path / "gone.csv") is None
    assert boxes_named_in(tmp_path / "t.csv", "none") is None
    unclear = write_table(tmp_path / "unclear.csv", [["a.png", 0, 0, 1, 1]], "path,x,y,w,h")
    with pytest.raises(DataError, match="all numbers of the boxes"):
        boxes_named_in(unclear)
    answered = boxes_named_in(unclear, "shares")
    assert answered is not None
    assert answered.candidates[0].box == Box(0, 0, 1, 1, "shares")
    np.savez(tmp_path / "w.csv", a=np.zeros(3))
    assert boxes_named_in(tmp_path / "w.csv") is None
