"""`headstart compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.apps.console import (
    check_target,
    command,
    json_line,
    note,
    note_skipped,
    output_file,
    print_json,
    progress_bars,
    say,
)
from headstart.apps.options import (
    DEFAULT,
    AugmentOption,
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
    Seed,
    Stages,
    TaskOption,
    Val,
    View,
    Workers,
    settings_of,
)
from headstart.progress import untold
from headstart.record.places import check_outside

if TYPE_CHECKING:
    from headstart.runs.contenders import Comparison, Contender, NumberContender


@command
def compare(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled images, in any form that train accepts.")],
    strategies: Annotated[str, typer.Option(metavar="NAMES", help="Strategies to compare.")] = "probe,finetune",
    backbones: Annotated[
        str, typer.Option(metavar="NAMES", help="Backbones to compare, such as efficientnet_lite0,efficientnet_lite2.")
    ] = "efficientnet_lite0",
    folds: Annotated[int, typer.Option(min=2, max=50, help="Number of folds; each is held out once.")] = 3,
    output: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Also write the results to this file.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier file at --output.")] = False,
    val: Val = DEFAULT.val,
    exclude: Exclude = DEFAULT.exclude,
    labels: Labels = DEFAULT.labels,
    path_column: PathColumn = DEFAULT.path_column,
    label_column: LabelColumn = DEFAULT.label_column,
    boxes: BoxesOption = DEFAULT.boxes,
    join_case: JoinCase = DEFAULT.join_case,
    task: TaskOption = DEFAULT.task,
    grades: Grades = DEFAULT.grades,
    epochs: Epochs = DEFAULT.epochs,
    augment: AugmentOption = DEFAULT.augment,
    effort: EffortOption = DEFAULT.effort,
    view: View = DEFAULT.view,
    channels: ChannelsOption = DEFAULT.channels,
    every: EveryOption = DEFAULT.every,
    stages: Stages = DEFAULT.stages,
    image_size: ImageSize = DEFAULT.image_size,
    balance: Balance = DEFAULT.balance,
    offline: Offline = DEFAULT.offline,
    engine: EngineOption = None,
    device: Device = DEFAULT.device,
    workers: Workers = DEFAULT.workers,
    seed: Seed = DEFAULT.seed,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no notes.")] = False,
) -> None:
    """Compare probe and fine-tuning, or backbones, on the same folds of the same images.

    Every image outside the test split is answered once, by a model that never saw it or a near-copy of it. Each strategy or
    backbone is compared with the first one, image by image: by accuracy, or by the mean absolute error of numbers. Of several
    backbones it says which one pays: the fastest of those that no other is shown to be better than. Fine-tuning takes minutes
    per fold.

    Examples:

      headstart compare photos

      headstart compare photos --strategies probe --backbones efficientnet_lite0,efficientnet_lite1,efficientnet_lite2
    """
    check_target(output, [Path(data)], overwrite=overwrite, endings=[".json"])
    settings = settings_of(locals())
    check_outside(output, data, settings.val)
    from headstart.runs.comparing import compare_models

    with progress_bars(quiet=quiet) as progress:
        compared = compare_models(
            data,
            settings,
            strategies=_names(strategies),
            backbones=_names(backbones),
            n_folds=folds,
            progress=progress,
            tell=untold if quiet else note,
        )
    if output is not None:
        with output_file(output) as file:
            file.write(json_line(compared.as_json(), file) + "\n")
    if not quiet:
        note_skipped(compared.skipped_files)
    if json:
        print_json(compared.as_json())
    else:
        _tell(compared)


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()]


def _tell(compared: "Comparison") -> None:
    from headstart.evaluation.intervals import too_few
    from headstart.runs.contenders import Contender

    width = max(len(contender.name) for contender in compared.contenders)
    of_numbers = not isinstance(compared.contenders[0], Contender)
    answered = "answered" if of_numbers else "classified"
    say(f"{compared.n} images of {compared.data}, each {answered} once in {compared.n_folds} folds")
    measured = "   error  95 % interval        R2   " if of_numbers else "accuracy  95 % interval   "
    say(f"  {'':<{width}}  {measured}difference           seconds  ms/image  weights")
    few = too_few(compared.n, compared.n_groups)
    for c in compared.contenders:
        difference = c.to_first.signed().replace(" points", "") if c.to_first else ""
        speed = "-" if c.ms_per_image is None else f"{c.ms_per_image:.1f}"
        shares = _share(c, few) if isinstance(c, Contender) else _error(c, few)
        say(f"  {c.name:<{width}}  {shares}  {difference:<19}  {c.seconds:7.1f}  {speed:>8}  {c.size_mb:4.0f} MB")
    for sentence in compared.sentences:
        say(sentence)


def _share(contender: "Contender", few: str | None) -> str:
    low, high = contender.accuracy_ci95
    return f"{contender.accuracy:8.1%}  {f'too few {few}' if few else f'{low:.1%} to {high:.1%}'}"


def _error(contender: "NumberContender", few: str | None) -> str:
    from headstart.data.wording import range_in_digits

    found = contender.numbers
    interval = found.mean_absolute_error_ci95
    ends = f"too few {few}" if interval is None else range_in_digits(*interval)
    r2 = "-" if found.r2 is None else f"{found.r2:.3f}"
    return f"{found.mean_absolute_error:8.4g}  {ends:<18}  {r2:>6}"
