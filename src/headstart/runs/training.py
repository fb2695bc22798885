"""`train`: from DATA and settings to a finished run folder."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from headstart.addresses.address import address_in, shown
from headstart.data.class_counts import classes_found
from headstart.data.dataset import training_dataset
from headstart.data.given import open_given
from headstart.data.sources import Sources
from headstart.deadline import Deadline
from headstart.errors import SettingsError, explains_missing_packages
from headstart.fitting.fit import fit
from headstart.fitting.grown_data import grown, without_splits
from headstart.fitting.scanned import Scanned, scan_given
from headstart.fitting.strategy import choose
from headstart.fitting.view_choice import ViewChoice
from headstart.jobs.parts import parts_at
from headstart.machine import n_processes, process_rank
from headstart.progress import Progress, Tell, silent, untold
from headstart.record.places import RUN, check_output, check_outside, results_folder
from headstart.record.run_folder import DEFAULT_PARENT, RunFolder, new_run
from headstart.record.trained import Trained
from headstart.runs.extending import Extending, check_apart, extending, extending_again, missing_images
from headstart.runs.resuming import check_not_torchrun, check_processes_of, resumed
from headstart.runs.tracking import begin_tracking, trackers_of
from headstart.settings import TrainSettings
from headstart.storage import AnyPath
from headstart.threads import beside


@explains_missing_packages("training")
def train(
    data: AnyPath | None,
    settings: TrainSettings | None = None,
    *,
    output: AnyPath | None = None,
    overwrite: bool = False,
    resume: AnyPath | None = None,
    extend: AnyPath | None = None,
    pictures: bool = True,
    log: Sequence[str] = (),
    progress: Progress = silent,
    tell: Tell = untold,
) -> Trained:
    """Trains on DATA and writes a run folder, or resumes the unfinished run `resume` with its own DATA and settings.

    With `extend`, the images and classes of DATA are added to those of that finished run, which stays as it is: settings that
    are not given are its own, its images stay in their splits, and the new run says what changed.
    Without `pictures` the report has no figures, which saves most of a second. `log` names trackers that the run is recorded in
    too. Before anything is computed, `tell` gets a sentence on where these are, and one on the classes that were found.
    `time_budget` counts from this call; a resumed run has it anew. Under torchrun each process computes its share of every
    batch, and only the first keeps its run folder; a run is resumed in as many processes as it was begun in. Raises
    HeadstartError if the data or settings do not allow it. Ctrl-C during fine-tuning finishes the folder with the best epoch
    so far and sets `Trained.interrupted`.
    """
    began, settings = time.perf_counter(), settings or TrainSettings()
    data = None if data is None else os.fspath(data)
    with ExitStack() as stack:
        folder, place, address, extended = None, None, address_in(str(output or resume or "")), None
        if resume is not None:
            _check_resumed(output, extend)
            folder = stack.enter_context(_abandoned_on_error(resumed(os.fspath(resume), data, settings, stack)))
            check_processes_of(folder)
            data, settings = folder.state.data, folder.state.settings
            extended = extending_again(folder.state.extends, settings) if folder.state.extends else None
        elif data is None:
            raise SettingsError("there is no DATA to train on", hint="headstart train FOLDER")
        else:
            extended, settings = _extending(extend, output, data, settings, progress)
            _check_new(settings)
            place = stack.enter_context(_new_place(output, overwrite=overwrite))
            check_outside(output or DEFAULT_PARENT, data, settings.val, settings.test)
        followed = trackers_of(log, str(output or resume or ""), tell)
        more = missing_images(extended.earlier, data, settings, progress) if extended else None
        labels_used = folder.state.labels_used if folder else None
        sources = stack.enter_context(open_given(data, settings, progress, labels_used, more=more))
        tell(classes_found(sources))
        if folder is None:
            extends = extended.recorded if extended else None
            folder = new_run(data, settings, sources[0].name, place, overwrite=overwrite, extends=extends)
            stack.enter_context(_abandoned_on_error(folder))
        stack.enter_context(followed)
        folder.address = shown(address) if address else None
        with beside(_import_drawing if pictures else _import_writing, *([_import_torch] if settings.takes_steps else [])):
            scanned = _scanned(sources, settings, folder.state.views, address, extended, progress)
        folder.start(scanned)
        deadline = Deadline(settings.seconds_allowed, began)
        choice = folder.choice or choose(scanned, deadline, progress)
        folder.choose(choice)
        begin_tracking(followed, folder, scanned, choice)
        fitted = fit(scanned, choice, progress, checkpoints=folder.checkpoints, deadline=deadline, ended=followed.epoch)
        from headstart.record.run_files import write_run  # loaded beside the scan

        return write_run(folder, fitted, progress, pictures=pictures, written=partial(followed.complete, fitted.history))


def _extending(
    extend: AnyPath | None, output: AnyPath | None, data: str, settings: TrainSettings, progress: Progress
) -> tuple[Extending | None, TrainSettings]:
    """The finished run that is extended, if one is named, and the settings with those of that run."""
    if extend is None:
        return None, settings
    check_apart(None if output is None else os.fspath(output), os.fspath(extend))
    extended = extending(os.fspath(extend), data, settings, progress)
    return extended, extended.settings


def _check_resumed(output: AnyPath | None, extend: AnyPath | None) -> None:
    """Raises SettingsError for what a resumed run cannot be given."""
    if output is not None:
        raise SettingsError("--output and --resume cannot be combined", hint="a resumed run stays where it is")
    if extend is not None:
        raise SettingsError("--extend and --resume cannot be combined", hint="a resumed run extends what it began with")


def _scanned(
    sources: Sequence[Sources],
    settings: TrainSettings,
    views: ViewChoice | None,
    address: str | None,
    extended: Extending | None,
    progress: Progress,
) -> Scanned:
    """The images of the run after the pass over their files; those of a run that is extended are in the splits of that."""
    parts = parts_at(f"{address}.parts") if address else None
    make_dataset = partial(without_splits, extended.earlier) if extended else training_dataset
    scanned = scan_given(sources, settings, progress, make_dataset=make_dataset, known_views=views, parts=parts)
    return grown(scanned, sources, extended.earlier) if extended else scanned


def _check_new(settings: TrainSettings) -> None:
    """Raises SettingsError for settings that several processes cannot have."""
    if settings.strategy == "auto" and n_processes() > 1:
        raise SettingsError("--strategy auto needs a single process", hint="under torchrun, name the strategy")
    if settings.time_budget is not None and n_processes() > 1:
        raise SettingsError("--time-budget needs a single process", hint="under torchrun, leave it out")
    if settings.is_on_ray:
        check_not_torchrun()
        if settings.takes_steps and settings.time_budget is not None:
            raise SettingsError("--time-budget needs a single process", hint="with --engine ray, leave it out")


@contextmanager
def _new_place(output: AnyPath | None, *, overwrite: bool) -> Iterator[Path | None]:
    """Yields the place of a new run; None if it gets a number. Raises SettingsError if it cannot be there."""
    if process_rank() > 0:  # only the first process keeps its run
        with TemporaryDirectory(prefix="headstart-") as folder:
            yield Path(folder) / "run"
        return
    with results_folder(output, RUN, overwrite=overwrite) as place:
        if place is not None:
            address = address_in(str(output))
            check_output(place, overwrite=overwrite, named_as=shown(address) if address else "")
        yield place


@contextmanager
def _abandoned_on_error(folder: RunFolder) -> Iterator[RunFolder]:
    """If the block fails, removes what was built, or keeps it if it can be resumed."""
    try:
        yield folder
    except BaseException:
        folder.abandon()
        raise


def _import_writing() -> None:
    """Imports what writes a run during the scan."""
    import headstart.record.run_files  # noqa: F401


def _import_drawing() -> None:
    """The same with Matplotlib; on two cores that hides the second it takes."""
    import headstart.record.run_figures
    import headstart.record.run_files  # noqa: F401


def _import_torch() -> None:
    """Imports torch during the scan. The scan must not import torch itself: two threads could see a half-imported package."""
    import headstart.fitting.finetune_fit  # noqa: F401
