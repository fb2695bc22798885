"""`train --extend RUN`: the settings of a finished run, and its images where the new data does not have them."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headstart.addresses.address import address_in, joined, shown_place
from headstart.data.catalog import open_data
from headstart.data.given import More
from headstart.data.reading import Reading
from headstart.data.sources import Candidate, Sources, digest_of
from headstart.data.tables import TABLE_ENDINGS
from headstart.errors import DataError, SettingsError
from headstart.fitting.earlier import Earlier, check_found
from headstart.machine import n_processes
from headstart.model.pretrained import weights_for
from headstart.progress import Progress
from headstart.record.places import place_of
from headstart.record.run_folder import Extends
from headstart.runs.finished_run import FinishedRun, finished_run
from headstart.settings import TrainSettings
from headstart.threads import map_in_threads

OF_NOW = ("device", "workers", "workplace", "time_budget")  # what this machine and this command are, not what the run is
PLACES = ("val", "test", "exclude", "labels", "weights")  # settings that are paths
COLUMNS = ("path_column", "label_column")


@dataclass(frozen=True, slots=True)
class Extending:
    """A finished run that is added to, with the settings that follow from it."""

    earlier: Earlier
    settings: TrainSettings

    @property
    def recorded(self) -> Extends:
        """What a run that can be resumed remembers of it."""
        return Extends(run=self.earlier.run, manifest_sha256=self.earlier.manifest_sha256)


def extending(run: str, data: str, given: TrainSettings, progress: Progress) -> Extending:
    """The run to extend, and its settings with those `given` now. Raises HeadstartError if they do not go together."""
    if n_processes() > 1:
        raise SettingsError("--extend needs a single process", hint="run it without torchrun")
    finished = finished_run(run)
    settings = _settings(finished, data, given)
    _check_weights(finished, settings, progress)
    return Extending(finished.as_earlier(to_finetune=settings.strategy != "probe"), settings)


def extending_again(extends: Extends, settings: TrainSettings) -> Extending:
    """The same for a run that is resumed. Raises SettingsError if the run that it extends is another one now."""
    finished = finished_run(extends.run)
    if finished.manifest_sha256 != extends.manifest_sha256:
        raise SettingsError(f"{extends.run}, which this run extends, is another run now", hint="start a new run")
    return Extending(finished.as_earlier(to_finetune=settings.strategy != "probe"), settings)


def check_apart(output: str | None, run: str) -> None:
    """Raises SettingsError if a run would be written to the one that it extends, or into it."""
    place, of_run = address_in(output or ""), address_in(run)
    if output is None or (place is None) != (of_run is None):
        return
    if place is not None and of_run is not None:
        is_inside = joined(place, "").startswith(joined(of_run, ""))
    else:
        is_inside = Path(output).resolve().is_relative_to(Path(run).resolve())
    if is_inside:
        raise SettingsError("--output is in the run that is extended, which stays as it is", hint="choose another --output")


def missing_images(earlier: Earlier, data: str, settings: TrainSettings, progress: Progress) -> More:
    """What opens the images of the run that are not among the sources, from where the run had them."""

    def more(sources: Sequence[Sources], stack: ExitStack) -> list[Sources]:
        elsewhere = [place for place in earlier.places if place.place != place_of(data)]
        if not elsewhere:
            return []
        missing = set(earlier.splits) - _digests(c for source in sources for c in source.candidates).keys()
        found: list[Sources] = []
        for place in elsewhere:
            if not missing:
                break
            of_table = replace(Reading.of(settings), path_column=place.path_column, label_column=place.label_column)
            reading = replace(of_table, is_part=True)
            try:
                old = stack.enter_context(open_data(place.place, reading, offline=settings.offline, progress=progress))
            except DataError:  # it is no longer there: what is missing is counted, and said
                continue
            digests = _digests(old.candidates)
            taken = tuple(candidate for sha256 in missing & digests.keys() for candidate in digests[sha256])
            missing -= digests.keys()
            taken_in_order = tuple(sorted(taken, key=lambda candidate: candidate.path))
            found.append(replace(old, candidates=taken_in_order, skipped=(), empty_classes=(), notes=()))
        check_found(len(earlier.splits) - len(missing), earlier, f"{shown_place(data)} and where the run had them")
        return found

    return more


def _digests(candidates: Any) -> dict[str, list[Candidate]]:
    """SHA-256 -> the files with these bytes; all are read, in threads."""
    listed = list(candidates)
    found: dict[str, list[Candidate]] = {}
    for candidate, sha256 in zip(listed, map_in_threads(digest_of, listed), strict=True):
        found.setdefault(sha256, []).append(candidate)
    return found


def _settings(finished: FinishedRun, data: str, given: TrainSettings) -> TrainSettings:
    """The settings of the run, with those that are given now. Raises SettingsError for those it cannot have."""
    manifest, now = finished.manifest, {name: getattr(given, name) for name in given.model_fields_set}
    _check_given(finished, now)
    values = {name: getattr(manifest.settings, name) for name in TrainSettings.model_fields if name not in OF_NOW}
    values |= {"strategy": manifest.strategy, "view": manifest.preprocess.view_name}
    for name in PLACES:
        if values[name] is not None and name not in now:
            values[name] = _still_there(name, finished.resolved(values[name]), finished)
    if not data.lower().endswith(tuple(TABLE_ENDINGS)):  # they are of a table, and DATA is none
        values |= dict.fromkeys(COLUMNS)
    return TrainSettings.of(**(values | now))


def _still_there(name: str, path: Path, finished: FinishedRun) -> Path:
    if not address_in(path) and not path.exists():
        raise SettingsError(
            f"{finished.named} had --{name} {path}, which is not there any more", hint=f"pass --{name} with its place now"
        )
    return path


def _check_given(finished: FinishedRun, now: dict[str, Any]) -> None:
    """Raises SettingsError for settings that would make it another model than one that goes on from the run's."""
    manifest, run = finished.manifest, finished.named
    if now.get("recipe") == "tutorial":
        raise SettingsError("--recipe tutorial cannot extend a run", hint="leave out --extend")
    if now.get("task", manifest.task) != manifest.task:
        raise SettingsError(
            f"{run} has --task {manifest.task}, and what it answered is of no use for --task {now['task']}",
            hint="leave out --task, or leave out --extend to start anew",
        )
    for name, was in (("backbone", manifest.backbone.name), ("image_size", manifest.settings.image_size)):
        if now.get(name, was) != was:
            option = name.replace("_", "-")
            raise SettingsError(
                f"{run} has --{option} {was or 'of its backbone'}, and --{option} {now[name]} would be another network",
                hint=f"leave out --{option}, or leave out --extend to start anew; headstart compare measures backbones",
            )
    if now.get("effort", manifest.settings.effort) != manifest.settings.effort and "view" not in now:
        raise SettingsError(
            "--effort would choose the views anew, with images that the run holds out",
            hint="leave it out, or name the views, as in --view crop+whole",
        )


def _check_weights(finished: FinishedRun, settings: TrainSettings, progress: Progress) -> None:
    weights = weights_for(settings, progress)[1]
    if weights.sha256 != finished.manifest.backbone.weights_sha256:
        raise SettingsError(
            f"{finished.named} was made with other weights of {settings.backbone} than {weights.path.name}",
            hint="pass --weights with the file it was made with, or leave out --extend to start anew",
        )
