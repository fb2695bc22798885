"""Pixels for fine-tuning: decoded once or each time, the same picture either way."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.dataset import LabelledImage
from headstart.data.pixels import kept_size
from headstart.data.preprocess import Preprocess
from headstart.errors import DataError
from headstart.fitting.pixels_read_later import PixelsReadLater, ViewsReadLater
from headstart.fitting.training_pixels import KeptPixels, keep_pixels, keep_views, open_again, read_anew
from headstart.model.pipeline import Pipeline
from headstart.progress import silent

SMALL = Preprocess(size_px=32, resize_px=40, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)
SIZES = [(80, 60), (60, 80), (40, 40), (7, 9), (200, 30)]


@pytest.fixture
def images(tmp_path: Path) -> list[LabelledImage]:
    """Noise in several forms."""
    found = []
    for i, (width, height) in enumerate(SIZES):
        pixels = np.random.default_rng(i).integers(0, 256, (height, width, 3), dtype=np.uint8)
        file = tmp_path / f"{i}.png"
        Image.fromarray(pixels).save(file)
        found.append(LabelledImage(file.name, file, "a", None, None, file.name, width, height))
    return found


def test_read_anew_is_the_file(images: list[LabelledImage]) -> None:
    """Without a cache each image comes in full size, as often as it is asked for."""
    source = read_anew(images, SMALL, 2, silent)
    for i, image in enumerate(images):
        expected = np.asarray(Image.open(image.file))
        assert np.array_equal(source[i], expected) and np.array_equal(source[i], expected)


def test_kept_pixels_are_decoded_once(images: list[LabelledImage]) -> None:
    """Each image is kept at the size that crops are cut from; afterwards its file is not needed. Progress counts images."""
    steps: list[tuple[str, int, int]] = []
    source = keep_pixels(images, SMALL, 2, lambda *step: steps.append(step))
    assert steps == [("decoding train", done, 5) for done in range(1, 6)]
    expected = [Image.open(image.file).convert("RGB") for image in images]
    for image in images:
        image.file.unlink()
    for i, (size, whole) in enumerate(zip(SIZES[:4], expected[:4], strict=True)):
        resized = whole.resize(kept_size(*size, 40), Image.Resampling.BICUBIC)
        assert np.array_equal(source[i], np.asarray(resized))
    assert source[4].shape == (40, 120, 3)  # of a strip its middle


def test_some_of_the_rows(images: list[LabelledImage]) -> None:
    """Pixels kept of rows 3, 5, 8 ... of a data set are had for fewer of them, numbered from 0."""
    kept = KeptPixels(read_anew(images, SMALL, 1, silent), np.array([3, 5, 8, 13, 21]))
    some = kept.only(np.array([21, 5]))
    assert np.array_equal(some[0], np.asarray(Image.open(images[4].file)))
    assert np.array_equal(some[1], np.asarray(Image.open(images[1].file)))


@pytest.mark.parametrize("view", ["crop", "crop+whole+mirrored"])
def test_views_are_what_prediction_sees(view: str, images: list[LabelledImage]) -> None:
    """Val images are kept as the very pixels that prediction makes of their files, every view of them."""
    preprocess = SMALL.seen_as(view)
    views = keep_views(images, preprocess, 2, silent)
    assert (views.shape, views.dtype) == ((5, preprocess.n_views, 32, 32, 3), np.uint8)
    for image, found in zip(images, views, strict=True):
        assert np.array_equal(found, preprocess.views_of_file(image.file.read_bytes()))


def test_read_later(images: list[LabelledImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels and views that are read when they are needed are those that are kept from the start. They travel without content,
    and to where another folder is the current one; once read, their files are not needed."""
    rows, chosen = np.array([3, 5, 8, 13, 21]), np.array([5, 8, 21])
    kept = KeptPixels(keep_pixels(images, SMALL, 2, silent), rows).only(chosen)
    views = keep_views(images, SMALL, 2, silent)
    monkeypatch.chdir(tmp_path)
    relative = [replace(image, file=Path(image.path)) for image in images]
    sent = pickle.dumps((PixelsReadLater(relative, SMALL, rows).only(chosen), ViewsReadLater(relative, SMALL, 2)))
    assert len(sent) < 3000
    monkeypatch.chdir("/")
    later, later_views = pickle.loads(sent)
    first = later[0].copy()
    assert np.array_equal(later_views[1:3], views[1:3])
    assert np.array_equal(later_views[0:9], views)
    images[1].file.unlink()
    assert np.array_equal(first, kept[0]) and np.array_equal(later[0], kept[0]) and np.array_equal(later[2], kept[2])
    images[2].file.unlink()
    with pytest.raises(DataError, match=r"2\.png could be read before but not now"):
        later[1]


@pytest.mark.parametrize("change", ["removed", "damaged"])
@pytest.mark.parametrize("way", ["kept", "views", "anew"])
def test_file_that_changes_while_training_runs(way: str, change: str, images: list[LabelledImage]) -> None:
    """A file that could be read at first and now cannot stops the run with its path; nothing takes its place."""
    source = read_anew(images, SMALL, 2, silent)
    file = images[2].file
    assert [opened.problem for opened in open_again(Pipeline(SMALL), images, 2, silent, "again")] == [""] * 5
    file.unlink() if change == "removed" else file.write_bytes(b"")
    reason = "there is no such file" if change == "removed" else "the file is empty"
    with pytest.raises(DataError) as caught:
        if way == "anew":
            source[2]
        else:
            (keep_pixels if way == "kept" else keep_views)(images, SMALL, 2, silent)
    assert caught.value.message == f"2.png could be read before but not now: {reason}"
    assert caught.value.hint == "do not change the images while training runs"


def test_file_that_changes_its_form(images: list[LabelledImage]) -> None:
    """Another picture of another size under the same name is told from the one that was scanned."""
    Image.new("RGB", (90, 40)).save(images[1].file)
    with pytest.raises(DataError, match=r"1\.png has changed its size since it was scanned"):
        keep_pixels(images, SMALL, 2, silent)
