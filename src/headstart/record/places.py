"""Where runs and audits may be written: only an earlier one of the same kind is ever replaced."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headstart.addresses.address import address_in, joined, shown, shown_place
from headstart.addresses.targets import target_folder
from headstart.data.catalog import NAMES
from headstart.errors import SettingsError
from headstart.storage import AnyPath

STATE, METRICS = "run.json", "metrics.json"


@dataclass(frozen=True, slots=True)
class FolderKind:
    """A kind of folder with results, told by one of its files, whose keys are headstart's: other tools use such names too."""

    name: str  # with its article
    file: str
    keys: frozenset[str]

    def is_told_by(self, content: str | bytes) -> bool:
        """Whether the content of the file is that of this kind of folder."""
        try:
            values = json.loads(content)
        except ValueError:
            return False
        return isinstance(values, dict) and self.keys <= set(values)

    def is_finished(self, folder: Path) -> bool:
        """Whether a folder is of this kind."""
        try:
            return self.is_told_by((folder / self.file).read_bytes())
        except OSError:
            return False


RUN = FolderKind("a run", METRICS, frozenset({"format", "strategy", "evaluation", "model"}))
AUDIT = FolderKind("an audit", "findings.json", frozenset({"format", "counts", "findings"}))


@contextmanager
def results_folder(output: AnyPath | None, kind: FolderKind, *, overwrite: bool) -> Iterator[Path | None]:
    """Yields where to write: `output`, or a place of this machine that is sent to the address when the block succeeds.

    Raises SettingsError if something else is at the address, and HeadstartError if it cannot be sent.
    """
    address = None if output is None else address_in(str(output))
    if address is None:
        yield None if output is None else Path(output)
        return
    _check_address(address, kind, overwrite=overwrite)
    with target_folder(address, kind.file) as place:
        if kind.is_finished(place) and not overwrite:
            raise SettingsError(
                f"{kind.name} for {shown(address)} is complete, but was not sent",
                hint=f"copy it there from {place}, or start again with --overwrite",
            )
        yield place


def _check_address(address: str, kind: FolderKind, *, overwrite: bool) -> None:
    from headstart.addresses.filesystems import listed_if_there, read_or_none

    if not any(page for page in listed_if_there(address)):
        return
    if not kind.is_told_by(read_or_none(joined(address, kind.file)) or b""):
        raise SettingsError(f"{shown(address)} exists and is not {kind.name}", hint="choose another --output")
    if not overwrite:
        raise SettingsError(f"{shown(address)} already exists", hint="choose another --output, or pass --overwrite")


def place_of(data: AnyPath) -> str:
    """Where DATA is, for a file: an absolute path, an address without secrets, or a name of the catalog."""
    given = os.fspath(data)
    is_name = given in NAMES and not Path(given).exists()
    return given if is_name else shown(address) if (address := address_in(given)) else Path(given).resolve().as_posix()


def check_output(place: Path, *, overwrite: bool, kind: FolderKind = RUN, named_as: str = "") -> None:
    """Raises SettingsError if a run or an audit cannot be written to `place`, which the user may have named otherwise."""
    if place.exists():
        if not (is_empty(place) or kind.is_finished(place)):
            raise SettingsError(f"{place} exists and is not {kind.name}", hint="choose another --output")
        if not overwrite and any(place.iterdir()):
            raise SettingsError(f"{place} already exists", hint="choose another --output, or pass --overwrite")
    if kind is not RUN:
        return
    partial = partial_of(place)
    if partial.exists() and not (is_empty(partial) or (partial / STATE).is_file() or kind.is_finished(partial)):
        raise SettingsError(f"{partial}, where the run would be built, exists and is not a run", hint="choose another --output")
    if partial.exists() and not overwrite:
        raise SettingsError(
            f"there is an unfinished run at {partial}",
            hint=f"resume it with --resume {named_as or place}, or start again with --overwrite",
        )


def check_outside(output: AnyPath | None, *given: str | Path | None, option: str = "--output") -> None:
    """Raises SettingsError if `output` is inside a folder of images, where the next run would read it as an image or a class.

    Links are followed. What is given may also be a file or a name of the catalog: nothing is inside these. Both may be
    addresses.
    """
    for folder in given:
        if output and folder and _is_inside(output, folder):
            place = shown_place(os.fspath(output))
            raise SettingsError(
                f"{place} would be inside {folder}, and the next run would read it as an image or a class",
                hint=f"choose another {option}, outside it",
            )


def named(place: Path) -> Path:
    """`place` with a name to which ".partial" can be appended, unlike "." and "..". Raises SettingsError for a root."""
    place = place.resolve() if place.name in ("", "..") or place.is_symlink() else place
    if not place.name:
        raise SettingsError(f"{place} cannot be a run folder", hint="name a folder inside it")
    return place


def partial_of(place: Path) -> Path:
    """Where the run at `place` is built."""
    place = named(place)
    return place.with_name(place.name + ".partial")


def is_empty(folder: Path) -> bool:
    """Whether it is an empty folder."""
    return folder.is_dir() and not any(folder.iterdir())


def _is_inside(output: AnyPath, folder: str | Path) -> bool:
    address, of_folder = address_in(str(output)), address_in(folder)
    if address is not None or of_folder is not None:
        return address is not None and of_folder is not None and joined(address, "").startswith(joined(of_folder, ""))
    return Path(folder).is_dir() and Path(output).resolve().is_relative_to(Path(folder).resolve())
