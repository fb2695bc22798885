"""Which page of a TIFF is the photograph, and TIFFs that hold none."""

import numpy as np
import pytest

from headstart.data.images import DecodedImage, decode
from headstart.data.unreadable import UnreadableImage
from tests.data.tiffs import FORMAT, SUB_PAGES, Page, packed, tags, tiff

SMALL = np.full((6, 8), 40)
LARGE = np.full((12, 16), 200)
NO_RANGE = "pixels: their range is unknown; save the image with 8 or 16 bits"
DEVELOP = ", which needs developing: save it as JPEG or TIFF; the preview in it is not the photograph"


def grey(levels: np.ndarray, **more: list[int] | bytes) -> Page:
    return tags(levels.shape[1], levels.shape[0], 8, 1, **more), [packed(levels, 8)]


def mosaic(**more: list[int] | bytes) -> Page:
    return tags(16, 12, 16, 32803, **more), [packed(LARGE * 257, 16)]


def reason_for(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(data)
    assert caught.value.fault == "type"
    return caught.value.reason


def level(decoded: DecodedImage) -> int:
    return decoded.rgb.getpixel((0, 0))[0]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_several_pages(order: str, big: bool) -> None:
    """Of several pages the first is used, and their number is told."""
    decoded = decode(tiff(grey(LARGE), grey(SMALL), grey(SMALL), order=order, big=big))
    assert (level(decoded), decoded.width, decoded.pages) == (200, 16, 3)


def test_one_page_is_one_page() -> None:
    """A lower resolution and a mask of the same image are no pages of their own."""
    assert decode(tiff(grey(LARGE))).pages == 1
    assert decode(tiff(grey(LARGE), grey(SMALL, t254=[1]), grey(LARGE, t254=[4]))).pages == 1


@pytest.mark.parametrize("preview", [{"t254": [1]}, {"t255": [2]}, {"t254": [5]}, {"t254": [4]}])
def test_a_preview_before_the_image(preview: dict[str, list[int]]) -> None:
    """A file that begins with a preview or a mask is read from its first whole page."""
    decoded = decode(tiff(grey(SMALL, **preview), grey(LARGE)))
    assert (level(decoded), decoded.width, decoded.height, decoded.pages) == (200, 16, 12, 1)


def test_a_deep_page_after_a_preview() -> None:
    """So is one whose photograph has 12 bits."""
    page = tags(16, 12, 12, 1), [packed(LARGE * 4095 // 255, 12)]
    assert level(decode(tiff(grey(SMALL, t254=[1]), page))) == 200


def test_a_preview_alone() -> None:
    """A preview whose image is below it, or missing, is not taken for the photograph."""
    expected = "it holds only a preview of an image that is elsewhere"
    assert reason_for(tiff(grey(SMALL, t254=[1]))) == expected
    assert reason_for(tiff(grey(SMALL, t254=[1]), below=[grey(LARGE)])) == expected


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (b"NIKON CORPORATION\0", "Nikon NEF"),
        (b"SONY\0", "Sony ARW"),
        (b"PENTAX Corporation\0", "Pentax PEF"),
        (b"RICOH IMAGING COMPANY, LTD.\0", "Pentax PEF"),
        (b"SAMSUNG\0", "Samsung SRW"),
        (b"Somebody\0", "of a camera"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_raw_photographs(make: bytes, kind: str, order: str) -> None:
    """A raw photograph is refused by name, wherever its mosaic lies; its preview is not the photograph."""
    expected = f"a raw photograph ({kind}){DEVELOP}"
    assert reason_for(tiff(grey(SMALL, t254=[1], t271=make), below=[mosaic(t254=[0])], order=order)) == expected
    assert reason_for(tiff(grey(SMALL, t271=make), mosaic(), order=order)) == expected
    assert reason_for(tiff(mosaic(t271=make), order=order)) == expected


@pytest.mark.parametrize("compression", [34713, 32767, 65535, 65000])
def test_raw_photographs_of_a_compression_of_their_own(compression: int) -> None:
    """What only cameras compress is raw, even where it is not named a mosaic."""
    hidden = tags(16, 12, 12, 1, t259=[compression]), [b"raw"]
    assert reason_for(tiff(grey(SMALL), below=[hidden])).startswith("a raw photograph")


@pytest.mark.parametrize("first", [{"t254": [1]}, {}])
def test_dng(first: dict[str, list[int]]) -> None:
    """A DNG is refused by name, also one whose first page looks like a whole image."""
    data = tiff(grey(SMALL, t50706=b"\1\4\0\0", **first), below=[mosaic()])
    assert reason_for(data) == f"a raw photograph (DNG){DEVELOP}"


def test_cr2() -> None:
    """A CR2 says so after its header; its first page, a whole JPEG, is not the photograph."""
    data = bytearray(tiff(grey(SMALL)))
    shifted = data[:8] + b"CR\2\0" + data[12:]  # over the first pixels
    assert reason_for(bytes(shifted)) == f"a raw photograph (Canon CR2){DEVELOP}"


@pytest.mark.parametrize(
    ("bits", "format", "reason"),
    [
        (32, 3, f"floating-point {NO_RANGE}"),
        (16, 3, f"floating-point {NO_RANGE}"),
        (64, 3, f"floating-point {NO_RANGE}"),
        (8, 2, f"signed {NO_RANGE}"),
        (16, 2, f"signed {NO_RANGE}"),
        (12, 2, f"signed {NO_RANGE}"),
        (32, 1, f"32-bit integer {NO_RANGE}"),
        (32, 2, f"32-bit integer {NO_RANGE}"),
        (24, 1, f"24-bit integer {NO_RANGE}"),
        (16, 4, f"complex or undefined {NO_RANGE}"),
        (16, 5, f"complex or undefined {NO_RANGE}"),
    ],
)
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_samples_of_unknown_range(bits: int, format: int, reason: str, bands: int, order: str) -> None:
    """Samples that may mean anything are refused with what to do: no guess turns them into grey levels."""
    page = tags(8, 6, bits, 1 if bands == 1 else 2, bands) | {FORMAT: [format] * bands}
    assert reason_for(tiff((page, [bytes(8 * 6 * bands * bits // 8)]), order=order)) == reason


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize(
    ("bands", "photometric", "reason"),
    [
        (5, 2, "5 bands, not a photograph: save three of them as an RGB image"),
        (13, 1, "13 bands, not a photograph: save three of them as an RGB image"),
        (3, 1, "3 bands that are not named as colours: save the image as RGB"),
        (4, 1, "4 bands that are not named as colours: save the image as RGB"),
    ],
)
def test_bands(bands: int, photometric: int, reason: str, planar: int) -> None:
    """More than four bands, and bands without a colour, are refused by name: three of them are not the photograph."""
    named = 3 if photometric == 2 else 1
    page = tags(8, 6, 8, photometric, bands, t284=[planar], t338=[0] * (bands - named))
    strips = [bytes(48 * bands)] if planar == 1 else [bytes(48)] * bands
    assert reason_for(tiff((page, strips))) == reason


def test_inks_and_coarse_colours() -> None:
    """Inks other than the four usual ones, and uncompressed pixels with coarser colours, are refused by name."""
    assert reason_for(tiff((tags(8, 6, 8, 5, 4, t332=[2]), [bytes(192)]))).startswith("inks other than cyan")
    assert "subsampled" in reason_for(tiff((tags(8, 6, 8, 6, 3), [bytes(72)])))
    full = tags(8, 6, 8, 6, 3, t530=[1, 1]), [bytes([200, 128, 128]) * 48]
    assert level(decode(tiff(full))) == 200


def test_pages_in_a_circle() -> None:
    """A file whose last page points to its first is read, not followed for ever."""
    data = bytearray(tiff(grey(LARGE)))
    at = int.from_bytes(data[4:8], "little")
    end = at + 2 + 12 * int.from_bytes(data[at : at + 2], "little")
    data[end : end + 4] = data[4:8]
    assert decode(bytes(data)).pages == 1


def test_many_pages_that_share_a_large_tag() -> None:
    """A small file whose thousands of pages all point to the same large tag is read without reading that tag each time."""
    shared = b"\7" * 400_000
    page = tags(8, 6, 8, 1, t271=shared), [bytes(48)]
    decoded = decode(tiff(page, *[(tags(8, 6, 8, 1), [b""])] * 2000, below=[page] * 20))
    assert decoded.pages == 2001


def test_an_earlier_decoding_reads_what_it_read() -> None:
    """A model that was made before still reads the first page, whatever it is."""
    for data in (
        tiff(grey(SMALL, t254=[1], t50706=b"\1\4\0\0"), below=[mosaic()]),
        tiff(grey(SMALL, t254=[1]), grey(LARGE)),
        tiff(grey(SMALL), mosaic()),
    ):
        assert level(decode(data, decoding=1)) == 40
    assert SUB_PAGES not in grey(SMALL)[0]
