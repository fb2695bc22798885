"""What was decided on images that no row is known to be: they are not read yet, were moved or renamed, or are gone."""

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.data.decided import UNDO, ImageKey, State
from headstart.data.wording import counted


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

    def in_force(self) -> list[ImageKey]:
        """Images with a decision in force, the one decided on last first."""
        last = {image: roots[-1] for image, entries in self._of_image.items() if (roots := _roots_in_force(entries))}
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
