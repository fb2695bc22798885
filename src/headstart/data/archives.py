"""Zip and tar files: unpacked into a temporary folder and nowhere else, or (zip) read without unpacking."""

import errno
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from headstart.data.tar_headers import LargeHeader, LimitedMember
from headstart.data.unreadable import UnreadableImage, check_size
from headstart.data.zip_names import member_names
from headstart.errors import DataError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
CHUNK_BYTES, BLOCK_BYTES = 1 << 20, 512  # a tar is made of blocks
NAME_ERRORS = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}  # a name this file system does not take
HARMLESS_BYTES = 1 << 30  # an archive may unpack to this much, or to MAX_RATIO times its own size if that is more:
MAX_RATIO = 100  # images hardly shrink when packed, so what grows more was made to fill a disk
MAX_GLOBAL = 100  # entries of the headers that count for all members of a tar; git writes one
LONGEST_NAME = 4096  # characters of a member's name, folders included: no more than Linux takes
MAX_LEFT_OUT, SHOWN_LENGTH = 100_000, 300  # members that are listed as left out, and characters of their names
OUTSIDE, TWICE, LINK = "its name leads out of the archive", "an earlier member has this name", "a link, not a file"
ENCRYPTED = 0x1  # a member's flag


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file in an open zip archive."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    def read(self) -> bytes:
        """Its bytes, whose checksum was right; several threads may read at once. Raises UnreadableImage."""
        if self.info.flag_bits & ENCRYPTED:
            raise UnreadableImage("it is encrypted: unpack the archive by hand and give the folder")
        check_size(self.info.file_size)
        try:
            return self.archive.read(self.info)
        except Exception as error:
            # A damaged member makes the readers raise anything: BadZipFile, zlib.error, EOFError, NotImplementedError ...
            raise UnreadableImage(f"it is damaged in the archive: {error or type(error).__name__}") from error


def is_archive(path: Path) -> bool:
    """Whether the content (not the name) of a file is a zip or tar archive."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(BLOCK_BYTES)
        # A zip may hide behind another file's bytes; what begins as an image is that image. Zeros are an empty tar to tarfile.
        return (start[:2] == b"PK" and zipfile.is_zipfile(path)) or (any(start) and _is_tar(path))
    except (OSError, EOFError):  # it may not be read, or is cut off in the first member
        return False


def _is_tar(path: Path) -> bool:
    try:
        tarfile.open(path, tarinfo=LimitedMember).close()
    except LargeHeader:
        return True  # `unpack` says what is wrong with it
    except tarfile.TarError:
        return False
    return True


def is_zip(archive: Path) -> bool:
    """Whether an archive is a zip; else it is a tar."""
    return zipfile.is_zipfile(archive)


def unpack(archive: Path, folder: Path) -> list[tuple[str, str]]:
    """Unpacks `archive` into the empty `folder`; returns (member, reason) of those left out, long names cut short.

    Members with absolute names or `..`, links and devices are left out, never written. Raises DataError where the archive
    is damaged, encrypted, or larger than the disk or the memory can take.
    """
    left_out: list[tuple[str, str]] = []
    allowed = max(HARMLESS_BYTES, MAX_RATIO * archive.stat().st_size)
    room = min(allowed, shutil.disk_usage(folder).free - (256 << 20))  # a full disk harms more than this run
    try:
        members = _zip_members(archive) if is_zip(archive) else _tar_members(archive)
        for name, content, reason in members:
            target, reason = _new_file(folder, name) if content else (None, reason)
            if content is None or target is None:
                left_out.append((name[:SHOWN_LENGTH], reason))
                if len(left_out) > MAX_LEFT_OUT:
                    raise DataError(
                        f"{archive} holds more than {MAX_LEFT_OUT:,} members that are left out: {reason}",
                        hint="unpack it by hand and give the folder",
                    )
                continue
            with content, target as file:
                while chunk := content.read(CHUNK_BYTES):
                    room -= len(chunk)
                    if room < 0:
                        raise DataError(
                            f"{archive} unpacks to more than the disk can hold, or to more than an archive of images would",
                            hint="unpack it elsewhere and give the folder",
                        )
                    file.write(chunk)
    except DataError:
        raise
    except Exception as error:
        # An encrypted or damaged archive makes the readers raise anything: RuntimeError, zlib.error, UnicodeDecodeError ...
        raise DataError(f"{archive} cannot be unpacked: {error}", hint="unpack it by hand and give the folder") from error
    return left_out


def _new_file(folder: Path, name: str) -> tuple[IO[bytes] | None, str]:
    """The file in `folder` that a member is written to; or None, and why the member is left out."""
    if len(name) > LONGEST_NAME:
        return None, "its name is too long"
    parts = safe_parts(name)
    if parts is None:
        return None, OUTSIDE
    target = folder.joinpath(*parts)
    if os.path.lexists(target) or any(os.path.isfile(parent) for parent in target.parents):  # noqa: PTH113 - never raises
        return None, TWICE
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.open("xb"), ""
    except OSError as error:
        if error.errno not in NAME_ERRORS:
            raise
        return None, f"its name cannot be written here: {error.strerror}"


def open_zip(stack: ExitStack, archive: Path) -> tuple[dict[tuple[str, ...], ZipMember], list[tuple[str, str]]]:
    """The members of a zip by the parts of their names, readable until `stack` closes; and (member, reason) of those left out.

    Nothing is unpacked. Names and links are left out as in `unpack`. Raises DataError where the list of members is damaged.
    """
    members: dict[tuple[str, ...], ZipMember] = {}
    left_out: list[tuple[str, str]] = []
    try:
        file = stack.enter_context(zipfile.ZipFile(archive))
        for info, name, reason in _listed(file):
            parts = safe_parts(name)
            if reason or parts is None:
                left_out.append((name, reason))
            elif parts in members:
                left_out.append((name, TWICE))
            else:
                members[parts] = ZipMember(file, info)
    except Exception as error:
        # What is damaged in an archive's list of members makes the reader raise anything.
        raise DataError(f"{archive} cannot be read: {error}", hint="copy or download it again") from error
    return members, left_out


def safe_parts(name: str) -> tuple[str, ...] | None:
    """The parts of a member's name, or None where it is absolute or climbs with `..`."""
    path = PurePosixPath(name.replace("\\", "/"))
    parts = path.parts
    if not parts or path.is_absolute() or ".." in parts or "\0" in name:
        return None
    if any(PureWindowsPath(part).drive for part in parts):
        return None
    return parts


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None, str]]:
    with zipfile.ZipFile(archive) as file:
        for info, name, reason in _listed(file):
            yield name, None if reason else file.open(info), reason


