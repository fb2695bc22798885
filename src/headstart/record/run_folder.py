"""The folder of a run: built as `RUN.partial`, moved into place when finished, and used to resume a killed run.

The stage of a run is one word in one file, `run.json`. Only RunFolder changes it:

    new          the folder was created; the images are not known yet
    running      the images are known and recorded
    chosen       the choice of --strategy auto is recorded too
    interrupted  the run was ended by Ctrl-C; it is finished and in its place, with everything needed to resume it
    resumed      RUN.partial is a copy of an interrupted run, which it will replace
    finished     nothing is left to do; the file is removed immediately afterwards
"""

import json
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Literal

from pydantic import Field

from headstart.data.sources import LabelsUsed
from headstart.errors import DataError, SettingsError
from headstart.fitting.choice import Choice
from headstart.fitting.scanned import Scanned
from headstart.fitting.view_choice import ViewChoice
from headstart.model.checkpoint_state import STATE as CHECKPOINT_STATE
from headstart.record.places import METRICS, STATE, check_output, is_empty, named, partial_of
from headstart.schema import Name, Schema, Sha256, parse_json
from headstart.settings import RecordedSettings, TrainSettings, upgraded_settings
from headstart.storage import atomic_folder, replace_folder, sha256_of_bytes, write_json, write_text

DEFAULT_PARENT = Path("runs")
CHECKPOINTS = "checkpoints"
# Settings that change no result: a resumed run has those of the command that resumes it.
UNRECORDED = tuple(name for name, field in TrainSettings.model_fields.items() if field.exclude)


class Extends(Schema):
    """The finished run that a run adds to."""

    run: Name  # as the user gave it
    manifest_sha256: Sha256


class RunState(Schema):
    """The content of run.json."""

    stage: Literal["new", "running", "chosen", "interrupted", "resumed", "finished"] = "running"
    data: str
    settings: RecordedSettings
    images_sha256: Sha256 | None = None  # of the digests of all images in order; None before they are known
    choice: Choice | None = None  # what --strategy auto chose
    views: ViewChoice | None = None  # None before they are known, and in runs of earlier versions
    labels_used: LabelsUsed | None = None  # of the project of --labels; a resumed run goes on with these
    extends: Extends | None = None  # the finished run that it adds to
    numbered_as: str = ""  # the data's part of a generated name; "" if the user named the place
    overwrite: bool = False  # whether an earlier run in its place may be replaced
    tracked: dict[str, str] = Field(default_factory=dict)  # tracker -> what the run is called there
    tracked_epochs: dict[str, int] = Field(default_factory=dict)  # tracker -> the epoch that it was told last; -1: none


