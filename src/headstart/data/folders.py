"""What a folder of labelled images means: which folders are splits, which are classes, and what is left out.

A form that has one meaning is read, whatever its spelling; one that could mean two things is an error that names both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from headstart.data.folder_doubts import (
    Show,
    check_images_in_splits,
    check_labels,
    check_no_data_set,
    check_sameness,
    joined_names,
    no_class_folders,
)
from headstart.data.folder_looks import Looks, key_of
from headstart.data.sources import class_name
from headstart.data.split_names import UNLABELLED, says_nothing, splits_of
from headstart.data.trees import Folders, Tree
from headstart.data.walking import DOCUMENT_ENDINGS
from headstart.errors import DataError

NO_CLASS = "a folder without images is not a class"
NO_LABEL_NAMES = {"unknown", "unlabeled", "unlabelled", "none"}  # of the only folder in test/, as some tools want it


@dataclass(frozen=True, slots=True)
class ClassFolder:
    """A folder whose images are all of one class."""

    folder: PurePath
    label: str  # the name of the folder that names the class
    split: str | None


@dataclass(slots=True)
class Layout:
    """The meaning of a folder."""

    classes: list[ClassFolder] = field(default_factory=list)
    unused: list[tuple[PurePath, str]] = field(default_factory=list)  # files and folders, with reasons
    notes: list[str] = field(default_factory=list)
    loose: list[tuple[PurePath, str | None]] = field(default_factory=list)  # images outside the class folders, with the split
    unlabelled: list[tuple[PurePath, str]] = field(default_factory=list)  # of val or test, folders without class folders


def layout_of(data: PurePath, tree: Folders) -> Layout:
    """What the folder `data` of a tree means. Raises DataError if it has no class folders, or could mean two things."""
    reader = _Reader(tree.shown, Looks(tree))
    root = reader.without_wrappers(data)
    folders = reader.looks.folders(root)
    splits = reader.splits(root)
    reader.leave_out_loose(root)
    if splits:
        reader.add_splits(splits)
        for folder in folders:
            if folder not in splits:
                reader.layout.unused.append((folder, "a folder next to train, val and test is not used"))
    else:
        reader.add_classes(root, None)
    check_labels(list(dict.fromkeys(found.label for found in reader.layout.classes)), root, tree.shown)
    return reader.layout


def named_split_folders(data: PurePath, tree: Folders) -> dict[PurePath, str]:
    """The folders that are called like splits."""
    looks = Looks(tree)
    return {path: split for path, split in looks.named_splits(looks.folders(data)).items() if split != UNLABELLED}


def unlabelled_layout(data: PurePath, tree: Tree) -> Layout:
    """What a folder without class folders means: images that nobody has labelled yet, perhaps in train, val and test."""
    splits = named_split_folders(data, tree)
    files = [path for path in tree.files_below(data) if path.suffix.lower() not in DOCUMENT_ENDINGS]
    split_of = {path: next((split for folder, split in splits.items() if path.is_relative_to(folder)), None) for path in files}
    if "train" not in splits.values() and all(split_of.values()):  # a folder called test alone is no split
        return Layout(loose=[(path, None) for path in files])
    rest = "train" if splits else None
    return Layout(loose=[(path, split or rest) for path, split in split_of.items()])


@dataclass(slots=True)
class _Reader:
    """Finds out what a folder means, step by step."""

    show: Show
    looks: Looks
    layout: Layout = field(default_factory=Layout)

    def leave_out_loose(self, folder: PurePath, split: str | None = None) -> None:
        """Lists the images directly in a folder, which have no label."""
        self.layout.loose += [(path, split) for path in self.looks.tree.loose_images(folder)]

    def without_wrappers(self, folder: PurePath) -> PurePath:
        """Goes down while a single folder has images and contains folders: `set.zip!set/train/...`, `images/` by `labels/`."""
        while True:
            folders = self.looks.folders(folder)
            inner = folders[0] if len(folders) == 1 else self._only_one_with_images(folders)
            if inner is None or not self.looks.folders(inner):
                return folder
            if splits_of([inner.name]) and not self.looks.holds_splits(inner):
                return folder
            self.leave_out_loose(folder)
            self.layout.unused += [(path, NO_CLASS) for path in folders if path != inner]
            folder = inner

    def _only_one_with_images(self, folders: Sequence[PurePath]) -> PurePath | None:
        """The only folder that holds images, if the others hold other files; an empty folder is a class without images."""
        holding = [folder for folder in folders if not self.looks.holds_documents(folder)]
        return holding[0] if len(holding) == 1 and self.looks.holds_images(holding[0]) else None

    def splits(self, root: PurePath) -> dict[PurePath, str]:
        """The folders that are splits; empty if they are classes, whatever their names. Raises DataError if it is not clear."""
        folders, looks, show = self.looks.folders(root), self.looks, self.show
        named = looks.named_splits(folders)
        with_classes = [path for path in named if looks.class_root(path) is not None]
        without = [path for path in named if path not in with_classes and looks.holds_images(path)]
        others = [path for path in looks.possible_classes(root) if path not in named]
        if not with_classes:
            check_images_in_splits(looks, named, without, others, show)
            return {}
        if any(named[path] == "train" for path in without):
            refusal = no_class_folders([path for path in without if named[path] == "train"], show)
            raise DataError(refusal.message, hint=refusal.hint)  # others have class folders: it is not all unlabelled
        labelled = {path: named[path] for path in with_classes if named[path] != UNLABELLED}
        if "train" not in labelled.values() and others:
            raise DataError(
                f"{show(with_classes[0])} contains class folders but is next to class folders: is it a split?",
                hint="put the class folders next to it into a folder train/",
            )
        if len(set(labelled.values())) < len(labelled):
            raise DataError(
                f"{show(root)} has two folders for one split: {', '.join(sorted(path.name for path in labelled))}",
                hint="keep one folder each for train/, val/ (or valid/, validation/) and test/",
            )
        return {path: named[path] for path in folders if path in labelled or path in without}

    def add_splits(self, splits: dict[PurePath, str]) -> None:
        """Adds the class folders of splits; images of val or test that lie in no class folders are told."""
        roots = {path: self.looks.class_root(path) for path in splits}
        trained = {
            key_of(path)
            for folder, root in roots.items()
            if splits[folder] == "train" and root is not None
            for path in self.looks.folders(root)
        }
        for folder, split in splits.items():
            root = roots[folder]
            names = [] if root is None else [key_of(path) for path in self.looks.folders(root)]
            is_unlabelled = split != "train" and len(names) == 1 and names[0] in NO_LABEL_NAMES - trained
            if root is None or is_unlabelled:
                self.layout.unlabelled.append((folder, split))
                continue
            for place in dict.fromkeys((folder, root)):
                self.leave_out_loose(place, split)
            self.add_classes(root, split)

    def add_classes(self, root: PurePath, split: str | None) -> None:
        """Adds the class folders in a folder. Raises DataError if they can hardly be classes."""
        looks, show = self.looks, self.show
        self.layout.unused += [(path, NO_CLASS) for path in looks.folders(root) if looks.holds_documents(path)]
        folders = looks.possible_classes(root)
        if len(folders) == 1 and says_nothing(folders[0].name) and not looks.folders(folders[0]):
            raise no_class_folders(folders, show)
        check_no_data_set(looks, folders, show)
        divided = {} if split else self._divided(folders)
        if not divided:
            check_sameness(looks, root, folders, show)
        for folder in folders:
            if folder not in divided:
                self.layout.classes.append(ClassFolder(folder, class_name(folder.name), split))
                continue
            self.leave_out_loose(folder, "train")
            for path, inner in divided[folder].items():
                if inner == UNLABELLED:
                    self.layout.unused.append((path, "a folder next to train, val and test is not used"))
                else:
                    self.layout.classes.append(ClassFolder(path, class_name(folder.name), inner))

    def _divided(self, folders: Sequence[PurePath]) -> dict[PurePath, dict[PurePath, str]]:
        """Class folders that are divided into train/, val/ and test/ themselves; empty if they are not. Raises DataError."""
        divided: dict[PurePath, dict[PurePath, str]] = {}
        for folder in folders:
            inner = self.looks.possible_classes(folder)
            splits = self.looks.named_splits(inner)
            if splits and len(splits) == len(inner):
                divided[folder] = splits
        meanings = {split for splits in divided.values() for split in splits.values()}
        if "train" not in meanings or len(meanings) < 2:
            return {}
        first, second = next(iter(divided)), [folder for folder in folders if folder not in divided]
        if any(map(self.looks.holds_images, second)):
            raise DataError(
                f"{self.show(first)} is divided into {joined_names(divided[first])}, but {self.show(second[0])} is not",
                hint="divide every class folder, or none",
            )
        return divided
