"""What the owner decided to leave out: a table with columns path and reason, proposed by an audit and edited by people."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headstart.addresses.address import address_in, folder_of, joined, shown, shown_place
from headstart.addresses.given_files import given_file
from headstart.data.image_files import BoxInFile, picture_shown
from headstart.data.sources import Candidate, Skipped, Sources
from headstart.data.tables import read_table
from headstart.errors import DataError, HeadstartWarning


def without_excluded(sources: Sequence[Sources], table: Path, *, may_be_gone: bool = False) -> list[Sources]:
    """The sources without the files that `table` names; these are listed as skipped, with the table's reasons.

    A path is either as shown (in skipped.csv, findings.csv), or relative to the current folder or the table's folder. The table
    may be at an address. A picture stands for all boxes in it. Warns about paths that are not files of the data. Raises
    DataError if none of them is, unless they `may_be_gone`, or if there is no column path.
    """
    name = shown_place(table)
    reasons, by_file = _read(table, name)
    used: set[str] = set()

    def name_of(candidate: Candidate | Skipped) -> str | None:
        file = candidate.file if isinstance(candidate, Candidate) else Path(candidate.path)
        name = candidate.path if candidate.path in reasons else by_file.get(str(file.resolve()))
        if name is not None or not isinstance(file, BoxInFile):
            return name
        picture = picture_shown(candidate.path, file)  # that a picture is left out is said of its boxes too
        return picture if picture in reasons else by_file.get(str(file.picture.resolve()))

    kept = []
    for source in sources:
        names = [name_of(candidate) for candidate in source.candidates]
        not_used = [name_of(entry) for entry in source.skipped if entry.kind in ("excluded", "unlabelled")]  # in a project
        used.update(name for name in (*names, *not_used) if name is not None)
        left_out = [
            Skipped(candidate.path, f"excluded: {reasons[name]}", kind="excluded")
            for candidate, name in zip(source.candidates, names, strict=True)
            if name is not None
        ]
        rest = tuple(candidate for candidate, name in zip(source.candidates, names, strict=True) if name is None)
        kept.append(replace(source, candidates=rest, skipped=(*source.skipped, *left_out)))
    unknown = [path for path in reasons if path not in used]
    if reasons and not used and not may_be_gone:
        raise DataError(
            f"no path in {name} is a file of the data, of {len(reasons)}; the first is {unknown[0]}",
            hint="write the paths as headstart shows them for this DATA",
        )
    if unknown:
        warnings.warn(
            f"paths in {name} that are not files of the data: {len(unknown)}; the first is {unknown[0]}",
            HeadstartWarning,
            stacklevel=2,
        )
    return kept


def _read(table: Path, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Path in the table -> reason; and the file that a path means -> the path. Raises DataError."""
    with given_file(table) as file:
        columns = read_table(file)
    paths, given_reasons = columns.column("path"), columns.column("reason")
    if paths is None:
        raise DataError(f"{name} has no column path", hint="headstart audit DATA --output DIR writes such a table")
    named = zip(paths, given_reasons or [""] * len(paths), strict=True)
    reasons = {path: reason or "no reason given" for path, reason in named if path}
    by_file = {str((base / path).resolve()): path for path in reasons for base in (table.parent, Path.cwd())}
    if address := address_in(table):
        by_file |= {shown(joined(folder_of(address), path)): path for path in reasons}
    return reasons, by_file
