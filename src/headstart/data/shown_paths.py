"""The image paths that people see: relative to the data set. Tables keep the paths as given, for use by other commands."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from headstart.data.dataset import Dataset
from headstart.data.sources import printable

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


@dataclass(frozen=True, slots=True)
class ShownPaths:
    """How people are shown the files of a data set: as given, members of an archive as `set.zip!a/b.jpg`."""

    text: str  # what replaces `below`
    below: Path

    @property
    def is_archive(self) -> bool:
        """Whether the files are members of an archive."""
        return self.text.endswith("!")

    @property
    def whole(self) -> str:
        """The folder or archive itself."""
        return self.text.removesuffix("!")

    def __call__(self, file: Path) -> str:
        if file == self.below:
            return self.whole
        path, above = os.fspath(file), os.path.join(self.below, "")  # noqa: PTH118 - with a separator at its end
        # Nearly all are just below: `relpath` takes ten times as long, and there may be a million.
        is_below = path.startswith(above) and os.pardir not in path
        relative = path.removeprefix(above) if is_below else os.path.relpath(file, self.below)
        inner = printable(relative.replace(os.sep, "/"))
        return self.text + inner if self.is_archive else str(Path(self.text, inner))
