"""Where the images are, and what is known about each before it is opened: path, label, split, group."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from headstart.data.archives import ENDINGS, ZipMember, is_archive, is_zip, open_zip, unpack
from headstart.data.images import read_bytes
from headstart.data.tables import TABLE_ENDINGS, read_table
from headstart.errors import DataError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# Left by operating systems and tools among people's files: never a class, never an image.
SYSTEM_NAMES = {"__macosx", "__pycache__", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}
IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".gif", ".heic"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be an image, not opened yet."""

    path: str  # as shown to people: as given; archive members as `set.zip!a/b.jpg`
    file: Path  # where its bytes are; `set.zip/a/b.jpg` for a member of an archive that is not unpacked
    label: str | None = None
    split: str | None = None  # "train", "val", "test", or None if not given
    group: str | None = None  # images of one group stay together in one split
    member: ZipMember | None = None  # of an archive that is not unpacked

    def read(self) -> bytes:
        """The file's bytes. Raises UnreadableImage."""
        return self.member.read() if self.member else read_bytes(self.file)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not used, and why."""

    path: str
    reason: str
    by_owner: bool = False  # left out by the owner, not because something is wrong with it


@dataclass(frozen=True, slots=True)
class Sources:
    """All candidates of a data set in a fixed order, and what was left out before any file was opened."""

    name: str  # of the data set, for run folders and titles
    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...] = ()
    empty_classes: tuple[tuple[str, str], ...] = field(default=())  # (split or "", class) of folders without any file


@contextmanager
def open_sources(data: Path) -> Iterator[Sources]:
    """The sources in a folder, a table (CSV, Parquet) or an archive of these; an archive stays unpacked while the block runs.

    Raises DataError if `data` is not a data set.
    """
    if not data.exists():
        raise DataError(f"there is no {data}", hint="give a folder, a CSV or Parquet file, a .zip or .tar, or a catalog name")
    if not is_archive(data):
        yield _sources_in(data, shown=printable(str(data)))
        return
    with TemporaryDirectory(prefix="headstart-") as folder:
        left_out = unpack(data, Path(folder))
        sources = _sources_in(_content_of(Path(folder)), shown=f"{printable(str(data))}!", below=Path(folder))
        name = re.sub("|".join(re.escape(ending) + "$" for ending in ENDINGS), "", data.name, flags=re.IGNORECASE)
        odd = tuple(Skipped(f"{data}!{member}", reason) for member, reason in left_out)
        yield replace(sources, name=name, skipped=odd + sources.skipped)


def with_split(sources: Sources, split: str) -> Sources:
    """The same candidates, all in `split`. Raises DataError if they already have splits."""
    said = sorted({candidate.split for candidate in sources.candidates if candidate.split})
    if said:
        raise DataError(
            f"{sources.name} is given as {split} but contains {', '.join(said)} itself",
            hint=f"give the folder that contains the classes, such as {sources.name}/{said[-1]}",
        )
    return replace(
        sources,
        candidates=tuple(replace(candidate, split=split) for candidate in sources.candidates),
        empty_classes=tuple((split, label) for _, label in sources.empty_classes),
    )


def find_images(stack: ExitStack, paths: Iterable[Path]) -> tuple[list[Candidate], list[Skipped]]:
    """The files among `paths`, in folders and in archives, without hidden ones; and the members of archives that are not read.

    Zip archives stay open, and others stay unpacked, until `stack` closes. A path that does not exist is a candidate too:
    reading it gives the reason.
    """
    candidates: list[Candidate] = []
    skipped: list[Skipped] = []
    for path in paths:
        if path.is_dir():
            candidates += (Candidate(printable(str(file)), file) for file in _files_below(path))
        elif is_archive(path):
            members, left_out = _zip_candidates(stack, path) if is_zip(path) else _tar_candidates(stack, path)
            candidates += members
            skipped += (Skipped(printable(f"{path}!{member}"), reason) for member, reason in left_out)
            if not members:
                skipped.append(Skipped(printable(str(path)), "an archive without files"))
        else:
            candidates.append(Candidate(printable(str(path)), path))
    return candidates, skipped


def _zip_candidates(stack: ExitStack, archive: Path) -> tuple[list[Candidate], list[tuple[str, str]]]:
    members, left_out = open_zip(stack, archive)
    order = cache(natural_order)  # many files share few folders

    def as_walked(parts: tuple[str, ...]) -> list[tuple[bool, list[tuple[bool, int, str, str]]]]:
        """Sort key that walks a folder: its files first, then folder by folder."""
        return [*((True, order(folder)) for folder in parts[:-1]), (False, natural_order(parts[-1]))]

    shown = sorted((parts for parts in members if not any(is_hidden(Path(part)) for part in parts)), key=as_walked)
    return [_member_of(archive, parts, archive.joinpath(*parts), members[parts]) for parts in shown], left_out


def _tar_candidates(stack: ExitStack, archive: Path) -> tuple[list[Candidate], list[tuple[str, str]]]:
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="headstart-")))
    left_out = unpack(archive, folder)
    return [_member_of(archive, file.relative_to(folder).parts, file) for file in _files_below(folder)], left_out


def _member_of(archive: Path, parts: tuple[str, ...], file: Path, member: ZipMember | None = None) -> Candidate:
    return Candidate(printable(f"{archive}!{'/'.join(parts)}"), file, member=member)


def natural_order(name: str) -> list[tuple[bool, int, str, str]]:
    """Sort key that puts 2 before 10."""
    parts = [(part.isdecimal(), part.lstrip("0") if part.isdecimal() else "", part) for part in re.split(r"(\d+)", name)]
    return [(is_number, len(number), number, part) for is_number, number, part in parts]


def printable(name: str) -> str:
    """A file's name as text; bytes that are not UTF-8, as in names from old systems, become question marks."""
    return name.encode("utf-8", "replace").decode("utf-8")


