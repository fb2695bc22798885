"""Every file that comes in pydicom's wheel is the image that pydicom's own functions give, or has a reason in one sentence."""

import io
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array  # noqa: E402
from pydicom.pixels.processing import apply_voi  # noqa: E402

from headstart.data.images import decode, measured  # noqa: E402
from headstart.data.unreadable import UnreadableImage  # noqa: E402

FOLDER = Path(pydicom.__file__).parent / "data"
FILES = sorted(file for file in FOLDER.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc"))
FEWEST = 80  # images among them; fewer would mean that the test looks in the wrong place
# Beginnings of the reasons for which a file of pydicom's may be refused.
REASONS = (
    "a DICOM file without an image",
    "the image is damaged: ",
    "a DICOM file compressed as JPEG Extended (Process 2 and 4), which cannot be decoded",
    "not an image in a format that is read",  # the files without the 132 bytes that DICOM files begin with
    "a text file, not an image",
    "a gzip archive, not an image",
)


def theirs(dataset: "pydicom.Dataset", frame: int) -> np.ndarray:
    """The frame as pydicom's functions show it: shares of white, 0 .. 1, grey or RGB."""
    stored = pixel_array(dataset, index=frame)
    kind, bits = dataset.PhotometricInterpretation, int(dataset.BitsStored)
    if kind == "PALETTE COLOR":
        looked_up = apply_color_lut(stored, dataset)[..., :3]
        return looked_up / np.iinfo(looked_up.dtype).max
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        return stored / ((1 << bits) - 1)
    values = apply_modality_lut(stored, dataset)
    if "VOILUTSequence" in dataset:
        shown = apply_voi(stored, dataset) / ((1 << int(dataset.VOILUTSequence[0].LUTDescriptor[2])) - 1)
    elif dataset.get("WindowWidth"):
        shown = apply_voi_lut(values, dataset, index=0)
        ends = [0.0, 2.0**bits - 1] if not dataset.PixelRepresentation else [-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1]
        low, high = (end * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0)) for end in ends)
        shown = (shown - low) / (high - low)
    elif values.dtype == np.uint8:
        shown = values / ((1 << bits) - 1)
    else:
        low, high = float(values.min()), float(values.max())
        shown = (values - low) / (high - low) if high > low else np.zeros(values.shape)
    return 1 - shown if kind == "MONOCHROME1" else shown


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(FOLDER)))
def test_one_sample(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each frame has the values that pydicom gives, to a level of 255; what is refused says why, and nothing is printed."""
    data = file.read_bytes()
    try:
        n_frames = 1
        decode(data)
    except UnreadableImage as unreadable:
        several = re.match(r"a DICOM file of (\d+) frames: say which are meant", unreadable.reason)
        assert several or unreadable.reason.startswith(REASONS), unreadable.reason
        assert "\n" not in unreadable.reason and len(unreadable.reason) < 300
        n_frames = int(several[1]) if several else 0
    dataset = pydicom.dcmread(io.BytesIO(data)) if n_frames else None
    for frame in range(n_frames):
        found = np.asarray(decode(data, channels="" if n_frames == 1 else f"page={frame}").rgb).astype(int)
        shown = theirs(dataset, frame)
        expected = np.floor(np.clip(shown, 0, 1) * 255 + 0.5)
        assert np.abs(found - (expected if expected.ndim == 3 else expected[..., None])).max() <= 1
        if shown.ndim == 2:
            (values,) = measured(data, f"page={frame}+window=1..99")
            assert (values == apply_modality_lut(pixel_array(dataset, index=frame), dataset)).all()
    assert capfd.readouterr() == ("", "")


def test_there_are_samples() -> None:
    """The folder is that of pydicom's samples, and most of them are images."""
    images = 0
    for file in FILES:
        with suppress(UnreadableImage):
            images += decode(file.read_bytes(), channels="page=0").format == "DICOM"
    assert len(FILES) >= 150 and images >= FEWEST
