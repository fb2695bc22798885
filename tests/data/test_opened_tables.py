"""Tables of labelled images: CSV as people and programs write it, and Parquet."""

from pathlib import Path

import pytest

from data.made_sets import make, parquet, read, rows, table
from headstart.data.sources import natural_order
from headstart.errors import DataError


def test_table(tmp_path: Path) -> None:
    """A CSV's paths are relative to its folder; split and group are taken where given."""
    make(tmp_path, "images/1.jpg", "images/2.jpg")
    text = "path,label,split,group,camera\nimages/1.jpg,ants,train,nest 1,a\nimages/2.jpg,bees,valid,,b\n"
    sources = read(table(tmp_path, text))
    assert sources.name == "labels"
    assert rows(sources) == [("1.jpg", "ants", "train"), ("2.jpg", "bees", "val")]
    assert [candidate.group for candidate in sources.candidates] == ["nest 1", None]
    assert [candidate.path for candidate in sources.candidates] == [str(tmp_path / "images" / f"{i}.jpg") for i in (1, 2)]
    assert sources.candidates[0].read() == b"images/1.jpg"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("path,label\nä 1.jpg,Käfer\nb.jpg,bees\n", id="plain"),
        pytest.param("\ufeffpath,label\nä 1.jpg,Käfer\nb.jpg,bees\n", id="BOM"),
        pytest.param('\ufeff"path";"label"\r\n"ä 1.jpg";"Käfer"\r\n"b.jpg";"bees"\r\n', id="spreadsheet"),
        pytest.param("Label\tPATH\nKäfer\tä 1.jpg\nbees\tb.jpg\n", id="tabs, other order and case"),
        pytest.param(" path , label \n ä 1.jpg , Käfer \n b.jpg , bees \n", id="spaces"),
        pytest.param("path,label,\nä 1.jpg,Käfer,,\n\n,,,\nb.jpg,bees\n\n", id="ragged and empty rows"),
        pytest.param("path,label\rä 1.jpg,Käfer\rb.jpg,bees\r", id="old Mac line ends"),
        pytest.param("path,label\n./x/../ä 1.jpg,Käfer\n.//b.jpg,bees", id="roundabout paths"),
    ],
)
def test_dialects(tmp_path: Path, text: str) -> None:
    """Tables as spreadsheets of all countries write them give the same rows."""
    make(tmp_path, "ä 1.jpg", "b.jpg")
    sources = read(table(tmp_path, text))
    assert rows(sources) == [("ä 1.jpg", "Käfer", None), ("b.jpg", "bees", None)]
    assert all(candidate.read() for candidate in sources.candidates)
    assert sources.skipped == ()


def test_as_excel_writes_it(tmp_path: Path) -> None:
    """UTF-16, a line that names the delimiter, and empty lines ahead of the header are read past."""
    make(tmp_path, "a.jpg")
    for text in ("\npath,label\na.jpg,ants\n", "sep=;\r\npath;label\r\na.jpg;ants\r\n", "path\tlabel\na.jpg\tants\n"):
        (tmp_path / "labels.csv").write_bytes(text.encode("utf-16"))
        assert rows(read(tmp_path / "labels.csv")) == [("a.jpg", "ants", None)]


def test_numbers_of_any_length_are_ordered(tmp_path: Path) -> None:
    """A label of thousands of digits is a label like any other."""
    make(tmp_path, "a.jpg", "b.jpg")
    sources = read(table(tmp_path, f"path,label\na.jpg,{'9' * 5000}\nb.jpg,{'1' * 5000}\n"))
    assert sorted((c.label or "" for c in sources.candidates), key=natural_order)[0].startswith("1")


def test_quoted_cells(tmp_path: Path) -> None:
    """Commas, quotes and unusual line separators inside a quoted cell belong to the name."""
    make(tmp_path, 'a,"b".jpg', "x\u2028y.jpg")
    sources = read(table(tmp_path, 'path,label\n"a,""b"".jpg",ants\n"x\u2028y.jpg",bees\n'))
    assert all(candidate.read() for candidate in sources.candidates)
    assert len(sources.candidates) == 2


