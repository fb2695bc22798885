"""Tables as people have them: one meaning for each row, and nothing dropped or chosen in silence."""

import math
import zipfile
from pathlib import Path

import pytest

from headstart.data.opening import open_sources
from headstart.data.reading import Reading
from headstart.data.sources import Sources
from headstart.errors import DataError


def table(folder: Path, text: str, name: str = "labels.csv", images: tuple[str, ...] = ("a.jpg", "b.jpg", "c.jpg")) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).write_text(image)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def parquet(folder: Path, **columns: object) -> Path:
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    file = table(folder, "", "labels.parquet")
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file


def read(data: Path, **reading: str) -> Sources:
    with open_sources(data, Reading(**reading)) as sources:  # type: ignore[arg-type]
        return sources


def rows(sources: Sources) -> list[tuple[str, str | None]]:
    return [(candidate.file.name, candidate.label) for candidate in sources.candidates]


def refused(data: Path, **reading: str) -> DataError:
    with pytest.raises(DataError) as caught:
        read(data, **reading)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,label\na.jpg,tomato, ripe\n", "row 2 has 3 cells under 2 columns"),
        ("path,label\na.jpg,x\nb, 1.jpg,y\n", "row 3 has 3 cells under 2 columns"),
        ("path;label\na.jpg;x;y\n", "row 2 has 3 cells under 2 columns"),
        ("\n\npath,label\n\na.jpg,x,y\n", "row 5 has 3 cells under 2 columns"),
        ("path,label,split\na.jpg,tomato, ripe,train\n", "row 2 has 4 cells under 3 columns"),
        ("path,label\na.jpg\n", "row 2 has 1 cell under 2 columns"),
        ("path,label,split\na.jpg,x\n", "row 2 has 2 cells under 3 columns"),
    ],
)
def test_rows_that_do_not_fit_the_header(text: str, told: str, tmp_path: Path) -> None:
    """A row with more or fewer cells than there are columns is an error that gives its number: no cell is dropped."""
    error = refused(table(tmp_path, text))
    assert told in error.message
    assert "quotes" in error.hint or "each column" in error.hint


def test_a_comma_in_quotes(tmp_path: Path) -> None:
    """A label with a comma is one label if it is in quotes, or if the table is separated by something else."""
    for text in (
        'path,label\na.jpg,"tomato, ripe"\n',
        "path;label\na.jpg;tomato, ripe\n",
        "path\tlabel\na.jpg\ttomato, ripe\n",
    ):
        assert rows(read(table(tmp_path, text))) == [("a.jpg", "tomato, ripe")]


def test_a_file_with_two_labels(tmp_path: Path) -> None:
    """A file that rows label differently is used under neither label: it is told as a conflict, with the rows."""
    file = table(tmp_path, "path,label\na.jpg,ants\nb.jpg,bees\n./a.jpg,bees\nc.jpg,ants\na.jpg,wasps\n")
    sources = read(file)
    assert rows(sources) == [("b.jpg", "bees"), ("c.jpg", "ants")]
    (told,) = sources.skipped
    assert (told.path, told.kind) == (str(tmp_path / "a.jpg"), "conflict")
    assert told.reason == "it is labelled 'ants', 'bees' and 'wasps' (rows 2, 4 and 6)"
    assert sources.notes == ("1 image is labelled as two classes by different rows of labels.csv: left out",)


def test_a_file_with_one_label_twice(tmp_path: Path) -> None:
    """A file that rows label alike is used once, and that is told."""
    sources = read(table(tmp_path, "path,label\na.jpg,ants\nb.jpg,bees\nx/../a.jpg,ants\n"))
    assert rows(sources) == [("a.jpg", "ants"), ("b.jpg", "bees")]
    assert [(entry.reason, entry.kind) for entry in sources.skipped] == [
        ("rows 2 and 4 name the same file: it is used once", "repeated")
    ]
    assert sources.notes == ()


def test_a_file_in_two_splits(tmp_path: Path) -> None:
    """A file that is in train by one row and in test by another is an error with both rows."""
    error = refused(table(tmp_path, "path,label,split\na.jpg,x,train\nb.jpg,y,train\na.jpg,x,test\n"))
    assert "has a.jpg in train (row 2) and in test (row 4)" in error.message


