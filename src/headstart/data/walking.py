"""The files in folders, in an order that every run repeats, without what systems and tools leave there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Literal, NoReturn

from headstart.data.sources import in_natural_order, natural_order
from headstart.errors import DataError

# Left by operating systems and tools among people's files: never a class, never an image.
SYSTEM_NAMES = {"__macosx", "__pycache__", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}
IMAGE_ENDINGS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".avif", ".mpo", ".jp2"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif", ".dng"),
    *(".dcm", ".dicom", ".ima"),
}
# What lies beside images and is none. What else a file is, its content says.
DOCUMENT_ENDINGS = {
    *(".txt", ".md", ".rst", ".html", ".htm", ".pdf", ".doc", ".docx", ".log", ".names"),
    *(".csv", ".tsv", ".xls", ".xlsx", ".parquet", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".cfg", ".ini"),
    *(".npy", ".npz", ".mat", ".pkl", ".h5", ".hdf5", ".pt", ".pth", ".db", ".sqlite", ".cache", ".lock"),
    *(".py", ".ipynb", ".m", ".sh", ".bat", ".zip", ".tar", ".gz"),
}


def is_hidden(path: PurePath) -> bool:
    """Whether a file or folder belongs to a tool or the system (`.ipynb_checkpoints`, `__MACOSX`, `Thumbs.db`)."""
    return is_hidden_name(path.name)


def is_hidden_name(name: str) -> bool:
    """The same for its name."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def entries_of(folder: Path) -> list[Path]:
    """The entries of a folder that are not hidden, in natural order. Raises DataError."""
    with _scanned(folder) as entries:
        found = [Path(entry.path) for entry in entries if not is_hidden_name(entry.name)]
    return sorted(found, key=lambda path: natural_order(path.name))


def folders_of(folder: Path) -> list[Path]:
    """The folders in a folder that are not hidden, in natural order. Raises DataError."""
    with _scanned(folder) as entries:
        found = [Path(entry.path) for entry in entries if entry.is_dir() and not is_hidden_name(entry.name)]
    return sorted(found, key=lambda path: natural_order(path.name))


def loose_images(folder: Path) -> list[Path]:
    """The files directly in a folder that are called like images, in natural order. Raises DataError."""
    with _scanned(folder) as entries:
        files = [Path(entry.path) for entry in entries if entry.is_file() and not is_hidden_name(entry.name)]
    return sorted((file for file in files if file.suffix.lower() in IMAGE_ENDINGS), key=lambda file: natural_order(file.name))


def what_is_below(folder: Path) -> Literal["images", "documents", "nothing"]:
    """What the names of the files below a folder say that they are; one that could be an image decides. Raises DataError."""
    with _scanned(folder) as entries:  # a folder of 100,000 need not be listed for what its first files say
        if any(entry.is_file() and may_be_image(entry.name) and not is_hidden_name(entry.name) for entry in entries):
            return "images"
    found: Literal["documents", "nothing"] = "nothing"
    for _, files in _walk(folder):
        if any(may_be_image(name) for name in files):
            return "images"
        found = "documents" if files else found
    return found


def may_be_image(name: str) -> bool:
    """Whether a file could be an image: its name does not say that it is a document."""
    return Path(name).suffix.lower() not in DOCUMENT_ENDINGS


@contextmanager
def _scanned(folder: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
    try:
        with os.scandir(folder) as entries:
            yield entries
    except OSError as error:
        _refuse(error)


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename} cannot be read: {error.strerror}", hint="check its permissions") from error


def files_below(folder: Path) -> Iterator[Path]:
    """All files below, in natural order; follows links to folders, but enters each folder once and never goes back up."""
    for parent, files in _walk(folder):
        yield from (parent / name for name in in_natural_order(files))


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    root = Path(folder).resolve()
    walked: set[Path] = set()
    for parent, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        place = Path(parent).resolve()
        if place in walked or (place != root and root.is_relative_to(place)):
            folders.clear()
            continue
        walked.add(place)
        folders[:] = sorted((name for name in folders if not is_hidden_name(name)), key=natural_order)
        yield Path(parent), [name for name in files if not is_hidden_name(name)]
