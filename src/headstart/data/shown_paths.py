"""The image paths that people see: relative to the data set. Tables keep the paths as given, for use by other commands."""

import os
from collections.abc import Iterable

from headstart.data.dataset import Dataset

BOUNDARIES = {"/", os.sep, "!"}  # between folders; between an archive and its members


def common_folder(paths: Iterable[str]) -> str:
    """The folder or archive that all paths start with: "/home/ada/photos/", "set.zip!"; "" if there is none.

    `path.removeprefix(common_folder(paths))` is what people are shown.
    """
    shared = os.path.commonprefix(list(paths))  # noqa: RUF071 - by character, as the shared part may be an archive
    return shared[: 1 + max(shared.rfind(sign) for sign in BOUNDARIES)]


def folder_of(dataset: Dataset) -> str:
    """The common folder of all files of a data set, including unreadable ones."""
    return common_folder([*(image.path for image in dataset.images), *(entry.path for entry in dataset.skipped)])
