"""Folders of labelled images as people have them, and what is no data set."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from data.made_sets import make, read, rows, zipped
from headstart.data.found_images import find_images
from headstart.data.opening import open_sources
from headstart.data.sources import in_natural_order, natural_order, printable, with_split
from headstart.data.walking import is_hidden, what_is_below
from headstart.errors import DataError


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


@pytest.mark.parametrize(
    ("make_data", "sentence", "hint"),
    [
        (lambda p: p / "nothing", "there is no .*nothing", "give a folder"),
        (lambda p: make(p, "a.jpg") / "a.jpg", "is neither a folder, a table .*, nor", "one folder per class"),
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
        images = find_images(stack, [tmp_path / "missing.jpg", folder, archive, folder / "2.jpg"])
        found, left_out = images.candidates, images.skipped
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
    assert sorted(names, key=natural_order) == in_natural_order(names) == expected


def test_names_with_digits_in_the_same_places_sort_as_they_are() -> None:
    """The short way gives the same order."""
    rng = np.random.default_rng(0)
    for form in ("img-00.jpg", "0a0", "007", "x", "k\u00e4fer00_0"):
        names = ["".join(str(rng.integers(10)) if sign == "0" else sign for sign in form) for _ in range(200)]
        assert in_natural_order(names) == sorted(names, key=natural_order)


@pytest.mark.parametrize(
    ("names", "below"),
    [
        (["1.jpg"], "images"),
        (["notes.txt", ".hidden.jpg"], "documents"),
        (["notes.txt", "deep/er/2.jpg"], "images"),
        ([".cache/3.jpg"], "nothing"),
        ([], "nothing"),
        (["picture.jpg/readme.md"], "documents"),
    ],
)
def test_what_is_below_a_folder(tmp_path: Path, names: list[str], below: str) -> None:
    """One file that may be an image decides, wherever it lies; what is hidden does not count, nor does a folder's name."""
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert what_is_below(tmp_path) == below


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
