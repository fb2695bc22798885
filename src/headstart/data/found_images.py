"""The files that people name who have images: alone, in folders and archives, at addresses."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from headstart.addresses.address import address_in
from headstart.data.archives import ZipMember, is_archive, is_zip, open_zip, unpack
from headstart.data.opening import boxes_named_in
from headstart.data.parquet_files import ENDING as PARQUET
from headstart.data.parquet_shards import hold_images, images_in_shards, shards_among
from headstart.data.sources import Candidate, Skipped, natural_order, printable
from headstart.data.tar_shards import images_in, is_pattern, named_by, tars_among
from headstart.data.walking import files_below, is_hidden
from headstart.progress import Progress, silent
from headstart.settings import Boxes


@dataclass(frozen=True, slots=True)
class FoundImages:
    """What was found."""

    candidates: list[Candidate] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)  # members of archives that are not read, boxes that are none
    notes: list[str] = field(default_factory=list)  # on files of boxes
    coming: list[Iterator[Candidate]] = field(default_factory=list)  # of folders at addresses that memory should not hold


def find_images(stack: ExitStack, paths: Iterable[Path], progress: Progress = silent, boxes: Boxes = "auto") -> FoundImages:
    """The files among `paths`, in folders, archives and at addresses, without hidden ones; of tables of boxes the boxes.

    Zip archives stay open, others stay unpacked, and long listings go on, until `stack` closes. A path that does not exist is a
    candidate too: reading it gives the reason.
    """
    found = FoundImages()
    candidates, skipped = found.candidates, found.skipped
    for path in paths:
        address = address_in(path)
        if is_pattern(str(path)) and not path.exists():
            candidates += images_in(named_by(address or str(path)))
        elif address is not None and not path.exists():
            from headstart.data.remote_sources import candidates_at

            at_address = stack.enter_context(candidates_at(address, progress))
            if isinstance(at_address, list):
                candidates += at_address
            else:
                found.coming.append(at_address)
        elif path.is_dir():
            files = list(files_below(path))
            tars, shards = tars_among(map(str, files)), shards_among(map(str, files))
            if hold_images(shards):
                _add_images_in(shards, found)
            else:
                candidates += images_in(tars) if tars else [Candidate(printable(str(file)), file) for file in files]
        elif path.suffix.lower() == PARQUET and path.is_file() and hold_images([str(path)]):
            _add_images_in([str(path)], found)
        elif is_archive(path):
            members, left_out = _zip_candidates(stack, path) if is_zip(path) else _tar_candidates(stack, path)
            candidates += members
            skipped += (Skipped(printable(f"{path}!{member}"), reason) for member, reason in left_out)
            if not members:
                skipped.append(Skipped(printable(str(path)), "an archive without files"))
        elif (named := boxes_named_in(path, boxes)) is not None:
            candidates += named.candidates
            skipped += (entry for entry in named.skipped if entry.kind == "unusable")
            found.notes.extend(named.notes)
        else:
            candidates.append(Candidate(printable(str(path)), path))
    return found


def _add_images_in(shards: list[str], found: FoundImages) -> None:
    images, left_out = images_in_shards(shards)
    found.candidates.extend(images)
    found.skipped.extend(left_out)


def _zip_candidates(stack: ExitStack, archive: Path) -> tuple[list[Candidate], list[tuple[str, str]]]:
    members, left_out = open_zip(stack, archive)
    order = cache(natural_order)  # many files share few folders

    def as_walked(parts: tuple[str, ...]) -> list[tuple[bool, list[str | tuple[int, str, str]]]]:
        """Sort key that walks a folder: its files first, then folder by folder."""
        return [*((True, order(folder)) for folder in parts[:-1]), (False, natural_order(parts[-1]))]

    shown = sorted((parts for parts in members if not any(is_hidden(Path(part)) for part in parts)), key=as_walked)
    return [_member_of(archive, parts, archive.joinpath(*parts), members[parts]) for parts in shown], left_out


def _tar_candidates(stack: ExitStack, archive: Path) -> tuple[list[Candidate], list[tuple[str, str]]]:
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="headstart-")))
    left_out = unpack(archive, folder)
    return [_member_of(archive, file.relative_to(folder).parts, file) for file in files_below(folder)], left_out


def _member_of(archive: Path, parts: tuple[str, ...], file: Path, member: ZipMember | None = None) -> Candidate:
    return Candidate(printable(f"{archive}!{'/'.join(parts)}"), file, member=member)
