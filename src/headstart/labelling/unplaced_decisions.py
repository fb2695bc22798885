"""What was decided on images that no row is known to be: they are not read yet, were moved or renamed, or are gone."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from headstart.data.decided import UNDO, Change, ImageKey, State
from headstart.data.wording import counted
from headstart.labelling.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class UnplacedEntry:
    """An entry of the log about such an image."""

    event: int  # by which RowHistory knows it
    why: str
    state: State  # after it
    root: int  # the decision that is made, taken back or made again


class UnplacedDecisions:
    """The entries about each image, in their order."""

    def __init__(self) -> None:
        self._of_image: dict[ImageKey, list[UnplacedEntry]] = {}

    def add(self, image: ImageKey, entry: UnplacedEntry) -> None:
        """Takes the next entry."""
        self._of_image.setdefault(image, []).append(entry)

    def take(self, image: ImageKey) -> list[UnplacedEntry]:
        """The entries about an image that has been found; they are not kept any more."""
        return self._of_image.pop(image, [])

    def images(self) -> Iterable[ImageKey]:
        """The images that have entries, also those whose decisions were taken back."""
        return self._of_image.keys()

    def in_force(self, among: Iterable[ImageKey] | None = None) -> list[ImageKey]:
        """Images with a decision in force, the one decided on last first."""
        entries = ((image, self._of_image.get(image, [])) for image in (self._of_image if among is None else among))
        last = {image: roots[-1] for image, of_image in entries if (roots := _roots_in_force(of_image))}
        return sorted(last, key=lambda image: -last[image])


def _roots_in_force(entries: Sequence[UnplacedEntry]) -> list[int]:
    found: list[int] = []
    for entry in entries:
        if entry.why == UNDO:
            found.remove(entry.root)
        else:
            found.append(entry.root)
    return found


@dataclass(frozen=True, slots=True)
class MovedContents:
    """What images that were decided on hold that are not where they were, and which rows hold the same."""

    images: Mapping[str, Sequence[ImageKey]] = field(default_factory=dict)  # by digest
    rows: Mapping[str, Sequence[int]] = field(default_factory=dict)  # likewise, of the same digests; ascending

    @classmethod
    def of(cls, images: Iterable[ImageKey], catalogue: Catalogue) -> "MovedContents":
        """Of images that no row is."""
        of_digest: dict[str, list[ImageKey]] = {}
        for image in images:
            of_digest.setdefault(image.digest, []).append(image)
        rows: dict[str, list[int]] = {digest: [] for digest in of_digest}
        wanted = {bytes.fromhex(digest) for digest in of_digest}
        for row in np.flatnonzero(catalogue.readable()).tolist() if wanted else ():
            if catalogue.digests[row].tobytes() in wanted:
                rows[catalogue.digest(row)].append(row)
        return cls(of_digest, rows)

    def ambiguous(self, changes: Sequence[Change], known_as: Callable[[int], ImageKey | None]) -> list[str]:
        """The digests of changes after which other rows may be other images: it is not one image that is now one row."""
        return [
            digest
            for digest in dict.fromkeys(change.image.digest for change in changes if self.images)
            if (images := self.images.get(digest))
            and (rows := self.rows[digest])
            and not (len(images) == len(rows) == 1 and known_as(rows[0]) == images[0])
        ]


@dataclass(frozen=True, slots=True)
class MovedImages:
    """Images that were decided on and are not where they were."""

    found: Sequence[tuple[ImageKey, int]]  # with the row that each is now
    missing: Sequence[ImageKey]

    def notes(self, keys: Sequence[str]) -> list[str]:
        """What people are told of them; `keys` are the paths of the rows."""
        told = []
        if self.found:
            image, row = self.found[0]
            n = counted(len(self.found), "image")
            told.append(f"{n} moved or renamed since decided on, found by content; the first is {image.path}, now {keys[row]}")
        if self.missing:
            n = counted(len(self.missing), "image")
            told.append(f"{n} decided on and not in the data now, or changed since; the first is {self.missing[0].path}")
        return told
