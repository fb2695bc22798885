"""`headstart predict`."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from io import BufferedReader
from itertools import chain, combinations, tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from headstart.addresses.address import address_in
from headstart.addresses.targets import target_file
from headstart.apps.answers.partial import answer_file, is_own
from headstart.apps.answers.rows import AnswerLog, Columns, Format, TextRows
from headstart.apps.console import EXIT_ERROR, as_named, check_target, command, note, output_file, progress_bars
from headstart.apps.options import DEFAULT, BoxesOption, FramesOption, place_option
from headstart.artifact.bundle import find_bundle
from headstart.artifact.manifest import MANIFEST
from headstart.artifact.predictor import Doubts, Prediction, Predictor
from headstart.data.image_files import ImageFile, folder_name, whole_file
from headstart.data.inputs import Inputs, PathList, open_inputs, open_list
from headstart.data.sources import Candidate
from headstart.data.spellings import class_called
from headstart.data.videos import is_frame
from headstart.errors import SettingsError
from headstart.progress import Progress
from headstart.record.places import check_outside
from headstart.settings import TrainSettings
from headstart.storage import sha256_of_file
from headstart.tasks.one_number import Numbers

if TYPE_CHECKING:
    from headstart.artifact.figures import Tile
    from headstart.jobs.parts import Parts
    from headstart.model.explanation import Explainer
    from headstart.settings import Boxes

MAX_TILES, GRID_COLUMNS = 48, 6
STDIN = Path("-")
Answering = Callable[[Iterable[Candidate]], Iterable[Prediction]]
FORMAT_OF: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet", ".txt": "table"}


@command
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run folder, or the model folder in it.")],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Images, folders (with subfolders), archives, tables of boxes, COCO files; - reads paths from stdin.",
        ),
    ] = None,
    files_from: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read image paths from a text file, one per line; - is stdin.")
    ] = None,
    null: Annotated[
        bool, typer.Option("-0", "--null", help="Paths on stdin or in --files-from end in a null byte, as from find -print0.")
    ] = False,
    format: Annotated[
        Format | None, typer.Option(help="Format of the answers; default: by the ending of --output, else table.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Show the K most probable classes (table, jsonl).")] = 1,
    min_confidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Answer unsure if the best class is less probable than this."),
    ] = None,
    grid: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw the images with their answers.")] = None,
    explain: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", help="Show on the images which places speak for their answers, or raise and lower a number."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write to a file instead of stdout.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an interrupted --output, or add new images to a finished one.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier files at --output and --grid.")] = False,
    engine: Annotated[
        str | None,
        place_option("Predict in N processes of this machine, or on a Ray cluster; what is finished is kept beside --output."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda ...")] = "cpu",
    boxes: BoxesOption = DEFAULT.boxes,
    every: FramesOption = None,
) -> None:
    """Classify images with a trained model.

    An image that cannot be read gets a line with the reason. The exit code is 1 if none could be read. An image that is unlike
    those the model was trained on is marked as unfamiliar: do not rely on its answer.

    Answers are written as they are computed, so memory holds little more than the names of the images. Until all answers are
    there, the output is in FILE.partial. --resume continues it after a crash; it can also be given from the start.

    Examples:

      headstart predict runs/photos-probe-1 new/

      headstart predict runs/photos-probe-1 a.jpg b.jpg --top-k 3 --grid answers.png

      headstart predict runs/photos-probe-1 photos.zip --output answers.parquet --resume

      find /archive -name '*.jpg' -print0 | headstart predict runs/photos-probe-1 -0 - --output answers.csv

      headstart predict runs/photos-probe-1 new/ --min-confidence 0.9
    """
    form = _form(format, output, resume=resume, overwrite=overwrite)
    with ExitStack() as stack:
        inputs = _inputs(stack, paths or [], files_from, boxes, every, null=null)
        _check_place(output, engine, overwrite=overwrite, resume=resume)
        parts = None if engine is None else _parts_beside(output)
        output = None if output is None else stack.enter_context(target_file(output))
        growing = output if form != "table" else None
        if growing is not None:
            inputs = inputs.without(is_own(growing, resume=resume))
        files: list[ImageFile] = [*(paths or []), *inputs.given, *(file.file for file in inputs.found if file.member is None)]
        _check_targets(grid, explain, output, overwrite or resume, files)
        progress = stack.enter_context(progress_bars(quiet=output is None))
        predictor = Predictor.load(model, device, progress)
        predictor.doubts = _doubts(predictor, min_confidence, top_k)
        explainer = _explainer(predictor) if explain else None
        columns = Columns.of(predictor)
        if growing is None:
            answers = stack.enter_context(_stream(output, form, columns, top_k))
        else:
            made_by = _made_by(model, every, format=form, top_k=top_k, min_confidence=min_confidence)
            anew = overwrite or _hold_more(parts)
            answers = stack.enter_context(answer_file(growing, form, columns, made_by, resume=resume, overwrite=anew))
        candidates = chain(inputs.found, _checked(inputs.listed, (grid, explain, output)))
        answering = predictor.predict_candidates if parts is None else _at(engine, predictor, parts, inputs.total)
        shown = _answer(inputs, candidates, predictor, answering, answers, progress, MAX_TILES if grid or explain else 0)
        _show(shown, grid, explain, explainer, predictor, answers.n_new_read)
    if parts is not None:
        parts.remove()
    _end(answers, output)


def _doubts(predictor: Predictor, min_confidence: float | None, top_k: int) -> Doubts:
    """What the model reports besides its answers. Raises SettingsError for options about classes if these are numbers."""
    if isinstance(predictor.task, Numbers) and (min_confidence is not None or top_k > 1):
        option = "--top-k" if min_confidence is None else "--min-confidence"
        raise SettingsError(f"{option} is about classes, and this model answers with numbers", hint="leave it out")
    return predictor.doubts if min_confidence is None else replace(predictor.doubts, min_confidence=min_confidence)


def _made_by(model: Path, every: str | None, **options: Any) -> dict[str, Any]:
    """What changes the answers; files of earlier versions say nothing of frames."""
    options |= {} if every is None else {"every": every}
    return {"model": sha256_of_file(find_bundle(model) / MANIFEST)} | options


def _hold_more(parts: "Parts | None") -> bool:
    """Whether what workers finished holds more than half-written answers; the same list of images finds it again."""
    return parts is not None and parts.is_begun()


def _end(answers: AnswerLog, output: Path | None) -> None:
    """Tells how many files could not be read; if none could, the command fails."""
    if answers.n_failed and output is not None:
        note(f"{answers.n_failed} of {answers.n_rows} files could not be read; their lines say why")
    if not answers.n_read:
        raise typer.Exit(EXIT_ERROR)


def _check_place(output: Path | None, engine: str | None, *, overwrite: bool, resume: bool) -> None:
    """Raises SettingsError if an address that is to be written cannot be, or if there is no place for what is finished."""
    if engine is not None and output is None:
        raise SettingsError("--engine keeps beside the output what is finished", hint="name one with --output")
    if output is None or address_in(output) is None:
        return
    if resume:
        raise SettingsError(
            "a file of answers at an address cannot be resumed", hint="with --engine what is finished is kept without it"
        )
    check_target(output, overwrite=overwrite)


def _parts_beside(output: Path | None) -> "Parts":
    """Where workers keep what is finished."""
    from headstart.jobs.parts import parts_at

    return parts_at(f"{output}.parts")


def _at(engine: str | None, predictor: Predictor, parts: "Parts", total: int) -> Answering:
    """What answers at another place."""
    from headstart.artifact.predict_task import predictions_at
    from headstart.workplace import workplace_of

    return partial(predictions_at, workplace_of(engine or ""), predictor, parts=parts, total=total)


def _form(format: Format | None, output: Path | None, *, resume: bool, overwrite: bool) -> Format:
    """The format of the answers, by --format, else by the ending of the output. Raises SettingsError."""
    by_ending = None if output is None else FORMAT_OF.get(output.suffix.lower())
    if output is not None and format is None and by_ending is None:
        raise SettingsError(
            f"{output} does not end in {', '.join(FORMAT_OF)}", hint="choose one of these endings, or pass --format as well"
        )
    form = format or by_ending or "table"
    if form == "parquet" and output is None:
        raise SettingsError("a Parquet file cannot be printed", hint="give it a name with --output")
    if resume and (output is None or form == "table"):
        raise SettingsError(
            "only a file of answers can be resumed", hint="give --output a name that ends in .csv, .jsonl or .parquet"
        )
    if resume and overwrite:
        raise SettingsError("--resume keeps earlier answers and --overwrite replaces them", hint="choose one of them")
    return form


def _inputs(
    stack: ExitStack, paths: Sequence[Path], files_from: Path | None, boxes: "Boxes", every: str | None, *, null: bool
) -> Inputs:
    named = [path for path in paths if path != STDIN]
    lists = [STDIN] * (len(paths) - len(named)) + ([files_from] if files_from is not None else [])
    if not (named or lists):
        raise typer.BadParameter("give images, folders or archives, or --files-from FILE", param_hint="PATH")
    if lists.count(STDIN) > 1:
        raise SettingsError("stdin is given twice, but can be read only once", hint="give - once")
    if null and not lists:
        raise SettingsError("-0 says how the paths of a list end, but there is no list", hint="give - or --files-from FILE")
    opened = [
        PathList("stdin", cast(BufferedReader, sys.stdin.buffer), null=null)
        if file == STDIN
        else open_list(stack, file, null=null)
        for file in lists
    ]
    inputs = open_inputs(stack, named, opened, boxes, TrainSettings.of(every=every).every)
    for told in inputs.notes:
        note(told)
    return inputs


def _check_targets(
    grid: Path | None, explain: Path | None, output: Path | None, overwrite: bool, inputs: Sequence[ImageFile]
) -> None:
    named = {"--grid": grid, "--explain": explain, "--output": output}
    places = {option: file.resolve() for option, file in named.items() if file is not None}
    for (one, place), (other, same) in combinations(places.items(), 2):
        if place == same:
            raise SettingsError(f"{one} and {other} are both {named[one]}", hint="give them different names")
    check_target(grid, inputs, overwrite=overwrite, endings=[".png"], option="--grid")
    check_target(explain, inputs, overwrite=overwrite, endings=[".html", ".htm"], option="--explain")
    check_target(output, inputs, overwrite=overwrite)
    for option, target in named.items():
        check_outside(target, *(file for file in map(whole_file, inputs) if isinstance(file, Path)), option=option)


@contextmanager
def _stream(output: Path | None, form: Format, columns: Columns, top_k: int) -> Iterator[AnswerLog]:
    """Yields a log that writes answers to stdout, or as a table to a file."""
    with output_file(output) as file:
        rows = TextRows(file, form, columns, top_k)
        rows.write_header()
        yield AnswerLog(rows.write)


def _answer(
    inputs: Inputs,
    candidates: Iterable[Candidate],
    predictor: Predictor,
    answering: Answering,
    answers: AnswerLog,
    progress: Progress,
    most_shown: int,
) -> list[tuple[Candidate, Prediction]]:
    """Writes the missing answers, for what is left out and for `candidates`; returns the first that are to be shown."""
    for entry in inputs.left_out:
        if answers.lacks(entry.path):
            answers.write(Prediction(entry.path, predictor.classes, None, entry.reason))
    lacking = (candidate for candidate in candidates if answers.lacks(candidate.path))
    asked, shown = tee(lacking)  # tee keeps the few candidates that are not answered yet
    to_show: list[tuple[Candidate, Prediction]] = []
    for prediction, candidate in zip(answering(asked), shown, strict=True):
        answers.write(replace(prediction, box=candidate.box))
        if prediction.probabilities is not None and len(to_show) < most_shown:
            to_show.append((candidate, prediction))
        progress("predicting", answers.n_passed + answers.n_new, inputs.total)
    return to_show


def _checked(candidates: Iterable[Candidate], targets: Iterable[Path | None]) -> Iterator[Candidate]:
    """The same candidates, one by one. Raises SettingsError if a result would overwrite one of their files."""
    for candidate in candidates:
        for target in targets:
            check_target(target, [candidate.file], overwrite=True)  # whether it may be replaced was checked before
        yield candidate


def _tile(candidate: Candidate, prediction: Prediction, predictor: Predictor) -> "Tile":
    from headstart.artifact.tiles import prediction_tile

    joins = predictor.manifest is not None and predictor.manifest.settings.join_case
    # The folder's name is the true class, but not of the boxes in a picture, and frames lie elsewhere than their video.
    folder = folder_name(candidate.file) if candidate.box is None and not is_frame(candidate) else ""
    truth = class_called(folder, prediction.classes, join_case=joins)
    return prediction_tile(candidate.read(), prediction, truth, predictor.preprocess, Path(candidate.path).name)


def _explainer(predictor: Predictor) -> "Explainer":
    from headstart.artifact.explained import explainer_of

    return explainer_of(predictor)


def _show(
    shown: Sequence[tuple[Candidate, Prediction]],
    grid: Path | None,
    explain: Path | None,
    explainer: "Explainer | None",
    predictor: Predictor,
    n_read: int,
) -> None:
    """Draws the grid and writes the page of explanations, where they are asked for."""
    if not shown:
        return
    if grid is not None:
        with target_file(grid) as place:
            _draw(place, [_tile(candidate, prediction, predictor) for candidate, prediction in shown], n_read)
    if explain is None or explainer is None:
        return
    from headstart.artifact.explained import explained, write_explained

    pictures = [explained(candidate.read(), prediction, explainer) for candidate, prediction in shown]
    with target_file(explain) as place:
        write_explained(place, pictures, n_read)
    first = f": the first {len(shown)} of {n_read} images" if len(shown) < n_read else ""
    note(f"where the answers come from is in {as_named(explain)}{first}")


def _draw(grid: Path, tiles: "list[Tile]", n_read: int) -> None:
    from headstart.artifact.figures import grid_figure, save_figure

    title = "" if len(tiles) == n_read else f"the first {len(tiles)} of {n_read} images"
    save_figure(grid_figure(tiles, GRID_COLUMNS, title), grid)
    note(f"the grid is in {grid}" + (f": {title}" if title else ""))
