"""FILE.partial: where answers are written until they are complete, and what it takes to go on with it.

Beside it FILE.partial.json says what wrote it, and FILE.partial.lock which process is at it.
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
    """Answers on their way into a file."""

    def kept(self, place: Path) -> KeptRows:
        """What an unfinished or finished file holds. Raises SettingsError where it is not of this model's answers."""

    def adopt(self, finished: Path) -> None:
        """Begins with what a finished file holds."""

    def open(self, kept: KeptRows) -> None:
        """Makes ready to write behind what is kept."""

    def write(self, prediction: Prediction) -> None:
        """Adds an answer."""

    def close(self) -> None:
        """Writes what waits in memory."""

    def finish(self, output: Path) -> None:
        """Puts the answers into their place."""


@contextmanager
def answer_file(
    output: Path, format: Format, columns: Columns, made_by: dict[str, Any], *, resume: bool
) -> Iterator[AnswerLog]:
    """Takes answers into `output`, which is there when the block has ended; until then FILE.partial grows and outlives a crash.

    `resume` goes on with FILE.partial, else with a finished file, else begins. `made_by` is all that changes an answer.
    Raises SettingsError where what is there is of another model or other options, or another process is at it.
    """
    place = _beside(output, "")
    output.parent.mkdir(parents=True, exist_ok=True)
    with locked(_beside(output, LOCK), str(output)):
        partial = _partial(place, format, columns, made_by["top_k"])
        is_adopted = _begin(partial, output, place, made_by, resume=resume)
        kept = partial.kept(place)
        partial.open(kept)
        answers = AnswerLog(partial.write, kept)
        try:
            try:
                yield answers
            finally:
                partial.close()
        except BaseException:
            _leave(output, place, answers, is_adopted=is_adopted)
            raise
        if is_adopted and not answers.n_new:
            _discard(output, place)
            note(f"{output} had all answers: nothing was done")
            return
        partial.finish(output)
        _beside(output, STATE).unlink(missing_ok=True)


def is_own(output: Path, *, resume: bool) -> Callable[[Path], bool]:
    """A function that tells the files that `answer_file` writes from all others, which may be inputs."""
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
    """Checks what is there; whether it is a copy of a finished file that is gone on with."""
    state = _beside(output, STATE)
    if place.exists():
        if not resume:
            raise SettingsError(f"{place} holds answers that are not complete", hint="go on with --resume, or delete it")
        _check_state(state, place, made_by)
        return False
    if not (resume and output.exists()):
        write_json(state, made_by)
        return False
    kept = partial.kept(output)
    if kept.is_torn:
        raise SettingsError(f"{output} was changed: its last row is not whole", hint="choose another --output")
    write_json(state, made_by)
    partial.adopt(output)
    note(f"{output} holds {kept.paths.total():,} answers, which stay; whether this model gave them is not recorded")
    return True


def _check_state(state: Path, place: Path, made_by: dict[str, Any]) -> None:
    try:
        before = json.loads(state.read_text(encoding="utf-8"))
        changed = [name.replace("_", "-") for name, value in made_by.items() if before.get(name) != value]
    except (OSError, ValueError, AttributeError) as error:
        raise SettingsError(
            f"{place} cannot be gone on with: {state} is not there or damaged", hint=f"delete {place}"
        ) from error
    if changed:
        raise SettingsError(
            f"{place} was begun with another {' and another '.join(changed)}",
            hint=f"give the model and the options of then, or delete {place}",
        )


def _leave(output: Path, place: Path, answers: AnswerLog, *, is_adopted: bool) -> None:
    """What did not come to its end stays, where there is anything to go on with."""
    if not answers.n_rows or (is_adopted and not answers.n_new):
        _discard(output, place)
    else:
        note(f"{answers.n_rows:,} answers are in {place}: the same command with --resume goes on")


def _discard(output: Path, place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    _beside(output, STATE).unlink(missing_ok=True)
