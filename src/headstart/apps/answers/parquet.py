"""FILE.partial as a folder of complete Parquet files, which become one file when all answers are there."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from headstart.apps.answers.rows import Columns, KeptRows
from headstart.artifact.predictor import Prediction
from headstart.errors import SettingsError
from headstart.storage import atomic_write

PART_ROWS, PART_SECONDS = 1024, 5.0  # a part is written after this many answers or this long: the most a crash loses
GROUP_ROWS, GROUP_BYTES = 65_536, 32 << 20  # of a row group of the finished file: memory holds one group
TEXT, TEXTS = pyarrow.string(), pyarrow.list_(pyarrow.string())
TYPES = {"path": TEXT, "predicted": TEXT, "error": TEXT, "set": TEXTS, "unfamiliar": pyarrow.bool_()}


class ParquetParts:
    """Answers being written to a Parquet file: the columns of the CSV with types, null for missing values."""

    def __init__(self, place: Path, columns: Columns) -> None:
        self._place, self._columns = place, columns
        types = TYPES | ({"predicted": pyarrow.float64()} if columns.has_numbers else {})
        self._schema = pyarrow.schema([(name, types.get(name, pyarrow.float64())) for name in columns.names])
        self._waiting: list[list[Any]] = []
        self._since = time.monotonic()
        self._last = 0  # number of the last part that was written

    def kept(self, place: Path) -> KeptRows:
        """The rows of a folder of parts or a finished file. Raises SettingsError if they are not this model's answers."""
        paths, n_failed = Counter[str](), 0
        for part in _parts(place):
            try:
                with pyarrow.parquet.ParquetFile(part) as file:
                    if not file.schema_arrow.equals(self._schema):
                        raise ValueError("other columns")
                    for batch in file.iter_batches(GROUP_ROWS, columns=["path", "error"]):
                        paths.update(batch.column("path").to_pylist())
                        n_failed += len(batch) - batch.column("error").null_count
            except (pyarrow.ArrowException, ValueError) as error:
                raise SettingsError(
                    f"{place} cannot be resumed: it does not contain this model's answers as parquet",
                    hint="delete or rename it",
                ) from error
        return KeptRows(paths, n_failed)

    def adopt(self, finished: Path) -> None:
        """Starts from a copy of a finished file as the first part."""
        with atomic_write(self._part(1)) as aside:
            shutil.copyfile(finished, aside)

    def open(self, kept: KeptRows) -> None:
        """Creates the folder."""
        self._place.mkdir(exist_ok=True)
        self._last = max((int(part.stem) for part in _parts(self._place)), default=0)
        self._since = time.monotonic()

    def write(self, prediction: Prediction) -> None:
        """Adds a row to the waiting rows, and writes them as a part if they are many or have waited for long."""
        self._waiting.append(self._columns.cells(prediction))
        if len(self._waiting) >= PART_ROWS or time.monotonic() - self._since > PART_SECONDS:
            self.close()

    def close(self) -> None:
        """Writes the waiting rows."""
        if self._waiting:
            columns = [
                pyarrow.array(column, type)
                for column, type in zip(zip(*self._waiting, strict=True), self._schema.types, strict=True)
            ]
            with atomic_write(self._part(self._last + 1)) as aside:
                pyarrow.parquet.write_table(pyarrow.table(columns, schema=self._schema), aside)
            self._last += 1
        self._waiting = []
        self._since = time.monotonic()

    def finish(self, output: Path) -> None:
        """Writes the finished file, and removes the parts."""
        with atomic_write(output) as aside, pyarrow.parquet.ParquetWriter(aside, self._schema) as writer:
            for group in _groups(self._place):
                writer.write_table(group)
        shutil.rmtree(self._place)

    def _part(self, number: int) -> Path:
        return self._place / f"{number:08d}.parquet"


def _parts(place: Path) -> list[Path]:
    """The parts in a folder, in the order they were written; a finished file counts as one part."""
    return [place] if place.is_file() else sorted(place.glob("[0-9]*.parquet"))


def _groups(place: Path) -> Iterator[pyarrow.Table]:
    """All rows in tables of about GROUP_ROWS rows or GROUP_BYTES bytes."""
    batches: list[pyarrow.RecordBatch] = []
    for part in _parts(place):
        with pyarrow.parquet.ParquetFile(part) as file:
            for batch in file.iter_batches(PART_ROWS):
                batches.append(batch)
                if sum(map(len, batches)) >= GROUP_ROWS or sum(batch.nbytes for batch in batches) >= GROUP_BYTES:
                    yield pyarrow.Table.from_batches(batches)
                    batches = []
    if batches:
        yield pyarrow.Table.from_batches(batches)
