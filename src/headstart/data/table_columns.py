"""Which columns of a table hold the paths and the labels."""

from collections.abc import Sequence
from pathlib import PurePath

from headstart.data.reading import Reading
from headstart.data.text_table import TextTable
from headstart.data.walking import IMAGE_ENDINGS
from headstart.errors import DataError, did_you_mean

# Names as lower-case words joined by _. Those of an earlier row count before those of a later one; two of one row are refused.
PATH_NAMES = (
    ("path",),
    (
        *("file", "file_name", "filename", "file_path", "filepath"),
        *("image", "image_path", "image_name", "image_file", "img", "img_path", "img_name"),
    ),
    ("id", "image_id", "img_id"),
)
SET_NAMES = ("labels", "tags")  # of columns with several labels a cell
LABEL_NAMES = (("label",), ("class", "class_name", "label_name", "category", "target"))
OF_IMAGES = (("labels",),)  # beside images `datasets` has one class there


def path_and_label(table: TextTable, reading: Reading) -> tuple[int, int | None]:
    """The places of the columns with the paths and the labels. Raises DataError if one is missing, or two could be meant.

    Where no labels are needed there may be none: None.
    """
    path = _place(table, reading.path_column, PATH_NAMES, "--path-column")
    if table.images and reading.path_column is None:  # paths beside the images say where these once were
        path = _only(table, list(table.images), "--path-column")
    usual = (*LABEL_NAMES, *OF_IMAGES) if table.images else LABEL_NAMES
    label = _place(table, reading.label_column, usual, "--label-column")
    if path is not None and (label is not None or reading.takes_no_labels):
        return path, label
    missing = [name for name, place in (("path", path), ("label", label)) if place is None]
    several = next((name for name in table.names if name.lower() in SET_NAMES), None)
    if label is None and several is not None:
        raise DataError(
            f"{table.file} has no column label, but {several!r}",
            hint=f"pass --task multi-label if images have several labels, as in cat|dog; else --label-column {several}",
        )
    if any(PurePath(name).suffix.lower() in IMAGE_ENDINGS for name in table.names):
        raise DataError(f"{table.file} has no header: its first row is an image already", hint="write path,label above it")
    raise DataError(
        f"{table.file} has no column {' and no column '.join(missing)}; it has {_quoted(table.names) or 'none'}",
        hint=f"name it with {' and '.join(f'--{name}-column NAME' for name in missing)}, or call the columns path and label",
    )


def _place(table: TextTable, wanted: str | None, names: Sequence[Sequence[str]], option: str) -> int | None:
    """The place of the column that the owner names, or of the one that has a usual name."""
    if wanted is not None:
        exact = [i for i, name in enumerate(table.names) if name == wanted.strip()]
        found = exact or [i for i, name in enumerate(table.names) if name.lower() == wanted.strip().lower()]
        if not found:
            hint = did_you_mean(wanted, [name for name in table.names if name]) if table.names else "the table is empty"
            raise DataError(f"{table.file} has no column {wanted!r}; it has {_quoted(table.names) or 'none'}", hint=hint)
        return _only(table, found, option)
    written = ["_".join(name.lower().replace("-", " ").replace("_", " ").split()) for name in table.names]
    for usual in names:
        found = [i for i, name in enumerate(written) if name in usual]
        if found:
            return _only(table, found, option)
    return None


def _only(table: TextTable, found: Sequence[int], option: str) -> int:
    names = [table.names[i] for i in found]
    if len({*names}) < len(names):
        raise DataError(f"{table.file} has {len(names)} columns called {names[0]!r}", hint="rename one of them")
    if len(names) > 1:
        raise DataError(
            f"{table.file} has the columns {' and '.join(map(repr, names))}: which one is meant?",
            hint=" or ".join(f"{option} {name}" for name in names),
        )
    return found[0]


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
