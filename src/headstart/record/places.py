"""Where runs may be written: only an earlier run is ever replaced."""

import json
from pathlib import Path

from headstart.errors import SettingsError

STATE, METRICS = "run.json", "metrics.json"


def check_output(place: Path, *, overwrite: bool) -> None:
    """Raises SettingsError if a run cannot be written to `place`."""
    if place.exists():
        if not (is_empty(place) or _is_finished_run(place)):
            raise SettingsError(f"{place} exists and is not a run", hint="choose another --output")
        if not overwrite and any(place.iterdir()):
            raise SettingsError(f"{place} already exists", hint="choose another --output, or pass --overwrite")
    partial = partial_of(place)
    if partial.exists() and not (is_empty(partial) or (partial / STATE).is_file() or _is_finished_run(partial)):
        raise SettingsError(f"{partial}, where the run would be built, exists and is not a run", hint="choose another --output")
    if partial.exists() and not overwrite:
        raise SettingsError(
            f"there is an unfinished run at {partial}",
            hint=f"resume it with --resume {place}, or start again with --overwrite",
        )


def check_outside(output: Path | None, *given: str | Path | None, option: str = "--output") -> None:
    """Raises SettingsError if `output` is inside a folder of images, where the next run would read it as an image or a class.

    Links are followed. What is given may also be a file or a name of the catalog: nothing is inside these.
    """
    for folder in given:
        if output and folder and Path(folder).is_dir() and output.resolve().is_relative_to(Path(folder).resolve()):
            raise SettingsError(
                f"{output} would be inside {folder}, and the next run would read it as an image or a class",
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


def _is_finished_run(folder: Path) -> bool:
    """Whether the folder's metrics.json is headstart's; other tools also write files with this name."""
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(metrics, dict) and {"format", "strategy", "evaluation", "model"} <= set(metrics)
