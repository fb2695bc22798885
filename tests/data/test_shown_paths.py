"""Images are shown by paths relative to their data set, whatever it is and wherever it lies."""

from pathlib import Path

import pytest

from headstart.data.dataset import Dataset, LabelledImage
from headstart.data.shown_paths import ShownPaths, common_folder, folder_of
from headstart.data.sources import Skipped


@pytest.mark.parametrize(
    ("paths", "shown"),
    [
        (["/home/ada/photos/train/ants/1.jpg", "/home/ada/photos/val/bees/1.jpg"], ["train/ants/1.jpg", "val/bees/1.jpg"]),
        (["photos/ants/1.jpg", "photos/ants_and_bees/1.jpg"], ["ants/1.jpg", "ants_and_bees/1.jpg"]),
        (["set.zip!ants/a 1.jpg", "set.zip!ants/a 2.jpg"], ["a 1.jpg", "a 2.jpg"]),
        (["/d/train.zip!ants/1.jpg", "/d/val.zip!ants/1.jpg"], ["train.zip!ants/1.jpg", "val.zip!ants/1.jpg"]),
        (["wow!/a/1.jpg", "wow!/b/1.jpg"], ["a/1.jpg", "b/1.jpg"]),
        (["/d/ants/1.jpg"], ["1.jpg"]),
        (["1.jpg", "bees/2.jpg"], ["1.jpg", "bees/2.jpg"]),
        (["a.jpg", "/d/b.jpg"], ["a.jpg", "/d/b.jpg"]),
        ([], []),
    ],
)
def test_what_all_share_is_left_out(paths: list[str], shown: list[str]) -> None:
    """Whole folders, or an archive, are left out, never a part of a name."""
    folder = common_folder(paths)
    assert [path.removeprefix(folder) for path in paths] == shown


@pytest.mark.parametrize(
    ("text", "below", "file", "shown"),
    [
        ("photos", "photos", "photos/a/1.jpg", "photos/a/1.jpg"),
        ("./photos//", "photos", "photos/a/1.jpg", "photos/a/1.jpg"),
        ("/d/photos", "/d/photos", "/d/photos/1.jpg", "/d/photos/1.jpg"),
        (".", ".", "a/1.jpg", "a/1.jpg"),
        (".", ".", ".", "."),
        ("photos", "photos", "photos", "photos"),
        ("..", "..", "../a/1.jpg", "../a/1.jpg"),
        ("/", "/", "/a/1.jpg", "/a/1.jpg"),
        ("/", "/", "/", "/"),
        ("photos", "photos", "photos/a..b/1.jpg", "photos/a..b/1.jpg"),
        ("photos", "photos", "photos/k\udce4fer.jpg", "photos/k\\xe4fer.jpg"),
        ("set.zip!", "/tmp/x", "/tmp/x/a/1.jpg", "set.zip!a/1.jpg"),
        ("set.zip!", "/tmp/x", "/tmp/x", "set.zip"),
    ],
)
def test_how_a_file_is_shown(text: str, below: str, file: str, shown: str) -> None:
    """As the data set was given, with the place of the file in it."""
    assert ShownPaths(text, Path(below))(Path(file)) == str(Path(shown))


def test_unreadable_files_count_as_well() -> None:
    """A broken file beside the class folders keeps its place in the data set."""
    image = LabelledImage("d/set/ants/1.jpg", Path("1.jpg"), "ants", None, None, "", 1, 1)
    assert folder_of(Dataset("set", (image,), ("ants", "bees"), (Skipped("d/set/loose.jpg", "it is damaged"),))) == "d/set/"
