"""Pictures of more than three channels: each channel is cut, resized and turned as one of RGB is."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

tifffile = pytest.importorskip("tifffile")

from headstart.channels import channels_of  # noqa: E402
from headstart.data.boxes import Box  # noqa: E402
from headstart.data.facts import facts_of  # noqa: E402
from headstart.data.images import decode  # noqa: E402
from headstart.data.multiband import MultibandImage, picture_of  # noqa: E402
from headstart.data.pixels import CachedPixels  # noqa: E402
from headstart.data.preprocess import Preprocess  # noqa: E402
from headstart.data.unreadable import UnreadableImage  # noqa: E402

RNG = np.random.default_rng(0)
SIX = RNG.integers(0, 256, (50, 70, 6)).astype(np.uint8)
PLAIN = Preprocess(size_px=32, resize_px=40, interpolation="bicubic", mean=(0.1, 0.5, 0.9), std=(0.5, 0.4, 0.3))


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="minisblack", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("view", ["crop", "whole", "pad", "crop+whole+pad+mirrored"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_views_are_those_of_each_channel(view: str, interpolation: str) -> None:
    """The views of six channels are those of two RGB pictures side by side, to the bit."""
    own = PLAIN.seen_as(view).model_copy(update={"interpolation": interpolation})
    wide = own.choosing("c=0,1,2,3,4,5")
    assert (wide.n_channels, wide.mean, wide.std) == (6, own.mean * 2, own.std * 2)
    found = wide.views_of_file(tiff(SIX, planarconfig="contig"))
    halves = [own.views(Image.fromarray(np.ascontiguousarray(SIX[..., part]))) for part in (slice(0, 3), slice(3, 6))]
    assert (found == np.concatenate(halves, axis=-1)).all() and found.shape[1:] == wide.view_shape
    assert (wide.views_of_pixels(SIX) == found).all()


def test_what_is_shown_and_what_is_compared() -> None:
    """People see the first three channels; facts are of the mean of all; networks see all, in the order of the list."""
    decoded = decode(tiff(SIX, planarconfig="contig"), channels="c=5,4,3,2,1,0")
    assert (np.asarray(decoded.seen) == SIX[..., ::-1]).all() and (np.asarray(decoded.rgb) == SIX[..., 5:2:-1]).all()
    mean = np.floor(SIX.astype(float).mean(-1) + 0.5)
    assert (np.asarray(decoded.compared) == mean[..., None]).all()
    facts = facts_of(decoded)
    assert facts.brightness == pytest.approx(mean.mean(), abs=0.01) and facts.red == facts.green == facts.blue
    assert (decoded.width, decoded.height) == (70, 50)
    plain = decode(tiff(SIX[..., :3], planarconfig="contig"), channels="c=0,1,2")
    assert plain.bands is None and plain.seen is plain.rgb is plain.compared


def test_pages_planes_and_frames_as_channels() -> None:
    """Any one axis can be listed; pages are those that the file stores, and must be of one kind."""
    planes = np.moveaxis(SIX, -1, 0)
    for data in (tiff(planes), tiff(planes, metadata=None), tiff(planes, compression="zlib")):
        assert (np.asarray(decode(data, channels="page=0,1,2,5").seen) == SIX[..., [0, 1, 2, 5]]).all()
        assert (np.asarray(decode(data, channels="page=4,1").rgb)[..., :2] == SIX[..., [4, 1]]).all()
    stack = tiff(planes.reshape(2, 3, 50, 70), ome=True, metadata={"axes": "CZYX"})
    assert (np.asarray(decode(stack, channels="c=1+z=0,1,2,2").seen) == SIX[..., [3, 4, 5, 5]]).all()
    assert (np.asarray(decode(stack, channels="page=0,2,3,5").seen) == SIX[..., [0, 2, 3, 5]]).all()
    assert (np.asarray(decode(stack, channels="z=max+c=0,1,0,1").seen)[..., 1] == planes[3:].max(0)).all()
    for data, channels, words in (
        (tiff(planes), "page=0,1,2,6", "no page 6: it has 6"),
        (stack, "c=0,1,2,0+z=0", "no channel c=2: it has 2"),
        (stack, "z=0,1,2,0", "it has 2 channels"),
        (tiff(SIX[..., 0]), "z=0,1,2,3", "no plane z=1: it has 1"),
    ):
        with pytest.raises(UnreadableImage, match=words):
            decode(data, channels=channels)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(planes[0], metadata=None)
        file.write(planes[1, :20], metadata=None)
    with pytest.raises(UnreadableImage, match="differ in size or kind"):
        decode(buffer.getvalue(), channels="page=0,1,0,1")


def test_a_listed_plane_of_a_photograph_with_colours() -> None:
    """A photograph has no planes to list, also where its pages are all the same."""
    buffer = io.BytesIO()
    Image.fromarray(SIX[..., :3]).save(buffer, "PNG")
    for channels in ("z=0,0,0,0", "c=0,1,2,3"):
        with pytest.raises(UnreadableImage, match=r"several colours each|no channel c=3"):
            decode(buffer.getvalue(), channels=channels)
    assert (np.asarray(decode(buffer.getvalue(), channels="c=2,0,1,2").seen) == SIX[..., [2, 0, 1, 2]]).all()


def test_levels_for_each_channel() -> None:
    """Each channel has levels of its own, or all have the same."""
    values = RNG.integers(0, 60000, (20, 30, 4)).astype(np.uint16)
    pairs = ((0, 60000), (10, 500), (30000, 30001), (5, 7))
    text = "c=0,1,2,3+levels=" + ",".join(f"{low}..{high}" for low, high in pairs)
    assert channels_of(text).n_channels == channels_of(text).n_listed == 4 and channels_of("c=1,2").n_channels == 3
    found = np.asarray(decode(tiff(values, planarconfig="contig"), channels=text).seen)
    for i, (low, high) in enumerate(pairs):
        expected = np.floor(np.clip((values[..., i].astype(float) - low) / (high - low), 0, 1) * 255 + 0.5)
        assert (found[..., i] == expected).all()


def test_turned_and_in_a_box() -> None:
    """A tag turns all channels; a box is cut out of all."""
    data = tiff(SIX[..., :5], planarconfig="contig", extratags=[(274, "H", 1, 6, True)])
    decoded = decode(data, channels="c=0,1,2,3,4")
    assert (np.asarray(decoded.seen) == np.rot90(SIX[..., :5], -1)).all() and decoded.rgb.size == (50, 70)
    cut = decode(Box(10, 5, 20, 30).mark + tiff(SIX, planarconfig="contig"), channels="c=0,1,2,3,4,5")
    assert (np.asarray(cut.seen) == SIX[5:35, 10:30]).all() and (np.asarray(cut.rgb) == SIX[5:35, 10:30, :3]).all()


def test_it_is_resized_as_pictures_are() -> None:
    """A picture of n channels has the sizes and the pixels of its parts; kept pixels have all channels."""
    picture = picture_of(SIX)
    assert isinstance(picture, MultibandImage) and picture.size == (70, 50)
    small = np.asarray(picture.resize((9, 7), Image.Resampling.BICUBIC, box=(3.5, 2, 60, 41)))
    for i in range(6):
        band = Image.fromarray(np.ascontiguousarray(SIX[..., i]))
        assert (small[..., i] == np.asarray(band.resize((9, 7), Image.Resampling.BICUBIC, box=(3.5, 2, 60, 41)))).all()
    assert isinstance(picture_of(SIX[..., :3]), Image.Image) and np.asarray(picture, np.float32).dtype == np.float32
    wide = PLAIN.choosing("c=0,1,2,3,4,5")
    assert CachedPixels([], wide).shape(decode(tiff(SIX, planarconfig="contig"), channels=wide.channels)).shape == (40, 56, 6)


@pytest.mark.parametrize(
    "changed",
    [
        {"std": (0.5,) * 4},
        {"mean": (0.5,) * 33, "std": (0.5,) * 33},
        {"channels": "c=0,1,2,3,4"},
        {"mean": (0.5,) * 4, "std": (0.5,) * 4, "channels": "c=0,1,2"},
    ],
)
def test_numbers_that_do_not_fit(changed: dict[str, Any]) -> None:
    """Mean and std have one number for each channel that is listed, and at most thirty-two."""
    with pytest.raises(ValueError, match=r"mean|std"):
        Preprocess.model_validate(dict(PLAIN) | changed)


def test_the_digest_of_three_channels_is_that_of_earlier_versions() -> None:
    """Features stored for photographs and grey are found again; those of other numbers of channels have other names."""
    assert PLAIN.choosing("c=0,1,2").digest() == PLAIN.digest() == PLAIN.choosing("c=0,1,2,3").choosing("").digest()
    digests = {PLAIN.choosing("c=" + ",".join(["0"] * n)).digest() for n in range(3, 33)}
    assert len(digests) == 30
