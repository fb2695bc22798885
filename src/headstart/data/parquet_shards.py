"""Parquet files with images inside as a data set: one, or a folder of shards, as the `datasets` library writes them."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from headstart.addresses.address import address_in, folder_of, shown_place
from headstart.data.dataset_cards import class_names_in
from headstart.data.parquet_files import ENDING
from headstart.data.parquet_tables import read_parquet, unnamed_classes
from headstart.data.reading import Reading
from headstart.data.shown_paths import ShownPaths
from headstart.data.sources import Candidate, Skipped, Sources, printable
from headstart.data.split_names import UNLABELLED, splits_of
from headstart.data.table_columns import path_and_label
from headstart.data.table_files import FilesAtAddress, FilesOfTable, TableFiles
from headstart.data.table_sources import joined_tables, sources_of_table
from headstart.data.text_table import TextTable
from headstart.data.walking import may_be_image
from headstart.data.wording import counted
from headstart.errors import DataError
from headstart.threads import map_in_threads

AT_ONCE = 8  # shards that are looked into beside each other
SHARD = re.compile(r"[-_.]?\d+-of-\d+.*$|[-_.]?\d+$")  # what follows the split in a name: train-00000-of-00004
SAYS_NOTHING = {"data", "default", "parquet"}  # folders that tools make
Card = Callable[[], str]  # the text of README.md of the data set


def shards_among(names: Iterable[str]) -> list[str]:
    """The Parquet files among the files of a folder, if all others are documents; looks at names until one is neither."""
    shards = []
    for name in names:
        if name.lower().endswith(ENDING):
            shards.append(name)
        elif may_be_image(name):
            return []
    return shards


def hold_images(shards: Sequence[str]) -> bool:
    """Whether the first of some Parquet files has a column of images. Raises DataError if it is none, or cannot be reached."""
    return bool(shards) and bool(read_parquet(shards[0]).images)


def shard_sources(
    name: str, shards: Sequence[str], below: str, reading: Reading, card: Card, shown: ShownPaths | None = None
) -> Sources:
    """The images in Parquet files, paths or addresses, with their labels and splits. Raises DataError.

    The split is what the file's name begins with, or the folder's, if the table has no such column.
    """
    inner = [PurePosixPath(shard.removeprefix(below).replace("\\", "/").lstrip("/")) for shard in shards]
    _check_is_one(name, inner, below)
    words = [_word_of(path) for path in inner]
    splits = splits_of(set(words)) if len(shards) > 1 else {}
    if splits and set(words) - splits.keys():
        other = next(path for path, word in zip(inner, words, strict=True) if word not in splits)
        raise DataError(f"{name} has splits, but {other} is in none", hint="give one file, or call it train, val or test")
    taken = [(shard, splits.get(word)) for shard, word in zip(shards, words, strict=True) if splits.get(word) != UNLABELLED]
    classes = _classes(taken[0][0], reading, card) if taken else {}
    read = partial(_sources_in, reading=reading, classes=classes, shown=shown)
    parts = list(map_in_threads(read, taken, AT_ONCE))
    return joined_tables(name, parts, f"{counted(len(taken), 'Parquet file')}, whose images are read in place")


def images_in_shards(shards: Sequence[str]) -> tuple[list[Candidate], list[Skipped]]:
    """All images in Parquet files, for answers: labels do not matter; and what of them is none. Raises DataError."""
    reading = Reading(without_labels=True, boxes="none")
    parts = list(map_in_threads(lambda shard: _sources_in((shard, None), reading, {}, None), shards, AT_ONCE))
    return [one for part in parts for one in part.candidates], [one for part in parts for one in part.skipped]


def _sources_in(
    shard: tuple[str, str | None], reading: Reading, classes: dict[str, Sequence[str]], shown: ShownPaths | None
) -> Sources:
    place, split = shard
    return sources_of_table(read_parquet(place, classes), _files_of(place, shown), reading, split)


def _files_of(place: str, shown: ShownPaths | None) -> TableFiles:
    if address_in(place) is not None:
        return FilesAtAddress(folder_of(place), place)
    home = Path(place).parent
    return FilesOfTable(Path(place), shown or ShownPaths(printable(str(home)), home))


def _classes(first: str, reading: Reading, card: Card) -> dict[str, Sequence[str]]:
    """The names of the classes, where the files have numbers and only the data set's card names them."""
    if reading.without_labels:
        return {}
    table = read_parquet(first)
    column = _label_of(table, reading)
    if column is None or column not in unnamed_classes(table, first):
        return {}
    names = class_names_in(card(), column)
    return {column: names} if names else {}


def _label_of(table: TextTable, reading: Reading) -> str | None:
    _, place = path_and_label(table, replace(reading, labels_are_optional=True) if reading.several else reading)
    return None if place is None else table.names[place]


def _word_of(path: PurePosixPath) -> str:
    """The word of a file's name that may be a split: train of train-00000-of-00004.parquet and of train/0000.parquet."""
    return SHARD.sub("", path.stem) or path.parent.name


def _check_is_one(name: str, paths: Collection[PurePosixPath], below: str) -> None:
    """Raises DataError for several data sets beside each other, which the hub calls configurations."""
    folders: dict[str, None] = {}
    for path in paths:
        left = [part for part in path.parts[:-1] if part.lower() not in SAYS_NOTHING and part not in splits_of({part})]
        folders.setdefault("/".join(left))
    if len(folders) > 1:
        named = [folder or "the folder itself" for folder in folders]
        place = next(folder for folder in folders if folder)
        raise DataError(
            f"{name} holds {len(named)} data sets of Parquet files: {', '.join(named[:5])}",
            hint=f"give one of them, such as {shown_place(below)}/{place}",
        )
