"""Parquet as text cells, and which of its columns hold images and names of classes, as the `datasets` library writes them."""

import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from headstart.addresses.address import address_in, name_of
from headstart.data.parquet_cells import CellsOfImages
from headstart.data.parquet_files import ParquetPlace, looked_into
from headstart.data.sources import printable
from headstart.data.text_table import TextTable
from headstart.errors import DataError

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

BYTES, PATH = "bytes", "path"  # the parts of a record that is an image
FEATURES = b"huggingface"  # the key of a file's own metadata under which `datasets` writes what the columns are


def read_parquet(place: str, classes: dict[str, Sequence[str]] | None = None) -> TextTable:
    """The table in a file, by its path or address; `classes` are the names of a column of numbers, if it does not say itself.

    Raises DataError.
    """
    at = ParquetPlace.of(place)
    file = Path(place if address_in(place) is None else name_of(place))
    schema, starts, n_rows = looked_into(at, _about)
    images = {i: CellsOfImages(at, column, starts) for i, field in enumerate(schema) if (column := _column_of_bytes(at, field))}
    names = (classes or {}) | _names_of_classes(schema)

    def cells(i: int) -> list[str]:
        field = schema.field(i)
        if i in images:
            return _cells_of_images(at, field, n_rows)
        values = looked_into(at, lambda file: _column(file, field.name))
        if field.name in names and _is_whole(field):
            return [_class_of(value, names[field.name], file, field.name) for value in values]
        return [_text_of(value, file, field.name) for value in values]

    return TextTable(file, tuple(schema.names), tuple(range(1, n_rows + 1)), cells, images)


def unnamed_classes(table: TextTable, place: str) -> list[str]:
    """The columns of whole numbers whose classes the file does not name."""
    schema, *_ = looked_into(ParquetPlace.of(place), _about)
    named = _names_of_classes(schema)
    return [field.name for field in schema if _is_whole(field) and field.name not in named]


def _about(file: "pyarrow.parquet.ParquetFile") -> "tuple[pyarrow.Schema, tuple[int, ...], int]":
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    return file.schema_arrow, tuple(accumulate(sizes[:-1], initial=0)), file.metadata.num_rows


def _column(file: "pyarrow.parquet.ParquetFile", name: str) -> list[Any]:
    """The values of a column; other columns of the same name are left out."""
    values: list[Any] = file.read(columns=[name], use_threads=False).column(0).to_pylist()
    return values


def _is_whole(field: "pyarrow.Field") -> bool:
    import pyarrow

    return bool(pyarrow.types.is_integer(field.type))


def _is_binary(type_: "pyarrow.DataType") -> bool:
    import pyarrow

    return bool(pyarrow.types.is_binary(type_) or pyarrow.types.is_large_binary(type_))


def _column_of_bytes(at: ParquetPlace, field: "pyarrow.Field") -> str:
    """The column that holds the bytes of images; "" if a field holds none: records with bytes, or bytes that are no text."""
    import pyarrow

    if pyarrow.types.is_struct(field.type):
        i = field.type.get_field_index(BYTES)
        return f"{field.name}.{BYTES}" if i >= 0 and _is_binary(field.type.field(i).type) else ""
    if not _is_binary(field.type):
        return ""
    first = looked_into(at, lambda file: _first(file, field.name))
    return field.name if first is not None and not _is_text(first) else ""


def _first(file: "pyarrow.parquet.ParquetFile", column: str) -> bytes | None:
    """The first value of a column that there is."""
    for batch in file.iter_batches(1, columns=[column], use_threads=False):
        value: bytes | None = batch.column(0)[0].as_py()
        if value:
            return value
    return None


def _is_text(value: bytes) -> bool:
    try:
        return value.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def _cells_of_images(at: ParquetPlace, field: "pyarrow.Field", n_rows: int) -> list[str]:
    """What images are called: the number of the row, and the name of the file that each was, if that is known."""
    import pyarrow

    numbers = range(1, n_rows + 1)
    if not pyarrow.types.is_struct(field.type) or field.type.get_field_index(PATH) < 0:
        return [str(number) for number in numbers]

    def paths(file: "pyarrow.parquet.ParquetFile") -> list[str | None]:
        found = []
        for batch in file.iter_batches(columns=[f"{field.name}.{PATH}"], use_threads=False):
            found += [(one or {}).get(PATH) for one in batch.column(0).to_pylist()]
        return found

    named = (PurePosixPath(str(path or "").replace("\\", "/")).name for path in looked_into(at, paths))
    return [f"{number}/{printable(name)}" if name else str(number) for number, name in zip(numbers, named, strict=True)]


def _names_of_classes(schema: "pyarrow.Schema") -> dict[str, Sequence[str]]:
    """The names of the classes that the columns hold as numbers, as `datasets` writes them into its files."""
    try:
        features = json.loads((schema.metadata or {}).get(FEATURES, b"{}"))["info"]["features"]
        return {name: tuple(map(str, one["names"])) for name, one in features.items() if one.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # somebody else's metadata of that name, or an older form of it


def _class_of(value: int | None, names: Sequence[str], file: Path, column: str) -> str:
    """The name of a class by its number. `datasets` writes -1 where there is no label."""
    if value is None or value == -1:
        return ""
    if not 0 <= value < len(names):
        raise DataError(
            f"the column {column!r} of {file} has the class {value}, but names only {len(names)}", hint="write it again"
        )
    return names[value]


def _text_of(value: Any, file: Path, column: str) -> str:
    """A cell of a typed column as a CSV would hold it. Raises DataError for lists and records."""
    if value is None or value != value:  # NaN alone is not equal to itself
        return ""
    if isinstance(value, float) and value.is_integer():
        return f"{int(value)}.0"
    if isinstance(value, dict | list):
        kind = "a list" if isinstance(value, list) else "a record"
        raise DataError(
            f"the column {column!r} of {file} holds {kind} in each row, not text",
            hint="headstart needs one image and one label a row; several labels are text such as cat|dog, or a column each",
        )
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(
                f"the column {column!r} of {file} holds bytes, not text",
                hint="write the images as files, and a table of their paths",
            ) from error
    return str(value).strip()
