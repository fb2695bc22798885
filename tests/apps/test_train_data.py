"""What is wrong with DATA, in one sentence of `headstart train`."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.conftest import Result, assert_explained, snapshot

Command = Callable[..., Result]
Draw = Callable[..., Path]


# What is wrong with DATA -> what makes it so, and words of the sentence.
def _nothing(folder: Path) -> Path:
    return folder / "nowhere"


def _empty(folder: Path) -> Path:
    return folder


def _one_class(folder: Path) -> Path:
    draw_into(folder / "ants", 3)
    return folder


def _case_twins(folder: Path) -> Path:
    for name in ("Ants", "ants", "bees"):
        draw_into(folder / name, 3)
    if len(list(folder.iterdir())) < 3:
        pytest.skip("this file system does not tell case apart")
    return folder


def _one_image(folder: Path) -> Path:
    draw_into(folder / "ants", 1)
    draw_into(folder / "bees", 3)
    return folder


def _empty_class(folder: Path) -> Path:
    _one_class(folder)
    (folder / "bees").mkdir()
    return folder


def _nothing_readable(folder: Path) -> Path:
    for name in ("ants", "bees"):
        (folder / name).mkdir()
        (folder / name / "a.jpg").write_text("hello")
    return folder


def _loose_images(folder: Path) -> Path:
    draw_into(folder, 3)
    return folder


def _text_file(folder: Path) -> Path:
    (folder / "labels.txt").write_text("a.jpg ants")
    return folder / "labels.txt"


def _one_picture(folder: Path) -> Path:
    draw_into(folder, 1)
    return folder / "0.png"


def _corrupt_zip(folder: Path) -> Path:
    draw_into(folder / "ants", 3)
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file)
    whole = (folder / "set.zip").read_bytes()
    (folder / "set.zip").write_bytes(whole[: len(whole) // 2])
    return folder / "set.zip"


def _damaged_member(folder: Path) -> Path:
    _one_class(folder)
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        archive.write(folder / "ants" / "0.png", "ants/0.png")
    content = bytearray((folder / "set.zip").read_bytes())
    content[60] ^= 255  # behind the member's header and name
    (folder / "set.zip").write_bytes(content)
    return folder / "set.zip"


def _not_a_zip(folder: Path) -> Path:
    (folder / "set.zip").write_text("not found")
    return folder / "set.zip"


def _wrong_columns(folder: Path) -> Path:
    (folder / "t.csv").write_text("photo,kind\na.png,ants\n")
    return folder / "t.csv"


def _empty_table(folder: Path) -> Path:
    (folder / "t.csv").touch()
    return folder / "t.csv"


def _unlike_val(folder: Path) -> Path:
    for name in ("train/ants", "train/bees", "val/ants", "val/wasps"):
        draw_into(folder / name, 2)
    return folder


def _long_name(folder: Path) -> Path:
    return folder / ("x" * 300)


def draw_into(folder: Path, count: int) -> None:
    """Some images of one colour each."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (40, 40), (40 * i, 90, 200)).save(folder / f"{i}.png")


BAD_DATA = [
    (_nothing, "there is no"),
    (_empty, "no class folders"),
    (_one_class, "only one class"),
    (_case_twins, "differ only in case"),
    (_one_image, "has 1 image"),
    (_empty_class, "'bees' has no files"),
    (_nothing_readable, "no image that can be read"),
    (_loose_images, "no class folders"),
    (_text_file, "neither a folder"),
    (_one_picture, "neither a folder"),
    (_corrupt_zip, "damaged"),
    (_damaged_member, "cannot be unpacked"),
    (_not_a_zip, "damaged"),
    (_wrong_columns, "no column path"),
    (_empty_table, "no column path"),
    (_unlike_val, "'wasps'"),
    (_long_name, "name too long"),
]


@pytest.mark.parametrize(("make", "word"), BAD_DATA, ids=[make.__name__.strip("_") for make, _ in BAD_DATA])
def test_bad_data(quick: Command, tmp_path: Path, here: Path, make: Callable[[Path], Path], word: str) -> None:
    """DATA that cannot be trained on: a sentence and a hint, exit code 1; DATA is as it was and no run is left behind."""
    folder = tmp_path / "daten ä"
    folder.mkdir()
    data = make(folder)
    before = snapshot(folder)
    assert_explained(quick(data, "--json"), word)
    assert snapshot(folder) == before
    assert not [path for path in here.rglob("*") if path.is_file() or path.name.endswith(".partial")]
