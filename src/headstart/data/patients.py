"""Images of one patient are one group, as DICOM files name it themselves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from headstart.data.dataset import LabelledImage
from headstart.data.dicom import GROUP


@dataclass(frozen=True, slots=True)
class ByPatient:
    """Images whose groups can be used, and what their owner should know of them."""

    images: tuple[LabelledImage, ...]
    notes: tuple[str, ...] = ()


def by_patient(images: Sequence[LabelledImage]) -> ByPatient:
    """The images without the groups of DICOM files if these all name one patient, as files do that were made anonymous.

    Groups that came with a table stay as they are.
    """
    groups = [image.group for image in images if image.group and image.group.startswith(GROUP)]
    n = len(set(groups))
    if not n:
        return ByPatient(tuple(images))
    files = "1 DICOM image" if len(groups) == 1 else f"{len(groups)} DICOM images"
    if n > 1 or len(groups) == 1:
        stay = "those of one patient stay together in a split"
        return ByPatient(tuple(images), (f"{files} of {n} patient{'s' if n > 1 else ''}: {stay}",))
    without = [replace(image, group=None) if image.group in groups else image for image in images]
    note = f"all {files} name the same patient, so that is not used: whether a patient is in train and val is not known"
    return ByPatient(tuple(without), (note,))
