"""FILE.partial as CSV or JSON lines: rows are added one by one; a row that a crash left incomplete is removed."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from headstart.apps.answers.rows import Columns, Format, KeptRows, TextRows
from headstart.artifact.predictor import Prediction
from headstart.errors import SettingsError
from headstart.storage import atomic_write, replace_file

Row = tuple[str, bool, int]  # path, whether it could not be read, bytes of the file up to the end of its row


class TextPart:
    """Answers being written to a CSV or JSON lines file."""

    def __init__(self, place: Path, format: Format, columns: Columns, top_k: int) -> None:
        self._place, self._format, self._columns, self._top_k = place, format, columns, top_k

    def kept(self, place: Path) -> KeptRows:
        """The complete rows of a file. Raises SettingsError if they are not this model's answers."""
        if not place.exists():
            return KeptRows()
        rows = _csv_rows(place, self._columns) if self._format == "csv" else _json_rows(place, self._columns)
        paths, n_failed, n_bytes = Counter[str](), 0, 0
        try:
            for path, has_failed, end in rows:
                paths[path] += 1
                n_failed += has_failed
                n_bytes = end
        except (csv.Error, ValueError) as error:  # ValueError: not UTF-8, not JSON, other columns
            raise SettingsError(
                f"{place} cannot be resumed: it does not contain this model's answers as {self._format}",
                hint="delete or rename it",
            ) from error
        return KeptRows(paths, n_failed, n_bytes, is_torn=place.stat().st_size > n_bytes)

    def adopt(self, finished: Path) -> None:
        """Starts from a copy of a finished file."""
        with atomic_write(self._place) as aside:
            shutil.copyfile(finished, aside)

    def open(self, kept: KeptRows) -> None:
        """Cuts off what follows the last complete row, and writes the header if there is none."""
        self._file = self._place.open("a", encoding="utf-8", newline="")
        self._file.truncate(kept.n_bytes)
        self._rows = TextRows(self._file, self._format, self._columns, self._top_k)
        if not kept.n_bytes:
            self._rows.write_header()

    def write(self, prediction: Prediction) -> None:
        """Adds a row; it is in the file even if the process is killed now."""
        self._rows.write(prediction)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def finish(self, output: Path) -> None:
        """Moves the file to `output`."""
        replace_file(self._place, output)


class _WholeLines:
    """The complete lines of a file, and how many bytes were read."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.n_bytes = 0
        self.at_end = False

    def __iter__(self) -> Iterator[str]:
        with self._place.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self.n_bytes += len(line)
                yield line.decode("utf-8")
        self.at_end = True


def _csv_rows(place: Path, columns: Columns) -> Iterator[Row]:
    lines = _WholeLines(place)
    reader = csv.reader(iter(lines), strict=True)
    try:
        header = next(reader, columns.names)
        if header != columns.names:
            raise ValueError("other columns")
        for cells in reader:
            if len(cells) != len(header):
                raise ValueError("other columns")
            yield cells[0], bool(cells[-1]), lines.n_bytes
    except csv.Error:
        if not lines.at_end:  # otherwise the file ends inside a quoted cell with a line break
            raise


def _json_rows(place: Path, columns: Columns) -> Iterator[Row]:
    lines = _WholeLines(place)
    for line in lines:
        values = json.loads(line)
        if not isinstance(values, dict) or "path" not in values:
            raise ValueError("not an answer")
        has_failed = "error" in values
        classes = () if columns.has_numbers else columns.classes
        if not has_failed and list(values.get("probabilities", ())) != list(classes):
            raise ValueError("other classes")
        yield str(values["path"]), has_failed, lines.n_bytes
