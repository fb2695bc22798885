"""One preprocessing, equal to the one the pretrained networks were trained with."""

import io
import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headstart.data.images import pixels_version
from headstart.data.preprocess import WHOLE_PIXELS, Preprocess, centre_offset, resized_size
from headstart.model.specs import NAMED

LITE0 = Preprocess(size_px=224, resize_px=256, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
SIZES = [
    (500, 375),
    (375, 500),
    (256, 256),
    (224, 224),
    (300, 301),
    (333, 501),
    (1023, 769),
    (100, 80),
    (17, 31),
    (1, 1),
    (3000, 40),
    (40, 3000),
]


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng([width, height]).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encode(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=95)
    return buffer.getvalue()


@cache
def timm_transform(timm_name: str) -> Any:
    timm = pytest.importorskip("timm")
    from timm.data import create_transform, resolve_data_config

    return create_transform(**resolve_data_config({}, model=timm.create_model(timm_name, pretrained=False)))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NAMED)
def test_equal_to_timm(name: str, size: tuple[int, int]) -> None:
    """Decoded in full, an image becomes what timm's evaluation transform makes of it, to within one of 255 levels."""
    spec = NAMED[name]
    assert spec.preprocess is not None
    image = noise(*size)
    *steps, normalise = timm_transform(spec.timm_name).transforms
    assert type(normalise).__name__ == "Normalize"
    expected: Any = image
    for step in steps:
        expected = step(expected)
    view = spec.preprocess.model_copy(update={"decode_margin": 0.0}).view(image)
    assert view.shape == (spec.preprocess.size_px, spec.preprocess.size_px, 3)
    assert np.abs(view / 255 - expected.numpy().transpose(1, 2, 0)).max() <= 1 / 255 + 1e-6


@pytest.mark.parametrize("name", NAMED)
def test_normalisation_is_timms(name: str) -> None:
    """`view * scale + shift` is timm's whole transform, mean and standard deviation included."""
    spec = NAMED[name]
    assert spec.preprocess is not None
    scale, shift = spec.preprocess.scale_and_shift()
    assert (scale.shape, scale.dtype, shift.dtype) == ((3,), np.float32, np.float32)
    expected = timm_transform(spec.timm_name)(noise(500, 375)).numpy().transpose(1, 2, 0)
    one_level = scale.max() * 1.01
    assert np.abs(spec.preprocess.view(noise(500, 375)) * scale + shift - expected).max() <= one_level


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_without_margin_everything_is_decoded_in_full(kind: str) -> None:
    """With a decode margin of 0 even a huge JPEG comes in full size."""
    assert LITE0.model_copy(update={"decode_margin": 0.0}).decode(encode(noise(2400, 1800), kind)).rgb.size == (2400, 1800)


@pytest.mark.parametrize(
    ("margin", "expected"), [(2.0, (1200, 900)), (1.0, (600, 450)), (0.5, (300, 225)), (4.0, (2400, 1800))]
)
def test_margin_decides_the_decode_scale(margin: float, expected: tuple[int, int]) -> None:
    """A JPEG is decoded no smaller than `decode_margin` times what it is resized to."""
    assert LITE0.model_copy(update={"decode_margin": margin}).decode(encode(noise(2400, 1800), "JPEG")).rgb.size == expected


def test_reduced_decoding_changes_little() -> None:
    """With the default margin the network sees nearly the same pixels as after full decoding."""
    y, x = np.mgrid[:1800, :2400]
    image = Image.fromarray(np.stack([127 + 90 * np.sin(x / a + y / (a + 5)) for a in (11, 23, 41)], axis=-1).astype(np.uint8))
    data = encode(image, "JPEG")
    in_full = LITE0.model_copy(update={"decode_margin": 0.0})
    reduced, whole = (spec.view(spec.decode(data).rgb).astype(int) for spec in (LITE0, in_full))
    assert 0 < np.abs(reduced - whole).mean() < 1


def test_squash_shows_the_whole_image() -> None:
    """With crop "squash" nothing is cut off: the corners of the image are the corners of the view."""
    image = Image.new("RGB", (400, 100), "white")
    image.paste("black", (0, 0, 40, 100))
    view = LITE0.model_copy(update={"crop": "squash"}).view(image)
    assert view.shape == (224, 224, 3)
    assert (view[:, :10] == 0).all()
    assert (view[:, 60:] == 255).all()
    assert (LITE0.view(image) == 255).all()