class RunFolder:
    """The final place of a run, the folder it is built in, and its stage."""

    def __init__(self, place: Path, state: RunState, *, was_there: bool = False) -> None:
        self.place, self.state = place, state
        self.address: str | None = None  # where the run is sent when it is finished
        self._was_there = was_there  # built by an earlier process: this one never removes it

    @property
    def named(self) -> str:
        """The final place, as the user knows it."""
        return self.address or self.place.as_posix()

    @property
    def name(self) -> str:
        """The last part of the final place."""
        return named(self.place).name

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
        """The choice that was made before the run was killed."""
        return self.state.choice

    def start(self, scanned: Scanned) -> None:
        """Records the images of the run, or checks that a resumed run has the same images. Raises DataError."""
        digest = sha256_of_bytes("\n".join(image.sha256 for image in scanned.dataset.images).encode())
        if self.state.images_sha256 is None:
            used = scanned.dataset.labels_used
            self._become("running", images_sha256=digest, views=scanned.views, labels_used=used)
        elif self.state.images_sha256 != digest:
            raise DataError("the images have changed since the run was started", hint="start a new run")

    def choose(self, choice: Choice) -> None:
        """Records the choice of --strategy auto, so that a resumed run keeps it; a generated name then contains it."""
        if choice.is_users or self.state.choice is not None:
            return
        self._become("chosen", choice=choice)
        if self.state.numbered_as:
            partial = self.partial
            self.place = _take_next_free(self.state.numbered_as, choice.strategy)
            replace_folder(partial, self.partial)

    def track(self, identities: dict[str, str], epochs: dict[str, int]) -> None:
        """Records what trackers call the run and which epoch they were told last, so that a resumed run goes on there."""
        if (identities, epochs) != (self.state.tracked, self.state.tracked_epochs):
            self._become(self.state.stage, tracked=dict(identities), tracked_epochs=dict(epochs))

    def finish(self, *, interrupted: bool) -> None:
        """Moves the run to its place. An interrupted run keeps its checkpoints, so that it can be resumed.

        Raises SettingsError if the place has been taken or cannot be written to; the finished run then stays where it is.
        """
        may_replace = self.state.overwrite or self.state.stage == "resumed"
        try:
            if self.place.exists() and not (is_empty(self.place) or may_replace):
                raise FileExistsError(None, "something else was put there in the meantime")
            self._become("interrupted" if interrupted else "finished")
            replace_folder(self.partial, self.place)
        except OSError as error:
            raise SettingsError(
                f"the run cannot be moved to {self.place}: {error.strerror or error}",
                hint=f"the run is complete: move it from {self.partial}",
            ) from error
        if not interrupted:
            shutil.rmtree(self.place / CHECKPOINTS, ignore_errors=True)
            (self.place / STATE).unlink(missing_ok=True)

    def abandon(self) -> None:
        """Removes what this process built, unless the run is finished or has a finished epoch to resume from."""
        if self._was_there or ((self.partial / METRICS).exists() and self.state.stage != "resumed"):
            return
        kept = {place.name: place.read_bytes() for place in self.checkpoints.glob(f"*/{CHECKPOINT_STATE}")}
        before = {place.name: place.read_bytes() for place in (self.place / CHECKPOINTS).glob(f"*/{CHECKPOINT_STATE}")}
        if kept and (self.state.stage != "resumed" or kept != before):
            return
        shutil.rmtree(self.partial, ignore_errors=True)
        if self.place.parent == DEFAULT_PARENT:
            with suppress(OSError):  # it contains other runs
                DEFAULT_PARENT.rmdir()

    def _become(self, stage: str, **changes: object) -> None:
        """The only place that changes the stage; the copy of an interrupted run stays "resumed" until it is moved back."""
        if self.state.stage == "resumed" and stage in ("running", "chosen"):
            stage = "resumed"
        self.state = self.state.model_copy(update={"stage": stage, **changes})
        write_json(self.partial / STATE, self.state.as_json())


