"""`headstart train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.apps.console import EXIT_INTERRUPTED, as_argument, command, note, print_json, progress_bars, say
from headstart.machine import process_rank
from headstart.settings import Augment, EngineChoice, Precision, Recipe, Schedule, Strategy, TrainSettings, help_for

if TYPE_CHECKING:
    from headstart.record.trained import Trained


@command
def train(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", help="Class folders, train/val/test folders, CSV, Parquet, .zip, .tar or a catalog name."
        ),
    ] = None,
    strategy: Annotated[Strategy, typer.Option(help=help_for("strategy"))] = "auto",
    recipe: Annotated[Recipe, typer.Option(help=help_for("recipe"))] = "default",
    backbone: Annotated[str, typer.Option(help=help_for("backbone"))] = "efficientnet_lite0",
    weights: Annotated[Path | None, typer.Option(help=help_for("weights"))] = None,
    offline: Annotated[bool, typer.Option("--offline", help=help_for("offline"))] = False,
    val: Annotated[Path | None, typer.Option(help=help_for("val"))] = None,
    test: Annotated[Path | None, typer.Option(help=help_for("test"))] = None,
    exclude: Annotated[Path | None, typer.Option(metavar="FILE", help=help_for("exclude"))] = None,
    val_fraction: Annotated[float, typer.Option(help=help_for("val_fraction"))] = 0.2,
    augment: Annotated[Augment | None, typer.Option(help=help_for("augment"))] = None,
    schedule: Annotated[Schedule | None, typer.Option(help=help_for("schedule"))] = None,
    epochs: Annotated[int | None, typer.Option(help=help_for("epochs"))] = None,
    learning_rate: Annotated[float | None, typer.Option(help=help_for("learning_rate"))] = None,
    batch_size: Annotated[int | None, typer.Option(help=help_for("batch_size"))] = None,
    image_size: Annotated[int | None, typer.Option(help=help_for("image_size"))] = None,
    freeze: Annotated[int | None, typer.Option(metavar="N", help=help_for("freeze"))] = None,
    precision: Annotated[Precision, typer.Option(help=help_for("precision"))] = "fp32",
    engine: Annotated[EngineChoice | None, typer.Option(help=help_for("engine"))] = None,
    device: Annotated[str, typer.Option(help=help_for("device"))] = "auto",
    workers: Annotated[int | None, typer.Option(help=help_for("workers"))] = None,
    seed: Annotated[int, typer.Option(help=help_for("seed"))] = 0,
    balance: Annotated[bool, typer.Option("--balance", help=help_for("balance"))] = False,
    cv: Annotated[str | None, typer.Option(metavar="FOLDSxREPEATS", help=help_for("cv"))] = None,
    time_budget: Annotated[float, typer.Option(metavar="SECONDS", help=help_for("time_budget"))] = 300.0,
    target_precision: Annotated[float | None, typer.Option(help=help_for("target_precision"))] = None,
    conformal: Annotated[float | None, typer.Option(metavar="COVERAGE", help=help_for("conformal"))] = None,
    refit: Annotated[bool, typer.Option("--refit", help=help_for("refit"))] = False,
    output: Annotated[Path | None, typer.Option(help="The run folder; default: runs/<data>-<strategy>-<n>.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run at --output.")] = False,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with a run that was killed.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object: what metrics.json holds.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Train an image classifier on a folder of labelled images.

    A probe takes seconds: the pretrained network stays as it is, only a new last layer is fitted. Fine-tuning takes minutes
    and pays where the images are unlike photographs of things. The result is a run folder with the model, the numbers, the
    predictions and report.html.

    Examples:

      headstart train photos

      headstart train photos --strategy finetune --epochs 8

      headstart train labels.csv --test held_out --json
    """
    options = locals()  # by name; those that are settings have the settings' names
    settings = TrainSettings.of(**{name: options[name] for name in TrainSettings.model_fields})
    if data is None and resume is None:
        raise typer.BadParameter("there is none to train on; headstart train FOLDER", param_hint="DATA")
    from headstart.runs.training import train as train_run  # after the settings are known to be good: it loads torch

    quiet = quiet or process_rank() > 0  # under torchrun the first process speaks for all
    json = json and process_rank() == 0
    with progress_bars(quiet=quiet) as progress:
        trained = train_run(data, settings, output=output, overwrite=overwrite, resume=resume, progress=progress)
    _tell(trained, as_json=json, quiet=quiet)
    if trained.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


def _tell(trained: "Trained", *, as_json: bool, quiet: bool) -> None:
    if not quiet:
        for text in (*trained.notes, trained.work.sentence()):
            note(text)
        skipped = trained.metrics["images"]["skipped"]
        if skipped:
            files = "1 file was" if skipped == 1 else f"{skipped} files were"
            note(f"{files} skipped; {trained.run / 'skipped.csv'} says why")
    if as_json:
        print_json(trained.metrics)
    elif not quiet:
        say(trained.summary)
        if trained.metrics["cross_validation"]:
            say(f"  {trained.metrics['cross_validation']['sentence']}")
        if trained.evaluation.is_uneven:
            say(f"  {trained.uneven}")
        say(f"  report  {trained.run / 'report.html'}")
        say(f"  model   {trained.model}")
        say(f"  next    headstart predict {as_argument(trained.run)} IMAGE...")
