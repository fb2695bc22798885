"""Folders of a COCO data set: pictures beside the files of their boxes, one for each split."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from headstart.data.coco import ENDING, coco_sources
from headstart.data.reading import Reading
from headstart.data.shown_paths import ShownPaths
from headstart.data.sources import Sources, with_split
from headstart.data.split_names import hints_at_split, splits_of
from headstart.data.table_files import ANNOTATIONS, FilesOfTable
from headstart.data.walking import entries_of, folders_of
from headstart.errors import DataError

SPLITS = {"train", "val", "test"}


def coco_files_in(folder: Path) -> list[Path]:
    """The files in a folder that are COCO files by their names, or the only JSON file there.

    Looked at are the folder itself, `annotations/` in it, and the folders of splits, each with a file of its own.
    """
    while len(entries_of(folder)) == 1 and folders_of(folder):
        folder = entries_of(folder)[0]
    inner = folders_of(folder)
    splits = splits_of([path.name for path in inner])
    files = [file for path in (folder, *inner) if path == folder or path.name.lower() in ANNOTATIONS for file in _json_in(path)]
    of_splits = [(path, _json_in(path)) for path in inner if splits.get(path.name) in SPLITS]
    files += [found[0] for _, found in of_splits if len(found) == 1]
    objects = _called(files, lambda name: name.startswith("instances")) or _called(files, lambda name: "coco" in name)
    return objects or (files if len(files) == 1 else [])


def coco_folder_sources(name: str, files: list[Path], shown: ShownPaths, reading: Reading) -> Sources:
    """The boxes of COCO files as one data set, where several are its splits. Raises DataError if they are not."""
    splits = {file: _split_of(file) for file in files}
    if len(files) == 1:
        splits = {files[0]: ""}
    elif len(set(splits.values())) < len(files) or not {"train"} <= set(splits.values()) <= SPLITS:
        raise DataError(
            f"{shown.whole} has {len(files)} COCO files, which are not train, val and test by their names",
            hint=f"give one of them, such as {shown(files[0])}, and others with --val and --test",
        )
    parts = []
    for file, split in splits.items():
        found = coco_sources(file, FilesOfTable(file, shown), reading)
        parts.append(with_split(found, split) if split else found)
    told = ", ".join(shown(file) + (f" ({split})" if split else "") for file, split in splits.items())
    return replace(
        parts[0],
        name=name,
        candidates=tuple(one for part in parts for one in part.candidates),
        skipped=tuple(one for part in parts for one in part.skipped),
        notes=(f"the data set is read from {told}", *(note for part in parts for note in part.notes)),
    )


def _split_of(file: Path) -> str:
    """The split in a file's name, else in that of its folder; "" for none."""
    return hints_at_split(file.stem) or ("" if file.parent.name.lower() in ANNOTATIONS else hints_at_split(file.parent.name))


def _json_in(folder: Path) -> list[Path]:
    return [file for file in entries_of(folder) if file.suffix.lower() == ENDING and file.is_file()]


def _called(files: list[Path], is_so: Callable[[str], bool]) -> list[Path]:
    return [file for file in files if is_so(file.name.lower())]
