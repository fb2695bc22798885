"""All forms of labelled images that can be opened."""

import os
import sys
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from headstart.data.archives import ENDINGS
from headstart.data.opening import open_sources
from headstart.data.sources import Sources, natural_order, printable, with_split
from headstart.data.walking import find_images, is_hidden
from headstart.errors import DataError


def make(folder: Path, *names: str) -> Path:
    """Files whose content is their name: nothing here opens an image."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    return folder


def rows(sources: Sources) -> list[tuple[str, str | None, str | None]]:
    return [(candidate.file.name, candidate.label, candidate.split) for candidate in sources.candidates]


def read(data: Path) -> Sources:
    with open_sources(data) as sources:
        return sources


def table(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for member in sorted(folder.rglob("*")):
            file.write(member, member.relative_to(folder).as_posix())
    return path


def tarred(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as file:
        file.add(folder, ".")
    return path


def test_class_folders(tmp_path: Path) -> None:
    """One folder a class: the label is its name, files are taken from all folders below, in natural order."""
    data = make(tmp_path / "set", "bees/10.jpg", "bees/2.jpg", "ants/deep/er/1.jpg", "ants/1.jpg")
    sources = read(data)
    assert sources.name == "set"
    assert rows(sources) == [
        ("1.jpg", "ants", None),
        ("1.jpg", "ants", None),
        ("2.jpg", "bees", None),
        ("10.jpg", "bees", None),
    ]
    assert [c.path for c in sources.candidates][1] == str(data / "ants" / "deep" / "er" / "1.jpg")
    assert sources.candidates[2].read() == b"bees/2.jpg"
    assert sources.skipped == sources.empty_classes == ()


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "val", "test"), {"train", "val", "test"}),
        (("train", "valid"), {"train", "val"}),
        (("Training", "Validation", "Testing"), {"train", "val", "test"}),
        (("train",), {"train"}),
        (("val", "test"), {"val", "test"}),
    ],
)
def test_split_folders(tmp_path: Path, folders: tuple[str, ...], splits: set[str]) -> None:
    """Folders named after splits, under any of their usual names, hold the class folders."""
    sources = read(make(tmp_path / "set", *(f"{folder}/ants/1.jpg" for folder in folders)))
    assert {split for _, _, split in rows(sources)} == splits
    assert {label for _, label, _ in rows(sources)} == {"ants"}


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    """Among other class folders and without train, `test` is a class like any other."""
    sources = read(make(tmp_path, "control/1.jpg", "test/1.jpg"))
    assert rows(sources) == [("1.jpg", "control", None), ("1.jpg", "test", None)]


def test_classes_may_be_called_train_or_val(tmp_path: Path) -> None:
    """Folders called as splits are that hold images themselves are classes: a train is a vehicle, too."""
    vehicles = make(tmp_path / "vehicles", "car/1.jpg", "train/1.jpg")
    assert rows(read(vehicles)) == [("1.jpg", "car", None), ("1.jpg", "train", None)]
    trials = make(tmp_path / "trials", "control/1.jpg", "test/1.jpg", "val/1.jpg")
    assert [label for _, label, _ in rows(read(trials))] == ["control", "test", "val"]


def test_a_split_beside_classes(tmp_path: Path) -> None:
    """A val with class folders next to other class folders is an error: it could be a split or a class."""
    data = make(tmp_path / "set", "ants/1.jpg", "bees/1.jpg", "val/ants/1.jpg", "val/bees/1.jpg")
    with pytest.raises(DataError, match="val contains class folders but is next to class folders") as caught:
        read(data)
    assert "train/" in caught.value.hint


def test_two_folders_of_one_split(tmp_path: Path) -> None:
    """val beside validation is an error: nobody knows which is meant."""
    data = make(tmp_path / "set", "train/a/1.jpg", "val/a/1.jpg", "validation/a/1.jpg")
    with pytest.raises(DataError, match="two folders for one split: train, val, validation") as caught:
        read(data)
    assert caught.value.hint.startswith("keep one folder each for train/")


def test_folder_beside_the_splits(tmp_path: Path) -> None:
    """A folder beside train and val is not used, and that is said."""
    data = make(tmp_path / "set", "train/a/1.jpg", "val/a/1.jpg", "extra/a/1.jpg")
    sources = read(data)
    assert len(sources.candidates) == 2
    assert [(s.path, s.reason) for s in sources.skipped] == [
        (str(data / "extra"), "a folder next to train, val and test is not used")
    ]


@pytest.mark.parametrize("inner", ["", "train/", "a/b/"])
def test_wrapped_folder(tmp_path: Path, inner: str) -> None:
    """A folder that holds nothing but the data set's folder is gone through, as unpacking tools leave it."""
    sources = read(make(tmp_path / "download", f"set/{inner}ants/1.jpg", f"set/{inner}bees/1.jpg"))
    assert sources.name == "download"
    assert {label for _, label, _ in rows(sources)} == {"ants", "bees"}


