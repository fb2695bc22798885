"""The image paths that people see: relative to the data set. Tables keep the paths as given, for use by other commands."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
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
    _above: str = field(init=False)  # what the paths of files below begin with
    _start: str = field(init=False)  # what is shown instead

    def __post_init__(self) -> None:
        for name, folder in (("_above", str(self.below)), ("_start", str(Path(self.text)))):
            # With a separator at its end; the paths in the folder "." begin with nothing.
            object.__setattr__(self, name, "" if folder == os.curdir else os.path.join(folder, ""))  # noqa: PTH118

    @property
    def is_archive(self) -> bool:
        """Whether the files are members of an archive."""
        return self.text.endswith("!")

    @property
    def whole(self) -> str:
        """The folder or archive itself."""
        return self.text.removesuffix("!")

    def __call__(self, file: Path) -> str:
        path = os.fspath(file)
        is_below = path.startswith(self._above) if self._above else not file.is_absolute()
        is_whole = path in (self._above, os.curdir)  # also of the root of a disk
        if is_below and not is_whole and os.pardir not in path:  # nearly all, and there may be a million
            relative = path.removeprefix(self._above)
            inside = relative if relative.isascii() else printable(relative)
            return self.text + inside.replace(os.sep, "/") if self.is_archive else self._start + inside
        if file == self.below:
            return self.whole
        inner = printable(os.path.relpath(file, self.below).replace(os.sep, "/"))
        return self.text + inner if self.is_archive else str(Path(self.text, inner))
