"""Folders of images with their labels in a metadata.csv or metadata.jsonl, as the `datasets` library has them: imagefolders."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePath
from typing import TypeVar

from headstart.data.reading import Reading
from headstart.data.shown_paths import ShownPaths
from headstart.data.sources import Sources
from headstart.data.split_names import UNLABELLED, splits_of
from headstart.data.table_files import FilesOfTable
from headstart.data.table_sources import joined_tables, names_images, table_sources
from headstart.data.walking import entries_of, folders_of
from headstart.errors import DataError

T = TypeVar("T", bound=PurePath)
NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def metadata_among(files: Iterable[T], root: PurePath) -> list[T]:
    """The tables of such a data set among the files below a folder: the one in it, else those in the folders in it."""
    found = [file for file in files if file.name.lower() in NAMES]
    here = [file for file in found if file.parent == root]
    return here[:1] or [file for file in found if file.parent.parent == root]


def metadata_in(folder: Path, shown: ShownPaths, reading: Reading) -> list[Path]:
    """Those in a folder of this machine that name images and have labels."""
    near = (file for place in (folder, *folders_of(folder)) for file in entries_of(place) if file.is_file())
    found = metadata_among(near, folder)
    return found if all(names_images(table, shown, reading) for table in found) else []


def imagefolder_sources(name: str, tables: Sequence[Path], shown: ShownPaths, reading: Reading) -> Sources:
    """The images that such tables on this machine name. Raises DataError."""
    return sources_of_metadata(
        name, tables, lambda table, split: table_sources(table, FilesOfTable(table, shown), reading, split)
    )


def sources_of_metadata(name: str, tables: Sequence[T], read: Callable[[T, str | None], Sources]) -> Sources:
    """The images of several tables, each in the split that its folder is called like. Raises DataError."""
    if len(tables) == 1:
        return joined_tables(name, [read(tables[0], None)], f"the labels are from {tables[0].name}")
    words = [table.parent.name for table in tables]
    splits = splits_of(set(words))
    if set(words) - splits.keys():
        other = next(word for word in words if word not in splits)
        raise DataError(f"{name} holds several tables, and {other} is no split", hint="give one of the folders")
    parts = [read(table, splits[word]) for table, word in zip(tables, words, strict=True) if splits[word] != UNLABELLED]
    return joined_tables(name, parts, f"the labels are from the {tables[0].name} of each split")