def test_hidden_and_system_files(tmp_path: Path) -> None:
    """What tools and systems leave behind never becomes a class or an image."""
    litter = [
        "__MACOSX/ants/._1.jpg",
        ".ipynb_checkpoints/1.jpg",
        ".DS_Store",
        "ants/.DS_Store",
        "ants/Thumbs.db",
        "ants/._1.jpg",
    ]
    nested = ["ants/.thumbnails/1.jpg", "ants/__MACOSX/1.jpg", "$RECYCLE.BIN/1.jpg", "System Volume Information/1.jpg"]
    sources = read(make(tmp_path / "set", "ants/1.jpg", "bees/1.jpg", *litter, *nested))
    assert rows(sources) == [("1.jpg", "ants", None), ("1.jpg", "bees", None)]
    assert sources.skipped == ()


def test_hidden_folder_above_does_not_matter(tmp_path: Path) -> None:
    """Only names inside DATA count: a data set may lie below a hidden folder."""
    assert len(read(make(tmp_path / ".cache" / "set", "ants/1.jpg", "bees/1.jpg")).candidates) == 2


def test_loose_files(tmp_path: Path) -> None:
    """Images beside the class folders are left out by name, in an order every run repeats; other files are no matter."""
    data = make(
        tmp_path / "set",
        "train/ants/1.jpg",
        "val/ants/1.jpg",
        "z.png",
        "train/b.JPG",
        "train/notes.txt",
        "val/a.tif",
        "README.md",
    )
    sources = read(data)
    assert [s.path for s in sources.skipped] == [str(data / name) for name in ("z.png", "train/b.JPG", "val/a.tif")]
    assert {s.reason for s in sources.skipped} == {"it is outside the class folders"}
    assert len(sources.candidates) == 2


def test_empty_class(tmp_path: Path) -> None:
    """A class folder without files is remembered with its split, not dropped."""
    data = make(tmp_path / "set", "train/ants/1.jpg", "val/ants/1.jpg")
    (data / "val" / "bees").mkdir()
    assert read(data).empty_classes == (("val", "bees"),)


NAMES = [
    "Käfer größer/ä ö.jpg",
    "🐞 ladybird/🐞.jpg",
    "with space/a b (1).jpg",
    "日本/1.jpg",
    "5²/①.jpg",
    "a,b;c/d.jpg",
    "ev'il\"/x.jpg",
]


def test_every_name_people_use(tmp_path: Path) -> None:
    """Umlauts, spaces, emoji, superscripts and punctuation in names are kept as they are."""
    sources = read(make(tmp_path / "my set ☀", *NAMES))
    assert {f"{c.label}/{c.file.name}" for c in sources.candidates} == set(NAMES)
    assert all(c.read() for c in sources.candidates)