@pytest.mark.parametrize(
    "cell", ["", "nan", "NaN", "NAN", "<NA>", "None", "NA", "N/A", "n/a", "null", "NULL", "NaT", "#N/A", "\\N", '" "', "-nan"]
)
def test_missing_labels(cell: str, tmp_path: Path) -> None:
    """A label that tools write for a missing value is refused with the number of its row: it is no class."""
    error = refused(table(tmp_path, f"path,label\na.jpg,ants\nb.jpg,{cell}\nc.jpg,bees\n"))
    assert error.message.endswith("labels.csv has no label in row 3")
    assert "remove its row" in error.hint


@pytest.mark.parametrize("label", ["none", "na", "Nan bread", "unknown", "0", "False"])
def test_labels_that_are_not_missing(label: str, tmp_path: Path) -> None:
    """Words that are classes, such as none for no defect, stay classes."""
    assert rows(read(table(tmp_path, f"path,label\na.jpg,{label}\nb.jpg,scratch\n")))[0] == ("a.jpg", label)


def test_many_missing_labels(tmp_path: Path) -> None:
    """The first ten rows are named, the rest counted."""
    text = "path,label\n" + "a.jpg,\n" * 15
    error = refused(table(tmp_path, text))
    assert error.message.endswith("has no label in 15 rows: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 5 more")


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_without_labels(split: str, tmp_path: Path) -> None:
    """A test whose rows have no label at all is told and not used; one that has some is refused like any other."""
    text = f"path,label,split\na.jpg,x,train\nb.jpg,y,train\nc.jpg,,{split}\n"
    sources = read(table(tmp_path, text))
    assert rows(sources) == [("a.jpg", "x"), ("b.jpg", "y")]
    assert sources.notes == (f"{split} has no labels in labels.csv: its 1 image cannot be used",)
    error = refused(table(tmp_path, f"{text}d.jpg,x,{split}\n"))
    assert "no label in row 4" in error.message


def test_missing_labels_in_parquet(tmp_path: Path) -> None:
    """Nulls, NaN and words for them are missing in a Parquet table too; its rows are counted from 1."""
    names = ["a.jpg", "b.jpg", "c.jpg"]
    for labels in (["x", None, "y"], [1.0, math.nan, 2.0], ["x", "nan", "y"], ["x", "None", "y"]):
        assert refused(parquet(tmp_path, path=names, label=labels)).message.endswith("labels.parquet has no label in row 2")
    assert rows(read(parquet(tmp_path, path=names, label=["none", "x", "y"])))[0] == ("a.jpg", "none")


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (("1.0", "2.0", "1.0"), ["1", "2", "1"]),
        (("0.0", "1", "-1.0"), ["0", "1", "-1"]),
        (("1", "02", "3"), ["1", "02", "3"]),
        (("1.0", "v2.0", "1"), ["1.0", "v2.0", "1"]),
        (("1.5", "2.0", "2.5"), ["1.5", "2.0", "2.5"]),
    ],
)
def test_labels_that_are_numbers(cells: tuple[str, ...], labels: list[str], tmp_path: Path) -> None:
    """Whole numbers that pandas wrote as 1.0 are the classes 1, 2 ...; names with other text stay as they are."""
    text = "path,label\n" + "".join(f"{name}.jpg,{cell}\n" for name, cell in zip("abc", cells, strict=True))
    assert [label for _, label in rows(read(table(tmp_path, text)))] == labels


def test_typed_labels(tmp_path: Path) -> None:
    """Floats, integers and booleans of a Parquet table are class names as a person would write them."""
    names = ["a.jpg", "b.jpg"]
    for labels, expected in (
        ([1.0, 2.0], ["1", "2"]),
        ([3, 4], ["3", "4"]),
        ([True, False], ["True", "False"]),
        ([b"x", b"y"], ["x", "y"]),
    ):
        assert [label for _, label in rows(read(parquet(tmp_path, path=names, label=labels)))] == expected


