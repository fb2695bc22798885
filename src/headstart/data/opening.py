"""The sources in a path: a folder, a table, or an archive of these."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from headstart.data.archives import ENDINGS, is_archive, unpack
from headstart.data.folder_doubts import CLASS_HINT, NoClassFoldersError
from headstart.data.folders import Layout, layout_of, unlabelled_layout
from headstart.data.reading import AS_IT_IS, Reading
from headstart.data.shown_paths import ShownPaths
from headstart.data.sources import Candidate, Skipped, Sources, printable
from headstart.data.split_names import UNLABELLED
from headstart.data.table_sources import names_images, table_sources
from headstart.data.tables import TABLE_ENDINGS
from headstart.data.walking import entries_of, files_below, folders_of
from headstart.download import is_url
from headstart.errors import DataError


@contextmanager
def open_sources(data: Path, reading: Reading = AS_IT_IS) -> Iterator[Sources]:
    """The sources in a folder, a table (CSV, Parquet) or an archive of these; an archive stays unpacked while the block runs.

    Raises DataError if `data` is not a data set.
    """
    if not data.exists() and is_url(data):
        raise DataError(f"{data} is a URL: images are read from this machine only", hint="download it, and give the file")
    if not data.exists():
        raise DataError(f"there is no {data}", hint="give a folder, a CSV or Parquet file, a .zip or .tar, or a catalog name")
    if not is_archive(data):
        below = data if data.is_dir() else data.parent
        yield _sources_in(data, ShownPaths(printable(str(below)), below), reading)
        return
    with TemporaryDirectory(prefix="headstart-") as folder:
        left_out = unpack(data, Path(folder))
        shown = ShownPaths(f"{printable(str(data))}!", Path(folder))
        sources = _sources_in(_content_of(Path(folder), reading), shown, reading)
        name = re.sub("|".join(re.escape(ending) + "$" for ending in ENDINGS), "", data.name, flags=re.IGNORECASE)
        odd = tuple(Skipped(f"{data}!{member}", reason) for member, reason in left_out)
        yield replace(sources, name=name, skipped=odd + sources.skipped)


def _sources_in(data: Path, shown: ShownPaths, reading: Reading) -> Sources:
    if data.is_dir():
        return _folder_sources(data, shown, reading)
    if data.suffix.lower() in TABLE_ENDINGS:
        return table_sources(data, shown, reading)
    if data.name.lower().endswith(ENDINGS):
        raise DataError(f"{data} cannot be opened: it is damaged, incomplete or not readable", hint="copy or download it again")
    raise DataError(f"{data} is neither a folder, a CSV or Parquet file, nor a .zip or .tar archive", hint=CLASS_HINT)


def _content_of(folder: Path, reading: Reading) -> Path:
    """The content of an unpacked archive: its only table, else the folder itself."""
    root = folder
    while len(entries_of(root)) == 1 and folders_of(root):  # a folder that contains a table and its images, not a class
        root = entries_of(root)[0]
        if _tables_in(root):
            break
    tables = _tables_in(root)
    has_classes = any(any(files_below(path)) for path in folders_of(root))
    return tables[0] if len(tables) == 1 and (not has_classes or names_images(tables[0], reading, folder)) else folder


def _tables_in(folder: Path) -> list[Path]:
    return [path for path in entries_of(folder) if path.is_file() and path.suffix.lower() in TABLE_ENDINGS]


def _folder_sources(folder: Path, shown: ShownPaths, reading: Reading) -> Sources:
    tables = [table for table in _tables_in(folder) if names_images(table, reading, shown.below if shown.is_archive else None)]
    try:
        layout = _layout(folder, shown, reading)
    except DataError as refusal:
        if tables:
            raise DataError(refusal.message, hint=f"give the table: {shown(tables[0])}") from refusal
        raise
    if tables and len({found.label for found in layout.classes}) < 2:
        raise DataError(f"{shown.whole} has a table, but no class folders", hint=f"give the table: {shown(tables[0])}")
    candidates: list[Candidate] = []
    empty: list[tuple[str, str]] = []
    for found in layout.classes:
        files = list(files_below(found.folder))
        candidates += [Candidate(shown(file), file, found.label, found.split) for file in files]
        if not files:
            empty.append((found.split or "", found.label))
    if reading.with_unlabelled:
        candidates += _without_label(layout, shown)
    else:
        _leave_out_unlabelled(layout)
    if tables:
        layout.notes.append(f"{tables[0].name} is not used: the labels are the names of the folders")
    skipped = tuple(Skipped(shown(path), reason) for path, reason in layout.unused)
    return Sources(folder.resolve().name, tuple(candidates), skipped, tuple(empty), tuple(layout.notes))


def _layout(folder: Path, shown: ShownPaths, reading: Reading) -> Layout:
    """What the folder means; with `with_unlabelled` it may also have no classes yet, or one that only holds all images."""
    try:
        layout = layout_of(folder, shown)
    except NoClassFoldersError:
        unlabelled = unlabelled_layout(folder) if reading.with_unlabelled else Layout()
        if not unlabelled.loose:
            raise
        return unlabelled
    is_one = len({found.label for found in layout.classes}) == 1 and not layout.loose and not layout.unlabelled
    return unlabelled_layout(folder) if reading.with_unlabelled and is_one else layout


def _without_label(layout: Layout, shown: ShownPaths) -> list[Candidate]:
    """The images that the folder has no label for. Where others are in splits, those that are in none are for training."""
    rest = "train" if any(found.split for found in layout.classes) else None
    files = [(file, split or rest) for file, split in layout.loose]
    for folder, split in layout.unlabelled:
        files += [(file, "train" if split == UNLABELLED else split) for file in files_below(folder)]
    return [Candidate(shown(file), file, None, split) for file, split in files]


def _leave_out_unlabelled(layout: Layout) -> None:
    """Lists the images that the folder has no label for as not used."""
    layout.unused += [(file, "it is outside the class folders") for file, _ in layout.loose]
    for folder, _ in layout.unlabelled:
        n_files = sum(1 for _ in files_below(folder))
        files = "1 file has" if n_files == 1 else f"{n_files} files have"
        layout.unused.append((folder, f"it has no class folders, so its {files} no labels"))
        layout.notes.append(f"{folder.name}/ has no class folders: its {files} no labels and cannot be used")
