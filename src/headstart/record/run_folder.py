"""The folder of a run: built aside as `RUN.partial`, put in its place when it is finished, resumed from when it was killed.

What a run has come to is one word in one file, `run.json`, and RunFolder alone changes it:

    new          the folder was made; which images the run is of is not known yet
    running      the images are known and recorded
    chosen       so is what --strategy auto chose
    interrupted  the run was ended by Ctrl-C; it lies finished in its place, with all that resuming it needs
    resumed      RUN.partial is a copy of an interrupted run, which it will replace
    finished     nothing is left to do; the file is removed a moment later
"""

import re
import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Literal

from headstart.errors import DataError, SettingsError
from headstart.fitting.choice import Choice
from headstart.fitting.scanned import Scanned
from headstart.record.places import METRICS, STATE, check_output, is_empty, named, partial_of
from headstart.schema import Schema, Sha256, parse_json
from headstart.settings import RecordedSettings, TrainSettings
from headstart.storage import atomic_folder, replace_folder, sha256_of_bytes, write_json

DEFAULT_PARENT = Path("runs")
CHECKPOINTS = "checkpoints"


class RunState(Schema):
    """run.json."""

    stage: Literal["new", "running", "chosen", "interrupted", "resumed", "finished"] = "running"
    data: str
    settings: RecordedSettings
    images_sha256: Sha256 | None = None  # of the digests of all images in their order; None before they are known
    choice: Choice | None = None  # what --strategy auto chose
    numbered_as: str = ""  # the data's part of a name that was made up; "" where the user named the place
    overwrite: bool = False  # an earlier run at its place may be replaced


class RunFolder:
    """Where a run will be, where it is built until then, and what it has come to."""

    def __init__(self, place: Path, state: RunState) -> None:
        self.place, self.state = place, state

    @property
    def partial(self) -> Path:
        """Where the run is built."""
        return partial_of(self.place)

    @property
    def checkpoints(self) -> Path:
        """Where the state after each epoch is kept."""
        return self.partial / CHECKPOINTS

    @property
    def choice(self) -> Choice | None:
        """What was chosen before the run was killed."""
        return self.state.choice

    def start(self, scanned: Scanned) -> None:
        """Records which images the run is of, or checks that a resumed one has the same. Raises DataError."""
        digest = sha256_of_bytes("\n".join(image.sha256 for image in scanned.dataset.images).encode())
        if self.state.images_sha256 is None:
            self._become("running", images_sha256=digest)
        elif self.state.images_sha256 != digest:
            raise DataError("the images have changed since the run was started", hint="start a new run")

    def choose(self, choice: Choice) -> None:
        """Records what --strategy auto chose, so that a resumed run does not choose anew; a made-up name then names that."""
        if choice.is_users or self.state.choice is not None:
            return
        self._become("chosen", choice=choice)
        if self.state.numbered_as:
            partial = self.partial
            self.place = _take_next_free(self.state.numbered_as, choice.strategy)
            replace_folder(partial, self.partial)

    def finish(self, *, interrupted: bool) -> None:
        """Puts the run in its place. An interrupted one keeps its checkpoints, so that it can be resumed.

        Raises SettingsError where the place is taken by then or cannot be written to; the finished run stays where it is.
        """
        may_replace = self.state.overwrite or self.state.stage == "resumed"
        try:
            if self.place.exists() and not (is_empty(self.place) or may_replace):
                raise FileExistsError(None, "something else was put there in the meantime")
            self._become("interrupted" if interrupted else "finished")
            replace_folder(self.partial, self.place)
        except OSError as error:
            raise SettingsError(
                f"the run cannot be put at {self.place}: {error.strerror or error}",
                hint=f"it is finished and whole: move it from {self.partial}",
            ) from error
        if not interrupted:
            shutil.rmtree(self.place / CHECKPOINTS, ignore_errors=True)
            (self.place / STATE).unlink(missing_ok=True)

    def abandon(self) -> None:
        """Removes what was built, unless it is finished, or an epoch was finished that a resume can start from."""
        if (self.partial / METRICS).exists() and self.state.stage != "resumed":
            return
        kept = {place.name: place.read_bytes() for place in self.checkpoints.glob("*/state.json")}
        before = {place.name: place.read_bytes() for place in (self.place / CHECKPOINTS).glob("*/state.json")}
        if kept and (self.state.stage != "resumed" or kept != before):
            return
        shutil.rmtree(self.partial, ignore_errors=True)
        if self.place.parent == DEFAULT_PARENT:
            with suppress(OSError):  # it holds other runs
                DEFAULT_PARENT.rmdir()

    def _become(self, stage: str, **changes: object) -> None:
        """The one place that changes what a run has come to; a copy of an interrupted run stays one until it is put back."""
        if self.state.stage == "resumed" and stage in ("running", "chosen"):
            stage = "resumed"
        self.state = self.state.model_copy(update={"stage": stage, **changes})
        write_json(self.partial / STATE, self.state.as_json())


