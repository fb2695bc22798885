"""A table as people read it: columns of text, and columns of images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from headstart.data.image_files import WholeFile


class ImageColumn(Protocol):
    """A column whose cells are images."""

    def file_of(self, given: str) -> WholeFile:
        """The image in the cell that is called so."""
        ...


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table: its columns by their place, as text. The text of an image is what its cell is called."""

    file: Path
    names: tuple[str, ...]  # of the columns, as written
    numbers: tuple[int, ...]  # of the rows, as people count: in a CSV row 1 is the header
    cells: Callable[[int], list[str]]  # the cells of a column, one for each number; "" where there is none. Raises DataError
    images: Mapping[int, ImageColumn] = field(default_factory=dict)  # the columns of images by their place
    lists: Mapping[int, Callable[[], list[str]]] = field(default_factory=dict)  # of lists: the cells as `cat|dog`

    def column(self, name: str) -> list[str] | None:
        """The cells of the first column of this name, in whatever case; None if there is none. Raises DataError."""
        found = [i for i, written in enumerate(self.names) if written.lower() == name]
        return self.cells(found[0]) if found else None

    def label_cells(self, place: int) -> list[str]:
        """The cells of a column of several labels each. Raises DataError."""
        return self.lists[place]() if place in self.lists else self.cells(place)
