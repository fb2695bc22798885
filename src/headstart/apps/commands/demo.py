"""`headstart demo`."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.apps.console import as_argument, check_here, command, note, progress_bars, say
from headstart.data.catalog import NAMES, find_hymenoptera, open_data
from headstart.errors import DataError
from headstart.progress import Progress
from headstart.settings import TrainSettings

GRID_IMAGES = 12


@command
def demo(
    output: Annotated[Path | None, typer.Option(help="The run folder; default: runs/<data>-probe-<n>.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run at --output.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never download anything.")] = False,
) -> None:
    """Train a probe on an example data set, then predict and draw a grid of images.

    It uses the ants and bees of the PyTorch tutorial if they are on this machine or can be downloaded, else the solar cells of
    elpv-dataset.

    Example:

      headstart demo
    """
    check_here(output, "--output")
    from headstart.runs.training import train

    with progress_bars() as progress:
        data = _choose_data(offline, progress)
        say(f"data     {data}: {NAMES[data]}")
        trained = train(data, TrainSettings(strategy="probe"), output=output, overwrite=overwrite, progress=progress, tell=note)
        for text in trained.notes:
            note(text)
        grid = trained.run / "figures" / "demo-grid.png"
        example = _draw_grid(data, trained.model, grid)
    say(trained.summary)
    say(f"report   {trained.run / 'report.html'}")
    say(f"grid     {grid}")
    say(f"model    {trained.model}")
    say(f"next     headstart predict {as_argument(trained.run)} {as_argument(example)}")


def _choose_data(offline: bool, progress: Progress) -> str:
    if find_hymenoptera() is not None:
        return "hymenoptera"
    try:
        with open_data("hymenoptera", offline=offline, progress=progress):
            return "hymenoptera"
    except DataError as error:
        say(f"{error.message}: using the data set elpv instead")
        return "elpv"


def _draw_grid(data: str, model: Path, grid: Path) -> Path:
    """Predicts some held-out images as `headstart predict` does; returns the path of one, or of its archive."""
    from headstart.artifact.figures import grid_figure, save_figure
    from headstart.artifact.predictor import Predictor
    from headstart.artifact.tiles import prediction_tile
    from headstart.storage import sha256_of_bytes

    predictor = Predictor.load(model)
    held_out = set(predictor.manifest.images["val"]) if predictor.manifest else set()
    with open_data(data) as sources:
        labelled = [c for c in sources.candidates if c.split in (None, "val")]
        step = max(1, len(labelled) // (8 * GRID_IMAGES))
        chosen = [c for c in labelled[::step] if sha256_of_bytes(c.read()) in held_out]
        chosen = chosen[:: max(1, len(chosen) // GRID_IMAGES)][:GRID_IMAGES]
        predictions = predictor.predict_candidates(chosen)
        tiles = [
            prediction_tile(c.read(), prediction, c.label, predictor.preprocess)
            for c, prediction in zip(chosen, predictions, strict=True)
        ]
        save_figure(grid_figure(tiles, 6), grid)
        shown = Path(chosen[0].path)
    return shown if shown.exists() else Path(str(find_hymenoptera()))  # the image is in the zip archive
