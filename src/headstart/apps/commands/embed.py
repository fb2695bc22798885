"""`headstart embed`."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.apps.console import as_named, check_target, command, note, note_skipped, progress_bars, say
from headstart.apps.options import (
    DEFAULT,
    Backbone,
    BoxesOption,
    ChannelsOption,
    Device,
    EngineOption,
    EveryOption,
    ImageSize,
    LabelColumn,
    Offline,
    PathColumn,
    PrecisionOption,
    Stages,
    View,
    Weights,
    Workers,
    settings_of,
)


@command
def embed(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Images, in any form that train accepts.")],
    output: Annotated[Path, typer.Option(metavar="FILE.parquet", help="Where to write the table.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier table at --output.")] = False,
    path_column: PathColumn = DEFAULT.path_column,
    label_column: LabelColumn = DEFAULT.label_column,
    boxes: BoxesOption = DEFAULT.boxes,
    backbone: Backbone = DEFAULT.backbone,
    weights: Weights = DEFAULT.weights,
    offline: Offline = DEFAULT.offline,
    view: View = DEFAULT.view,
    channels: ChannelsOption = DEFAULT.channels,
    every: EveryOption = DEFAULT.every,
    stages: Stages = DEFAULT.stages,
    image_size: ImageSize = DEFAULT.image_size,
    precision: PrecisionOption = DEFAULT.precision,
    engine: EngineOption = None,
    device: Device = DEFAULT.device,
    workers: Workers = DEFAULT.workers,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Write the features of images as a Parquet table: path, label, split, vector.

    These are the features that a probe is fitted on. Features that were computed before are read from the cache.

    Example:

      headstart embed photos --output photos.parquet
    """
    settings = settings_of(locals())
    check_target(output, [Path(data)], overwrite=overwrite, endings=[".parquet"])
    from headstart.runs.embedding import embed as embed_run

    with progress_bars(quiet=quiet) as progress:
        embedded = embed_run(data, output, settings, progress=progress)
    if quiet:
        return
    note_skipped(embedded.skipped)
    note(embedded.work.sentence())
    say(f"{as_named(output)}: {embedded.n_images} images")
