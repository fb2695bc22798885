"""How images are named to people: by paths relative to their data set. Tables keep the paths as given, for other commands."""

import os
from collections.abc import Iterable

from headstart.data.dataset import Dataset

BOUNDARIES = {"/", os.sep, "!"}  # between folders; between an archive and its members


def common_folder(paths: Iterable[str]) -> str:
    """The folders, or the archive, that all paths begin with: "/home/ada/photos/", "set.zip!"; "" if they share none.

    `path.removeprefix(common_folder(paths))` is what people are shown.
    """
    shared = os.path.commonprefix(list(paths))  # noqa: RUF071 - letter by letter, for an archive may be what is shared
    return shared[: 1 + max(shared.rfind(sign) for sign in BOUNDARIES)]


def folder_of(dataset: Dataset) -> str:
    """The common folder of all files of a data set, unreadable ones among them."""
    return common_folder([*(image.path for image in dataset.images), *(entry.path for entry in dataset.skipped)])