def new_run(data: str, settings: TrainSettings, name: str, output: Path | None, *, overwrite: bool) -> RunFolder:
    """A folder for a new run: `output`, else the next free `runs/<name>-<strategy>-<n>`. Raises SettingsError."""
    recorded = RecordedSettings(**dict(settings))
    if output is None:
        safe = re.sub(r"[^\w.-]+", "_", name).strip("._") or "data"
        folder = RunFolder(
            _take_next_free(safe, settings.strategy),
            RunState(stage="new", data=data, settings=recorded, numbered_as=safe),
        )
    else:
        check_output(output, overwrite=overwrite)
        if overwrite and partial_of(output).exists():
            shutil.rmtree(partial_of(output))
        try:
            _make(partial_of(output))
        except FileExistsError as error:
            raise SettingsError(
                f"another run is being built at {partial_of(output)}", hint="choose another --output"
            ) from error
        folder = RunFolder(named(output), RunState(stage="new", data=data, settings=recorded, overwrite=overwrite))
    folder._become("new")
    return folder


def resumed_run(run: Path, data: str | Path | None, settings: TrainSettings) -> RunFolder:
    """The folder of a run that was killed or interrupted. Nothing is written before DATA and settings were checked.

    `settings` may repeat what the run was started with. Raises SettingsError where they differ, or where there is no such run.
    """
    run = named(run)
    place = run.with_name(run.name.removesuffix(".partial"))
    partial = partial_of(place)
    state = _read_state(place, partial)
    if data is not None and Path(data) != Path(state.data):
        raise SettingsError(f"{run} was started on {state.data}, not {data}", hint="leave DATA out, or give the same")
    default = TrainSettings()
    different = [name for name, value in settings if value != getattr(default, name) and value != getattr(state.settings, name)]
    if different:
        raise SettingsError(
            f"--{different[0].replace('_', '-')} differs from what {run} was started with",
            hint="a resumed run keeps its settings: leave them out",
        )
    if not partial.exists():
        with atomic_folder(partial) as copy:
            shutil.copytree(place, copy, dirs_exist_ok=True)
            write_json(copy / STATE, state.model_copy(update={"stage": "resumed"}).as_json())
    return RunFolder(place, state)


def _read_state(place: Path, partial: Path) -> RunState:
    """What run.json says, of the unfinished run or of the interrupted one in its place. Raises SettingsError."""
    folder = partial if partial.exists() else place
    if folder == place and not (place / STATE).is_file():
        finished = (place / METRICS).is_file()
        raise SettingsError(
            f"{place} is finished: there is nothing to resume" if finished else f"there is no run {place} to resume",
            hint="start a new run" if finished else f"{partial} would hold an unfinished one",
        )
    try:
        values = parse_json((folder / STATE).read_text(encoding="utf-8"))
        state = RunState.from_json(values)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{partial} cannot be resumed: it had not got far enough, or is damaged", hint="start anew with --overwrite"
        ) from error
    if state.stage == "finished":
        raise SettingsError(f"{place} is finished: there is nothing to resume", hint="start a new run")
    # Earlier versions did not say that a partial run is a copy of an interrupted one.
    is_old_copy = "stage" not in values and folder == partial and (place / STATE).is_file()
    return state.model_copy(update={"stage": "resumed"}) if folder == place or is_old_copy else state


def _take_next_free(name: str, strategy: str) -> Path:
    """The first `runs/<name>-<strategy>-<n>` that is free, taken by making its `.partial`."""
    for n in count(1):
        place = DEFAULT_PARENT / f"{name}-{strategy}-{n}"
        if not place.exists():
            with suppress(FileExistsError):  # another process has just taken this number
                _make(partial_of(place))
                if not place.exists():
                    return place
                partial_of(place).rmdir()  # and has finished in this very moment
    raise AssertionError("count() ends never")


def _make(partial: Path) -> None:
    try:
        partial.mkdir(parents=True)
    except FileExistsError:  # for the caller, who knows whether that matters
        raise
    except OSError as error:
        raise SettingsError(f"{partial} cannot be made: {error.strerror}", hint="choose another --output") from error
