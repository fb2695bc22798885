"""The forms of folders that could mean two things, or nothing: each is an error with a sentence and what to do."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import PurePath

from headstart.data.folder_looks import Looks, key_of
from headstart.data.split_names import hints_at_split, splits_of
from headstart.data.wording import joined
from headstart.errors import DataError

CLASS_HINT = "put the images into one folder per class, and give the folder that contains them"
Show = Callable[[PurePath], str]  # a path below DATA, as people are shown it


class NoClassFoldersError(DataError):
    """There are images, perhaps, but no class folders: nobody has labelled them yet."""


def no_class_folders(folders: Sequence[PurePath], show: Show) -> NoClassFoldersError:
    """The error for folders that hold the images themselves."""
    return NoClassFoldersError(
        f"{_first_names([show(path) for path in folders])} {'hold' if folders[1:] else 'holds'} images, but no class folders",
        hint=f"put them into one folder per class, such as {folders[0].name}/cats and {folders[0].name}/dogs, "
        "or give a table with the columns path and label",
    )


def check_images_in_splits(
    looks: Looks, named: dict[PurePath, str], without: Sequence[PurePath], others: Sequence[PurePath], show: Show
) -> None:
    """Raises DataError if folders called as splits hold the images themselves and can hardly be classes.

    `named`: what is called as a split; `without`: those of them with images; `others`: the folders next to them. One of them is
    a class among others: a train is a vehicle, too.
    """
    if not without:
        return
    meanings = {named[path] for path in without}
    first = sorted(without, key=lambda path: named[path] != "train")
    if len(others) == 1 and "train" not in meanings and sum(map(looks.holds_images, looks.folders(others[0]))) > 1:
        raise DataError(
            f"{show(first[0])} holds images, but {show(others[0])} contains folders: is it train?",
            hint=f"call it train, or give it alone: {show(others[0])}",
        )
    if all(hints_at_split(path.name) for path in others) or ("train" in meanings and len(meanings) > 1):
        raise no_class_folders([*first, *(path for path in others if hints_at_split(path.name))], show)


def check_no_data_set(looks: Looks, folders: Sequence[PurePath], show: Show) -> None:
    """Raises DataError if one of several folders is a data set with splits, not a class."""
    for folder in folders:
        inner = looks.data_set_in(folder) if len(folders) > 1 else None
        if inner is not None:
            splits = looks.named_splits(looks.folders(inner))
            raise DataError(
                f"{show(inner)} is a data set itself, with {joined_names(splits)}, but other folders are next to it",
                hint=f"give one data set, such as {show(inner)}",
            )


def check_sameness(looks: Looks, root: PurePath, folders: Sequence[PurePath], show: Show) -> None:
    """Raises DataError if folders contain the same folders: renderings, copies or splits of one data set, not its classes."""
    inner = {folder: {key_of(path) for path in looks.folders(folder) if looks.holds_images(path)} for folder in folders}
    beside = {key_of(folder) for folder in folders}
    for folder, names in inner.items():
        if len(names & beside) > 1 and 2 * len(names & beside) >= len(names):
            raise DataError(
                f"{show(folder)} contains the class folders that are next to it again: is it a copy?",
                hint=f"move it elsewhere, or give only {show(folder)}",
            )
    occurs = Counter(name for names in inner.values() for name in names)
    if len(folders) < 2 or any(len(names) < 2 or looks.holds_loose_images(folder) for folder, names in inner.items()):
        return
    if all(2 * sum(occurs[name] > 1 for name in names) >= len(names) for names in inner.values()):
        raise DataError(
            f"{joined_names(folders)} in {show(root)} contain the same folders: are they the classes, or is each a data set?",
            hint=f"give one of them, such as {show(folders[0])}; if they are splits, call them train, val and test; "
            "if they are the classes, move the images out of the folders in them",
        )


def check_labels(labels: Collection[str], root: PurePath, show: Show) -> None:
    """Raises DataError if there are no class folders, or if all classes are called as splits."""
    if not labels:
        raise NoClassFoldersError(f"{show(root)} has no class folders", hint=CLASS_HINT)
    splits = splits_of(labels)
    if len(splits) == len(labels) and len(set(splits.values())) > 1:
        raise DataError(f"the class folders in {show(root)} would be {', '.join(labels)}: these are splits", hint=CLASS_HINT)


def joined_names(folders: Collection[PurePath]) -> str:
    """The names of some folders in a sentence."""
    return _first_names([folder.name for folder in folders])


def _first_names(names: Sequence[str]) -> str:
    if len(names) > 5:
        return f"{', '.join(names[:4])} and {len(names) - 4} more"
    return joined(names)
