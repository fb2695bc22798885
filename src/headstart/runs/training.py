"""`train`: from DATA and settings to a finished run folder."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from headstart.data.sources import Sources
from headstart.errors import SettingsError, explains_missing_packages
from headstart.fitting.choice import Choice
from headstart.fitting.fit import fit_sources, open_splits
from headstart.machine import process_rank
from headstart.progress import Progress, silent
from headstart.record.run_folder import DEFAULT_PARENT, RunFolder, check_output, new_run_folder, resumed_run_folder
from headstart.record.trained import Trained
from headstart.settings import TrainSettings


@explains_missing_packages("training")
def train(
    data: str | Path | None,
    settings: TrainSettings | None = None,
    *,
    output: Path | None = None,
    overwrite: bool = False,
    resume: Path | None = None,
    progress: Progress = silent,
) -> Trained:
    """Trains on DATA and writes a run folder. With `resume` an unfinished run goes on; DATA and settings are then its own.

    Under torchrun each process computes its share of every batch; the first writes the run, the others nothing that stays.
    Raises HeadstartError where data or settings do not allow it. Ctrl-C while fine-tuning finishes the folder with the best
    epoch so far, `Trained.interrupted`.
    """
    settings = settings or TrainSettings()
    if resume is not None:
        if os.environ.get("WORLD_SIZE", "1") != "1":
            raise SettingsError("a run is resumed in one process", hint="run it without torchrun: the steps are the same")
        if output is not None:
            raise SettingsError("--output and --resume exclude each other", hint="a resumed run stays where it is")
        return _resume(data, settings, resume, progress)
    if settings.strategy == "auto" and os.environ.get("WORLD_SIZE", "1") != "1":
        raise SettingsError("--strategy auto chooses by the clock, in one process", hint="name the strategy under torchrun")
    if data is None:
        raise SettingsError("there is no DATA to train on", hint="headstart train FOLDER")
    if output is not None and process_rank() == 0:
        check_output(output, overwrite=overwrite)  # said before any work is done
    for folder in (Path(data), settings.val, settings.test):
        if folder and folder.is_dir() and (output or DEFAULT_PARENT).resolve().is_relative_to(folder.resolve()):
            raise SettingsError(
                f"the run would lie inside {folder} and be taken for a class next time", hint="choose an --output outside of it"
            )
    with ExitStack() as stack:
        if process_rank() > 0:
            output = Path(stack.enter_context(TemporaryDirectory(prefix="headstart-"))) / "run"
        sources = open_splits(stack, data, settings, progress)
        run = new_run_folder(output, sources[0].name, settings.strategy, overwrite=overwrite)
        return _train_in(run, str(data), sources, settings, progress)


def _resume(data: str | Path | None, settings: TrainSettings, run: Path, progress: Progress) -> Trained:
    folder, kept_data, kept_settings = resumed_run_folder(run)
    if data is not None and Path(data) != Path(kept_data):
        raise SettingsError(f"{run} was started on {kept_data}, not {data}", hint="leave DATA out, or give the same")
    default = TrainSettings()
    different = [name for name, value in settings if value != getattr(default, name) and value != getattr(kept_settings, name)]
    if different:
        raise SettingsError(
            f"--{different[0].replace('_', '-')} differs from what {run} was started with",
            hint="a resumed run keeps its settings: leave them out",
        )
    with ExitStack() as stack:
        sources = open_splits(stack, kept_data, kept_settings, progress)
        return _train_in(folder, kept_data, sources, kept_settings, progress)


def _train_in(
    folder: RunFolder,
    data: str,
    sources: Sequence[Sources],
    settings: TrainSettings,
    progress: Progress,
) -> Trained:
    def on_choice(choice: Choice) -> Path:
        nonlocal folder
        folder = folder.chosen(choice)
        return folder.checkpoints

    try:
        fit = fit_sources(
            sources,
            settings,
            checkpoints=folder.checkpoints,
            on_dataset=lambda dataset: folder.note_start(data, settings, [image.sha256 for image in dataset.images]),
            chosen=folder.kept_choice(),
            on_choice=on_choice,
            beside_the_scan=("headstart.record.run_files",),
            progress=progress,
        )
        from headstart.record.run_files import write_run  # draws: matplotlib and jinja2 come with it

        return write_run(folder, fit, progress)
    except BaseException:
        folder.abandon()
        raise
