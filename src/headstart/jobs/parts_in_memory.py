"""The results of a job that only this process works on, and that nobody goes on with: each is held until it is read."""

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow


@dataclass(frozen=True, slots=True)
class PartsInMemory:
    """Parts that are not written anywhere."""

    _tables: dict[str, pyarrow.Table] = field(default_factory=dict)

    @property
    def place(self) -> Path:
        raise NotImplementedError("there is no place that others could reach")

    @property
    def shown(self) -> str:
        return "memory"

    @property
    def remedy(self) -> str:
        return "please report this"

    def has(self, digest: str) -> bool:
        return digest in self._tables

    def write(self, digest: str, table: pyarrow.Table) -> None:
        self._tables[digest] = table

    def read(self, digest: str, n_rows: int) -> pyarrow.Table | None:
        table = self._tables.pop(digest, None)
        return table if table is not None and table.num_rows == n_rows else None

    def is_begun(self) -> bool:
        return bool(self._tables)

    def is_split(self, digest: str) -> bool:
        return False

    def note_split(self, digest: str) -> None:
        """Nothing: this process does not end over a shard and go on."""

    def remove(self) -> None:
        self._tables.clear()

    def beside(self, name: str) -> "PartsInMemory":
        return PartsInMemory()
