"""`headstart evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headstart.apps.console import command, note, note_skipped, print_json, progress_bars, say
from headstart.apps.options import DEFAULT, BoxesOption, JoinCase, LabelColumn, Labels, PathColumn, place_option
from headstart.data.reading import Reading
from headstart.settings import TrainSettings

if TYPE_CHECKING:
    from headstart.runs.evaluating import Evaluated


@command
def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run folder, or the model folder in it.")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled images, in any form that train accepts.")],
    split: Annotated[
        Literal["val", "test", "all"] | None, typer.Option(help="Which images to use; default: test, else val, else all.")
    ] = None,
    labels: Labels = DEFAULT.labels,
    review: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A table with columns path and label: the true labels of the model's mistakes and of a random sample of its "
            "right answers. Gives the accuracy with wrong labels taken out.",
        ),
    ] = None,
    path_column: PathColumn = DEFAULT.path_column,
    label_column: LabelColumn = DEFAULT.label_column,
    boxes: BoxesOption = DEFAULT.boxes,
    join_case: JoinCase = DEFAULT.join_case,
    engine: Annotated[str | None, place_option("Compute in N processes of this machine, or on a Ray cluster.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda ...")] = "cpu",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a trained model on labelled images.

    Labels are matched to the model's classes by name; in any letter case if the model was trained with --join-case. Images that
    the model was trained on are counted and reported.

    Examples:

      headstart evaluate runs/photos-probe-1 photos --split val

      headstart evaluate runs/photos-probe-1 new_photos --json

      headstart evaluate runs/photos-probe-1 photos --review looked_at.csv
    """
    settings = TrainSettings.of(path_column=path_column, label_column=label_column, boxes=boxes, join_case=join_case)
    from headstart.runs.evaluating import evaluate_model

    with progress_bars() as progress:
        reading = Reading.of(settings)
        evaluated = evaluate_model(
            model,
            data,
            reading,
            split=split,
            labels=labels,
            review=review,
            device=device,
            workplace=engine,
            progress=progress,
        )
    for text in evaluated.notes:
        note(text)
    note_skipped(evaluated.dataset.skipped)
    if json:
        print_json(evaluated.metrics)
        return
    _say(evaluated)


def _say(evaluated: "Evaluated") -> None:
    """What was measured, in a few lines."""
    from headstart.artifact.evaluation_words import words_of

    words = words_of(evaluated.evaluation)
    say(words.sentence(evaluated.metrics["images"]["trained_on"]))
    if evaluated.reviewed:
        say(f"  with wrong labels taken out: {evaluated.reviewed.sentence}")
    for line in words.lines():
        say(f"  {line}")
