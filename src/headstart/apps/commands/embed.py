"""`headstart embed`."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.apps.console import check_target, command, note, note_skipped, progress_bars, say
from headstart.settings import EngineChoice, Precision, TrainSettings, help_for


@command
def embed(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Any form of data that train takes.")],
    output: Annotated[Path, typer.Option(metavar="FILE.parquet", help="Where to write the table.")],
    backbone: Annotated[str, typer.Option(help=help_for("backbone"))] = "efficientnet_lite0",
    weights: Annotated[Path | None, typer.Option(help=help_for("weights"))] = None,
    offline: Annotated[bool, typer.Option("--offline", help=help_for("offline"))] = False,
    image_size: Annotated[int | None, typer.Option(help=help_for("image_size"))] = None,
    precision: Annotated[Precision, typer.Option(help=help_for("precision"))] = "fp32",
    engine: Annotated[EngineChoice | None, typer.Option(help=help_for("engine"))] = None,
    device: Annotated[str, typer.Option(help=help_for("device"))] = "auto",
    workers: Annotated[int | None, typer.Option(help=help_for("workers"))] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Write the features of images as a Parquet table: path, label, split, vector.

    The features are those a probe is fitted on. What was computed before comes from the store.

    Example:

      headstart embed photos --output photos.parquet
    """
    settings = TrainSettings.of(
        backbone=backbone,
        weights=weights,
        offline=offline,
        image_size=image_size,
        precision=precision,
        engine=engine,
        device=device,
        workers=workers,
    )
    check_target(output, [Path(data)])
    from headstart.runs.embedding import embed as embed_run

    with progress_bars(quiet=quiet) as progress:
        embedded = embed_run(data, output, settings, progress=progress)
    if quiet:
        return
    note_skipped(embedded.skipped)
    note(embedded.work.sentence())
    say(f"{output}: {embedded.n_images} images")
