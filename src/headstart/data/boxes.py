"""Boxes in pictures: each is an image of its own, although its file holds the whole picture.

The bytes of such an image are a line that says where the box is, and then the bytes of the file. So a box has a digest of its
own, and goes the way of every image: it is decoded, stored, looked at and sent to other machines as bytes.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self, get_args

from headstart.data.unreadable import UnreadableImage

Unit = Literal["pixels", "shares"]
UNITS: tuple[Unit, ...] = get_args(Unit)
DIGITS = 10  # of each number, as it is written: more than any picture has use for
FAR = 1e9  # pixels: no picture reaches as far
NEARLY = 1e-6  # what rounding adds to shares
START = b"headstart box "
MARK = re.compile(rb"headstart box (pixels|shares) ([-+.e\d]{1,30}),([-+.e\d]{1,30}),([-+.e\d]{1,30}),([-+.e\d]{1,30})\n")
NAMED = re.compile(r"(.+)#([-+.e\d]{1,30}),([-+.e\d]{1,30}),([-+.e\d]{1,30}),([-+.e\d]{1,30})", flags=re.DOTALL)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in a picture that is upright, as people see it: its upper left corner, its width and its height."""

    x: float
    y: float
    w: float
    h: float
    unit: Unit = "pixels"  # or shares of the picture's width and height

    @classmethod
    def of(cls, numbers: Iterable[float], unit: Unit) -> Self:
        """The box with these x, y, w and h, to as many digits as are written. Raises ValueError if it cannot be one."""
        x, y, w, h = (float(f"{number:.{DIGITS}g}") + 0.0 for number in numbers)  # + 0.0: there is no -0
        if not all(map(math.isfinite, (x, y, w, h))):
            raise ValueError("its box is not four finite numbers")
        if min(w, h) <= 0:
            raise ValueError(f"its box is empty: {w:.{DIGITS}g} wide, {h:.{DIGITS}g} high")
        return cls(x, y, w, h, unit)

    @property
    def numbers(self) -> tuple[float, float, float, float]:
        """x, y, w, h."""
        return self.x, self.y, self.w, self.h

    def __str__(self) -> str:
        return ",".join(f"{number:.{DIGITS}g}" for number in self.numbers)

    @property
    def mark(self) -> bytes:
        """The line in front of the bytes of the picture's file."""
        return START + f"{self.unit} {self}\n".encode()

    def edges(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in a picture of this size, to the nearest pixel; what is outside is cut off.

        Raises UnreadableImage if nothing is left.
        """
        (left, right), (top, bottom) = self._span(self.x, self.w, width), self._span(self.y, self.h, height)
        inside = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            what = "is outside the picture" if left < right and top < bottom else "is smaller than a pixel"
            raise UnreadableImage(f"its box {what} of {width} x {height} pixels", "size")
        return inside

    def is_cut(self, width: int, height: int) -> bool:
        """Whether a part of it was outside the picture, where this size is left of it."""
        if self.unit == "shares":
            corners = self.x, self.y, 1 - self.x - self.w, 1 - self.y - self.h
            return min(corners) < -NEARLY
        (left, right), (top, bottom) = self._span(self.x, self.w, 1), self._span(self.y, self.h, 1)
        return (right - left, bottom - top) != (width, height)

    def _span(self, start: float, length: float, whole: int) -> tuple[int, int]:
        scale = whole if self.unit == "shares" else 1
        return _nearest(start * scale), _nearest((start + length) * scale)


def _nearest(place: float) -> int:
    return math.floor(min(max(place, -FAR), FAR) + 0.5)


def boxed_name(picture: str, box: Box) -> str:
    """How people are shown a box: `photo.jpg#10,20,30,40`."""
    return f"{picture}#{box}"


def boxes_in_name(name: str) -> tuple[str, tuple[Box, ...]]:
    """The picture that such a name is about, and the boxes that it may mean; a name of something else, and none."""
    found = NAMED.fullmatch(name)
    if found is None:
        return name, ()
    try:
        return found[1], tuple(Box.of(map(float, found.groups()[1:]), unit) for unit in UNITS)
    except ValueError:
        return name, ()


def box_and_file(data: bytes) -> tuple[Box | None, bytes]:
    """The box in front of the bytes of a file, None if there is none; and these bytes. Raises UnreadableImage."""
    if not data.startswith(START):
        return None, data
    found = MARK.match(data)
    try:
        if found is None:
            raise ValueError("its box cannot be read")
        box = Box.of(map(float, found.groups()[1:]), "shares" if found[1] == b"shares" else "pixels")
    except ValueError as error:
        raise UnreadableImage(str(error)) from error
    file = data[found.end() :]
    if file.startswith(START):
        raise UnreadableImage("it is a box in a box")
    return box, file
