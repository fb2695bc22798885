"""Parquet files that Python opened."""

import io
import threading
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from headstart.data.parquet_files import ParquetPlace, looked_into, verified_table
from headstart.data.parquet_tables import read_parquet

TABLE = pyarrow.table({name: list(range(1000)) for name in "abcdefgh"})


class Heard(io.FileIO):
    """A file that notes in which threads it is read."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.threads: set[int] = set()

    def read(self, size: int | None = -1, /) -> bytes:
        self.threads.add(threading.get_ident())
        return super().read(size) or b""


@pytest.fixture
def table_file(tmp_path: Path) -> Path:
    pyarrow.parquet.write_table(TABLE, tmp_path / "table.parquet", write_page_checksum=True, row_group_size=100)
    return tmp_path / "table.parquet"


@pytest.mark.parametrize("columns", [None, ["c", "f"]])
def test_it_is_read_in_the_calling_thread(table_file: Path, columns: list[str] | None) -> None:
    """A thread of Arrow's that still holds a piece of the file when the process ends would abort the process."""
    with Heard(table_file) as file:
        assert verified_table(file, columns).equals(TABLE if columns is None else TABLE.select(columns))
    assert file.threads == {threading.get_ident()}


def test_so_are_tables_that_are_data(table_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of the columns of a table that somebody names, which are read when they are needed."""
    heard: list[Heard] = []
    plain = Path.open

    def opened(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if mode == "rb" and path == table_file:
            heard.append(Heard(path))
            return heard[-1]
        return plain(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", opened)
    table = read_parquet(str(table_file))
    assert table.column("d") == [str(i) for i in range(1000)]
    looked_into(ParquetPlace.of(str(table_file)), lambda file: file.metadata.num_rows)
    assert {thread for file in heard for thread in file.threads} == {threading.get_ident()}


def test_a_damaged_page_is_noticed(table_file: Path) -> None:
    """One bit of a value is enough; the error is not the operating system's, so that the file may be called damaged."""
    content = bytearray(table_file.read_bytes())
    content[200] ^= 1
    table_file.write_bytes(content)
    with table_file.open("rb") as file, pytest.raises((OSError, pyarrow.ArrowException)) as raised:
        verified_table(file)
    assert getattr(raised.value, "errno", None) is None