def test_both_spellings_of_an_umlaut_are_one_class(tmp_path: Path) -> None:
    """ä as one character and as a with dots, as macOS writes it, make the same label."""
    sources = read(make(tmp_path / "set", "train/K\u00e4fer/1.jpg", "val/Ka\u0308fer/1.jpg"))
    assert {candidate.label for candidate in sources.candidates} == {"K\u00e4fer"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_name_that_is_no_utf8(tmp_path: Path) -> None:
    """Names of an old system, in Latin-1, can be read, are shown escaped, and stay different names."""
    for name in (b"K\xe4fer", b"K\xf6fer"):
        folder = os.fsencode(tmp_path) + b"/set/" + name
        Path(os.fsdecode(folder)).mkdir(parents=True)
        Path(os.fsdecode(folder + b"/\xf6.jpg")).write_bytes(b"1")
    first, second = read(tmp_path / "set").candidates
    assert (first.label, second.label) == (r"K\xe4fer", r"K\xf6fer")
    assert first.path.encode().endswith(rb"K\xe4fer/\xf6.jpg")
    assert first.read() == b"1"
    assert printable("\ud800") == r"\ud800"  # half a character, as Windows may have in a name
    assert printable("schön 🐞") == "schön 🐞"


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


def parquet(place: Path, **columns: list[object]) -> Path:
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), place)
    return place


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


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("wrapper", ["", "set/"])
@pytest.mark.parametrize("ending", [".zip", ".tar.gz", ".TGZ", ""])
def test_archive_of_folders(tmp_path: Path, pack: Callable[[Path, Path], Path], wrapper: str, ending: str) -> None:
    """An archive reads like the folder in it, whatever its name says, and shows paths as ARCHIVE!member."""
    names = [f"{wrapper}{split}/Käfer 🐞/1.jpg" for split in ("train", "val")]
    archive = pack(make(tmp_path / "content", *names, "__MACOSX/._x"), tmp_path / f"bees and ants{ending}")
    with open_sources(archive) as sources:
        assert rows(sources) == [("1.jpg", "Käfer 🐞", "train"), ("1.jpg", "Käfer 🐞", "val")]
        assert [candidate.path for candidate in sources.candidates] == [f"{archive}!{name}" for name in names]
        assert [candidate.read() for candidate in sources.candidates] == [name.encode() for name in names]
        assert sources.name == "bees and ants"
        kept = sources.candidates[0].file
    assert not kept.exists()


@pytest.mark.parametrize("wrapper", ["", "set/"])
@pytest.mark.parametrize("images", ["", "images/"])
def test_zip_with_a_table(tmp_path: Path, wrapper: str, images: str) -> None:
    """A table in an archive that names paths and labels is what counts, wherever the images lie beside it."""
    content = make(tmp_path / "content", f"{wrapper}{images}1.jpg", f"{wrapper}{images}2.jpg", f"{wrapper}README.md")
    table(content / wrapper, f"path,label\n{images}1.jpg,ants\n{images}2.jpg,bees\n")
    archive = zipped(content, tmp_path / "a.zip")
    with open_sources(archive) as sources:
        assert rows(sources) == [("1.jpg", "ants", None), ("2.jpg", "bees", None)]
        assert sources.candidates[0].path == f"{archive}!{wrapper}{images}1.jpg"
        assert all(candidate.read() for candidate in sources.candidates)
        assert sources.name == "a"


def test_zip_with_classes_and_some_table(tmp_path: Path) -> None:
    """A table of something else beside the class folders does not hide them."""
    content = make(tmp_path / "content", "ants/1.jpg", "bees/1.jpg")
    table(content, "species,count\nants,1\n", "counts.csv")
    assert rows(read(zipped(content, tmp_path / "a.zip"))) == [("1.jpg", "ants", None), ("1.jpg", "bees", None)]


def test_zip_with_parquet(tmp_path: Path) -> None:
    """A Parquet table in an archive is read like a CSV in one."""
    content = make(tmp_path / "content", "1.jpg")
    parquet(content / "labels.parquet", path=["1.jpg"], label=["ants"])
    with open_sources(zipped(content, tmp_path / "a.zip")) as sources:
        assert sources.candidates[0].read() == b"1.jpg"


