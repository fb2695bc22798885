"""Where runs may be put: nothing but an earlier run is ever replaced."""

import json
from pathlib import Path

from headstart.errors import SettingsError

STATE, METRICS = "run.json", "metrics.json"


def check_output(place: Path, *, overwrite: bool) -> None:
    """Raises SettingsError where a run cannot be put at `place`."""
    if place.exists():
        if not (is_empty(place) or _is_finished_run(place)):
            raise SettingsError(f"{place} exists and is not a run", hint="choose another --output")
        if not overwrite and any(place.iterdir()):
            raise SettingsError(f"{place} exists", hint="choose another --output, or pass --overwrite")
    partial = partial_of(place)
    if partial.exists() and not (is_empty(partial) or (partial / STATE).is_file() or _is_finished_run(partial)):
        raise SettingsError(f"{partial} is where the run would be built, and is no run", hint="choose another --output")
    if partial.exists() and not overwrite:
        raise SettingsError(
            f"there is an unfinished run at {partial}",
            hint=f"resume it with --resume {place}, or start anew with --overwrite",
        )


def check_outside(output: Path, *given: Path | None) -> None:
    """Raises SettingsError where `output` lies inside one of the folders of images, and would be a class next time."""
    for folder in given:
        if folder and folder.is_dir() and output.resolve().is_relative_to(folder.resolve()):
            raise SettingsError(
                f"the run would lie inside {folder} and be taken for a class next time", hint="choose an --output outside of it"
            )


def named(place: Path) -> Path:
    """`place` with a name that ".partial" can be put behind, which "." and ".." lack. Raises SettingsError for a root."""
    place = place.resolve() if place.name in ("", "..") or place.is_symlink() else place
    if not place.name:
        raise SettingsError(f"{place} cannot be a run", hint="give a folder in it")
    return place


def partial_of(place: Path) -> Path:
    """Where the run at `place` is built."""
    place = named(place)
    return place.with_name(place.name + ".partial")


def is_empty(folder: Path) -> bool:
    """Whether it is a folder without anything in it."""
    return folder.is_dir() and not any(folder.iterdir())


def _is_finished_run(folder: Path) -> bool:
    """Whether a folder's metrics.json is ours; other tools write files of this name too."""
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(metrics, dict) and {"format", "strategy", "evaluation", "model"} <= set(metrics)