def test_measurements_are_no_classes(tmp_path: Path) -> None:
    """Many different numbers with fractions are refused: a class for each would be no classifier."""
    images = tuple(f"{i}.jpg" for i in range(12))
    text = "path,label\n" + "".join(f"{name},{i / 7}\n" for i, name in enumerate(images, start=1))
    error = refused(table(tmp_path, text, images=images))
    assert "holds 12 different numbers" in error.message


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("id,label", "a,x"),
        ("file_name,label", "a.jpg,x"),
        ("filename,class", "a.jpg,x"),
        ("File Name,Category", "a.jpg,x"),
        ("image,target", "a.jpg,x"),
        ("image_id,label", "a,x"),
        ("img-path,class_name", "a.jpg,x"),
        ("id,path,label", "7,a.jpg,x"),
        ("id,filename,label", "7,a.jpg,x"),
        ("label,class,path", "x,9,a.jpg"),
    ],
)
def test_usual_names_of_columns(header: str, row: str, tmp_path: Path) -> None:
    """Columns under the names that other tools give them are understood; path and label count before all others."""
    assert rows(read(table(tmp_path, f"{header}\n{row}\n"))) == [("a.jpg", "x")]


def test_columns_that_the_owner_names(tmp_path: Path) -> None:
    """--path-column and --label-column name any column, in any letter case."""
    file = table(tmp_path, "photo,dx,label\na.jpg,mel,7\nb.jpg,nv,8\n")
    assert rows(read(file, path_column="photo", label_column="DX")) == [("a.jpg", "mel"), ("b.jpg", "nv")]
    assert rows(read(file, path_column="photo")) == [("a.jpg", "7"), ("b.jpg", "8")]
    error = refused(file, path_column="photos")
    assert error.message.endswith("has no column 'photos'; it has 'photo', 'dx', 'label'")
    assert error.hint == "did you mean photo?"
    assert "--path-column NAME" in refused(file).hint


@pytest.mark.parametrize(
    ("header", "told", "hint"),
    [
        (
            "file,image,label",
            "has the columns 'file' and 'image': which one is meant?",
            "--path-column file or --path-column image",
        ),
        ("path,class,category", "has the columns 'class' and 'category'", "--label-column class or --label-column category"),
        ("path,label,Label", "has the columns 'label' and 'Label'", "--label-column label or --label-column Label"),
        ("path,label,label", "has 2 columns called 'label'", "rename"),
    ],
)
def test_columns_that_could_both_be_meant(header: str, told: str, hint: str, tmp_path: Path) -> None:
    """Two columns that could be meant are refused, with the options that choose."""
    error = refused(table(tmp_path, f"{header}\na.jpg,b.jpg,x\n"))
    assert told in error.message
    assert hint in error.hint


def test_no_header(tmp_path: Path) -> None:
    """A table whose first row is an image is told that it has no header."""
    error = refused(table(tmp_path, "a.jpg,ants\nb.jpg,bees\n"))
    assert "has no header: its first row is an image already" in error.message


def test_ids_without_an_ending(tmp_path: Path) -> None:
    """An id finds the image of that name with whatever ending, also where the id has a dot."""
    images = ("a.jpg", "b.PNG", "c.v2.jpeg", "7.png")
    sources = read(table(tmp_path, "id,label\na,x\nb,y\nc.v2,x\n7,y\n", images=images))
    assert [name for name, _ in rows(sources)] == list(images)
    error = refused(table(tmp_path, "id,label\na,x\n", images=("a.jpg", "a.png", "a.txt")))
    assert "names 'a', which could be a.jpg or a.png" in error.message


def test_a_folder_beside_the_table(tmp_path: Path) -> None:
    """Where the files are in one folder beside the table, they are taken from there, and that is told."""
    images = ("train/a.jpg", "train/b.jpg", "test/9.jpg")
    sources = read(table(tmp_path, "id,label\na,x\nb,y\n", "train.csv", images=images))
    assert [candidate.path for candidate in sources.candidates] == [
        str(tmp_path / "train" / name) for name in ("a.jpg", "b.jpg")
    ]
    assert sources.notes == ("the files that train.csv names are taken from the folder train beside it",)