def is_hidden(path: Path) -> bool:
    """Whether a file or folder belongs to a tool or the system (`.ipynb_checkpoints`, `__MACOSX`, `Thumbs.db`)."""
    return path.name.startswith(".") or path.name.lower() in SYSTEM_NAMES


def _sources_in(data: Path, shown: str, below: Path | None = None) -> Sources:
    """`shown` replaces the folder `below` (or `data` itself) in the paths people see."""
    if data.is_dir():
        return _folder_sources(_unwrap(data), shown, below or data, name=data.resolve().name)
    if data.suffix.lower() in TABLE_ENDINGS:
        return _table_sources(data, shown if below else str(data.parent), below or data.parent)
    if data.name.lower().endswith(ENDINGS):
        raise DataError(f"{data} cannot be opened: it is damaged, incomplete or not readable", hint="copy or download it again")
    raise DataError(
        f"{data} is neither a folder, a CSV or Parquet file, nor a .zip or .tar archive",
        hint="put the images into one folder per class, and give the folder that contains them",
    )


def _content_of(folder: Path) -> Path:
    """The content of an unpacked archive: its only table, else the folder itself."""
    root = _unwrap(folder)
    if len(_entries(root)) == 1 and any(_names_paths(table) for inner in _visible_folders(root) for table in _tables_in(inner)):
        root = _entries(root)[0]  # the only folder contains a table and its images, not a class
    tables = _tables_in(root)
    has_classes = any(any(_files_below(path)) for path in _visible_folders(root))
    return tables[0] if len(tables) == 1 and (not has_classes or _names_paths(tables[0])) else folder


def _tables_in(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_file() and path.suffix.lower() in TABLE_ENDINGS]


def _names_paths(table: Path) -> bool:
    """Whether a table has the columns of a data set; such a table takes precedence over folders of images next to it."""
    try:
        return {"path", "label"} <= set(read_table(table)[0])
    except DataError:
        return False


def _unwrap(folder: Path) -> Path:
    """Goes down while a folder contains only one folder that itself contains folders, as in `set.zip!set/train/...`."""
    while True:
        entries = _entries(folder)
        if len(entries) != 1 or not entries[0].is_dir() or entries[0].name.lower() in SPLIT_NAMES:
            return folder
        if not _visible_folders(entries[0]):
            return folder
        folder = entries[0]


def _entries(folder: Path) -> list[Path]:
    """The entries of a folder that are not hidden, in natural order. Raises DataError."""
    try:
        return sorted((path for path in folder.iterdir() if not is_hidden(path)), key=lambda path: natural_order(path.name))
    except OSError as error:
        _refuse(error)


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename} cannot be read: {error.strerror}", hint="check its permissions") from error


def _visible_folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir()]


def _files_below(folder: Path) -> Iterator[Path]:
    """All files below, in natural order; follows links to folders, but enters each folder once and never goes back up."""
    root = Path(folder).resolve()
    walked: set[Path] = set()
    for parent, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        place = Path(parent).resolve()
        if place in walked or (place != root and root.is_relative_to(place)):
            folders.clear()
            continue
        walked.add(place)
        folders[:] = sorted((name for name in folders if not is_hidden(Path(name))), key=natural_order)
        yield from (Path(parent, name) for name in sorted(files, key=natural_order) if not is_hidden(Path(name)))


