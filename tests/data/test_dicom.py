"""DICOM: pixels as pydicom gives them, windows as the standard says, nothing about a person in any word."""

import io
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import Dataset  # noqa: E402
from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array  # noqa: E402
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless  # noqa: E402

from data.dicoms import SAMPLES, dicom, written  # noqa: E402
from headstart.data.codestreams import stated_size  # noqa: E402
from headstart.data.dicom import GROUP, dicom_version, group_of  # noqa: E402
from headstart.data.images import decode, pixels_version  # noqa: E402
from headstart.data.unreadable import MAX_BYTES, UnreadableImage  # noqa: E402

RAMP = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)


def grey(data: bytes) -> np.ndarray:
    """(height, width) levels of a file that must be grey."""
    rgb = np.asarray(decode(data).rgb)
    assert (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all()
    return rgb[..., 0]


def reason_for(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(data)
    return caught.value.reason


def as_levels(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.floor(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)


def test_windows_as_pydicom_applies_them() -> None:
    """Rescaled and windowed values are pydicom's, by each function of the standard; of several windows the first counts."""
    for pixels in (RAMP, (RAMP.astype(np.int16) - 1500)):
        for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
            window = {"WindowCenter": [40, 600], "WindowWidth": [400, 1500], "VOILUTFunction": function}
            data = dicom(pixels, RescaleSlope=2, RescaleIntercept=-1024, **window)
            read = pydicom.dcmread(io.BytesIO(data))
            theirs = apply_voi_lut(apply_modality_lut(read.pixel_array, read), read, index=0)
            bits = -(1 << 15) if pixels.dtype.kind == "i" else 0
            low, high = 2 * bits - 1024, 2 * (bits + (1 << 16) - 1) - 1024
            assert np.abs(grey(data).astype(int) - as_levels(theirs, low, high)).max() <= 1
            assert (grey(data) == as_levels(theirs, low, high)).mean() > 0.999


def test_without_a_window() -> None:
    """The full range of the image becomes black to white; padding does not count and is black."""
    assert (grey(dicom(RAMP)) == as_levels(RAMP, 0, RAMP.max())).all()
    assert (grey(dicom(RAMP, RescaleSlope=3, RescaleIntercept=7)) == as_levels(RAMP, 0, RAMP.max())).all()
    padded = RAMP.astype(np.int16) + 500
    padded[:10] = -2000
    levels = grey(dicom(padded, PixelPaddingValue=-2000, RescaleSlope=1, RescaleIntercept=-5))
    assert (levels[10:] == as_levels(padded[10:], padded[10:].min(), padded.max())).all() and not levels[:10].any()
    assert not grey(dicom(np.full((9, 9), 700, np.uint16))).any()


@pytest.mark.parametrize("width", [0, -3, 0.5])
def test_a_window_without_width(width: float) -> None:
    """A window that no pixel lies in counts as none, as in files whose writer left it empty."""
    assert (grey(dicom(RAMP, WindowCenter=9, WindowWidth=width)) == as_levels(RAMP, 0, RAMP.max())).all()


def test_eight_bits() -> None:
    """8 bits that nothing rescales or windows stay as they are, grey or colour; fewer are spread over the range."""
    pixels = np.arange(20, 140, dtype=np.uint8).reshape(10, 12)
    assert (grey(dicom(pixels)) == pixels).all()
    assert (grey(dicom(pixels % 16, BitsStored=4, HighBit=3)) == pixels % 16 * 17).all()
    colour = np.stack([pixels, pixels[::-1], pixels[:, ::-1]], -1)
    decoded = decode(dicom(colour))
    assert (np.asarray(decoded.rgb) == colour).all()
    assert (decoded.format, decoded.mode, decoded.width, decoded.height, decoded.is_plain) == ("DICOM", "RGB;8", 12, 10, False)


def test_monochrome1_is_inverted() -> None:
    """In MONOCHROME1 the smallest value is white, after the window."""
    window = {"WindowCenter": 900, "WindowWidth": 800}
    plain, inverted = dicom(RAMP, **window), dicom(RAMP, PhotometricInterpretation="MONOCHROME1", **window)
    assert (grey(inverted) == 255 - grey(plain)).all()


def test_a_voi_lut_counts_before_a_window() -> None:
    """A table of the file itself is used first, with the depth that it states."""
    table = Dataset()
    levels = [(value * value) % 4096 for value in range(256)]
    table.add_new("LUTDescriptor", "US", [256, 0, 12])
    table.add_new("LUTData", "US", levels)
    data = dicom((RAMP % 256).astype(np.uint16), VOILUTSequence=[table], WindowCenter=9, WindowWidth=9)
    expected = as_levels(np.array(levels)[RAMP % 256], 0, 4095)
    assert (grey(data) == expected).all()


def test_what_frames_say_of_themselves() -> None:
    """Enhanced files keep window and rescaling in groups of frames; with a single frame these count."""
    window, values, shared = Dataset(), Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = 100, 401
    values.RescaleSlope, values.RescaleIntercept = 1, -300
    shared.FrameVOILUTSequence, shared.PixelValueTransformationSequence = [window], [values]
    data = dicom(RAMP, SharedFunctionalGroupsSequence=[shared])
    assert (grey(data) == grey(dicom(RAMP, WindowCenter=100, WindowWidth=401, RescaleSlope=1, RescaleIntercept=-300))).all()


READABLE = [
    *("CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_jp2klossless.dcm"),
    *("MR_small_jpeg_ls_lossless.dcm", "693_J2KI.dcm", "JPEG2000.dcm", "image_dfl.dcm", "examples_overlay.dcm"),
    *("SC_rgb_rle.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_dcmtk_+eb+cy+s4.dcm"),
    *("examples_jpeg2k.dcm", "GDCMJ2K_TextGBR.dcm", "SC_rgb_gdcm_KY.dcm", "SC_rgb_small_odd_jpeg.dcm"),
]


@pytest.mark.parametrize("name", READABLE)
def test_the_samples_of_pydicom(name: str) -> None:
    """pydicom's own files have its pixels: colours as they are, grey over pydicom's window, or over its range without one."""
    data = (SAMPLES / name).read_bytes()
    read = pydicom.dcmread(io.BytesIO(data))
    theirs = pixel_array(read)
    if theirs.ndim == 3:
        assert (np.asarray(decode(data).rgb) == theirs).all()
        return
    values = apply_modality_lut(theirs, read)
    if "WindowWidth" in read:
        shown = np.asarray(apply_voi_lut(values, read, index=0), float)
        order = np.argsort(shown, axis=None, kind="stable")
        assert (np.diff(grey(data).ravel()[order].astype(int)) >= 0).all(), "the order of the window's levels"
    elif theirs.dtype == np.uint8:
        assert (grey(data) == theirs).all()
    else:
        assert (grey(data) == as_levels(values, values.min(), values.max())).all()


def test_a_palette() -> None:
    """Colours of a palette are looked up."""
    data = (SAMPLES / "examples_palette.dcm").read_bytes()
    read = pydicom.dcmread(io.BytesIO(data))
    from pydicom.pixels import apply_color_lut

    theirs = apply_color_lut(read.pixel_array, read)
    assert (np.asarray(decode(data).rgb) == as_levels(theirs, 0, 65535)).all()


def test_an_icc_profile_counts() -> None:
    """Colours with a profile come out in sRGB, as those of other formats do."""
    from headstart.data.colour import DISPLAY_P3
    from headstart.data.icc import profile_from

    pixels = np.full((8, 8, 3), (200, 120, 90), np.uint8)
    wide = decode(dicom(pixels, ICCProfile=profile_from(None, DISPLAY_P3))).rgb.getpixel((4, 4))
    assert wide[0] - 200 >= 5


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rtplan.dcm", "without an image: RT Plan Storage"),
        ("test-SR.dcm", "without an image: Comprehensive SR Storage"),
        ("examples_ybr_color.dcm", "30 frames"),
        ("SC_rgb_rle_2frame.dcm", "2 frames"),
        ("MR_truncated.dcm", "damaged"),
        ("JPGExtended.dcm", "compressed as JPEG Extended"),
        ("JPEG2000-embedded-sequence-delimiter.dcm", "larger than the DICOM file says"),
    ],
)
def test_what_is_not_read(name: str, words: str) -> None:
    """A file without one image that can be decoded says why in one line."""
    reason = reason_for((SAMPLES / name).read_bytes())
    assert words in reason and "\n" not in reason and len(reason) < 250


def test_every_sample_is_an_image_or_a_reason() -> None:
    """No file of pydicom's, and no part of one, ends in anything but pixels or a reason."""
    for file in sorted(SAMPLES.glob("*.dcm")):
        data = file.read_bytes()
        for part in (data, data[: len(data) // 2], data[:400]):
            try:
                assert decode(part).rgb.mode == "RGB"
            except UnreadableImage as unreadable:
                assert unreadable.reason and "\n" not in unreadable.reason


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"PhotometricInterpretation": "HSV"}, "1 x HSV"),
        ({"PhotometricInterpretation": "RGB"}, "1 x RGB"),
        ({"PhotometricInterpretation": None}, "does not say how its pixels lie"),
        ({"Rows": 0}, "no pixels"),
        ({"Rows": 65535, "Columns": 65535}, "million"),
        ({"VOILUTFunction": "OTHER", "WindowCenter": 5, "WindowWidth": 5}, "a window of a kind that is not read: OTHER"),
    ],
)
def test_headers_that_do_not_fit(elements: dict[str, Any], words: str) -> None:
    """What a header leaves open or states wrongly is a reason."""
    assert words in reason_for(dicom(RAMP, **elements))


