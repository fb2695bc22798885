"""DICOM images, read with pydicom where the extra `dicom` is installed (DICOM PS3.3 and PS3.5).

Only the elements that say what pixels mean are ever parsed, so that nothing about a person can get into a message.
"""

import io
import warnings
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data.codestreams import stated_size
from headstart.data.stacks import Stack
from headstart.data.unreadable import MAX_BYTES, UnreadableImage
from headstart.storage import sha256_of_bytes

if TYPE_CHECKING:
    from pydicom import Dataset

MARK_AT, MARK = 128, b"DICM"
GROUP = "DICOM "  # before the digest in the name of a group
DEFLATED = b"1.2.840.10008.1.2.1.99"  # the transfer syntax whose data set is compressed as a whole
META_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"  # the element with the length of the file's own header
CHUNK_BYTES = 1 << 20
READERS = ("pydicom", "python-gdcm", "pyjpegls")  # what is installed of them decides which files have pixels, and which
GREY, COLOURS = ("MONOCHROME1", "MONOCHROME2"), ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PALETTE = "PALETTE COLOR"
# The elements that say what pixels mean; those of the palettes are all that begin with 0028,11 and 0028,12.
KEYWORDS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "ICCProfile", "LossyImageCompression"),
    *("RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData"),
    *("GreenPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableData"),
    *("AlphaPaletteColorLookupTableDescriptor", "AlphaPaletteColorLookupTableData"),
    *("SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData"),
    *("SegmentedBluePaletteColorLookupTableData", "SegmentedAlphaPaletteColorLookupTableData"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "FloatPixelData", "DoubleFloatPixelData", "PixelData"),
)
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# Where files with several frames keep, for all frames or for each, what others have at their top.
FRAME_GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
PERSON = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID")

# What is odd in a header becomes a reason here, if it matters; pydicom's warnings may hold what is in the header.
warnings.filterwarnings("ignore", module="pydicom")


@dataclass(frozen=True, slots=True)
class Dicom:
    """A DICOM file whose header was read and checked; its pixels are not decoded yet."""

    dataset: "Dataset"
    width: int
    height: int
    frames: int

    @property
    def mode(self) -> str:
        """What its pixels are, such as `MONOCHROME2;12`."""
        return f"{self.dataset.PhotometricInterpretation};{self._bits}"

    @property
    def profile(self) -> bytes | None:
        """The ICC profile of a colour image."""
        found = self.dataset.get("ICCProfile")
        return found if isinstance(found, bytes) and found else None

    @property
    def _bits(self) -> int:
        return int(self.dataset.get("BitsStored") or self.dataset.BitsAllocated)

    def values(self, frame: int = 0) -> np.ndarray:
        """(height, width) numbers as the modality means them, rescaled; (height, width, 3) of a colour image, as stored."""
        from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
        from pydicom.pixels.utils import pixel_array

        _check_codestream(self, frame)
        try:
            found = pixel_array(self.dataset, index=frame)
        except RuntimeError as error:  # every reader that is installed has tried: the last says most
            syntax, said = self.dataset.file_meta.TransferSyntaxUID.name, str(error).splitlines()[-1].strip()
            raise UnreadableImage(f"a DICOM file compressed as {syntax}, which cannot be decoded: {said}", "type") from error
        if self.dataset.PhotometricInterpretation == PALETTE:
            return np.asarray(apply_color_lut(found, self.dataset))[..., :3]
        if self.dataset.PhotometricInterpretation not in GREY:
            return found
        values = np.asarray(apply_modality_lut(found, _of_frame(self.dataset, frame)))
        if not np.isfinite(values).all():
            raise UnreadableImage("a DICOM file with pixels that are no numbers", "type")
        return values

    def as_shown(self, frame: int = 0) -> np.ndarray:
        """(height, width) or (height, width, 3) uint8: as a viewer shows the frame when it opens the file.

        Grey goes through the VOI LUT, or the first window. Without either, 8 bits that were not rescaled stay as they are, and
        of all others the full range of the image becomes black to white. MONOCHROME1 is inverted.
        """
        values = self.values(frame)
        if values.ndim == 3:
            most = np.iinfo(values.dtype).max if self.dataset.PhotometricInterpretation == PALETTE else (1 << self._bits) - 1
            return values if most == 255 else _as_bytes(values / most)
        shown = _voi(values, _of_frame(self.dataset, frame), self._bits)
        return 255 - shown if self.dataset.PhotometricInterpretation == "MONOCHROME1" else shown

    def stack(self, *, as_measured: bool) -> Stack:
        """Its frames as planes to choose from: of measured values if `as_measured`, else as a viewer shows them."""
        is_grey = self.dataset.PhotometricInterpretation in GREY
        return Stack(
            format="DICOM",
            mode=self.mode,
            width=self.width,
            height=self.height,
            lengths={"page": self.frames},
            plane=lambda at: (self.values if as_measured else self.as_shown)(at["page"]),
            n_samples=int(self.dataset.SamplesPerPixel),
            white=255.0,
            is_colour=not is_grey,
            is_inverted=as_measured and self.dataset.PhotometricInterpretation == "MONOCHROME1",
            has_levels=is_grey,
        )


