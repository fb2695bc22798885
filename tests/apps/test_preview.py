"""`headstart preview`: what the images look like and what training makes of them, before anything is trained."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apps.conftest import Result, assert_explained, snapshot

Command = Callable[..., Result]
Draw = Callable[..., Path]


@pytest.fixture
def shapes(draw_classes: Draw) -> Path:
    """Two classes of drawn shapes."""
    return draw_classes({"circles": 4, "squares": 4}, "förmchen 🙂")


def pixels_of(file: Path) -> np.ndarray:
    """The picture."""
    with Image.open(file) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def test_it_writes_a_png(headstart: Command, shapes: Path, here: Path) -> None:
    """A PNG is drawn and its path is all of stdout; by default it is preview.png here. DATA is as it was."""
    before = snapshot(shapes)
    assert headstart("preview", shapes) == Result(0, "preview.png\n", "")
    assert headstart("preview", shapes, "--output", "deep/ä.png") == Result(0, "deep/ä.png\n", "")
    assert (pixels_of(here / "preview.png") == pixels_of(here / "deep" / "ä.png")).all()
    assert snapshot(shapes) == before


@pytest.mark.parametrize("images", [1, 2, 5, 24])
def test_number_of_images(headstart: Command, shapes: Path, here: Path, images: int) -> None:
    """--images draws that many rows, or as many as there are images."""
    headstart("preview", shapes, "--images", images, "--output", "p.png")
    headstart("preview", shapes, "--images", 1, "--output", "one.png")
    height, one = (pixels_of(here / name).shape[0] for name in ("p.png", "one.png"))
    assert height / one == pytest.approx(min(images, 8), rel=0.25)


def test_what_the_settings_do(headstart: Command, shapes: Path, here: Path) -> None:
    """Another --augment, --recipe or --seed draws another picture; the same ones the same bytes."""
    drawn = {}
    for name, arguments in {
        "default": [],
        "again": [],
        "none": ["--augment", "none"],
        "tutorial": ["--recipe", "tutorial"],
        "seed": ["--seed", "1"],
    }.items():
        assert headstart("preview", shapes, *arguments, "--output", f"{name}.png").code == 0
        drawn[name] = (here / f"{name}.png").read_bytes()
    assert drawn.pop("again") == drawn["default"]
    assert len(set(drawn.values())) == len(drawn)


def columns_of(file: Path) -> list[np.ndarray]:
    """The six columns of a preview of one image: the pixels below the title, cut into equal parts."""
    pixels = pixels_of(file)
    return [part[50:170] for part in np.array_split(pixels, 6, axis=1)]


def ink_on_the_left(column: np.ndarray) -> bool:
    """Whether the dark half of an image that is dark on one side is the left one."""
    dark = (column.max(axis=2) < 60).sum(axis=0)
    middle = len(dark) // 2
    return bool(dark[:middle].sum() > dark[middle:].sum())


@pytest.mark.parametrize("augment", ["no-flip", "standard"])
def test_mirror_images(headstart: Command, tmp_path: Path, here: Path, augment: str) -> None:
    """no-flip never mirrors an image, so that left stays left; standard does in some epochs."""
    half = np.full((100, 100, 3), 255, np.uint8)
    half[:, :50] = 0
    for label in ("a", "b"):
        (tmp_path / "d" / label).mkdir(parents=True)
        Image.fromarray(half).save(tmp_path / "d" / label / "x.png")
    sides = []
    for seed in range(4):
        headstart("preview", tmp_path / "d", "--augment", augment, "--images", 1, "--seed", seed, "--output", "p.png")
        raw, predicted, *training = columns_of(here / "p.png")
        assert ink_on_the_left(raw) and ink_on_the_left(predicted)
        sides += [ink_on_the_left(column) for column in training]
    assert all(sides) == (augment == "no-flip")
    assert any(sides)


def test_what_cannot_be_read_is_told(headstart: Command, shapes: Path, here: Path) -> None:
    """Files that cannot be drawn are named with their reasons on stderr; the others are drawn."""
    (shapes / "circles" / "text.jpg").write_text("hello")
    result = headstart("preview", shapes, "--images", 24)
    assert result.out == "preview.png\n"
    assert "text.jpg: a text file" in result.err


@pytest.mark.parametrize("target", ["image", "archive", "table", "folder"])
def test_it_never_writes_over_its_data(headstart: Command, shapes: Path, here: Path, target: str) -> None:
    """A picture that would replace an image, an archive, a table or a folder of DATA is refused."""
    file = shapes / "circles" / "circles-0.png"
    with zipfile.ZipFile(here / "set.zip", "w") as archive:
        for path in sorted(shapes.rglob("*.png")):
            archive.write(path, path.relative_to(shapes))
    (shapes / "t.csv").write_text("path,label\ncircles/circles-0.png,a\n", encoding="utf-8")
    data, output = {
        "image": (shapes, file),
        "archive": (here / "set.zip", here / "set.zip"),
        "table": (shapes / "t.csv", shapes / "t.csv"),
        "folder": (shapes, shapes),
    }[target]
    before = snapshot(shapes), snapshot(here)
    assert_explained(headstart("preview", data, "--output", output), "is a folder" if target == "folder" else "is one of")
    assert (snapshot(shapes), snapshot(here)) == before


@pytest.mark.parametrize(("data", "word"), [("nowhere", "no nowhere"), ("empty", "class folders"), ("broken", "can be read")])
def test_bad_data(headstart: Command, here: Path, data: str, word: str) -> None:
    """DATA that holds nothing to draw: a sentence and a hint, and no picture."""
    (here / "empty").mkdir()
    (here / "broken" / "a").mkdir(parents=True)
    (here / "broken" / "a" / "x.png").write_text("hello")
    assert_explained(headstart("preview", data), word)
    assert not (here / "preview.png").exists()
