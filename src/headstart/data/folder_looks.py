"""What is in the folders of a data set, seen from their names and the names in them; each folder is looked at once."""

from pathlib import PurePath
from typing import Literal

from headstart.data.sources import class_name
from headstart.data.split_names import hints_at_split, says_nothing, splits_of
from headstart.data.trees import Folders


class Looks:
    """Looks into the folders of a tree, and remembers what was seen."""

    def __init__(self, tree: Folders) -> None:
        self.tree = tree
        self._folders: dict[PurePath, list[PurePath]] = {}
        self._below: dict[PurePath, Literal["images", "documents", "nothing"]] = {}

    def folders(self, folder: PurePath) -> list[PurePath]:
        """The folders in a folder, without links that lead back up. Raises DataError."""
        if folder not in self._folders:
            self._folders[folder] = self.tree.folders_of(folder)
        return self._folders[folder]

    def possible_classes(self, folder: PurePath) -> list[PurePath]:
        """The folders in a folder that do not hold documents alone."""
        return [path for path in self.folders(folder) if not self.holds_documents(path)]

    def holds_images(self, folder: PurePath) -> bool:
        """Whether a file below a folder could be an image: its name does not say that it is a document."""
        return self._what(folder) == "images"

    def holds_documents(self, folder: PurePath) -> bool:
        """Whether there are files below a folder, but none that could be an image: annotations, not a class."""
        return self._what(folder) == "documents"

    def holds_loose_images(self, folder: PurePath) -> bool:
        """Whether images lie directly in a folder."""
        return bool(self.tree.loose_images(folder))

    def named_splits(self, folders: list[PurePath]) -> dict[PurePath, str]:
        """The folders whose names mean a split, without those that only describe images, such as train_labels/."""
        holding = {folder.name: folder for folder in folders if not self.holds_documents(folder)}
        return {holding[name]: split for name, split in splits_of(list(holding)).items()}

    def class_root(self, folder: PurePath) -> PurePath | None:
        """The folder of a split's class folders: itself, or one in it as in `seg_train/seg_train`; None if there is none."""
        while folders := self.possible_classes(folder):
            only = folders[0]
            repeats = hints_at_split(only.name) == hints_at_split(folder.name) != ""
            if len(folders) > 1 or not (says_nothing(only.name) or repeats):
                return folder
            folder = only
        return None

    def holds_splits(self, folder: PurePath) -> bool:
        """Whether a folder contains train, and val or test, with class folders."""
        splits = {split for path, split in self.named_splits(self.folders(folder)).items() if self.class_root(path)}
        return "train" in splits and len(splits) > 1

    def data_set_in(self, folder: PurePath) -> PurePath | None:
        """The folder with train, and val or test, in a folder, in whatever wrappers; None if there is none."""
        while True:
            if self.holds_splits(folder):
                return folder
            holding = [path for path in self.folders(folder) if self.holds_images(path)]
            if len(holding) != 1:
                return None
            folder = holding[0]

    def _what(self, folder: PurePath) -> Literal["images", "documents", "nothing"]:
        if folder not in self._below:
            self._below[folder] = self.tree.what_is_below(folder)
        return self._below[folder]


def key_of(folder: PurePath) -> str:
    """The name of a folder as a class, in whatever letter case."""
    return class_name(folder.name).casefold().strip()