def test_a_deflated_bomb() -> None:
    """A deflated file of more than an image takes is refused before it is inflated in memory."""
    made = pydicom.dcmread(io.BytesIO(dicom(RAMP)))
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data = written(made)
    assert (grey(data) == grey(dicom(RAMP))).all()
    start = 132 + 12 + int.from_bytes(data[140:144], "little")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1 << 24)
    bomb = b"".join(squeeze.compress(zeros) for _ in range((MAX_BYTES >> 24) + 1)) + squeeze.flush()
    assert "GiB" in reason_for(data[:start] + bomb)


def test_a_frame_larger_than_its_header_says() -> None:
    """A compressed frame is decoded only if it is not larger than the header, which limits are held against, says."""
    for name in ("SC_rgb_jpeg_dcmtk.dcm", "examples_jpeg2k.dcm", "MR_small_jpeg_ls_lossless.dcm"):
        read = pydicom.dcmread(SAMPLES / name)
        read.Rows = read.Rows // 2
        assert "larger than the DICOM file says" in reason_for(written(read))


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_the_size_in_a_codestream(kind: str) -> None:
    """Width and height are found in JPEG, also behind metadata, and JPEG 2000; other bytes have none."""
    buffer = io.BytesIO()
    Image.new("RGB", (70, 30)).save(buffer, kind, **({"comment": "x" * 3000} if kind == "JPEG" else {}))
    assert stated_size(buffer.getvalue()) == (70, 30)
    assert stated_size(b"") is None and stated_size(b"\xff\xd8\xff") is None and stated_size(bytes(99)) is None