def is_dicom(data: bytes) -> bool:
    """Whether the bytes are a DICOM file; the bytes before its mark may begin a TIFF of the same pixels."""
    return data[MARK_AT : MARK_AT + len(MARK)] == MARK


def open_dicom(data: bytes) -> Dicom:
    """The image in a DICOM file, checked but not decoded yet.

    Raises UnreadableImage if pydicom is not installed, if there is no image in the file, or one of a kind that is not read.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise UnreadableImage(
            "a DICOM file: reading it needs pydicom (pip install 'headstart[dicom]'), or save its image as PNG", "type"
        ) from error
    dataset = _parsed(data, KEYWORDS)
    if not any(name in dataset for name in PIXELS):
        raise UnreadableImage(f"a DICOM file without an image{_class_in_words(dataset)}", "type")
    try:
        kind, samples = str(dataset.PhotometricInterpretation), int(dataset.SamplesPerPixel)
        found = Dicom(dataset, int(dataset.Columns), int(dataset.Rows), int(dataset.get("NumberOfFrames") or 1))
    except (AttributeError, TypeError, ValueError) as error:
        raise UnreadableImage("the image is damaged: a DICOM file that does not say how its pixels lie") from error
    if min(found.width, found.height, found.frames) < 1:
        raise UnreadableImage("the image is damaged: a DICOM file with an image of no pixels")
    is_signed = bool(dataset.get("PixelRepresentation"))
    if samples != (3 if kind in COLOURS else 1) or kind not in (*GREY, *COLOURS, PALETTE) or (kind in COLOURS and is_signed):
        raise UnreadableImage(f"a DICOM file with pixels of a kind that is not read: {samples} x {kind}"[:100], "type")
    _check_syntax(dataset)
    return found


def group_of(data: bytes) -> str:
    """A name for who is shown in a DICOM file; "" for other files, and for those that do not say it.

    It is GROUP and a digest of the patient's id and its issuer or, without an id, of the study.
    """
    if not is_dicom(data):
        return ""
    try:
        dataset = _parsed(data, PERSON, stop_before_pixels=True)
        patient, issuer, study = (str(dataset.get(name) or "").strip() for name in PERSON)
    except (ImportError, UnreadableImage):
        return ""  # such a file has no pixels either, and its reason is told where they are decoded
    if not patient and not study:
        return ""
    told = f"patient {patient}\0{issuer}" if patient else f"study {study}"
    return GROUP + sha256_of_bytes(f"headstart {told}".encode("utf-8", "surrogatepass"))[:32]


@cache
def dicom_version() -> str:
    """The versions of pydicom and of what it decodes with, as far as they are installed; "" without pydicom."""
    found = []
    for package in READERS:
        try:
            found.append(version(package))
        except PackageNotFoundError:
            if package == READERS[0]:
                return ""
            found.append("0")
    return "+".join(found)


def _parsed(data: bytes, keywords: tuple[str, ...], *, stop_before_pixels: bool = False) -> "Dataset":
    from pydicom import dcmread

    _check_deflated(data)
    try:
        return dcmread(io.BytesIO(data), specific_tags=list(keywords), stop_before_pixels=stop_before_pixels)
    except Exception as error:
        # A damaged header can make pydicom raise anything, with parts of the header in its words.
        raise UnreadableImage("the image is damaged: a DICOM file whose header cannot be read") from error


def _check_deflated(data: bytes) -> None:
    """Raises UnreadableImage for a deflated file of more than MAX_BYTES: pydicom inflates it without a limit."""
    start = MARK_AT + len(MARK)
    if DEFLATED not in data[start : start + 4096]:
        return
    if not data.startswith(META_LENGTH, start):
        raise UnreadableImage("the image is damaged: a deflated DICOM file without the length of its header")
    at = start + len(META_LENGTH)
    rest = data[at + 4 + int.from_bytes(data[at : at + 4], "little") :]
    inflate, n_bytes = zlib.decompressobj(-zlib.MAX_WBITS), 0
    try:
        while rest and not inflate.eof:
            n_bytes += len(inflate.decompress(rest, CHUNK_BYTES))
            rest = inflate.unconsumed_tail
            if n_bytes > MAX_BYTES:
                raise UnreadableImage(f"more than {MAX_BYTES >> 30} GiB: not an image that is read", "size")
    except zlib.error as error:
        raise UnreadableImage("the image is damaged: a deflated DICOM file") from error


def _check_syntax(dataset: "Dataset") -> None:
    """Raises UnreadableImage if nothing that is installed reads the file's compression."""
    from pydicom.pixels.decoders.base import get_decoder

    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise UnreadableImage("the image is damaged: a DICOM file that does not say how it is stored")
    if not syntax.is_encapsulated:
        return
    try:
        is_read = get_decoder(syntax).is_available
        remedy = "" if is_read or dicom_version().count("+0") == 0 else " (pip install 'headstart[dicom]' brings more readers)"
    except NotImplementedError:
        is_read, remedy = False, ""
    if not is_read:
        raise UnreadableImage(
            f"a DICOM file compressed as {syntax.name}, which is not read{remedy}: decompress it, as by gdcmconv --raw", "type"
        )


