"""A finished run that is extended: its images, what it answered for them, and how the images have grown since."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headstart.data.wording import counted, listed, plural
from headstart.errors import DataError
from headstart.schema import Count, Name, Schema

FEWEST = 0.5  # share of the earlier images without which nothing can be said about the run


class DataPlace(Schema):
    """DATA of a run, or of one that it extends."""

    place: Name  # an absolute path, an address without secrets, or a name of the catalog
    path_column: str | None = None
    label_column: str | None = None


@dataclass(frozen=True, slots=True)
class EarlierAnswer:
    """What the run answered for an image."""

    sha256: str  # of the image
    predicted: str
    probability: float  # of that class
    probabilities: tuple[float, ...] = ()  # of several labels those of `Earlier.classes`; of numbers the number; else none


@dataclass(frozen=True, slots=True)
class Earlier:
    """A finished run."""

    run: str  # as the user names it
    manifest_sha256: str
    weights_sha256: str
    places: tuple[DataPlace, ...]  # where its images were; empty if that is not known
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[str, ...]]  # SHA-256 of an image -> the splits that it was in
    labels: Mapping[str, str]  # SHA-256 -> class, or labels, or number as text, as far as the run has recorded it
    split: Literal["val", "test", "cv"]  # that its answers are for
    answers: tuple[EarlierAnswer, ...]  # for the images that it was evaluated on
    tuned: Path | None = None  # its weights, if fine-tuning can start from them
    stage_scale: float | None = None  # that its probe had chosen for the features of stages; None if it has no probe
    notes: tuple[str, ...] = ()  # what the owner should know of how it is extended
    # Of several labels those that it did not always know: what its images of before did not say of them is still not known.
    unsaid: frozenset[str] = frozenset()


class Growth(Schema):
    """How the images differ from those of the run that is extended."""

    kept: Count  # images of the run that are still used
    new: Count
    gone: Count  # images of the run that are no longer used
    relabelled: Count  # kept images that have another label now
    classes_added: tuple[Name, ...]
    classes_gone: tuple[Name, ...]

    def in_words(self, noun: str = "class") -> str:
        """Such as "100 new images, the new class '9'"; what is added is called by the `noun`."""
        parts = [counted(self.new, "new image") if self.new else "no new image"]
        if self.classes_added:
            parts.append(f"the new {plural(len(self.classes_added), noun)} {listed(self.classes_added)}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Extended:
    """The run that is extended, and what was added to it."""

    earlier: Earlier
    growth: Growth


def check_found(n_found: int, earlier: Earlier, where: str) -> None:
    """Raises DataError if too few images of the run are found."""
    n = len(earlier.splits)
    if n_found <= FEWEST * n:
        raise DataError(
            f"of the {counted(n, 'image')} of {earlier.run}, {n_found:,} are found in {where}",
            hint="give one folder or table that has both the old images and the new ones",
        )
