"""COCO files: the images, annotations and categories of object detection, as JSON. Each box is an image."""

import json
import reprlib
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headstart.data.reading import Reading
from headstart.data.sources import Skipped, Sources, class_name
from headstart.data.table_boxes import Numbers, box_or_reason, unit_of
from headstart.data.table_files import TableFiles
from headstart.data.table_rows import Row, Rows
from headstart.data.wording import counted
from headstart.errors import DataError

ENDING = ".json"
MAX_BYTES = 1 << 30  # twice the largest file of COCO itself; five times as much memory is needed to read one
PARTS = ("images", "annotations", "categories")
SHOWN_CATEGORIES = 5


class NotCocoError(DataError):
    """The file is no COCO file of objects."""


@dataclass(slots=True)
class _Content:
    """What a COCO file holds, by id."""

    file: Path
    names: dict[Hashable, str] = field(default_factory=dict)  # of the images: the names of their files
    categories: dict[Hashable, str] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)  # why annotations cannot be used


@dataclass(frozen=True, slots=True)
class _Annotation:
    number: int | str
    image: Hashable
    category: Hashable  # None: not known, where that does not matter
    numbers: Numbers


def coco_sources(file: Path, files: TableFiles, reading: Reading) -> Sources:
    """The boxes in a COCO file, each labelled with its category. Raises DataError for what is no such file or contradictory."""
    if reading.boxes == "none":
        raise DataError(f"{file} is a COCO file: its images are boxes", hint="leave out --boxes none")
    content, given = _read(file, reading)
    found = [_annotation(content, one, place, reading) for place, one in enumerate(given)]
    annotations = [one for one in found if isinstance(one, _Annotation)]
    if not annotations:
        first = f"; the first: {content.reasons[0]}" if content.reasons else ""
        raise DataError(
            f"{file} has no annotation that can be used, of {len(given)}{first}",
            hint="each needs image_id, category_id and bbox = [x, y, width, height]",
        )
    _check_names(content, {one.category for one in annotations} - {None})
    unit = unit_of(str(file), [one.numbers for one in annotations], reading)
    rows = [
        Row(one.number, content.names[one.image], _label(content, one), box=box_or_reason(one.numbers, unit))
        if isinstance(one, _Annotation)
        else one
        for one in found
        if one is not None
    ]
    listing = Rows(file, rows, f"bbox, in {unit}", word="annotation", skipped=content.skipped)
    listing.notes += _told(content, annotations)
    return replace(listing.sources(files, reading), is_table=False)


def _read(file: Path, reading: Reading) -> tuple[_Content, list[Any]]:
    """The images and categories of a file, and its annotations as they are."""
    parts = _parts(file, reading)
    content = _Content(file)
    for image in parts["images"]:
        key, name = _value(image, "id"), _value(image, "file_name")
        if not isinstance(key, int | str) or not isinstance(name, str) or not name.strip():
            raise DataError(f"{file} has an image without id or file_name: {_short(image)}", hint="correct it, or remove it")
        if content.names.setdefault(key, name) != name:
            raise DataError(
                f"{file} has two images with the id {_short(key)}: {content.names[key]} and {name}", hint="number them anew"
            )
    for category in parts["categories"]:
        key, name = _value(category, "id"), _value(category, "name")
        if not isinstance(key, int | str) or not isinstance(name, str) or not class_name(name).strip():
            raise DataError(f"{file} has a category without id or name: {_short(category)}", hint="correct it, or remove it")
        if content.categories.setdefault(key, class_name(name).strip()) != class_name(name).strip():
            raise DataError(f"{file} has two categories with the id {_short(key)}", hint="number them anew")
    return content, parts["annotations"]


def _parts(file: Path, reading: Reading) -> dict[str, list[Any]]:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise DataError(f"{file} is larger than {MAX_BYTES >> 30} GiB", hint="write its boxes as a CSV or Parquet table")
        found = json.loads(file.read_bytes())
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}", hint="check that it is a file") from error
    except (ValueError, RecursionError) as error:  # also text that is not UTF-8
        raise NotCocoError(f"{file} is not JSON: {error}", hint="write it again") from error
    if reading.takes_no_labels and isinstance(found, dict):
        found.setdefault("categories", [])
    missing = [part for part in PARTS if not isinstance(_value(found, part), list)]
    if missing:
        raise NotCocoError(
            f"{file} is no COCO file of objects: it has no list {' and no list '.join(missing)}",
            hint="give the file with the boxes, such as instances_train.json",
        )
    return {part: found[part] for part in PARTS}


def _annotation(content: _Content, given: Any, place: int, reading: Reading) -> _Annotation | Row | None:
    """An annotation; a row with the reason if it cannot be used; None if it is of no image, which is listed."""
    key = _value(given, "id")
    number = key if isinstance(key, int | str) and key != "" else f"[{place}]"
    image, category, box = (_value(given, name) for name in ("image_id", "category_id", "bbox"))
    is_known = not reading.without_labels and isinstance(category, int | str) and category in content.categories
    if not isinstance(image, int | str) or image not in content.names:
        reason = f"there is no image with its image_id, {_short(image)}"
        content.skipped.append(Skipped(f"{content.file}:annotation {_short(number)}", reason))
        content.reasons.append(reason)
        return None
    reason = ""
    if not (is_known or reading.takes_no_labels):
        reason = f"there is no category with its category_id, {_short(category)}"
    elif _value(given, "iscrowd") not in (None, 0):
        reason = "a crowd: its box is around many things (iscrowd)"
    elif not isinstance(box, list) or len(box) != 4 or not all(_is_number(one) for one in box):
        reason = f"its bbox is not four numbers: {_short(box)}"
    if reason:
        content.reasons.append(reason)
        return Row(number, content.names[image], "", box=reason)
    x, y, w, h = map(float, box)
    return _Annotation(number, image, category if is_known else None, (x, y, w, h))


def _label(content: _Content, annotation: _Annotation) -> str:
    return "" if annotation.category is None else content.categories[annotation.category]


def _check_names(content: _Content, used: set[Hashable]) -> None:
    """Raises DataError if two categories that are used have one name: a class would be a mixture of them."""
    count = Counter(content.categories[key] for key in used)
    twice = next((name for name, n in count.items() if n > 1), None)
    if twice is not None:
        keys = [str(key) for key in content.categories if key in used and content.categories[key] == twice]
        raise DataError(
            f"{content.file} has {len(keys)} categories called {twice!r}, with the ids {', '.join(keys)}",
            hint="rename them, or give their annotations one category_id",
        )


def _told(content: _Content, annotations: list[_Annotation]) -> list[str]:
    """What people should know of pictures and categories without boxes."""
    used, pictures = {one.category for one in annotations}, {one.image for one in annotations}
    notes = []
    unused = [name for key, name in content.categories.items() if key not in used]
    if unused and None not in used:
        shown = ", ".join(unused[:SHOWN_CATEGORIES]) + (", …" if len(unused) > SHOWN_CATEGORIES else "")
        notes.append(f"categories of {content.file.name} without a box that can be used: {len(unused)} ({shown})")
    n_empty = len(content.names) - len(pictures)
    if n_empty:
        notes.append(f"{counted(n_empty, 'picture')} of {content.file.name} without a box that can be used")
    return notes


def _value(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, dict) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _short(value: Any) -> str:
    return reprlib.repr(value)