@pytest.mark.parametrize("path", ["../../secret.jpg", "{outside}", "..\\..\\secret.jpg", "a\0b.jpg"])
def test_table_in_an_archive_stays_in_it(tmp_path: Path, path: str) -> None:
    """A table in an archive cannot name files of this machine."""
    outside = make(tmp_path, "secret.jpg") / "secret.jpg"
    path = path.format(outside=outside)
    content = make(tmp_path / "content", "1.jpg")
    table(content, f"path,label\n1.jpg,ants\n{path},bees\n")
    archive = zipped(content, tmp_path / "a.zip")
    sources = read(archive)
    assert rows(sources) == [("1.jpg", "ants", None)]
    assert [(s.path, s.reason) for s in sources.skipped] == [(f"{archive}!{path}", "its path leads out of the archive")]


def test_unsafe_members_are_told(tmp_path: Path) -> None:
    """What an archive tried to write outside is listed with the skipped files."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name in ("ants/1.jpg", "bees/1.jpg", "../../evil.jpg"):
            file.writestr(name, name)
    sources = read(tmp_path / "a.zip")
    assert [(s.path, s.reason) for s in sources.skipped] == [
        (f"{tmp_path / 'a.zip'}!../../evil.jpg", "its name leads out of the archive")
    ]
    assert len(sources.candidates) == 2


@pytest.mark.parametrize("ending", ENDINGS)
def test_incomplete_archive(tmp_path: Path, ending: str) -> None:
    """The first half of a downloaded archive is told to be damaged, not to be something else."""
    archive = zipped(make(tmp_path / "content", "ants/1.jpg", "bees/1.jpg"), tmp_path / f"a{ending}")
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be opened: it is damaged, incomplete or not readable") as caught:
        read(archive)
    assert caught.value.hint == "copy or download it again"


@pytest.mark.parametrize(
    ("make_data", "sentence", "hint"),
    [
        (lambda p: p / "nothing", "there is no .*nothing", "give a folder"),
        (lambda p: make(p, "a.jpg") / "a.jpg", "is neither a folder, a CSV or Parquet file, nor", "one folder per class"),
        (lambda p: p, "has no class folders", "one folder per class"),
        (lambda p: make(p / "flat", "1.jpg", "2.jpg"), "flat has no class folders", "one folder per class"),
        (lambda p: make(p / "hidden", ".a/1.jpg"), "hidden has no class folders", "one folder per class"),
        (lambda p: zipped(make(p / "x", "1.jpg"), p / "a.zip"), "a.zip has no class folders", "one folder per class"),
        (lambda p: zipped(p, p.parent / "empty.zip"), "empty.zip has no class folders", "one folder per class"),
    ],
    ids=["missing", "one image", "empty folder", "no classes", "hidden only", "zip without classes", "empty zip"],
)
def test_what_is_no_data_set(tmp_path: Path, make_data: Callable[[Path], Path], sentence: str, hint: str) -> None:
    """What has no form of a data set is told so, with the form that is wanted."""
    folder = tmp_path / "data"
    folder.mkdir()
    with pytest.raises(DataError, match=sentence) as caught:
        read(make_data(folder))
    assert hint in caught.value.hint


@pytest.mark.parametrize("locked", ["", "ants", "ants/deep"])
def test_folder_that_may_not_be_read(folder_of_nobody: Path, locked: str) -> None:
    """A folder without permission is an error that names it: its images are not silently missing."""
    data = make(folder_of_nobody / "set", "ants/1.jpg", "ants/deep/1.jpg", "bees/1.jpg")
    (data / locked).chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be read: Permission denied"):
            read(data)
    finally:
        (data / locked).chmod(0o700)


def test_links(tmp_path: Path) -> None:
    """A class may be a link to a folder elsewhere, and a folder that holds itself does not hang the run."""
    make(tmp_path / "elsewhere", "1.jpg")
    data = make(tmp_path / "set", "bees/1.jpg")
    try:
        (data / "ants").symlink_to(tmp_path / "elsewhere")
        (data / "bees" / "loop").symlink_to(data)
    except OSError:
        pytest.skip("this user may not make links")
    assert rows(read(data)) == [("1.jpg", "ants", None), ("1.jpg", "bees", None)]


def test_with_split(tmp_path: Path) -> None:
    """A data set given as val is val as a whole, its empty classes too."""
    data = make(tmp_path / "held out", "ants/1.jpg")
    (data / "bees").mkdir()
    sources = with_split(read(data), "val")
    assert rows(sources) == [("1.jpg", "ants", "val")]
    assert sources.empty_classes == (("val", "bees"),)


def test_with_split_of_what_is_split(tmp_path: Path) -> None:
    """A data set that is split itself cannot be given as one split."""
    sources = read(make(tmp_path / "set", "train/ants/1.jpg", "val/ants/1.jpg"))
    with pytest.raises(DataError, match="set is given as test but contains train, val itself") as caught:
        with_split(sources, "test")
    assert caught.value.hint == "give the folder that contains the classes, such as set/val"


def test_find_images(tmp_path: Path) -> None:
    """Files are taken as given, folders and archives searched to their leaves without what is hidden."""
    folder = make(tmp_path / "f", "10.jpg", "2.jpg", "a/b/c.jpg", ".hidden/x.jpg", "Thumbs.db")
    archive = zipped(folder, tmp_path / "f.zip")
    with ExitStack() as stack:
        found, left_out = find_images(stack, [tmp_path / "missing.jpg", folder, archive, folder / "2.jpg"])
        names = ["2.jpg", "10.jpg", "a/b/c.jpg"]
        assert [candidate.path for candidate in found] == [
            str(tmp_path / "missing.jpg"),
            *(str(folder / name) for name in names),
            *(f"{archive}!{name}" for name in names),
            str(folder / "2.jpg"),
        ]
        assert [candidate.read() for candidate in found[1:]] == [name.encode() for name in [*names, *names, "2.jpg"]]
    assert left_out == []
    assert not found[4].file.exists()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["10", "9", "1"], ["1", "9", "10"]),
        (["img12", "img2", "img"], ["img", "img2", "img12"]),
        (["b", "2", "a", "10"], ["2", "10", "a", "b"]),
        (["5²", "5", "4²", "①"], ["4²", "5", "5²", "①"]),
        (["٣", "٢", "2"], ["2", "٢", "٣"]),
    ],
)
def test_natural_order(names: list[str], expected: list[str]) -> None:
    """Numbers in names count as numbers, in every script; superscripts and circled digits are letters."""
    assert sorted(names, key=natural_order) == expected


@pytest.mark.parametrize(
    ("name", "hidden"),
    [(".git", True), ("__MACOSX", True), ("THUMBS.DB", True), ("__init__", False), ("a.b", False), ("desktop", False)],
)
def test_is_hidden(name: str, hidden: bool) -> None:
    """A leading dot or a system's own name hides a file, nothing else does."""
    assert is_hidden(Path("somewhere") / name) is hidden


def test_linked_folders_are_followed_once(draw_classes: Callable[..., Path]) -> None:
    """Images in a linked folder count; a link that leads back to its own folder ends the walk, not the program."""
    folder = draw_classes({"circles": 2, "squares": 2})
    elsewhere = draw_classes({"circles": 3}, "elsewhere")
    (folder / "circles" / "more").symlink_to(elsewhere / "circles", target_is_directory=True)
    (folder / "squares" / "back").symlink_to(folder / "squares", target_is_directory=True)
    with open_sources(folder) as sources:
        labels = [candidate.label for candidate in sources.candidates]
    assert (labels.count("circles"), labels.count("squares")) == (5, 2)


def test_folder_with_a_table_and_no_classes(tmp_path: Path) -> None:
    """A folder of images with a table is refused, and the error names the table; the folder is not taken for a class."""
    make(tmp_path / "set", "images/1.jpg", "images/2.jpg")
    (tmp_path / "set" / "labels.csv").write_text("path,label\nimages/1.jpg,a\nimages/2.jpg,b\n")
    with pytest.raises(DataError, match="no class folders") as caught:
        read(tmp_path / "set")
    assert caught.value.hint == f"give the table: {tmp_path / 'set' / 'labels.csv'}"
