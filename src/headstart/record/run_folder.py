"""The folder of a run: built aside as `RUN.partial`, put in place when it is finished, gone on from when it was killed."""

import json
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from headstart.errors import DataError, HeadstartError, SettingsError
from headstart.fitting.choice import Choice
from headstart.settings import TrainSettings
from headstart.storage import replace_folder, sha256_of_bytes, write_json

DEFAULT_PARENT = Path("runs")
STATE, CHECKPOINTS, METRICS = "run.json", "checkpoints", "metrics.json"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run will be, and where it is built until then."""

    place: Path
    partial: Path
    resumed: bool = False
    overwrite: bool = False  # an earlier run at `place` may be replaced
    numbered_as: str = ""  # the data's part of a name that was made up; "" where the user named the place
    copied: bool = False  # `partial` is a copy of what is at `place`, which was interrupted

    @property
    def checkpoints(self) -> Path:
        """Where the state after each epoch is kept."""
        return self.partial / CHECKPOINTS

    def note_start(self, data: str, settings: TrainSettings, image_digests: list[str]) -> None:
        """Records what the run is of; where it is resumed, checks that the images are the same. Raises DataError."""
        digest = sha256_of_bytes("\n".join(image_digests).encode())
        if self.resumed:
            if json.loads((self.partial / STATE).read_text(encoding="utf-8"))["images_sha256"] != digest:
                raise DataError("the images have changed since the run was started", hint="start a new run")
            return
        write_json(self.partial / STATE, {"data": data, "settings": settings.as_json(), "images_sha256": digest})

    def chosen(self, choice: Choice) -> "RunFolder":
        """Records what --strategy auto chose, so that a resumed run does not choose anew; a made-up name then names that."""
        state = json.loads((self.partial / STATE).read_text(encoding="utf-8"))
        write_json(self.partial / STATE, state | {"choice": choice.as_json()})
        if not self.numbered_as:
            return self
        named = _next_free(self.numbered_as, choice.strategy)
        replace_folder(self.partial, named.partial)
        return replace(self, place=named.place, partial=named.partial)

    def kept_choice(self) -> Choice | None:
        """What was chosen before the run was killed."""
        if not self.resumed:
            return None
        kept = json.loads((self.partial / STATE).read_text(encoding="utf-8")).get("choice")
        return Choice.from_json(kept) if kept else None

    def finish(self, *, interrupted: bool) -> None:
        """Puts the run in its place. An interrupted one keeps its checkpoints, so that it can be resumed.

        Raises SettingsError where the place is taken by then or cannot be written to; the finished run stays where it is.
        """
        try:
            if self.place.exists() and not (_is_empty(self.place) or self.overwrite or self.copied):
                raise FileExistsError(None, "it was made by something else in the meantime")
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
        """Removes what was built, unless it is finished, or an epoch was finished that a resume can go on from."""
        if self.copied:
            shutil.rmtree(self.partial, ignore_errors=True)
        elif not (self.partial / METRICS).exists() and not any(self.checkpoints.glob("*/state.json")):
            shutil.rmtree(self.partial, ignore_errors=True)
            if self.place.parent == DEFAULT_PARENT:
                with suppress(OSError):  # it holds other runs
                    DEFAULT_PARENT.rmdir()


def new_run_folder(output: Path | None, name: str, strategy: str, *, overwrite: bool) -> RunFolder:
    """A folder for a new run: `output`, else the next free `runs/<name>-<strategy>-<n>`. Raises SettingsError."""
    if output is not None:
        check_output(output, overwrite=overwrite)
        if overwrite and _partial(output).exists():
            shutil.rmtree(_partial(output))
        try:
            return replace(_begin(output), overwrite=overwrite)
        except FileExistsError as error:
            raise SettingsError(f"another run is being built at {_partial(output)}", hint="choose another --output") from error
    safe = re.sub(r"[^\w.-]+", "_", name).strip("._") or "data"
    return replace(_next_free(safe, strategy), numbered_as=safe)


def _next_free(name: str, strategy: str) -> RunFolder:
    for n in count(1):
        place = DEFAULT_PARENT / f"{name}-{strategy}-{n}"
        if not place.exists():
            with suppress(FileExistsError):  # another process has just taken this number
                folder = _begin(place)
                if not place.exists():
                    return folder
                folder.partial.rmdir()  # and has finished in this very moment
    raise AssertionError("count() ends never")


def _begin(place: Path) -> RunFolder:
    try:
        _partial(place).mkdir(parents=True)
    except FileExistsError:  # for the caller, who knows whether that matters
        raise
    except OSError as error:
        raise SettingsError(f"{_partial(place)} cannot be made: {error.strerror}", hint="choose another --output") from error
    return RunFolder(_named(place), _partial(place))


def check_output(place: Path, *, overwrite: bool) -> None:
    """Raises SettingsError where a run cannot be put at `place`; nothing but an earlier run is ever replaced."""
    if place.exists():
        if not (_is_empty(place) or _is_finished_run(place)):
            raise SettingsError(f"{place} exists and is not a run", hint="choose another --output")
        if not overwrite and any(place.iterdir()):
            raise SettingsError(f"{place} exists", hint="choose another --output, or pass --overwrite")
    partial = _partial(place)
    if partial.exists() and not (_is_empty(partial) or (partial / STATE).is_file() or _is_finished_run(partial)):
        raise SettingsError(f"{partial} is where the run would be built, and is no run", hint="choose another --output")
    if partial.exists() and not overwrite:
        raise SettingsError(
            f"there is an unfinished run at {partial}",
            hint=f"go on with --resume {place}, or start anew with --overwrite",
        )


def resumed_run_folder(run: Path) -> tuple[RunFolder, str, TrainSettings]:
    """The folder, DATA and settings of a run that was killed or interrupted. Raises HeadstartError."""
    run = _named(run)
    place = run.with_name(run.name.removesuffix(".partial"))
    partial = _partial(place)
    copied = not partial.exists() and (place / STATE).is_file()
    if copied:  # ended by Ctrl-C: complete, with its checkpoints
        shutil.copytree(place, partial)
    if not partial.exists():
        finished = (place / METRICS).is_file()
        raise SettingsError(
            f"{place} is finished: there is nothing to resume" if finished else f"there is no run {place} to resume",
            hint="start a new run" if finished else f"{partial} would hold an unfinished one",
        )
    try:
        state = json.loads((partial / STATE).read_text(encoding="utf-8"))
        settings = TrainSettings.of(**state["settings"])
        data = str(state["data"])
    except (OSError, ValueError, KeyError, TypeError, HeadstartError) as error:
        raise SettingsError(
            f"{partial} cannot be resumed: it had not got far enough, or is damaged", hint="start anew with --overwrite"
        ) from error
    return RunFolder(place, partial, resumed=True, copied=copied), data, settings


def as_metrics(values: dict[str, Any], folder: RunFolder) -> dict[str, Any]:
    """The values of metrics.json with the places the run will have when it is finished."""
    return values | {"run": folder.place.as_posix(), "model": (folder.place / "model").as_posix()}


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _is_finished_run(folder: Path) -> bool:
    """Whether a folder's metrics.json is ours; other tools write files of this name too."""
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(metrics, dict) and {"format", "strategy", "evaluation", "model"} <= set(metrics)


def _named(place: Path) -> Path:
    """`place` with a name that ".partial" can be put behind, which "." and ".." lack. Raises SettingsError for a root."""
    place = place.resolve() if place.name in ("", "..") or place.is_symlink() else place
    if not place.name:
        raise SettingsError(f"{place} cannot be a run", hint="give a folder in it")
    return place


def _partial(place: Path) -> Path:
    place = _named(place)
    return place.with_name(place.name + ".partial")
