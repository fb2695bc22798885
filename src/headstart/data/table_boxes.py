"""Which columns of a table hold boxes, and whether their numbers are pixels or shares of the picture."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from headstart.data.boxes import Box, Unit
from headstart.data.reading import Reading
from headstart.data.table_labels import NUMBER, is_missing
from headstart.data.tables import TextTable
from headstart.errors import DataError

FILLERS = re.compile(r"[\s_-]")
LARGEST_SHARE = 2.0  # boxes reach beyond the picture a little, not that far


@dataclass(frozen=True, slots=True)
class Form:
    """A way to write a box as four columns; letter case, _ and a bbox_ in front do not matter."""

    names: tuple[str, str, str, str]
    to_corner: bool = False  # whether the last two are the lower right corner, not width and height


PLAIN = (
    Form(("x", "y", "w", "h")),
    Form(("xmin", "ymin", "xmax", "ymax"), to_corner=True),
    Form(("x1", "y1", "x2", "y2"), to_corner=True),
    Form(("left", "top", "right", "bottom"), to_corner=True),
)
# Beside one of those, width and height are the picture's.
WITH_WIDTH = (
    Form(("x", "y", "width", "height")),
    Form(("left", "top", "width", "height")),
    Form(("xmin", "ymin", "width", "height")),
)
CENTRES = ({"xcenter", "ycenter"}, {"centerx", "centery"}, {"xcentre", "ycentre"}, {"cx", "cy"})
SIZES = ({"w", "h"}, {"width", "height"})
NO_BOXES = "pass --boxes none if these columns are not boxes"


@dataclass(frozen=True, slots=True)
class TableBoxes:
    """The boxes of a table."""

    boxes: Sequence[Box | str | None]  # of each row; the reason why there is none; None: the whole picture
    described: str  # the columns and the unit, for people
    places: tuple[int, ...]  # of these columns


def boxes_in(table: TextTable, taken: Collection[int], reading: Reading) -> TableBoxes | None:
    """The boxes in the columns of a table that are not `taken` for something else; None if it has no such columns.

    Raises DataError if columns are missing, or if they could mean two things.
    """
    if reading.boxes == "none":
        return None
    form = form_of(table, taken)
    if form is None:
        return None
    named = _named(table, taken)
    places = [named[name] for name in form.names]
    written = [table.names[place] for place in places]
    cells = list(zip(*(table.cells(place) for place in places), strict=True))
    numbers = [_numbers(table, number, row, written) for number, row in zip(table.numbers, cells, strict=True)]
    sized = [_sized(row, form) if isinstance(row, tuple) else row for row in numbers]
    unit = unit_of(str(table.file), [row for row in sized if isinstance(row, tuple)], reading)
    boxes = [box_or_reason(row, unit) if isinstance(row, tuple) else row for row in sized]
    means = "pixels" if unit == "pixels" else "shares of the picture's width and height"
    return TableBoxes(boxes, f"columns {', '.join(written)}, in {means}", tuple(places))


Numbers = tuple[float, float, float, float]


def box_or_reason(numbers: Numbers, unit: Unit) -> Box | str:
    """The box with these numbers, or why it cannot be one."""
    try:
        return Box.of(numbers, unit)
    except ValueError as error:
        return str(error)


def unit_of(file: str, boxes: Sequence[Numbers], reading: Reading) -> Unit:
    """The unit of boxes (x, y, w, h): shares if all numbers are in 0 .. 1, else pixels. Raises DataError if it is not clear."""
    boxes = [box for box in boxes if min(box[2:]) > 0]  # the others are left out
    if reading.boxes == "pixels":
        return "pixels"
    if reading.boxes == "shares":
        far = next((number for box in boxes for number in _reach(box) if abs(number) > LARGEST_SHARE), None)
        if far is not None:
            raise DataError(f"{file} has {far:g} in a box: that is no share of a picture", hint="pass --boxes pixels")
        return "shares"
    beyond = [box for box in boxes if not all(0 <= number <= 1 for number in box)]
    fractions = [box for box in boxes if not all(float(number).is_integer() for number in box)]
    shares = next((box for box in fractions if all(0 <= number <= 1 for number in box)), None)
    hint = "say which with --boxes pixels or --boxes shares"
    if shares is not None and not beyond:
        return "shares"
    if shares is not None:
        raise DataError(
            f"{file} has boxes in pixels and in shares: {_in_words(beyond[0])} and {_in_words(shares)} are which?", hint=hint
        )
    if boxes and not beyond:
        raise DataError(f"all numbers of the boxes in {file} are 0 or 1: are they pixels, or shares of the picture?", hint=hint)
    if fractions and all(abs(number) <= LARGEST_SHARE for box in boxes for number in _reach(box)):
        raise DataError(
            f"the boxes in {file}, such as {_in_words(beyond[0])}, are hardly pixels, and reach beyond the picture as shares",
            hint=hint,
        )
    return "pixels"


def form_of(table: TextTable, taken: Collection[int]) -> Form | None:
    """How a table has boxes in the columns that are not `taken`; None if it has none. Raises DataError if it is not clear."""
    named = _named(table, taken)
    complete = [form for form in PLAIN if set(form.names) <= set(named)]
    complete = complete or [form for form in WITH_WIDTH if set(form.names) <= set(named)]
    if len(complete) > 1:
        ways = " and as ".join(", ".join(form.names) for form in complete)
        raise DataError(f"{table.file} has boxes as {ways}: which are meant?", hint="rename the other columns")
    if complete:
        return complete[0]
    for form in (*PLAIN, *WITH_WIDTH):
        missing = [name for name in form.names if name not in named]
        if len(missing) == 1 and (form in PLAIN or missing[0] in ("width", "height")):
            there = ", ".join(name for name in form.names if name not in missing)
            raise DataError(f"{table.file} has the columns {there} of a box, but no column {missing[0]}", hint=NO_BOXES)
    if any(centre <= set(named) for centre in CENTRES) and any(size <= set(named) for size in SIZES):
        raise DataError(
            f"{table.file} has boxes by their centres, which are not read",
            hint=f"write x = centre - w / 2, and y alike; or {NO_BOXES}",
        )
    return None


def _named(table: TextTable, taken: Collection[int]) -> dict[str, int]:
    """The columns by their names as forms have them; the first of those that share one."""
    columns = [(FILLERS.sub("", name.lower()).removeprefix("bbox"), i) for i, name in enumerate(table.names) if i not in taken]
    return dict(reversed(columns))


def _numbers(table: TextTable, number: int, cells: Sequence[str], names: Sequence[str]) -> Numbers | str | None:
    missing = [name for name, cell in zip(names, cells, strict=True) if is_missing(cell)]
    if missing:
        return None if len(missing) == len(cells) else f"its box has no {' and no '.join(missing)}"
    for name, cell in zip(names, cells, strict=True):
        if not NUMBER.fullmatch(cell):
            raise DataError(
                f"{table.file} row {number} has {name} {cell!r}, which is not a number", hint=f"correct it, or {NO_BOXES}"
            )
    x, y, w, h = map(float, cells)
    return x, y, w, h


def _sized(box: Numbers, form: Form) -> Numbers:
    x, y, w, h = box
    return (x, y, w - x, h - y) if form.to_corner else box


def _reach(box: Numbers) -> Iterator[float]:
    x, y, w, h = box
    return iter((x, y, x + w, y + h))


def _in_words(box: Numbers) -> str:
    return ",".join(f"{number:g}" for number in box)