def new_run(
    data: str,
    settings: TrainSettings,
    name: str,
    output: Path | None,
    *,
    overwrite: bool,
    extends: Extends | None = None,
) -> RunFolder:
    """The folder of a new run: `output`, or the next free `runs/<name>-<strategy>-<n>`. Raises SettingsError."""
    recorded = RecordedSettings(**dict(settings))
    if output is None:
        safe = re.sub(r"[^\w.-]+", "_", name).strip("._") or "data"
        folder = RunFolder(
            _take_next_free(safe, settings.strategy),
            RunState(stage="new", data=data, settings=recorded, numbered_as=safe, extends=extends),
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
        state = RunState(stage="new", data=data, settings=recorded, overwrite=overwrite, extends=extends)
        folder = RunFolder(named(output), state)
    folder._become("new")
    return folder


def resumed_run(run: Path, data: str | Path | None, settings: TrainSettings) -> RunFolder:
    """The folder of a run that was killed or interrupted. DATA and settings are checked before anything is written.

    `settings` may repeat what the run was started with. Raises SettingsError if they differ, or if there is no such run.
    """
    run = named(run)
    place = run.with_name(run.name.removesuffix(".partial"))
    partial = partial_of(place)
    state = _read_state(place, partial)
    if data is not None and Path(data) != Path(state.data):
        raise SettingsError(f"{run} was started on {state.data}, not {data}", hint="leave out DATA, or give the same")
    default = TrainSettings()
    different = [
        name
        for name, value in settings
        if value != getattr(default, name) and value != getattr(state.settings, name) and name not in UNRECORDED
    ]
    if different:
        raise SettingsError(
            f"--{different[0].replace('_', '-')} differs from the value {run} was started with",
            hint="a resumed run keeps its settings: leave them out",
        )
    state = _continued(state, settings)
    was_there = partial.exists()
    if not was_there:
        with atomic_folder(partial) as copy:
            shutil.copytree(place, copy, dirs_exist_ok=True)
            write_json(copy / STATE, state.model_copy(update={"stage": "resumed"}).as_json())
    return RunFolder(place, state, was_there=was_there)


def told_of(folder: RunFolder) -> list[bytes]:
    """What the other processes of a run that is resumed are told: its state, and what its checkpoints say of themselves."""
    files = sorted(folder.checkpoints.glob(f"*/{CHECKPOINT_STATE}"))
    told = [content for file in files for content in (file.parent.name.encode(), file.read_bytes())]
    return [json.dumps(folder.state.as_json()).encode(), *told]


def followed_run(place: Path, told: Sequence[bytes], settings: TrainSettings) -> RunFolder:
    """The folder of another process of a resumed run, by what the first one tells it; its checkpoints hold no tensors."""
    state = RunState.from_json(parse_json(told[0].decode()))
    folder = RunFolder(place, _continued(state, settings))
    for name, content in zip(told[1::2], told[2::2], strict=True):
        write_text(folder.checkpoints / name.decode() / CHECKPOINT_STATE, content.decode())
    return folder


def _continued(state: RunState, settings: TrainSettings) -> RunState:
    """The state, with the settings that change no result as they are now."""
    now = {name: getattr(settings, name) for name in UNRECORDED}
    return state.model_copy(update={"settings": state.settings.model_copy(update=now)})


def _read_state(place: Path, partial: Path) -> RunState:
    """The state in run.json of the unfinished run, or of the interrupted run in its place. Raises SettingsError."""
    folder = partial if partial.exists() else place
    if folder == place and not (place / STATE).is_file():
        finished = (place / METRICS).is_file()
        raise SettingsError(
            f"{place} is finished: there is nothing to resume" if finished else f"there is no run {place} to resume",
            hint="start a new run" if finished else f"an unfinished run would be at {partial}",
        )
    try:
        values = parse_json((folder / STATE).read_text(encoding="utf-8"))
        state = RunState.from_json({**values, "settings": upgraded_settings(values["settings"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SettingsError(
            f"{partial} cannot be resumed: it had not progressed far enough, or it is damaged",
            hint="start again with --overwrite",
        ) from error
    if state.stage == "finished" and folder == place:  # else it was killed before it was put in its place
        raise SettingsError(f"{place} is finished: there is nothing to resume", hint="start a new run")
    # What was killed before it was put in its place, and what earlier versions wrote, does not say that it is a copy.
    says_nothing = state.stage == "finished" or "stage" not in values
    is_copy = folder == place or (says_nothing and (place / STATE).is_file())
    return state.model_copy(update={"stage": "resumed"}) if is_copy else state


def _take_next_free(name: str, strategy: str) -> Path:
    """The first free `runs/<name>-<strategy>-<n>`, reserved by creating its `.partial`."""
    for n in count(1):
        place = DEFAULT_PARENT / f"{name}-{strategy}-{n}"
        if not place.exists():
            with suppress(FileExistsError):  # another process has just taken this number
                _make(partial_of(place))
                if not place.exists():
                    return place
                partial_of(place).rmdir()  # and has just finished its run
    raise AssertionError("count() never ends")


def _make(partial: Path) -> None:
    try:
        partial.mkdir(parents=True)
    except FileExistsError:  # for the caller, who decides whether that is an error
        raise
    except OSError as error:
        raise SettingsError(f"{partial} cannot be created: {error.strerror}", hint="choose another --output") from error
