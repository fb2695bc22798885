"""What a folder of labelled images means: which folders are splits, which are classes, and what is left out.

A form that has one meaning is read, whatever its spelling; one that could mean two things is an error that names both.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headstart.data.sources import class_name
from headstart.data.split_names import UNLABELLED, hints_at_split, says_nothing, splits_of
from headstart.data.walking import files_below, folders_of, holds_images, loose_images
from headstart.errors import DataError

CLASS_HINT = "put the images into one folder per class, and give the folder that contains them"
Show = Callable[[Path], str]  # a path below DATA, as people are shown it


@dataclass(frozen=True, slots=True)
class ClassFolder:
    """A folder whose images are all of one class."""

    folder: Path
    label: str  # the name of the folder that names the class
    split: str | None


@dataclass(slots=True)
class Layout:
    """The meaning of a folder."""

    classes: list[ClassFolder] = field(default_factory=list)
    unused: list[tuple[Path, str]] = field(default_factory=list)  # files and folders, with reasons
    notes: list[str] = field(default_factory=list)

    def leave_out_loose(self, folder: Path) -> None:
        """Lists the images directly in a folder as not used."""
        self.unused += [(path, "it is outside the class folders") for path in loose_images(folder)]


def layout_of(data: Path, show: Show) -> Layout:
    """What the folder `data` means. Raises DataError if it has no class folders, or could mean two things."""
    layout = Layout()
    root = _without_wrappers(data, layout)
    folders = folders_of(root)
    splits = _splits(root, folders, show)
    layout.leave_out_loose(root)
    if splits:
        _add_splits(layout, splits, show)
        others = [folder for folder in folders if folder not in splits]
        layout.unused += [(folder, "a folder next to train, val and test is not used") for folder in others]
    else:
        _add_classes(layout, root, None, show)
    _check_labels(layout, root, show)
    return layout


def _without_wrappers(folder: Path, layout: Layout) -> Path:
    """Goes down while a single folder has images and contains folders: `set.zip!set/train/...`, `images/` beside `labels/`."""
    while True:
        folders = folders_of(folder)
        inner = folders[0] if len(folders) == 1 else _only_one_with_images(folders)
        if inner is None or not folders_of(inner) or (splits_of([inner.name]) and not _holds_splits(inner)):
            return folder
        layout.leave_out_loose(folder)
        layout.unused += [(path, "a folder without images is not a class") for path in folders if path != inner]
        folder = inner


def _only_one_with_images(folders: Sequence[Path]) -> Path | None:
    """The only folder that holds images, if the others hold other files; an empty folder is a class without images."""
    holding = [folder for folder in folders if holds_images(folder)]
    return holding[0] if len(holding) == 1 and all(_holds_documents(f) for f in folders if f != holding[0]) else None


def _holds_documents(folder: Path) -> bool:
    """Whether a folder holds files, but none that could be an image: annotations, not a class."""
    return not holds_images(folder) and any(True for _ in files_below(folder))


def _holds_splits(folder: Path) -> bool:
    """Whether a folder contains train, and val or test, with class folders."""
    splits = {path: split for path, split in _named_splits(folders_of(folder)).items() if _class_root(path) is not None}
    return "train" in splits.values() and len(splits) > 1


def _named_splits(folders: Sequence[Path]) -> dict[Path, str]:
    """The folders whose names mean a split, without those that only describe images, such as train_labels/."""
    holding = {folder.name: folder for folder in folders if not _holds_documents(folder)}
    return {holding[name]: split for name, split in splits_of(list(holding)).items()}


def _class_root(folder: Path) -> Path | None:
    """The folder of a split's class folders: itself, or one in it as in `seg_train/seg_train`; None without class folders."""
    while True:
        folders = [path for path in folders_of(folder) if not _holds_documents(path)]
        if not folders:
            return None
        only = folders[0]
        if len(folders) > 1 or not (says_nothing(only.name) or hints_at_split(only.name) == hints_at_split(folder.name) != ""):
            return folder
        folder = only


def _splits(root: Path, folders: Sequence[Path], show: Show) -> dict[Path, str]:
    """The folders that are splits; empty if they are classes, whatever their names. Raises DataError if that is not clear."""
    named = _named_splits(folders)
    with_classes = [path for path in named if _class_root(path) is not None]
    without = [path for path in named if path not in with_classes and holds_images(path)]
    others = [path for path in folders if path not in named and not _holds_documents(path)]
    if not with_classes:
        _check_images_in_splits(named, without, others, show)
        return {}
    if any(named[path] == "train" for path in with_classes):
        splits = {path: named[path] for path in [*with_classes, *without] if named[path] != UNLABELLED or path in without}
        given = [split for path, split in splits.items() if path in with_classes]
        if len(set(given)) < len(given):
            raise DataError(
                f"{show(root)} has two folders for one split: {', '.join(sorted(path.name for path in splits))}",
                hint="keep one folder each for train/, val/ (or valid/, validation/) and test/",
            )
        return {path: splits[path] for path in folders if path in splits}
    if any(named[path] == "train" for path in without):
        raise _no_class_folders([path for path in without if named[path] == "train"], show)
    if others:
        raise DataError(
            f"{show(with_classes[0])} contains class folders but is next to class folders: is it a split?",
            hint="put the class folders next to it into a folder train/",
        )
    return named


def _check_images_in_splits(named: dict[Path, str], without: Sequence[Path], others: Sequence[Path], show: Show) -> None:
    """Raises DataError if folders called as splits hold the images themselves and can hardly be classes.

    One of them is a class among others: a train is a vehicle, too.
    """
    meanings = {named[path] for path in without}
    if not without or (
        any(not hints_at_split(path.name) for path in others) and not ("train" in meanings and len(meanings) > 1)
    ):
        return
    first = sorted(without, key=lambda path: named[path] != "train")
    raise _no_class_folders([*first, *(path for path in others if hints_at_split(path.name))], show)


