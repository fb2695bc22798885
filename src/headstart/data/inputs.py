"""The inputs of predict: images, folders and archives, and lists of paths that are read as they arrive."""

import codecs
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import BufferedReader, BytesIO
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from headstart.addresses.address import shown_place
from headstart.addresses.given_files import given_file
from headstart.data.found_images import find_images
from headstart.data.image_files import ImageFile, image_file, whole_file
from headstart.data.remote_file import RemoteFile
from headstart.data.sources import Candidate, Skipped, printable
from headstart.data.videos import frames_in_place, is_frame
from headstart.data.wording import counted
from headstart.errors import DataError
from headstart.settings import Boxes

CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class PathList:
    """A file with one path per line, or with paths that each end in a null byte."""

    name: str  # as shown to people
    file: BufferedReader | BytesIO
    total: int = 0  # number of paths; 0 if it is not known before the last has arrived
    null: bool = False  # whether paths end in a null byte, as `find -print0` writes them

    def entries(self) -> Iterator[bytes]:
        """The lines, or what is between null bytes, as it arrives."""
        if not self.null:
            yield from self.file
            return
        rest = b""
        while chunk := self.file.read1(CHUNK_BYTES):
            *whole, rest = (rest + chunk).split(b"\0")
            yield from whole
        yield rest


@dataclass(frozen=True, slots=True)
class Inputs:
    """Files to predict, in order: those that were found, then those of long listings and lists, which are read only once."""

    found: list[Candidate]
    listed: Iterator[Candidate]
    total: int  # 0 if it is not known
    left_out: list[Skipped]  # members of archives that are not read, boxes that are none
    notes: list[str]  # what people should know of these files
    given: Sequence[ImageFile] = ()  # the files that were found, before frames took the place of videos

    def without(self, is_none: Callable[[Path], bool]) -> "Inputs":
        """The same without the files for which `is_none` is true."""

        def is_input(file: ImageFile) -> bool:
            place = whole_file(file)
            return isinstance(place, RemoteFile) or not is_none(place)

        found = [candidate for candidate in self.found if is_input(candidate.file)]
        listed = (candidate for candidate in self.listed if is_input(candidate.file))
        total = self.total - len(self.found) + len(found) if self.total else 0
        return replace(self, found=found, listed=listed, total=total)


def open_list(stack: ExitStack, file: Path, *, null: bool) -> PathList:
    """The list in a file, also at an address, open until `stack` closes; a pipe is read as data arrives. Raises DataError."""
    name, file = shown_place(file), stack.enter_context(given_file(file))
    path_list = PathList(name, stack.enter_context(file.open("rb")), null=null)
    if not file.is_file():
        return path_list
    total = sum(bool(entry.strip()) for entry in path_list.entries())
    path_list.file.seek(0)
    return replace(path_list, total=total)


def open_inputs(
    stack: ExitStack, paths: Sequence[Path], lists: Sequence[PathList], boxes: Boxes = "auto", every: str | None = None
) -> Inputs:
    """The files in `paths`, including subfolders, and those that the lists name; archives stay open until `stack` closes.

    With `every`, as in --every, frames take the place of each video; they are kept until `stack` closes. Waits for the first
    path of the lists if nothing else was found. Raises DataError if there is no file at all.
    """
    images = find_images(stack, paths, boxes=boxes)
    found, left_out = images.candidates, images.skipped
    of_lists = (_candidate(path) for path_list in lists for path in _paths_in(path_list))
    listed: Iterator[Candidate] = chain(*images.coming, of_lists)
    given = [candidate.file for candidate in found]
    if every is not None:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="headstart-", ignore_cleanup_errors=True)))
        found = list(frames_in_place(found, every, folder / "found"))
        listed = frames_in_place(listed, every, folder / "listed")
    if not found:
        first = next(listed, None)
        if first is None:
            names = ", ".join([*map(str, paths), *(path_list.name for path_list in lists)])
            raise DataError(f"there is no file in {names}", hint="give images, or folders that contain images")
        listed = chain([first], listed)
    known = not images.coming and all(path_list.total for path_list in lists) and not (every and lists)
    total = len(found) + len(left_out) + sum(path_list.total for path_list in lists) if known else 0
    return Inputs(found, listed, total, left_out, [*images.notes, *_note_on_frames(found, every)], given)


def _note_on_frames(found: Sequence[Candidate], every: str | None) -> list[str]:
    of_videos = [candidate.group for candidate in found if is_frame(candidate)]
    if not of_videos:
        return []
    frames = counted(len(of_videos), "frame")
    videos = counted(len(set(of_videos)), "video")
    return [
        f"{frames} of {videos} get an answer each (--every {every}); those of one video are alike, and no independent answers"
    ]


def _candidate(path: str) -> Candidate:
    file = image_file(path)
    return Candidate(str(file) if isinstance(file, RemoteFile) else printable(path), file)


def _paths_in(path_list: PathList) -> Iterator[str]:
    """The paths as they arrive; bytes that are not UTF-8 are kept as the file system has them.

    Raises DataError for UTF-16, and if null bytes are where line ends should be.
    """
    for number, entry in enumerate(path_list.entries()):
        if number == 0 and entry.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DataError(f"{path_list.name} is not UTF-8 text", hint="save it as UTF-8, one path per line")
        if not path_list.null and entry.endswith(b"\0"):  # the rest of the list: it has no line ends
            raise DataError(f"the paths in {path_list.name} end in null bytes, not in line ends", hint="pass -0 as well")
        path = (entry.removeprefix(codecs.BOM_UTF8) if number == 0 else entry).decode("utf-8", "surrogateescape")
        path = path if path_list.null else path.rstrip("\r\n")
        if path.strip():
            yield path