def test_windows_paths(tmp_path: Path) -> None:
    """Backslashes in a table made on Windows are folders, however long the path."""
    make(tmp_path, "images/ants/1.jpg")
    long = "\\".join(["folder" * 5] * 12)
    sources = read(table(tmp_path, f"path,label\nimages\\ants\\1.jpg,ants\n{long},bees\n"))
    assert sources.candidates[0].read() == b"images/ants/1.jpg"
    assert sources.candidates[0].path == str(tmp_path / "images" / "ants" / "1.jpg")
    assert len(sources.candidates[1].file.parts) > 12


def test_absolute_paths(tmp_path: Path) -> None:
    """A table may name files anywhere by absolute path."""
    make(tmp_path / "elsewhere", "1.jpg")
    file = tmp_path / "elsewhere" / "1.jpg"
    (candidate,) = read(table(tmp_path / "t", f"path,label\n{file},ants\n")).candidates
    assert (candidate.path, candidate.file) == (str(file), file)


def test_rows_that_are_no_candidates(tmp_path: Path) -> None:
    """Rows without a path and second rows of a file are left out by number; a missing file stays."""
    make(tmp_path, "a.jpg")
    text = "path,label\na.jpg,ants\n\n,ants\nx/../a.jpg,ants\nmissing.jpg,ants\n"
    file = table(tmp_path, text)
    sources = read(file)
    assert [candidate.file.name for candidate in sources.candidates] == ["a.jpg", "missing.jpg"]
    assert [(s.path, s.reason) for s in sources.skipped] == [
        (f"{file}:4", "the row has no path"),
        (str(tmp_path / "a.jpg"), "rows 2 and 5 name the same file: it is used once"),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("photo,label\na.jpg,ants\n", "has no column path; it has 'photo', 'label'"),
        ("path,species\na.jpg,ants\n", "has no column label; it has 'path', 'species'"),
        ("", "has no column path and no column label; it has none"),
        ("path,label\n", "names no image with a label"),
        ("path,label\n,ants\n", "names no image with a label"),
        ("path,label,split\na.jpg,ants,train\nb.jpg,ants,second\n", "row 3 has the split 'second'"),
        ("path,label,split\na.jpg,ants,train\nb.jpg,ants,\n", "gives a split for only some images; .*b.jpg has none"),
        ('path,label\n"a.jpg,ants\n', "is not a CSV table"),
        ("path,label\na.jpg,Käfer\n".encode("latin-1"), "is not UTF-8 text"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    """A table that cannot be used is an error that names it, what is wrong, and what to do."""
    with pytest.raises(DataError, match=f"labels.csv.* {sentence}") as caught:
        read(table(tmp_path, text))
    assert caught.value.hint


def test_parquet(tmp_path: Path) -> None:
    """A Parquet table reads like a CSV, numbers as labels and missing values included."""
    make(tmp_path, "a.jpg", "b.jpg")
    path = parquet(
        tmp_path / "labels.parquet",
        Path=["a.jpg", "b.jpg"],
        label=[1, 2],
        split=["train", "test"],
        group=[None, "g"],
        extra=[[1], [2]],
    )
    sources = read(path)
    assert rows(sources) == [("a.jpg", "1", "train"), ("b.jpg", "2", "test")]
    assert [candidate.group for candidate in sources.candidates] == [None, "g"]


def test_parquet_without_the_columns(tmp_path: Path) -> None:
    """A Parquet table of something else is told what it lacks."""
    with pytest.raises(DataError, match="has no column path and no column label; it has 'x'"):
        read(parquet(tmp_path / "a.parquet", x=[1]))


@pytest.mark.parametrize("content", [b"", b"path,label\n", b"PAR1" + bytes(40) + b"PAR1"])
def test_damaged_parquet(tmp_path: Path, content: bytes) -> None:
    """A file that only ends in .parquet is an error with a sentence."""
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match=r"a\.parquet (is not a Parquet file|cannot be read)"):
        read(table(tmp_path, content, "a.parquet"))