@pytest.mark.parametrize("size", [(1, 200_000), (200_000, 1), (100_000, 10), (3, 60_000)], ids=str)
def test_thin_images_are_cheap(size: tuple[int, int]) -> None:
    """A strip whose resized whole would take gigabytes is viewed through its middle alone."""
    width, height = resized_size(*size, LITE0.resize_px)
    assert width * height * 3 > 1e9
    image = Image.new("RGB", size, (9, 8, 7))
    assert (LITE0.view(image) == (9, 8, 7)).all()


@pytest.mark.parametrize("size", [(4000, 10), (10, 4000)], ids=str)
def test_a_strip_is_viewed_like_any_image(size: tuple[int, int]) -> None:
    """The way that strips are viewed shows what resizing the whole and cutting out the middle would."""
    resized = resized_size(*size, 256)
    assert resized[0] * resized[1] > WHOLE_PIXELS
    image = noise(*size)
    left, top = (centre_offset(side, 224) for side in resized)
    expected = image.resize(resized, Image.Resampling.BICUBIC).crop((left, top, left + 224, top + 224))
    assert np.abs(LITE0.view(image).astype(int) - np.asarray(expected)).mean() < 1


@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.sampled_from([s.preprocess for s in NAMED.values()]),
    st.sampled_from([32, 97, 224]),
)
def test_every_size_has_a_view(width: int, height: int, preprocess: Preprocess, size_px: int) -> None:
    """Whatever the image's and the network's size, the view is a full square of the image's own colour."""
    view = preprocess.at_size(size_px).view(Image.new("RGB", (width, height), (200, 100, 50)))
    assert view.shape == (size_px, size_px, 3)
    assert (view == (200, 100, 50)).all()


def test_view_of_pixels_is_the_view() -> None:
    """Pixels and image give the same view."""
    image = noise(300, 200)
    assert (LITE0.view_of_pixels(np.asarray(image)) == LITE0.view(image)).all()


@pytest.mark.parametrize(("size_px", "resize_px"), [(224, 256), (112, 128), (100, 114), (32, 36)])
def test_at_size_keeps_the_share(size_px: int, resize_px: int) -> None:
    """At another input size the same share of the image is cut off."""
    assert LITE0.at_size(size_px) == LITE0.model_copy(update={"size_px": size_px, "resize_px": resize_px})


@pytest.mark.parametrize(
    "spec", [*(spec.preprocess for spec in NAMED.values()), LITE0.model_copy(update={"crop": "squash", "decode_margin": 0.0})]
)
def test_json_round_trip(spec: Preprocess) -> None:
    """A spec written to JSON comes back equal, with the same digest."""
    back = Preprocess.from_json(json.loads(json.dumps(spec.as_json())))
    assert back == spec
    assert back.digest() == spec.digest()


@pytest.mark.parametrize("change", [{"gamma": 1}, {"mean": 0.5}])
def test_anothers_json_is_refused(change: dict[str, Any]) -> None:
    """JSON with a part that this version does not know raises, so that it is never ignored."""
    with pytest.raises(ValueError, match=f"^{next(iter(change))}: "):
        Preprocess.from_json(LITE0.as_json() | change)
    with pytest.raises(ValueError, match=r"^size_px: field required"):
        Preprocess.from_json({})


CHANGES: dict[str, Any] = {
    "size_px": 225,
    "resize_px": 257,
    "interpolation": "bilinear",
    "mean": (0.5, 0.5, 0.4),
    "std": (0.5, 0.5, 0.4),
    "crop": "squash",
    "decode_margin": 0.0,
}


@pytest.mark.parametrize("name", [name for name in Preprocess.model_fields if name != "decoding"])
def test_digest_covers_every_field(name: str) -> None:
    """Features are kept under this digest, so a change of any part changes it; how files are decoded has a key of its own."""
    changed = LITE0.model_copy(update={name: CHANGES[name]})
    assert changed.digest() != LITE0.digest()
    assert len(changed.digest()) == 16
    earlier = LITE0.model_copy(update={"decoding": 1})
    assert earlier.digest() == LITE0.digest()
    assert pixels_version(earlier.decoding) != pixels_version(LITE0.decoding) == pixels_version()


@pytest.mark.parametrize(
    ("size", "expected"),
    [((500, 375), (341, 256)), ((375, 500), (256, 341)), ((1, 1), (256, 256)), ((3000, 40), (19_200, 256))],
)
def test_resized_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    """The shorter side is met exactly, the longer one rounded down."""
    assert resized_size(*size, 256) == expected


@pytest.mark.parametrize(("length", "offset"), [(256, 16), (257, 16), (259, 18), (224, 0)])
def test_centre_offset(length: int, offset: int) -> None:
    """Half pixels are rounded to the even side, as torchvision does."""
    assert centre_offset(length, 224) == offset
