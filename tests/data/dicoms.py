"""DICOM files made with pydicom, for tests."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"  # those that come in pydicom's wheel


def dicom(pixels: np.ndarray, **elements: Any) -> bytes:
    """A DICOM file of grey (height, width), colour (height, width, 3) or frames (n, height, width) pixels.

    `elements` are set by their keywords, in place of what follows from the pixels; None removes one.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    is_colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    bits = 8 * pixels.dtype.itemsize
    made.Rows, made.Columns = pixels.shape[:2] if is_colour else pixels.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = (3, "RGB") if is_colour else (1, "MONOCHROME2")
    if is_colour:
        made.PlanarConfiguration = 0
    elif pixels.ndim == 3:
        made.NumberOfFrames = len(pixels)
    made.BitsAllocated, made.BitsStored, made.HighBit = bits, bits, bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for keyword, value in elements.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    return written(made)


def written(made: FileDataset) -> bytes:
    """The file of a data set."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()
