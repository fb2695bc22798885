"""FILE.partial: where answers are written until they are complete, and how writing is resumed.

Next to it, FILE.partial.json records what wrote it, and FILE.partial.lock is locked by the process that writes it.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from headstart.apps.answers.rows import AnswerLog, Columns, Format, KeptRows
from headstart.apps.answers.text import TextPart
from headstart.apps.console import note
from headstart.artifact.predictor import Prediction
from headstart.errors import SettingsError
from headstart.locks import locked
from headstart.storage import write_json

STATE, LOCK = ".json", ".lock"


class Partial(Protocol):
    """Answers being written to a file."""

    def kept(self, place: Path) -> KeptRows:
        """The rows in an unfinished or finished file. Raises SettingsError if they are not this model's answers."""

    def adopt(self, finished: Path) -> None:
        """Starts from the rows of a finished file."""

    def open(self, kept: KeptRows) -> None:
        """Prepares to write after the rows that are kept."""

    def write(self, prediction: Prediction) -> None:
        """Adds an answer."""

    def close(self) -> None:
        """Writes what is still in memory."""

    def finish(self, output: Path) -> None:
        """Moves the answers to `output`."""


@contextmanager
def answer_file(
    output: Path, format: Format, columns: Columns, made_by: dict[str, Any], *, resume: bool, overwrite: bool = False
) -> Iterator[AnswerLog]:
    """Yields a log that writes answers to FILE.partial, which survives a crash and becomes `output` when the block ends.

    `resume` continues FILE.partial if there is one, else a finished file, and else starts anew. `overwrite` discards
    FILE.partial. `made_by` is everything that changes an answer. Raises SettingsError if an existing file is from another model
    or other options, or if another process is writing it.
    """
    place = _beside(output, "")
    output.parent.mkdir(parents=True, exist_ok=True)
    with locked(_beside(output, LOCK), str(output)):
        if overwrite:
            _discard(output, place)
        partial = _partial(place, format, columns, made_by["top_k"])
        is_adopted = _begin(partial, output, place, made_by, resume=resume)
        kept = partial.kept(place)
        n_before = kept.paths.total()
        partial.open(kept)
        answers = AnswerLog(partial.write, kept)
        try:
            try:
                yield answers
            finally:
                partial.close()
        except BaseException:
            _leave(output, place, partial, n_before if is_adopted else 0)
            raise
        if is_adopted and not answers.n_new:
            _discard(output, place)
            note(f"{output} already has all answers: nothing was done")
            return
        partial.finish(output)
        _beside(output, STATE).unlink(missing_ok=True)


def is_own(output: Path, *, resume: bool) -> Callable[[Path], bool]:
    """A function that tells whether a file is one that `answer_file` writes, and therefore not an input."""
    place = _beside(output, "")
    names = {place.name, *(_beside(output, ending).name for ending in (STATE, LOCK)), *([output.name] if resume else [])}

    def tell(file: Path) -> bool:
        if file.name in names:
            return file.parent.resolve() == output.parent.resolve()
        return file.parent.name == place.name and file.parent.resolve() == place.resolve()  # a part

    return tell


def _beside(output: Path, ending: str) -> Path:
    return output.with_name(f"{output.name}.partial{ending}")


def _partial(place: Path, format: Format, columns: Columns, top_k: int) -> Partial:
    if format == "parquet":
        from headstart.apps.answers.parquet import ParquetParts

        return ParquetParts(place, columns)
    return TextPart(place, format, columns, top_k)


def _begin(partial: Partial, output: Path, place: Path, made_by: dict[str, Any], *, resume: bool) -> bool:
    """Checks the existing files; returns whether FILE.partial starts from a copy of a finished file."""
    state = _beside(output, STATE)
    if place.exists():
        if not resume:
            raise SettingsError(
                f"{place} contains unfinished answers", hint="continue with --resume, or start again with --overwrite"
            )
        _check_state(state, place, made_by)
        return False
    if not (resume and output.exists()):
        write_json(state, made_by)
        return False
    kept = partial.kept(output)
    if kept.is_torn:
        raise SettingsError(f"{output} was changed: its last row is incomplete", hint="choose another --output")
    write_json(state, made_by)
    partial.adopt(output)
    note(f"{output} has {kept.paths.total():,} answers, which are kept; the file does not say which model gave them")
    return True


def _check_state(state: Path, place: Path, made_by: dict[str, Any]) -> None:
    try:
        before = json.loads(state.read_text(encoding="utf-8"))
        changed = [name.replace("_", "-") for name, value in made_by.items() if before.get(name) != value]
    except (OSError, ValueError, AttributeError) as error:
        raise SettingsError(f"{place} cannot be resumed: {state} is missing or damaged", hint=f"delete {place}") from error
    if changed:
        raise SettingsError(
            f"{place} was started with another {' and another '.join(changed)}",
            hint=f"use the same model and options as before, or delete {place}",
        )


def _leave(output: Path, place: Path, partial: Partial, n_adopted: int) -> None:
    """Keeps unfinished answers if there are any besides the adopted ones, and says how to resume.

    Counts the rows in the file: Ctrl-C may come after a row was written and before AnswerLog counted it, and rows that wait in
    memory are lost when the disk is full.
    """
    n_rows = partial.kept(place).paths.total()
    if n_rows > n_adopted:
        note(f"answers in {place}: {n_rows:,}; run the same command with --resume to continue")
    else:
        _discard(output, place)


def _discard(output: Path, place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    _beside(output, STATE).unlink(missing_ok=True)
