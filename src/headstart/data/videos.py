"""Frames of videos as images, read with PyAV where the extra `video` is installed; those of one video are one group."""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import numpy as np

from headstart.data.encoding import encode_losslessly
from headstart.data.images import MAX_PIXELS, of_pixels
from headstart.data.other_files import is_video, video_format
from headstart.data.remote_file import Fetched
from headstart.data.sources import Candidate, Skipped, Sources
from headstart.data.unreadable import UnreadableImage
from headstart.errors import DataError, explains_missing_packages
from headstart.progress import Progress, silent

ENDINGS = {
    ".mp4",
    ".m4v",
    ".mov",
    ".3gp",
    ".avi",
    ".mkv",
    ".webm",
}  # of what would have to be fetched to see what it is
BEGINNING_BYTES = 64
GROUP = "video "  # before the path of a video in the name of its group
STAGE = "reading videos"


@contextmanager
def with_frames(sources: Sequence[Sources], every: str | None, progress: Progress = silent) -> Iterator[list[Sources]]:
    """The same sources with the frames of each video in place of it; they are in a temporary folder while the block runs.

    `every` is 25 for each 25th frame, or 2s for one in two seconds; the first is always taken. Without it videos stay what they
    are: files that are no images. Raises DataError if there is no room for the frames, MissingPackageError without PyAV.
    """
    if every is None:
        yield list(sources)
        return
    with TemporaryDirectory(prefix="headstart-", ignore_cleanup_errors=True) as folder:
        yield [_replaced(one, every, Path(folder) / str(number), progress) for number, one in enumerate(sources)]


def frames_in_place(candidates: Iterable[Candidate], every: str, folder: Path) -> Iterator[Candidate]:
    """Each candidate as it arrives; in place of a video its frames, which are kept in `folder`.

    A video that is damaged is there too, behind the frames before that place: reading it gives the reason. Raises DataError if
    there is no room for the frames, MissingPackageError without PyAV.
    """
    for number, candidate in enumerate(candidates):
        if not _is_video(candidate):
            yield candidate
            continue
        frames, problem = _frames_of(candidate, every, folder / f"frames {number}")
        yield from frames
        if problem:
            yield replace(candidate, member=Fetched(problem=problem))


def is_frame(candidate: Candidate) -> bool:
    """Whether it is a frame of a video that belongs to no other group."""
    return candidate.group is not None and candidate.group.startswith(GROUP)


def _replaced(sources: Sources, every: str, folder: Path, progress: Progress) -> Sources:
    candidates: list[Candidate] = []
    skipped = list(sources.skipped)
    n_videos = n_frames = 0
    for number, candidate in enumerate(sources.candidates):
        progress(STAGE, number, len(sources.candidates))
        if not _is_video(candidate):
            candidates.append(candidate)
            continue
        frames, problem = _frames_of(candidate, every, folder / str(number))
        n_videos, n_frames = n_videos + bool(frames), n_frames + len(frames)
        candidates += frames
        if problem and frames:
            skipped.append(Skipped(candidate.path, problem))
        elif problem:  # it stays a file of its class, so that a class of which nothing can be read is told
            candidates.append(replace(candidate, member=Fetched(problem=problem)))
    if not n_videos:
        return replace(sources, candidates=tuple(candidates), skipped=tuple(skipped))
    videos, taken = "1 video" if n_videos == 1 else f"{n_videos} videos", "1 frame" if n_frames == 1 else f"{n_frames} frames"
    note = f"{taken} of {videos} are images (--every {every}); those of one video stay together in a split"
    return replace(sources, candidates=tuple(candidates), skipped=tuple(skipped), notes=(*sources.notes, note))


def _is_video(candidate: Candidate) -> bool:
    """By the content of a file of this machine; of what would have to be fetched or unpacked for that, by its name."""
    if candidate.member is None and isinstance(candidate.file, Path):
        try:
            with candidate.file.open("rb") as file:
                return is_video(file.read(BEGINNING_BYTES))
        except (OSError, ValueError):
            return False  # the reason is told where it is opened as an image
    return Path(candidate.file.name).suffix.lower() in ENDINGS


def _frames_of(candidate: Candidate, every: str, folder: Path) -> tuple[list[Candidate], str]:
    """A candidate for each frame that is taken, and what is wrong with the video; "" if nothing is."""
    found: list[Candidate] = []
    try:
        content: IO[bytes]
        if candidate.member is None and isinstance(candidate.file, Path):
            content = candidate.file.open("rb")
        else:
            content = io.BytesIO(candidate.read())
        with content:
            for number, pixels in _frames(content, every):
                folder.mkdir(parents=True, exist_ok=True)
                file = folder / f"{number:06d}.png"
                file.write_bytes(encode_losslessly(of_pixels(pixels)))
                group = candidate.group or f"{GROUP}{candidate.path}"
                path = f"{candidate.path}!{file.name}"
                found.append(replace(candidate, path=path, file=file, group=group, member=None))
    except UnreadableImage as unreadable:
        return found, unreadable.reason
    except OSError as error:
        raise DataError(
            f"the frames of {candidate.path} cannot be kept: {error.strerror or error}",
            hint="take fewer frames with a larger --every, or set TMPDIR to a disk with room",
        ) from error
    return found, "" if found else "a video without a frame"


@explains_missing_packages("--every")
def _frames(file: IO[bytes], every: str) -> Iterator[tuple[int, np.ndarray]]:
    """Opens the video at once, so that a missing package is told; the frames come as they are asked for."""
    import av  # noqa: F401

    return _decoded(file, every)


def _decoded(file: IO[bytes], every: str) -> Iterator[tuple[int, np.ndarray]]:
    """Yields number and pixels, (height, width, 3) uint8, of each frame that is taken. Raises UnreadableImage."""
    import av

    seconds, step = (float(every[:-1]), 0) if every.endswith("s") else (0.0, int(every))
    due, number = 0.0, -1
    start = file.read(BEGINNING_BYTES)
    file.seek(0)
    try:
        # Format and file are given: nothing that the file names is opened, and no text is taken for a list of addresses.
        with av.open(file, "r", format=video_format(start)) as container:
            if not container.streams.video:
                raise UnreadableImage("a video file without a picture", "type")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for number, frame in enumerate(container.decode(stream)):
                if frame.width * frame.height > MAX_PIXELS:
                    raise UnreadableImage(f"a video of {frame.width} x {frame.height} pixels", "size")
                time = float(frame.time or 0.0)
                if number % step if step else time < due - 1e-6:
                    continue
                if seconds:
                    due = seconds * (int((time + 1e-6) / seconds) + 1)
                yield number, np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
    except av.error.FFmpegError as error:
        after = f" after frame {number}" if number >= 0 else ""
        raise UnreadableImage(f"the video is damaged{after}: {error.strerror or error}") from error
