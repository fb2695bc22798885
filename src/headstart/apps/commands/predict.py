"""`headstart predict`."""

import csv
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import numpy as np
import typer

from headstart.apps.console import EXIT_ERROR, check_target, command, json_line, note, output_file, progress_bars
from headstart.artifact.predictor import UNSURE, Prediction, Predictor
from headstart.artifact.tables import prediction_cells, prediction_header
from headstart.data.sources import Candidate, find_images
from headstart.errors import DataError, SettingsError

if TYPE_CHECKING:
    from headstart.artifact.figures import Tile

Format = Literal["table", "csv", "jsonl"]
MAX_TILES, GRID_COLUMNS = 48, 6


@command
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run folder, or the model folder in it.")],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Images, folders (searched to their leaves), archives.")],
    format: Annotated[Format, typer.Option(help="How each line looks.")] = "table",
    top_k: Annotated[int, typer.Option(min=1, help="Show the K most probable classes (table, jsonl).")] = 1,
    min_confidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Say unsure where the best class is less probable than this."),
    ] = None,
    grid: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw the images with their answers.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write to a file instead of stdout.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda ...")] = "cpu",
) -> None:
    """Classify images with a trained model.

    An image that cannot be read gets a line with its reason. The exit code is 1 when none could be read. One that is unlike
    those the model was trained on is marked as unfamiliar: whatever the answer, it means little.

    Examples:

      headstart predict runs/photos-probe-1 new/

      headstart predict runs/photos-probe-1 a.jpg b.jpg --top-k 3 --grid answers.png

      headstart predict runs/photos-probe-1 new/ --format csv --output answers.csv

      headstart predict runs/photos-probe-1 new/ --min-confidence 0.9
    """
    with ExitStack() as stack:
        candidates, left_out = find_images(stack, paths)
        if not candidates:
            raise DataError(f"there is no file in {', '.join(map(str, paths))}", hint="give images, or folders that hold some")
        if grid is not None and output is not None and grid.resolve() == output.resolve():
            raise SettingsError(f"--grid and --output are both {grid}", hint="give them different names")
        for target in (grid, output):
            check_target(target, [*paths, *(candidate.file for candidate in candidates)])
        progress = stack.enter_context(progress_bars(quiet=output is None))
        predictor = Predictor.load(model, device, progress)
        if min_confidence is not None:
            predictor.doubts = replace(predictor.doubts, min_confidence=min_confidence)
        predictions = predictor.predict_candidates(candidates)
        tiles: list[Tile] = []
        n_read, n_failed = 0, len(left_out)
        with output_file(output) as file:
            write = _writer(format, file, predictor, top_k)
            for entry in left_out:
                write(Prediction(entry.path, predictor.classes, None, entry.reason))
            for done, (candidate, prediction) in enumerate(zip(candidates, predictions, strict=True), start=1):
                write(prediction)
                n_read += prediction.probabilities is not None
                n_failed += prediction.probabilities is None
                if grid is not None and prediction.probabilities is not None and len(tiles) < MAX_TILES:
                    tiles.append(_tile(candidate, prediction, predictor))
                progress("predicting", done, len(candidates))
        if grid is not None and tiles:
            _draw(grid, tiles, n_read)
    if n_failed and output is not None:
        note(f"{n_failed} of {n_read + n_failed} files could not be read; their lines say why")
    if not n_read:
        raise typer.Exit(EXIT_ERROR)


def _writer(format: Format, file: TextIO, predictor: Predictor, top_k: int) -> Callable[[Prediction], object]:
    if format == "csv":
        rows = csv.writer(file, lineterminator="\n")
        columns = _doubt_columns(predictor)
        header = prediction_header(predictor.classes)
        rows.writerow(["path", *header, *columns, "error"])

        def write_row(prediction: Prediction) -> None:
            if prediction.probabilities is None:
                rows.writerow([prediction.path, *[""] * (len(header) + len(columns)), prediction.error])
                return
            cells = prediction_cells(prediction.probabilities, predictor.classes)
            doubts = [column(prediction) for column in columns.values()]
            rows.writerow([prediction.path, prediction.predicted, *cells[1:], *doubts, ""])

        return write_row
    if format == "jsonl":
        return lambda prediction: file.write(json_line(_as_json(prediction, top_k), file) + "\n")
    return lambda prediction: file.write(_as_line(prediction, top_k) + "\n")


def _doubt_columns(predictor: Predictor) -> dict[str, Callable[[Prediction], str]]:
    """Columns of a CSV for what the model says beside its probabilities; a set of classes is written as a JSON list."""
    doubts = predictor.doubts
    columns: dict[str, Callable[[Prediction], str]] = {}
    if doubts.min_probability is not None:
        columns["set"] = lambda prediction: dumps(prediction.members, ensure_ascii=False)
    if doubts.familiarity is not None:
        columns["unfamiliar"] = lambda prediction: str(prediction.unfamiliar).lower()
    return columns


def _as_json(prediction: Prediction, top_k: int) -> dict[str, Any]:
    if prediction.probabilities is None:
        return {"path": prediction.path, "error": prediction.error}
    values = {
        "path": prediction.path,
        "predicted": prediction.predicted,
        "probability": prediction.probability,
        "probabilities": dict(zip(prediction.classes, prediction.probabilities.tolist(), strict=True)),
    }
    if prediction.min_confidence:
        values["unsure"] = prediction.unsure
    if prediction.members is not None:
        values["set"] = list(prediction.members)
    if prediction.unfamiliar is not None:
        values |= {"unfamiliar": prediction.unfamiliar, "distance": prediction.distance}
    if top_k > 1:
        values["top"] = [{"class": name, "probability": share} for name, share in _top(prediction, top_k)]
    return values


def _as_line(prediction: Prediction, top_k: int) -> str:
    if prediction.probabilities is None:
        return f"{'cannot be read':<24}  {prediction.path}: {prediction.error}"
    answers = "  ".join(f"{name} {share:.1%}" for name, share in _top(prediction, top_k))
    if prediction.unsure:
        answers = f"{UNSURE} ({answers})"
    if prediction.members is not None:
        answers += f"  {{{', '.join(prediction.members)}}}"
    if prediction.unfamiliar:
        answers += "  unfamiliar"
    return f"{answers:<24}  {prediction.path}"


def _top(prediction: Prediction, top_k: int) -> Iterator[tuple[str, float]]:
    shares = prediction.probabilities
    for i in [] if shares is None else np.argsort(-shares, kind="stable")[:top_k]:
        yield prediction.classes[i], float(shares[i]) if shares is not None else 0.0


def _tile(candidate: Candidate, prediction: Prediction, predictor: Predictor) -> "Tile":
    from headstart.artifact.tiles import prediction_tile

    folder = candidate.file.parent.name
    truth = folder if folder in prediction.classes else None  # the folder's name tells the true class
    return prediction_tile(candidate.read(), prediction, truth, predictor.preprocess, Path(candidate.path).name)


def _draw(grid: Path, tiles: "list[Tile]", n_read: int) -> None:
    from headstart.artifact.figures import grid_figure, save_figure

    title = "" if len(tiles) == n_read else f"the first {len(tiles)} of {n_read} images"
    save_figure(grid_figure(tiles, GRID_COLUMNS, title), grid)
    note(f"the grid is in {grid}" + (f": {title}" if title else ""))