def test_two_folders_beside_the_table(tmp_path: Path) -> None:
    """Of two folders the one with all the files is meant; if both have them, neither is chosen."""
    text = "id,label\na,x\nb,y\n"
    one = table(tmp_path / "one", text, images=("train/a.jpg", "train/b.jpg", "test/a.jpg"))
    assert {candidate.file.parent.name for candidate in read(one).candidates} == {"train"}
    two = table(tmp_path / "two", text, images=("large/a.jpg", "large/b.jpg", "small/a.jpg", "small/b.jpg"))
    error = refused(two)
    assert "exist in large/ and in small/: which are meant?" in error.message
    assert error.hint.endswith("such as large/a")


def test_paths_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no path exists relative to the table and all do from the current folder, that is taken and told; never a mix."""
    monkeypatch.chdir(tmp_path)
    file = table(tmp_path / "tables", "path,label\nphotos/a.jpg,x\nphotos/b.jpg,y\n", images=())
    for name in ("a.jpg", "b.jpg"):
        table(tmp_path / "photos", "", images=(name,))
    sources = read(file)
    assert [candidate.file.resolve() for candidate in sources.candidates] == [
        tmp_path / "photos" / name for name in ("a.jpg", "b.jpg")
    ]
    assert sources.notes == ("the paths in labels.csv are taken relative to the current folder: none exists below the table's",)
    assert [candidate.path for candidate in sources.candidates] == ["photos/a.jpg", "photos/b.jpg"]
    (tmp_path / "photos" / "b.jpg").unlink()
    error = refused(file)
    assert "none of the 2 files" in error.message
    assert "1 of them can be found from the current folder, but not all" in error.hint
    table(tmp_path / "tables", "path,label\nphotos/a.jpg,x\nphotos/b.jpg,y\n", images=("photos/b.jpg",))
    assert {candidate.file.parent for candidate in read(file).candidates} == {tmp_path / "tables" / "photos"}


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    """A table none of whose files exists is told so, with the first and the folder that paths are relative to."""
    error = refused(table(tmp_path, "path,label\nimg/1.jpg,x\nimg/2.jpg,y\n"))
    assert "none of the 2 files that" in error.message
    assert error.message.endswith("names exists; the first is img/1.jpg")
    assert error.hint.startswith(f"paths are relative to the table's folder, {tmp_path}")


def test_a_table_in_an_archive(tmp_path: Path) -> None:
    """In an archive a table means what it means beside its files; the current folder is never looked at."""
    folder = tmp_path / "content"
    table(folder, "id,label\na,x\nb,y\nb,x\n", "train.csv", images=("train/a.jpg", "train/b.jpg", "README.md"))
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        for member in sorted(folder.rglob("*")):
            file.write(member, member.relative_to(folder).as_posix())
    sources = read(tmp_path / "set.zip")
    assert [(candidate.path, candidate.label) for candidate in sources.candidates] == [
        (f"{tmp_path / 'set.zip'}!train/a.jpg", "x")
    ]
    assert [entry.kind for entry in sources.skipped] == ["conflict"]


def test_a_list_of_classes_is_no_table_of_images(tmp_path: Path) -> None:
    """A table of ids and labels that names no file, beside class folders, hides nothing."""
    table(tmp_path, "id,label\n0,ants\n1,bees\n", "classes.csv", images=("ants/a.jpg", "bees/b.jpg"))
    sources = read(tmp_path)
    assert rows(sources) == [("a.jpg", "ants"), ("b.jpg", "bees")]
    assert sources.notes == ()


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ({"label": [["x"], ["y"]]}, "'label' of .* holds a list"),
        ({"path": [{"x": 1}, {"x": 2}]}, "holds a record"),
    ],
)
def test_columns_of_another_kind(column: dict[str, object], told: str, tmp_path: Path) -> None:
    """A Parquet table with lists of labels, or with records that are no images, is refused with a sentence."""
    with pytest.raises(DataError, match=told):
        read(parquet(tmp_path, **{"path": ["a.jpg", "b.jpg"], "label": ["x", "y"]} | column))


@pytest.mark.parametrize("word", ["Training", "train_set", "TRAIN"])
def test_splits_in_any_spelling(word: str, tmp_path: Path) -> None:
    """A split column is read as the names of folders are."""
    sources = read(table(tmp_path, f"path,label,split\na.jpg,x,{word}\nb.jpg,y,dev\nc.jpg,x,holdout\n"))
    assert [candidate.split for candidate in sources.candidates] == ["train", "val", "test"]
