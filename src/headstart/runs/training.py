"""`train`: from DATA and settings to a finished run folder."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from headstart.data.class_counts import classes_found
from headstart.data.given import open_given
from headstart.deadline import Deadline
from headstart.errors import SettingsError, explains_missing_packages
from headstart.fitting.fit import fit
from headstart.fitting.scanned import scan_given
from headstart.fitting.strategy import choose
from headstart.machine import process_rank
from headstart.progress import Progress, Tell, silent, untold
from headstart.record.places import check_output, check_outside
from headstart.record.run_folder import DEFAULT_PARENT, RunFolder, new_run, resumed_run
from headstart.record.trained import Trained
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
    pictures: bool = True,
    progress: Progress = silent,
    tell: Tell = untold,
) -> Trained:
    """Trains on DATA and writes a run folder, or resumes the unfinished run `resume` with its own DATA and settings.

    Without `pictures` the report has no figures, which saves most of a second. Before anything is computed, `tell` gets a
    sentence on the classes that were found. `time_budget` counts from this call; a resumed run has it anew.
    Under torchrun each process computes its share of every batch, and only the first keeps its run folder. Raises
    HeadstartError if the data or settings do not allow it. Ctrl-C during fine-tuning finishes the folder with the best epoch
    so far and sets `Trained.interrupted`.
    """
    began, settings = time.perf_counter(), settings or TrainSettings()
    data = None if data is None else os.fspath(data)
    place = None if output is None else Path(output)
    with ExitStack() as stack:
        folder = None
        if resume is not None:
            _check_resume(place)
            folder = stack.enter_context(_abandoned_on_error(resumed_run(Path(resume), data, settings)))
            data, settings = folder.state.data, folder.state.settings
        elif data is None:
            raise SettingsError("there is no DATA to train on", hint="headstart train FOLDER")
        else:
            _check_new(data, settings, place, overwrite=overwrite)
            if process_rank() > 0:  # only the first process keeps its run
                place = Path(stack.enter_context(TemporaryDirectory(prefix="headstart-"))) / "run"
        sources = stack.enter_context(open_given(data, settings, progress, folder.state.labels_used if folder else None))
        tell(classes_found(sources))
        if folder is None:
            folder = new_run(data, settings, sources[0].name, place, overwrite=overwrite)
            stack.enter_context(_abandoned_on_error(folder))
        with beside(_import_drawing if pictures else _import_writing, *([_import_torch] if settings.takes_steps else [])):
            scanned = scan_given(sources, settings, progress, known_views=folder.state.views)
        folder.start(scanned)
        deadline = Deadline(settings.seconds_allowed, began)
        choice = folder.choice or choose(scanned, deadline, progress)
        folder.choose(choice)
        fitted = fit(scanned, choice, progress, checkpoints=folder.checkpoints, deadline=deadline)
        from headstart.record.run_files import write_run

        return write_run(folder, fitted, progress, pictures=pictures)


def _check_resume(output: Path | None) -> None:
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise SettingsError("a run can only be resumed in one process", hint="run it without torchrun: the steps are the same")
    if output is not None:
        raise SettingsError("--output and --resume cannot be combined", hint="a resumed run stays where it is")


def _check_new(data: str, settings: TrainSettings, output: Path | None, *, overwrite: bool) -> None:
    """Raises SettingsError for what can be checked before any work is done."""
    if settings.strategy == "auto" and os.environ.get("WORLD_SIZE", "1") != "1":
        raise SettingsError("--strategy auto needs a single process", hint="under torchrun, name the strategy")
    if settings.time_budget is not None and os.environ.get("WORLD_SIZE", "1") != "1":
        raise SettingsError("--time-budget needs a single process", hint="under torchrun, leave it out")
    if output is not None and process_rank() == 0:
        check_output(output, overwrite=overwrite)
    check_outside(output or DEFAULT_PARENT, data, settings.val, settings.test)


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
