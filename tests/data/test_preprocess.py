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
from headstart.data.preprocess import WHOLE_PIXELS, Preprocess, centre_offset, resized_size, upgraded_preprocess
from headstart.model.specs import NAMED

LITE0 = Preprocess(size_px=224, resize_px=256, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
NORMAL = LITE0.model_copy(update={"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)})
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


OWN_SIZE = {
    "vit_small_patch14_dinov2.lvd142m": (224, 256)
}  # as its authors' linear probes see; timm's 518 px are five times slower


@cache
def timm_transform(timm_name: str) -> Any:
    timm = pytest.importorskip("timm")
    from timm.data import create_transform, resolve_data_config

    config = resolve_data_config({}, model=timm.create_model(timm_name, pretrained=False))
    if timm_name in OWN_SIZE:
        size_px, resize_px = OWN_SIZE[timm_name]
        config |= {"input_size": (3, size_px, size_px), "crop_pct": size_px / resize_px}
    return create_transform(**config)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NAMED)
def test_equal_to_timm(name: str, size: tuple[int, int]) -> None:
    """Decoded in full, an image becomes what timm's evaluation transform makes of it, to within one of 255 levels."""
    spec = NAMED[name]
    assert spec.preprocess is not None
    width, height = resized_size(*size, spec.preprocess.resize_px)
    if width * height > WHOLE_PIXELS:
        pytest.skip("such a strip is not resized as a whole: it would take gigabytes")
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


def test_whole_shows_the_whole_image() -> None:
    """Nothing is cut off: the corners of the image are the corners of the view."""
    image = Image.new("RGB", (400, 100), "white")
    image.paste("black", (0, 0, 40, 100))
    view = LITE0.seen_as("whole").view(image)
    assert view.shape == (224, 224, 3)
    assert (view[:, :10] == 0).all()
    assert (view[:, 60:] == 255).all()
    assert (LITE0.view(image) == 255).all()


@pytest.mark.parametrize(
    ("size", "inner"),
    [((400, 100), (224, 56)), ((100, 400), (56, 224)), ((90, 90), (224, 224)), ((1000, 333), (224, 75)), ((5000, 1), (224, 1))],
    ids=str,
)
def test_pad_keeps_the_proportions(size: tuple[int, int], inner: tuple[int, int]) -> None:
    """The whole image stands in the middle at its own proportions, around it the mean colour, which is 0 to the network."""
    preprocess = NORMAL.seen_as("pad")
    view = preprocess.view(Image.new("RGB", size, (9, 200, 30)))
    width, height = inner
    left, top = (224 - width) // 2, (224 - height) // 2
    assert (view[top : top + height, left : left + width] == (9, 200, 30)).all()
    around = np.ones((224, 224), bool)
    around[top : top + height, left : left + width] = False
    assert (view[around] == (124, 116, 104)).all()
    scale, shift = preprocess.scale_and_shift()
    assert np.abs(view[around] * scale + shift).max(initial=0) <= 0.5 * scale.max() + 1e-6


def test_pad_shows_what_whole_shows() -> None:
    """A picture that is square already needs no padding."""
    image = noise(333, 333)
    assert (LITE0.seen_as("pad").view(image) == LITE0.seen_as("whole").view(image)).all()


# Several views


@pytest.mark.parametrize(
    "view", ["crop", "whole", "pad", "crop+whole", "pad+crop+whole", "crop+mirrored", "whole+pad+mirrored"]
)
@pytest.mark.parametrize("size", [(300, 200), (40, 90), (1, 1), (3000, 40)], ids=str)
def test_views_are_the_single_views_in_order(view: str, size: tuple[int, int]) -> None:
    """Each view is what a preprocessing for it alone makes of the image; the first is the one that people are shown."""
    preprocess, image = LITE0.seen_as(view), noise(*size)
    views, single = preprocess.views(image), preprocess.one_by_one()
    assert views.shape == (preprocess.n_views, 224, 224, 3) and views.dtype == np.uint8
    assert len(single) == preprocess.n_views
    for one, found in zip(single, views, strict=True):
        assert one.n_views == 1 or one.mirrored
        assert (found == one.views(image)[-1]).all()
    assert (views[0] == preprocess.view(image)).all()
    assert (preprocess.view_of_pixels(np.asarray(image)) == views[0]).all()
    assert (preprocess.views_of_pixels(np.asarray(image)) == views).all()
    assert (preprocess.views_of_file(encode(image, "PNG")) == views).all()


def test_each_view_is_followed_by_its_mirror_image() -> None:
    """Mirrored doubles the views; every second one is the one before it, seen in a mirror."""
    plain, mirrored = LITE0.seen_as("crop+whole"), LITE0.seen_as("crop+whole+mirrored")
    image = noise(300, 200)
    found = mirrored.views(image)
    assert (plain.n_views, mirrored.n_views) == (2, 4)
    assert (found[::2] == plain.views(image)).all()
    assert (found[1::2] == found[::2, :, ::-1]).all()


@pytest.mark.parametrize("size", [(1, 200_000), (200_000, 1), (100_000, 10)], ids=str)
@pytest.mark.parametrize("cut", ["whole", "pad"])
def test_a_strip_has_every_view(cut: str, size: tuple[int, int]) -> None:
    """Whatever the proportions, every cut gives a full square at no cost of memory."""
    view = LITE0.seen_as(cut).view(Image.new("RGB", size, (128, 128, 128)))
    assert view.shape == (224, 224, 3) and (view == 128).all()


@pytest.mark.parametrize("view", ["crop", "whole", "pad", "pad+whole", "whole+crop+mirrored", "crop+mirrored"])
def test_views_by_name(view: str) -> None:
    """A view's name leads to it and back; all else of the preprocessing stays, and the network fits."""
    seen = NORMAL.seen_as(view)
    assert seen.view_name == view
    assert seen.model_copy(update={"cuts": NORMAL.cuts, "mirrored": False}) == NORMAL
    assert seen.fits_network_of(NORMAL) and NORMAL.fits_network_of(seen)
    assert seen.at_size(96).view_name == view
    assert Preprocess.from_json(json.loads(json.dumps(seen.as_json()))) == seen


@pytest.mark.parametrize("view", ["", "mirrored", "centre", "crop+crop", "crop,whole", "crop+", "Crop", "crop whole"])
def test_views_that_are_none(view: str) -> None:
    """A name that is no view, one given twice, or none at all is refused."""
    with pytest.raises(ValueError, match="cuts"):
        LITE0.seen_as(view)


@pytest.mark.parametrize(
    "change", [{"size_px": 225, "resize_px": 256}, {"mean": (0.5, 0.5, 0.4)}, {"std": (0.5, 0.5, 0.4)}], ids=str
)
def test_a_network_is_for_its_size_and_normalisation(change: dict[str, Any]) -> None:
    """What is computed inside the compiled network may not differ; how the pixels are cut and resized may."""
    assert not LITE0.model_copy(update=change).fits_network_of(LITE0)
    free = {"resize_px": 300, "interpolation": "bilinear", "decode_margin": 1.0, "decoding": 1}
    assert LITE0.model_copy(update=free).fits_network_of(LITE0)


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
    "spec", [*(spec.preprocess for spec in NAMED.values()), LITE0.model_copy(update={"cuts": ("whole",), "decode_margin": 0.0})]
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
    "cuts": ("whole",),
    "mirrored": True,
    "decode_margin": 0.0,
}


@pytest.mark.parametrize("name", [name for name in Preprocess.model_fields if name not in ("decoding", "channels")])
def test_digest_covers_every_field(name: str) -> None:
    """Features are kept under this digest, so a change of any part changes it; how files are decoded has a key of its own."""
    changed = LITE0.model_copy(update={name: CHANGES[name]})
    assert changed.digest() != LITE0.digest()
    assert len(changed.digest()) == 16
    earlier = LITE0.model_copy(update={"decoding": 1})
    assert earlier.digest() == LITE0.digest()
    assert pixels_version(earlier.decoding) != pixels_version(LITE0.decoding) == pixels_version()
    chosen = LITE0.choosing("page=3")
    assert chosen.digest() == LITE0.digest() and chosen.pixels_version != LITE0.pixels_version == pixels_version()


# As written and named by the version before there were several views.
OF_BEFORE = [
    (
        {
            "size_px": 224,
            "resize_px": 256,
            "interpolation": "bicubic",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "crop": "center",
            "decode_margin": 2.0,
            "decoding": 2,
        },
        "747ee53847625de7",
        "crop",
    ),
    (
        {
            "size_px": 160,
            "resize_px": 168,
            "interpolation": "bilinear",
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "crop": "squash",
            "decode_margin": 0.0,
            "decoding": 2,
        },
        "6084e46b35e6045c",
        "whole",
    ),
]


@pytest.mark.parametrize(("values", "digest", "view"), OF_BEFORE, ids=["center", "squash"])
def test_what_earlier_versions_wrote(values: dict[str, Any], digest: str, view: str) -> None:
    """Their JSON is read as the one view that they had, under the name that their stored features have."""
    upgraded = upgraded_preprocess(values)
    read = Preprocess.from_json(upgraded)
    assert (read.view_name, read.digest()) == (view, digest)
    assert upgraded_preprocess(upgraded) == upgraded
    assert upgraded_preprocess(read.as_json()) == read.as_json()


@pytest.mark.parametrize("crop", ["random", 3, ["center"], None])
def test_a_crop_that_no_version_wrote(crop: Any) -> None:
    """A crop that there never was is not taken for one: it is refused where it is read."""
    with pytest.raises(ValueError, match="cuts"):
        Preprocess.from_json(upgraded_preprocess(OF_BEFORE[0][0] | {"crop": crop}))


@pytest.mark.parametrize("values", [None, [], "crop", {}])
def test_what_is_no_preprocess(values: Any) -> None:
    """Anything else passes through unchanged."""
    assert upgraded_preprocess(values) == values


def test_every_set_of_views_has_a_name_of_its_own() -> None:
    """No two ways to look at an image share features: not the order, the mirror images nor the cuts."""
    names = ["crop", "whole", "pad", "crop+whole", "whole+crop", "crop+mirrored", "crop+whole+mirrored", "crop+whole+pad"]
    assert len({LITE0.seen_as(name).digest() for name in names}) == len(names)
    mirrored = [one.digest() for one in LITE0.seen_as("crop+whole+mirrored").one_by_one()]
    assert len(set(mirrored)) == 4
    assert mirrored[::2] == [LITE0.digest(), LITE0.seen_as("whole").digest()]


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
