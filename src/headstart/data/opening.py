"""The sources in a path: a folder, a table, or an archive of these."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from headstart.data.archives import ENDINGS, is_archive, is_zip, unpack
from headstart.data.coco import ENDING as COCO
from headstart.data.coco import NotCocoError, coco_sources
from headstart.data.coco_folders import coco_files_in, coco_folder_sources
from headstart.data.dataset_cards import CARD
from headstart.data.folder_doubts import CLASS_HINT
from headstart.data.imagefolders import imagefolder_sources, metadata_in
from headstart.data.parquet_files import ENDING as PARQUET
from headstart.data.parquet_shards import hold_images, shard_sources, shards_among
from headstart.data.reading import AS_IT_IS, Reading
from headstart.data.shown_paths import ShownPaths
from headstart.data.sources import Skipped, Sources, printable
from headstart.data.table_files import FilesOfTable, above_annotations
from headstart.data.table_sources import has_boxes, names_images, table_sources
from headstart.data.tables import TABLE_ENDINGS
from headstart.data.tar_shards import is_of_samples, tar_sources, tars_among
from headstart.data.tree_sources import tree_sources
from headstart.data.trees import TreeOnDisk
from headstart.data.walking import entries_of, files_below, folders_of
from headstart.errors import DataError
from headstart.settings import Boxes


@contextmanager
def open_sources(data: Path, reading: Reading = AS_IT_IS) -> Iterator[Sources]:
    """The sources in a folder, a table or an archive of these; an archive stays unpacked while the block runs.

    Raises DataError if `data` is not a data set.
    """
    if not data.exists():
        raise DataError(f"there is no {data}", hint="give a folder, a CSV or Parquet file, a .zip or .tar, or a catalog name")
    if not is_archive(data):
        below = data if data.is_dir() else _home_of(data)
        yield _sources_in(data, ShownPaths(printable(str(below)), below), reading)
        return
    name = re.sub("|".join(re.escape(ending) + "$" for ending in ENDINGS), "", data.name, flags=re.IGNORECASE)
    if not is_zip(data) and is_of_samples(str(data)):
        yield tar_sources(name, [str(data)], reading)
        return
    with TemporaryDirectory(prefix="headstart-") as folder:
        left_out = unpack(data, Path(folder))
        shown = ShownPaths(f"{printable(str(data))}!", Path(folder))
        sources = _sources_in(_content_of(Path(folder), shown, reading), shown, reading)
        odd = tuple(Skipped(f"{data}!{member}", reason) for member, reason in left_out)
        yield replace(sources, name=name, skipped=odd + sources.skipped)


def _sources_in(data: Path, shown: ShownPaths, reading: Reading) -> Sources:
    if data.is_dir():
        return _folder_sources(data, shown, reading)
    if data.suffix.lower() == PARQUET and hold_images([str(data)]):
        card = partial(_card_in, data.parent)
        return shard_sources(printable(data.stem), [str(data)], str(data.parent), reading, card, shown)
    if data.suffix.lower() in TABLE_ENDINGS:
        return table_sources(data, FilesOfTable(data, shown), reading)
    if data.suffix.lower() == COCO:
        return coco_sources(data, FilesOfTable(data, shown), reading)
    if data.name.lower().endswith(ENDINGS):
        raise DataError(f"{data} cannot be opened: it is damaged, incomplete or not readable", hint="copy or download it again")
    raise DataError(
        f"{data} is neither a folder, a table (CSV, Parquet, JSON Lines), a COCO file, nor a .zip or .tar archive",
        hint=CLASS_HINT,
    )


def boxes_named_in(file: Path, boxes: Boxes = "auto") -> Sources | None:
    """The boxes that a table or a COCO file names, without their labels; None if the file is neither, or a table without boxes.

    Raises DataError for boxes that cannot be used.
    """
    ending = file.suffix.lower()
    if boxes == "none" or not (ending == COCO or ending in TABLE_ENDINGS) or not file.is_file():
        return None
    home = _home_of(file)
    files, reading = FilesOfTable(file, ShownPaths(printable(str(home)), home)), Reading(without_labels=True, boxes=boxes)
    if ending != COCO:
        return table_sources(file, files, reading) if has_boxes(file) else None
    try:
        return coco_sources(file, files, reading)
    except NotCocoError:
        return None


def _coco_in(folder: Path, name: str, shown: ShownPaths, reading: Reading) -> Sources | None:
    """The boxes of a folder without class folders; None if it has no COCO file."""
    files = coco_files_in(folder)
    try:
        return coco_folder_sources(name, files, shown, reading) if files and reading.boxes != "none" else None
    except NotCocoError:
        return None


def _home_of(table: Path) -> Path:
    """The folder that the paths of a table are shown in."""
    above = above_annotations(table) if table.suffix.lower() == COCO else None
    return table.parent if above is None else above


def _content_of(folder: Path, shown: ShownPaths, reading: Reading) -> Path:
    """The content of an unpacked archive: its only table, else the folder itself."""
    root = folder
    while len(entries_of(root)) == 1 and folders_of(root):  # a folder that contains a table and its images, not a class
        root = entries_of(root)[0]
        if _tables_in(root):
            break
    tables = _tables_in(root)
    has_classes = any(any(files_below(path)) for path in folders_of(root))
    return tables[0] if len(tables) == 1 and (not has_classes or names_images(tables[0], shown, reading)) else folder


def _tables_in(folder: Path) -> list[Path]:
    return [path for path in entries_of(folder) if path.is_file() and path.suffix.lower() in TABLE_ENDINGS]


def _card_in(folder: Path) -> str:
    """The README.md of a data set; "" if it has none."""
    card = folder / CARD
    return card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""


def _folder_sources(folder: Path, shown: ShownPaths, reading: Reading) -> Sources:
    tars = tars_among(map(str, files_below(folder)))
    if tars:
        return tar_sources(folder.resolve().name, tars, reading, str(folder))
    shards = shards_among(map(str, files_below(folder)))
    if hold_images(shards):
        return shard_sources(folder.resolve().name, shards, str(folder), reading, partial(_card_in, folder), shown)
    tables = [table for table in _tables_in(folder) if names_images(table, shown, reading)]
    name = folder.resolve().name
    try:
        sources, labels = tree_sources(name, TreeOnDisk(shown), folder, reading)
    except DataError as refusal:
        if metadata := metadata_in(folder, shown, reading):
            return imagefolder_sources(name, metadata, shown, reading)
        if tables:
            raise DataError(refusal.message, hint=f"give the table: {shown(tables[0])}") from refusal
        boxes = _coco_in(folder, name, shown, reading)
        if boxes is None:
            raise
        return boxes
    if not tables:
        return sources if labels else _coco_in(folder, name, shown, reading) or sources
    if len(labels) < 2 and (metadata := metadata_in(folder, shown, reading)):
        return imagefolder_sources(name, metadata, shown, reading)
    if len(labels) < 2:
        raise DataError(f"{shown.whole} has a table, but no class folders", hint=f"give the table: {shown(tables[0])}")
    note = f"{tables[0].name} is not used: the labels are the names of the folders"
    return replace(sources, notes=(*sources.notes, note))
