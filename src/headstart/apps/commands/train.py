"""`headstart train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.apps.console import EXIT_INTERRUPTED, as_argument, as_named, command, note, print_json, progress_bars, say
from headstart.apps.options import (
    DEFAULT,
    AugmentOption,
    Backbone,
    Balance,
    BoxesOption,
    ChannelsOption,
    Device,
    EffortOption,
    EngineOption,
    Epochs,
    EveryOption,
    Exclude,
    Grades,
    ImageSize,
    JoinCase,
    LabelColumn,
    Labels,
    Offline,
    PathColumn,
    PrecisionOption,
    Seed,
    Stages,
    TaskOption,
    Test,
    Val,
    View,
    Weights,
    Workers,
    setting,
    settings_of,
)
from headstart.machine import process_rank
from headstart.progress import untold
from headstart.settings import Recipe, Schedule, Strategy

if TYPE_CHECKING:
    from headstart.record.trained import Trained


LOG = (
    "Also record the run in these trackers, as in mlflow,tensorboard,wandb. Each takes its settings from its own environment "
    "variables."
)


@command
def train(
    context: typer.Context,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", help="Class folders, train/val/test folders, CSV, Parquet, .zip, .tar or a catalog name."
        ),
    ] = None,
    strategy: Annotated[Strategy, setting("strategy")] = DEFAULT.strategy,
    task: TaskOption = DEFAULT.task,
    grades: Grades = DEFAULT.grades,
    recipe: Annotated[Recipe, setting("recipe")] = DEFAULT.recipe,
    backbone: Backbone = DEFAULT.backbone,
    weights: Weights = DEFAULT.weights,
    offline: Offline = DEFAULT.offline,
    val: Val = DEFAULT.val,
    test: Test = DEFAULT.test,
    exclude: Exclude = DEFAULT.exclude,
    labels: Labels = DEFAULT.labels,
    path_column: PathColumn = DEFAULT.path_column,
    label_column: LabelColumn = DEFAULT.label_column,
    boxes: BoxesOption = DEFAULT.boxes,
    join_case: JoinCase = DEFAULT.join_case,
    val_fraction: Annotated[float, setting("val_fraction")] = DEFAULT.val_fraction,
    augment: AugmentOption = DEFAULT.augment,
    schedule: Annotated[Schedule | None, setting("schedule")] = DEFAULT.schedule,
    epochs: Epochs = DEFAULT.epochs,
    learning_rate: Annotated[float | None, setting("learning_rate")] = DEFAULT.learning_rate,
    batch_size: Annotated[int | None, setting("batch_size")] = DEFAULT.batch_size,
    effort: EffortOption = DEFAULT.effort,
    view: View = DEFAULT.view,
    channels: ChannelsOption = DEFAULT.channels,
    every: EveryOption = DEFAULT.every,
    stages: Stages = DEFAULT.stages,
    image_size: ImageSize = DEFAULT.image_size,
    freeze: Annotated[int | None, setting("freeze", metavar="N")] = DEFAULT.freeze,
    precision: PrecisionOption = DEFAULT.precision,
    engine: EngineOption = None,
    device: Device = DEFAULT.device,
    workers: Workers = DEFAULT.workers,
    seed: Seed = DEFAULT.seed,
    balance: Balance = DEFAULT.balance,
    cv: Annotated[str | None, setting("cv", metavar="FOLDSxREPEATS")] = DEFAULT.cv,
    time_budget: Annotated[float | None, setting("time_budget", metavar="SECONDS")] = DEFAULT.time_budget,
    target_precision: Annotated[float | None, setting("target_precision")] = DEFAULT.target_precision,
    target_recall: Annotated[float | None, setting("target_recall")] = DEFAULT.target_recall,
    conformal: Annotated[float | None, setting("conformal", metavar="COVERAGE")] = DEFAULT.conformal,
    refit: Annotated[bool, setting("refit", "--refit")] = DEFAULT.refit,
    log: Annotated[str | None, typer.Option(metavar="NAMES", help=LOG)] = None,
    output: Annotated[Path | None, typer.Option(help="The run folder; default: runs/<data>-<strategy>-<n>.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run at --output.")] = False,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Resume an interrupted run.")] = None,
    extend: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Add the images and classes of DATA to those of a finished run, and say what that changes."
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, as in metrics.json, and draw no pictures.")
    ] = False,
    report: Annotated[bool, typer.Option("--report", help="With --json: draw the pictures of report.html too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Train an image classifier on a folder of labelled images.

    A probe takes seconds: the pretrained network stays as it is, and only a new last layer is fitted. Fine-tuning takes minutes
    and pays off if the images are unlike ordinary photographs. The result is a run folder with the model, the metrics, the
    predictions and report.html.

    Examples:

      headstart train photos

      headstart train photos --strategy finetune --epochs 8

      headstart train labels.csv --test held_out --json

      headstart train more_photos --extend runs/photos-probe-1
    """
    settings = settings_of(locals(), context)
    if data is None and resume is None:
        raise typer.BadParameter("give the images to train on: headstart train FOLDER", param_hint="DATA")
    from headstart.runs.training import train as train_run  # after the settings are checked, as it loads torch

    quiet = quiet or process_rank() > 0  # under torchrun only the first process prints
    with progress_bars(quiet=quiet) as progress:
        trained = train_run(
            data,
            settings,
            output=output,
            overwrite=overwrite,
            resume=resume,
            extend=extend,
            pictures=report or not json,
            log=[name.strip() for name in (log or "").split(",") if name.strip()],
            progress=progress,
            tell=untold if quiet else note,
        )
    _tell(trained, as_json=json and process_rank() == 0, quiet=quiet)
    if trained.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


def _tell(trained: "Trained", *, as_json: bool, quiet: bool) -> None:
    if not quiet:
        for text in (*trained.notes, trained.work.sentence()):
            note(text)
        skipped = trained.metrics["images"]["skipped"]
        if skipped:
            files = "1 file was" if skipped == 1 else f"{skipped} files were"
            note(f"{files} skipped; {as_named(trained.run / 'skipped.csv')} says why")
    if as_json:
        print_json(trained.metrics)
    elif not quiet:
        say(trained.summary)
        if trained.extension:
            say(f"  {trained.extension}")
        if trained.metrics["cross_validation"]:
            say(f"  {trained.metrics['cross_validation']['sentence']}")
        if trained.evaluation.is_uneven:
            say(f"  {trained.uneven}")
        say(f"  report  {as_named(trained.run / 'report.html')}")
        say(f"  model   {as_named(trained.model)}")
        say(f"  next    headstart predict {as_argument(as_named(trained.run))} IMAGE...")