def _folder_sources(folder: Path, shown: str, below: Path, name: str) -> Sources:
    def path_of(file: Path) -> str:
        inner = printable(file.relative_to(below).as_posix())
        return shown + inner if shown.endswith("!") else str(Path(shown, inner))

    folders = _visible_folders(folder)
    split_folders = {path: SPLIT_NAMES[path.name.lower()] for path in folders if path.name.lower() in SPLIT_NAMES}
    is_split = _are_splits(folder, folders, split_folders)
    if is_split and len(set(split_folders.values())) < len(split_folders):
        raise DataError(
            f"{folder} has two folders for one split: {', '.join(sorted(path.name for path in split_folders))}",
            hint="keep one folder each for train/, val/ (or valid/, validation/) and test/",
        )
    candidates: list[Candidate] = []
    skipped: list[Skipped] = []
    empty: list[tuple[str, str]] = []
    for root, split in split_folders.items() if is_split else [(folder, None)]:
        for class_folder in _visible_folders(root):
            files = list(_files_below(class_folder))
            label = _label_of(class_folder.name)
            candidates += [Candidate(path_of(file), file, label, split) for file in files]
            if not files:
                empty.append((split or "", label))
    for root in [folder, *split_folders] if is_split else [folder]:
        loose = [path for path in _entries(root) if path.is_file() and path.suffix.lower() in IMAGE_ENDINGS]
        skipped += [Skipped(path_of(path), "it is outside the class folders") for path in loose]
    if is_split:
        extra = [path for path in folders if path not in split_folders]
        skipped += [Skipped(path_of(path), "a folder next to train, val and test is not used") for path in extra]
    tables = [path for path in _entries(folder) if path.suffix.lower() in TABLE_ENDINGS and _names_paths(path)]
    if tables and len({candidate.label for candidate in candidates}) < 2:
        raise DataError(f"{shown.rstrip('!')} has a table, but no class folders", hint=f"give the table: {path_of(tables[0])}")
    if not candidates and not empty:
        raise DataError(
            f"{shown.rstrip('!')} has no class folders",
            hint="put the images into one folder per class, and give the folder that contains them",
        )
    return Sources(name, tuple(candidates), tuple(skipped), tuple(empty))


def _are_splits(folder: Path, folders: Sequence[Path], split_folders: dict[Path, str]) -> bool:
    """Whether folders called train, val and test are splits that contain class folders; otherwise they are classes themselves.

    Raises DataError if it is not clear which.
    """
    holding_classes = [path for path in split_folders if _visible_folders(path)]
    if any(split_folders[path] == "train" for path in holding_classes):
        return True
    if holding_classes and len(split_folders) == len(folders):
        return True
    if holding_classes:
        raise DataError(
            f"{holding_classes[0]} contains class folders but is next to class folders: is it a split?",
            hint="put the class folders next to it into a folder train/",
        )
    return False


def _table_sources(table: Path, shown: str, below: Path) -> Sources:
    names, rows = read_table(table)
    missing = [name for name in ("path", "label") if name not in names]
    if missing:
        raise DataError(
            f"{table} has no column {' and no column '.join(missing)}; it has {', '.join(map(repr, names)) or 'none'}",
            hint="columns are path (relative to the table's folder), label and, optionally, split and group",
        )
    candidates: list[Candidate] = []
    skipped: list[Skipped] = []
    seen: dict[Path, str] = {}
    for number, row in enumerate(rows, start=2):  # row 1 is the header
        if not any(row.values()):
            continue
        given, label = row.get("path", ""), _label_of(row.get("label", ""))
        file = _file_of(table.parent, given)
        inner = os.path.relpath(file, below).replace(os.sep, "/") if not Path(given).is_absolute() else given
        path = shown + inner if shown.endswith("!") else str(Path(shown, inner))
        if shown.endswith("!") and not _stays_below(file, below):
            skipped.append(Skipped(f"{shown}{given}", "its path leads out of the archive"))
        elif not given:
            skipped.append(Skipped(f"{table}:{number}", "the row has no path"))
        elif not label:
            skipped.append(Skipped(path, "the row has no label"))
        elif file in seen:
            skipped.append(
                Skipped(path, f"row {number} repeats the file of an earlier row, which has the label {seen[file]!r}")
            )
        else:
            seen[file] = label
            split = _split_of(row.get("split", ""), table, number)
            candidates.append(Candidate(path, file, label, split, row.get("group") or None))
    if not candidates:
        raise DataError(f"{table} names no image with a label", hint="it needs one row per image, with path and label")
    unsaid = [candidate.path for candidate in candidates if candidate.split is None]
    if unsaid and len(unsaid) < len(candidates):
        raise DataError(
            f"{table} gives a split for only some images; {unsaid[0]} has none", hint="fill in the column, or leave it out"
        )
    return Sources(table.stem, tuple(candidates), tuple(skipped))


def _label_of(name: str) -> str:
    """The class's name; macOS decomposes accented letters and other systems do not, but both mean the same class."""
    return unicodedata.normalize("NFC", printable(name))


def _split_of(word: str, table: Path, number: int) -> str | None:
    if not word:
        return None
    if word.lower() not in SPLIT_NAMES:
        raise DataError(f"{table} row {number} has the split {word!r}", hint="a split is train, val or test")
    return SPLIT_NAMES[word.lower()]


def _file_of(folder: Path, given: str) -> Path:
    file = folder / given
    if "\\" in given and not os.path.exists(file):  # noqa: PTH110 - a table made on Windows; this never raises
        file = folder / given.replace("\\", "/")
    return Path(os.path.normpath(file))


def _stays_below(file: Path, folder: Path) -> bool:
    return "\0" not in str(file) and file.resolve().is_relative_to(folder.resolve())