def test_two_formats_in_one_file() -> None:
    """A TIFF with a DICOM header in it, as slides of microscopes are, stays the TIFF that it was."""
    buffer = io.BytesIO()
    Image.new("RGB", (90, 90), (10, 200, 30)).save(buffer, "TIFF")
    data = bytearray(buffer.getvalue())
    data[128:132] = b"DICM"
    assert decode(bytes(data)).format == "TIFF"
    begins_as_tiff = b"II*\0\x90\1\0\0" + dicom(RAMP)[8:]
    assert decode(begins_as_tiff).format == "DICOM", "some programs leave the beginning of a TIFF that is not there"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pydicom is missing, the reason names the extra, and another way out; a file then names no group."""
    data = dicom(RAMP, PatientID="42")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    reason = reason_for(data)
    assert "pip install 'headstart[dicom]'" in reason and "save its image as PNG" in reason
    assert group_of(data) == ""


def test_without_a_reader_of_a_compression(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compression that only another package of the extra reads is named, with how to get it."""
    from pydicom.pixels.decoders import base

    data = (SAMPLES / "MR_small_jpeg_ls_lossless.dcm").read_bytes()
    for decoder in base._PIXEL_DATA_DECODERS.values():
        monkeypatch.setattr(decoder[0], "_available", {})
    monkeypatch.setattr("headstart.data.dicom.dicom_version", lambda: "3.0+0+0")
    reason = reason_for(data)
    assert "JPEG-LS" in reason and "pip install 'headstart[dicom]'" in reason


def test_the_store_knows_who_read_it() -> None:
    """What was stored without the extra, or with another version of it, is not used."""
    assert f"-dicom{pydicom.__version__}+" in pixels_version() and dicom_version() in pixels_version()


def test_who_is_shown_is_a_digest() -> None:
    """Files of one patient have one group, which does not hold the id; without an id the study counts, without both nothing."""
    one, two = (dicom(RAMP + i, PatientID="Doe 4711", PatientName="Doe^Jane") for i in range(2))
    other = dicom(RAMP, PatientID="Doe 4712")
    elsewhere = dicom(RAMP, PatientID="Doe 4711", IssuerOfPatientID="St. Elsewhere")
    assert group_of(one) == group_of(two) and len({group_of(one), group_of(other), group_of(elsewhere)}) == 3
    assert group_of(one).startswith(GROUP) and "4711" not in group_of(one) and "Doe" not in group_of(one)
    assert group_of(dicom(RAMP)) == "" and group_of(b"") == "" and group_of(bytes(400)) == ""
    without_id, blank = dicom(RAMP + 1, StudyInstanceUID="1.2.3"), dicom(RAMP, PatientID=" ", StudyInstanceUID="1.2.3")
    assert group_of(without_id) == group_of(blank) != ""


def test_no_word_says_who_is_shown() -> None:
    """The reasons of damaged files hold nothing of the person's elements."""
    data = dicom(RAMP, PatientID="Secret4711", PatientName="Secret^Jane", PatientBirthDate="19010203")
    for cut in range(0, len(data), 7):
        broken = data[:cut] + bytes([data[cut] ^ 0xFF]) + data[cut + 1 :]
        for part in (data[:cut], broken):
            try:
                decode(part)
            except UnreadableImage as unreadable:
                assert "Secret" not in unreadable.reason and "1901" not in unreadable.reason


def test_rle_is_read_without_more() -> None:
    """pydicom alone reads what is run-length encoded."""
    read = pydicom.dcmread(io.BytesIO(dicom(RAMP)))
    read.compress(RLELossless)
    assert (grey(written(read)) == grey(dicom(RAMP))).all()