def _check_codestream(found: Dicom, frame: int) -> None:
    """Raises UnreadableImage if the compressed frame is larger than its header says: it would be decoded in full."""
    if not found.dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    from pydicom.encaps import get_frame

    size = stated_size(get_frame(found.dataset.PixelData, frame, number_of_frames=found.frames))
    if size is not None and (size[0] > found.width or size[1] > found.height):
        raise UnreadableImage("the image is damaged: the compressed image is larger than the DICOM file says")


def _class_in_words(dataset: "Dataset") -> str:
    found = dataset.file_meta.get("MediaStorageSOPClassUID")
    return f": {found.name}" if found is not None and found.name != str(found) else ""


def _of_frame(dataset: "Dataset", frame: int) -> "Dataset":
    """The data set with what its functional groups say of a frame at its top, where nothing else is said there."""
    shared, each = dataset.get("SharedFunctionalGroupsSequence") or (), dataset.get("PerFrameFunctionalGroupsSequence") or ()
    items = [*each[frame : frame + 1], *shared[:1]]
    groups = [group[0] for item in items for name in FRAME_GROUPS if (group := item.get(name))]
    if not groups:
        return dataset
    merged = dataset.copy()
    for element in (element for group in groups for element in group):
        if element.keyword in KEYWORDS and element.keyword not in merged:
            merged.add(element)
    return merged


def _voi(values: np.ndarray, dataset: "Dataset", bits: int) -> np.ndarray:
    """Grey as it is meant to be seen: (height, width) uint8."""
    if dataset.get("VOILUTSequence"):
        from pydicom.pixels.processing import apply_voi

        depth = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        return _as_bytes(apply_voi(values.astype(np.int64), dataset, 0) / ((1 << depth) - 1))
    window = _window_of(dataset)
    if window is not None:
        return _as_bytes(_windowed(values.astype(np.float64), *window))
    if bits <= 8 and values.dtype == np.uint8:
        return values if bits == 8 else _as_bytes(values / ((1 << bits) - 1))
    return _as_bytes(_stretched(values, dataset))


def _window_of(dataset: "Dataset") -> tuple[float, float, str] | None:
    """Centre, width and function of the first window; None if there is none, or one without a width."""
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    try:
        centre, width = (float(_first(dataset.get(name))) for name in ("WindowCenter", "WindowWidth"))
    except (TypeError, ValueError, IndexError):
        return None
    is_usable = np.isfinite((centre, width)).all() and width > 0 and (function != "LINEAR" or width >= 1)
    if is_usable and function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise UnreadableImage(f"a DICOM file with a window of a kind that is not read: {function}"[:100], "type")
    return (centre, width, function) if is_usable else None


def _first(value: Any) -> Any:
    return value if isinstance(value, str | float | int) or not hasattr(value, "__getitem__") else value[0]


def _windowed(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """0 .. 1 by PS3.3, C.11.2.1.2 and C.11.2.1.3."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float64)
    return np.clip((values - centre) / width + 0.5, 0, 1)


def _stretched(values: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """0 .. 1 over the full range of the values, without those that stand for no pixel."""
    counted = values[~_is_padding(values, dataset)]
    low, high = (float(counted.min()), float(counted.max())) if counted.size else (0.0, 0.0)
    return np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros(values.shape)


def _is_padding(values: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """(height, width) bool: which pixels stand for no pixel; such a value is stored as it is before the rescaling."""
    padding = dataset.get("PixelPaddingValue")
    if padding is None or dataset.get("ModalityLUTSequence"):
        return np.zeros(values.shape, bool)
    ends = (float(padding), float(dataset.get("PixelPaddingRangeLimit") or padding))
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    low, high = sorted(end * slope + intercept for end in ends)
    return (values >= low) & (values <= high)


def _as_bytes(shares: np.ndarray) -> np.ndarray:
    return np.floor(shares * 255 + 0.5).astype(np.uint8)