def _no_class_folders(folders: Sequence[Path], show: Show) -> DataError:
    return DataError(
        f"{_joined([show(path) for path in folders])} {'hold' if folders[1:] else 'holds'} images, but no class folders",
        hint=f"put them into one folder per class, such as {folders[0].name}/cats and {folders[0].name}/dogs, "
        "or give a table with the columns path and label",
    )


def _add_splits(layout: Layout, splits: dict[Path, str], show: Show) -> None:
    roots = {path: _class_root(path) for path in splits}
    trained = {_key(path) for folder, root in roots.items() if splits[folder] == "train" and root for path in folders_of(root)}
    for folder, split in splits.items():
        root = roots[folder]
        if root is None or (split != "train" and trained and _is_unlabelled(root, trained)):
            n_files = sum(1 for _ in files_below(folder))
            layout.unused.append((folder, f"it has no class folders, so its {_files(n_files)} no labels"))
            layout.notes.append(f"{folder.name}/ has no class folders: its {_files(n_files)} no labels and cannot be used")
            continue
        for place in dict.fromkeys((folder, root)):
            layout.leave_out_loose(place)
        _add_classes(layout, root, split, show)


def _is_unlabelled(root: Path, trained: set[str]) -> bool:
    """Whether a split's only folder is no class: test/unknown/, as some tools want it."""
    folders = folders_of(root)
    names_nothing = {"unknown", "unlabeled", "unlabelled", "none"}
    return len(folders) == 1 and _key(folders[0]) in names_nothing - trained


def _add_classes(layout: Layout, root: Path, split: str | None, show: Show) -> None:
    folders = folders_of(root)
    layout.unused += [(path, "a folder without images is not a class") for path in folders if _holds_documents(path)]
    folders = [path for path in folders if not _holds_documents(path)]
    if len(folders) == 1 and says_nothing(folders[0].name) and not folders_of(folders[0]):
        raise _no_class_folders(folders, show)
    divided = {} if split else _divided(folders, show)
    if not divided:
        _check_sameness(root, folders, show)
    for folder in folders:
        if folder not in divided:
            layout.classes.append(ClassFolder(folder, class_name(folder.name), split))
            continue
        layout.leave_out_loose(folder)
        layout.classes += [ClassFolder(path, class_name(folder.name), inner) for path, inner in divided[folder].items()]


def _divided(folders: Sequence[Path], show: Show) -> dict[Path, dict[Path, str]]:
    """Class folders that are divided into train/, val/ and test/ themselves; empty if they are not. Raises DataError."""
    divided: dict[Path, dict[Path, str]] = {}
    for folder in folders:
        inner = [path for path in folders_of(folder) if not _holds_documents(path)]
        splits = _named_splits(inner)
        if not splits or len(splits) < len(inner):
            continue
        if any(_class_root(path) is not None for path in splits):
            raise DataError(
                f"{show(folder)} is divided into {_listed(splits)} with class folders, but other folders are next to it",
                hint=f"give one data set, such as {show(folder)}",
            )
        divided[folder] = splits
    meanings = {split for splits in divided.values() for split in splits.values()}
    if "train" not in meanings or len(meanings) < 2:
        return {}
    first = next(iter(divided))
    for folder in folders:
        if folder not in divided and holds_images(folder):
            raise DataError(
                f"{show(first)} is divided into {_listed(divided[first])}, but {show(folder)} is not",
                hint="divide every class folder, or none",
            )
    return divided


def _check_sameness(root: Path, folders: Sequence[Path], show: Show) -> None:
    """Raises DataError if folders contain the same folders: renderings, copies or splits of one data set, not its classes."""
    inner = {folder: {_key(path) for path in folders_of(folder) if holds_images(path)} for folder in folders}
    beside = {_key(folder) for folder in folders}
    for folder, names in inner.items():
        if len(names & beside) > 1 and 2 * len(names & beside) >= len(names):
            raise DataError(
                f"{show(folder)} contains the class folders that are next to it again: is it a copy?",
                hint=f"move it elsewhere, or give only {show(folder)}",
            )
    occurs = Counter(name for names in inner.values() for name in names)
    if len(folders) < 2 or any(len(names) < 2 or loose_images(folder) for folder, names in inner.items()):
        return
    if all(2 * sum(occurs[name] > 1 for name in names) >= len(names) for names in inner.values()):
        raise DataError(
            f"{_listed(folders)} in {show(root)} contain the same folders: are they the classes, or is each a data set?",
            hint=f"give one of them, such as {show(folders[0])}; if they are splits, call them train, val and test; "
            "if they are the classes, move the images out of the folders in them",
        )


def _check_labels(layout: Layout, root: Path, show: Show) -> None:
    """Raises DataError if there are no class folders, or if all classes are called as splits."""
    labels = list(dict.fromkeys(found.label for found in layout.classes))
    if not labels:
        raise DataError(f"{show(root)} has no class folders", hint=CLASS_HINT)
    splits = splits_of(labels)
    if len(splits) == len(labels) and len(set(splits.values())) > 1:
        raise DataError(f"the class folders in {show(root)} would be {', '.join(labels)}: these are splits", hint=CLASS_HINT)


def _files(count: int) -> str:
    return "1 file has" if count == 1 else f"{count} files have"


def _key(folder: Path) -> str:
    return class_name(folder.name).casefold().strip()


def _listed(folders: Sequence[Path] | dict[Path, str]) -> str:
    return _joined([folder.name for folder in folders])


def _joined(names: Sequence[str]) -> str:
    if len(names) > 5:
        return f"{', '.join(names[:4])} and {len(names) - 4} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