def _listed(file: zipfile.ZipFile) -> Iterator[tuple[zipfile.ZipInfo, str, str]]:
    """Each member that is no folder: (what the archive says of it, its name, why it is left out or "")."""
    members = [info for info in file.infolist() if not info.is_dir()]
    for info, name in zip(members, member_names(members), strict=True):
        reason = OUTSIDE if safe_parts(name) is None else LINK if stat.S_ISLNK(info.external_attr >> 16) else ""
        yield info, name, reason


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None, str]]:
    with tarfile.open(archive, tarinfo=LimitedMember) as file:
        while (info := file.next()) is not None:
            file.members.clear()  # type: ignore[attr-defined] # tarfile would keep every member with its headers
            if len(file.pax_headers) > MAX_GLOBAL:
                raise tarfile.ReadError(f"its global headers have more than {MAX_GLOBAL} entries")
            if info.isdir():
                continue
            if not info.isreg():
                yield info.name, None, OUTSIDE if safe_parts(info.name) is None else "a link or device, not a file"
            else:
                yield info.name, file.extractfile(info), ""
        _check_end(file, archive)


def _check_end(file: tarfile.TarFile, archive: Path) -> None:
    """Raises DataError where a tar does not end as tars do: tarfile takes a damaged or missing header for the end."""
    stream: Any = file.fileobj
    stream.seek(file.offset)
    if stream.read(BLOCK_BYTES) != bytes(BLOCK_BYTES):
        raise DataError(f"{archive} cannot be unpacked: it is damaged or incomplete", hint="copy or download it again")
    n_bytes = 0
    while chunk := stream.read(CHUNK_BYTES):  # to the end, where a compressed stream has its checksum
        n_bytes += len(chunk)
        if n_bytes > HARMLESS_BYTES:
            raise DataError(
                f"{archive} cannot be unpacked: there is too much data behind its end", hint="create the archive again"
            )
