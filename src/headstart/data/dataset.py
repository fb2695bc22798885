"""The readable images with their labels, and the rules that labels and splits must keep."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from headstart.data.image_files import BoxInFile, ImageFile
from headstart.data.label_sets import HAS, known_to, label_matrix, labels_to_learn, notes_on_labels, rarest_labels
from headstart.data.number_sources import check_numbers
from headstart.data.number_strata import strata_of
from headstart.data.sources import LabelsUsed, Skipped, Sources, natural_order
from headstart.data.spellings import one_spelling, spelling_key
from headstart.data.wording import counted
from headstart.errors import DataError

SHOWN_REASONS = 3  # of the files of a class that cannot be read


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image that was opened and can be used."""

    path: str  # as shown to people
    file: ImageFile
    label: str
    split: str | None
    group: str | None
    sha256: str  # of the file's bytes, of a box with its mark
    width: int  # upright, pixels
    height: int
    channels: str = ""  # what was chosen of the file's pages, planes and channels, as `decode` takes it


def choosing(images: Sequence[LabelledImage], channels: str) -> Sequence[LabelledImage]:
    """The images with what is chosen of their files."""
    return [replace(image, channels=channels) for image in images] if channels else images


@dataclass(frozen=True)  # without slots, so that what follows from the images is computed once
class Dataset:
    """Images that fit together: bound to classes by name, in an order that every run repeats."""

    name: str
    images: tuple[LabelledImage, ...]
    classes: tuple[str, ...]  # natural order of names: 2 before 10
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...] = ()  # what the owner should know, although the data can be used
    labels_used: LabelsUsed | None = None  # of the project that the labels are from; None if they are those of the data
    several: bool = False  # whether an image has any number of the classes
    number: str = ""  # what the labels are called, where they are numbers; it is then the only one of `classes`

    @cached_property
    def labels(self) -> np.ndarray:
        """(n_images,) int64, read-only: the index of each image's class in `classes`, -1 for a label that is no class.

        Of several labels (n_images, n_classes) int8: 1 for a label that an image has, 0 for one that it lacks, -1 if it is not
        known. Of numbers (n_images,) float64.
        """
        if self.number:
            return _locked(np.array([float(image.label) for image in self.images], np.float64))
        if self.several:
            return _locked(label_matrix([image.label for image in self.images], self.classes))
        index = {label: i for i, label in enumerate(self.classes)}
        return _read_only([index.get(image.label, -1) for image in self.images])

    @cached_property
    def strata(self) -> np.ndarray:
        """(n_images,) int64, read-only: the kind of each image, by which samples are drawn: its class, or its rarest.

        Of numbers it is the tenth of them.
        """
        if self.number:
            return _locked(strata_of(self.labels, np.arange(len(self.images))))
        return _locked(rarest_labels(self.labels)) if self.several else self.labels

    def class_counts(self, rows: np.ndarray) -> list[int]:
        """How many images of each class are among some rows; of numbers how many there are."""
        if self.number:
            return [len(rows)]
        if self.several:
            return [int(count) for count in (self.labels[rows] == HAS).sum(axis=0)]
        return [int(count) for count in np.bincount(self.labels[rows], minlength=len(self.classes))]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits the data came with, in the order train, val, test."""
        return tuple(split for split in ("train", "val", "test") if split in self._by_split)

    def indices_of(self, split: str) -> np.ndarray:
        """(n,) int64, read-only: where the images of `split` are in `images`."""
        return self._by_split.get(split, _read_only([]))

    @cached_property
    def _by_split(self) -> dict[str | None, np.ndarray]:
        found: dict[str | None, list[int]] = {}
        for i, image in enumerate(self.images):
            found.setdefault(image.split, []).append(i)
        return {split: _read_only(indices) for split, indices in found.items()}


def training_dataset(
    name: str, images: Sequence[LabelledImage], skipped: Sequence[Skipped], sources: Sequence[Sources]
) -> Dataset:
    """The images as a data set to train on. Raises DataError where splits or classes do not fit together."""
    if not images:
        first = skipped[0] if skipped else None
        seen = f"; the first of {len(skipped)} files skipped: {first.path}: {first.reason}" if first else ""
        raise DataError(f"{name} has no image that can be read{seen}", hint="JPEG, PNG, WebP, BMP, TIFF, PPM and AVIF are read")
    several, number = any(source.several for source in sources), sources[0].number
    said = [(image.label, image.split) for image in images]
    if number:
        check_numbers(said)
        return _dataset_of_numbers(name, images, skipped, sources)
    classes = labels_to_learn(said) if several else _classes(images, sources, skipped)
    fitting = notes_on_labels(said, classes) if several else _fitting_notes(images, classes)
    notes = tuple(note for source in sources for note in source.notes) + fitting + cut_notes(images)
    return Dataset(name, tuple(images), classes, tuple(skipped), notes, several=several)


def _dataset_of_numbers(
    name: str, images: Sequence[LabelledImage], skipped: Sequence[Skipped], sources: Sequence[Sources]
) -> Dataset:
    leaks = [note for split in ("val", "test") for note in _leak_notes(images, split, "the error looks smaller")]
    notes = (*(note for source in sources for note in source.notes), *leaks, *cut_notes(images))
    number = sources[0].number
    return Dataset(name, tuple(images), (number,), tuple(skipped), notes, number=number)


def labelled_dataset(
    name: str,
    images: Sequence[LabelledImage],
    skipped: Sequence[Skipped],
    classes: Sequence[str],
    *,
    several: bool = False,
    number: str = "",
) -> Dataset:
    """The images as a data set to evaluate a model of `classes` on; labels the model does not know become a note."""
    if (several or number) and not images:
        raise DataError(f"{name} has no image that can be read", hint="JPEG, PNG, WebP, BMP, TIFF, PPM and AVIF are read")
    if number:
        return Dataset(name, tuple(images), tuple(classes), tuple(skipped), cut_notes(images), number=number)
    if several:
        said = [(image.label, image.split) for image in images]
        notes = [*known_to(classes, [text for text, _ in said]), *cut_notes(images)]
        return Dataset(name, tuple(images), tuple(classes), tuple(skipped), tuple(notes), several=True)
    of_model = set(classes)
    unknown = Counter(image.label for image in images if image.label not in of_model)
    known = [image for image in images if image.label in of_model]
    spelled = one_spelling(classes)
    twins = {label: spelled[spelling_key(label)] for label in unknown if spelling_key(label) in spelled}
    if not known:
        hint = f"the model knows {', '.join(classes)}" + (f"; the data has {', '.join(unknown)}" if unknown else "")
        raise DataError(
            f"{name} has no readable image of the model's classes",
            hint=f"{hint}; if they are the same, pass --join-case" if twins else hint,
        )
    notes = [
        f"{counted(count, 'image')} of {label!r} {'is' if count == 1 else 'are'} left out: the model does not know this class"
        + (f"; if it is {twins[label]!r}, pass --join-case" if label in twins else "")
        for label, count in unknown.items()
    ]
    present = {image.label for image in known}
    absent = [label for label in classes if label not in present]
    if absent:
        notes.append(f"no image of {_listed(absent)}: the metrics are over the classes present")
    notes += cut_notes(known)
    left_out = [Skipped(i.path, f"the model does not know the class {i.label!r}") for i in images if i.label in unknown]
    return Dataset(name, tuple(known), tuple(classes), (*skipped, *left_out), tuple(notes))


def _classes(images: Sequence[LabelledImage], sources: Sequence[Sources], skipped: Sequence[Skipped]) -> tuple[str, ...]:
    labels = {image.label for image in images}
    declared = labels | {label for source in sources for split, label in source.empty_classes if split != "test"}
    by_fold: dict[str, str] = {}
    for label in sorted(declared):
        twin = by_fold.setdefault(spelling_key(label), label)
        if twin != label:
            raise DataError(
                f"the classes {twin!r} and {label!r} differ only in case or spaces",
                hint="if they are one class, pass --join-case; else rename one of them",
            )
    for source in sources:
        for split, label in source.empty_classes:
            if split == "test":  # becomes a note below: a class that test lacks
                continue
            where = f" in {split}" if split else ""
            raise DataError(f"class {label!r} has no files{where}", hint="add images, or remove its folder")
    lost = {c.label for source in sources for c in source.candidates if c.label} - labels
    if lost:
        label = min(lost, key=natural_order)
        files = {c.path for source in sources for c in source.candidates if c.label == label}
        reasons = [f"{entry.path}: {entry.reason}" for entry in skipped if entry.path in files]
        more = f"; and {len(reasons) - SHOWN_REASONS} more" if len(reasons) > SHOWN_REASONS else ""
        raise DataError(
            f"class {label!r} has no image that can be read ({'; '.join(reasons[:SHOWN_REASONS])}{more})",
            hint="replace these files, or remove the class",
        )
    if len(labels) < 2:
        raise DataError(
            f"there is only one class, {next(iter(labels))!r}; a classifier needs two or more",
            hint="give the folder that holds the class folders",
        )
    return tuple(sorted(labels, key=natural_order))


def _fitting_notes(images: Sequence[LabelledImage], classes: Sequence[str]) -> tuple[str, ...]:
    present = {split: {i.label for i in images if i.split == split} for split in ("train", "val", "test")}
    if not any(present.values()):
        return ()
    if not present["train"]:
        raise DataError("there are no train images", hint="name the folder (or the split) of the training images train")
    for split in ("val", "test"):
        extra = sorted(present[split] - present["train"], key=natural_order)
        if extra:
            raise DataError(
                f"{split} has {_listed(extra)}, which train lacks",
                hint="classes are bound by name: check the folder names",
            )
    missing = [label for label in classes if label not in present["val"]]
    if present["val"] and missing:
        raise DataError(
            f"train has {_listed(missing)}, which val lacks", hint="add images of every class to val, or give no val"
        )
    notes = [note for split in ("val", "test") for note in _leak_notes(images, split)]
    absent = [label for label in classes if label not in present["test"]]
    if present["test"] and absent:
        notes.append(f"test has no image of {_listed(absent)}: its metrics are over the classes present")
    return tuple(notes)


def cut_notes(images: Sequence[LabelledImage]) -> tuple[str, ...]:
    """A note if boxes reach beyond their pictures."""
    cut = [image for image in images if isinstance(image.file, BoxInFile) and image.file.box.is_cut(image.width, image.height)]
    if not cut:
        return ()
    reach = "is a box that reaches beyond its picture" if len(cut) == 1 else "are boxes that reach beyond their pictures"
    return (f"{len(cut)} of the {len(images)} images {reach}: what is outside is cut off",)


def _leak_notes(images: Sequence[LabelledImage], split: str, so: str = "the accuracy looks better") -> list[str]:
    """A note if a given split shares groups with train: the accuracy on it looks better than it is."""
    train = [image for image in images if image.split == "train"]
    held = [image for image in images if image.split == split]
    groups = {image.group for image in train if image.group}
    n_group = sum(image.group in groups for image in held)
    if not n_group:
        return []
    of = "is of a group" if n_group == 1 else "are of groups"
    return [f"{n_group} of the {len(held)} {split} images {of} that train has: {so} than it is"]


def _read_only(numbers: list[int]) -> np.ndarray:
    return _locked(np.array(numbers, dtype=np.int64))


def _locked(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False  # all who ask get the same array
    return array


def _listed(labels: Sequence[str]) -> str:
    shown = ", ".join(repr(label) for label in labels[:5])
    return ("the class " if len(labels) == 1 else "the classes ") + shown + (", …" if len(labels) > 5 else "")
