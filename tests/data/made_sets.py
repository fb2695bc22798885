"""Data sets of files that are no images, and what is found in them."""

import tarfile
import zipfile
from pathlib import Path

import pytest

from headstart.data.opening import open_sources
from headstart.data.sources import Sources


def make(folder: Path, *names: str) -> Path:
    """Files whose content is their name: nothing here opens an image."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    return folder


def rows(sources: Sources) -> list[tuple[str, str | None, str | None]]:
    return [(candidate.file.name, candidate.label, candidate.split) for candidate in sources.candidates]


def read(data: Path) -> Sources:
    with open_sources(data) as sources:
        return sources


def table(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for member in sorted(folder.rglob("*")):
            file.write(member, member.relative_to(folder).as_posix())
    return path


def tarred(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as file:
        file.add(folder, ".")
    return path


def parquet(place: Path, **columns: list[object]) -> Path:
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), place)
    return place
