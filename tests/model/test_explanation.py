"""Where in a picture the model's answer comes from."""

import io

import numpy as np
import pytest
from PIL import Image

from headstart.model.explanation import SIDE, Explainer, _over_picture
from headstart.model.head import Head
from headstart.model.pretrained import open_backbone
from headstart.progress import silent
from headstart.settings import TrainSettings


@pytest.mark.slow
def test_the_corner_that_differs_speaks() -> None:
    """Of a picture that is flat but for a corner, that corner speaks for the class of marked pictures, the rest against."""
    frozen = open_backbone(TrainSettings.of(device="cpu"), silent).frozen
    assert frozen is not None
    pixels = np.full((224, 224, 3), 127, np.uint8)
    pixels[20:90, 20:90] = np.random.default_rng(0).integers(0, 256, (70, 70, 3))
    images = (Image.fromarray(one) for one in (np.full_like(pixels, 127), pixels))
    flat, marked = (frozen.extractor.compute(frozen.preprocess.view(one)[None])[0] for one in images)
    apart, middle = marked - flat, float((marked - flat) @ (marked + flat)) / 2
    head = Head(np.stack([apart, -apart]), np.array([-middle, middle], np.float32))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    found = Explainer.of(head, frozen.preprocess, frozen.extractor).explain(file.getvalue())
    assert found.number == 0 and found.shares.shape == (SIDE, SIDE)
    half = SIDE // 2
    corner = found.shares[:half, :half]
    assert corner.mean() > 0 > found.shares[half:, half:].mean()


@pytest.mark.slow
def test_what_raises_a_number_and_what_lowers_it() -> None:
    """The parts are the whole output of the head and change sides with its sign; what a crop leaves out says nothing."""
    frozen = open_backbone(TrainSettings.of(device="cpu"), silent).frozen
    assert frozen is not None and frozen.preprocess.view_name == "crop"
    rng, file = np.random.default_rng(0), io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (230, 400, 3), np.uint8)).save(file, "PNG")
    features = frozen.extractor.compute(frozen.preprocess.views_of_file(file.getvalue())[:1])
    weight = rng.normal(0, 1, (1, features.shape[1])).astype(np.float32)
    head = Head(weight, np.array([0.7], np.float32))
    found = Explainer.of(head, frozen.preprocess, frozen.extractor).explain_number(file.getvalue())
    assert found.raised > 0 and found.lowered > 0 and (found.shares[:, 0] == 0).all()
    assert found.raised - found.lowered == pytest.approx(float(head.logits(features)[0, 0]), abs=1e-3)
    turned = Explainer.of(Head(-weight, -head.bias), frozen.preprocess, frozen.extractor).explain_number(file.getvalue())
    assert turned.lowered == pytest.approx(found.raised, rel=1e-4) and turned.shares == pytest.approx(-found.shares, abs=1e-5)


@pytest.mark.parametrize(("width", "height"), [(300, 300), (600, 300), (300, 900)])
def test_where_a_crop_lies(width: int, height: int) -> None:
    """A view of the middle fills the middle of the picture, in its proportions; nothing is said of what it does not show."""
    frozen = open_backbone(TrainSettings.of(device="cpu"), silent).frozen
    assert frozen is not None and frozen.preprocess.view_name == "crop"
    over = _over_picture(np.ones((14, 14), np.float32), frozen.preprocess, width, height)
    side = min(width, height) * frozen.preprocess.size_px / frozen.preprocess.resize_px
    assert over.sum(axis=1).max() == pytest.approx(SIDE * side / width, abs=2)
    assert over.sum(axis=0).max() == pytest.approx(SIDE * side / height, abs=2)
    assert np.array_equal(over, over[::-1]) and np.array_equal(over, over[:, ::-1])


def test_a_whole_view_covers_the_picture() -> None:
    """The whole picture, squeezed: each place of the grid is one of the picture."""
    frozen = open_backbone(TrainSettings.of(device="cpu", view="whole"), silent).frozen
    assert frozen is not None
    assert _over_picture(np.ones((7, 7), np.float32), frozen.preprocess, 640, 480).all()
