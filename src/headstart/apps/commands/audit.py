"""`headstart audit`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.apps.console import EXIT_CHECK_FAILED, as_argument, as_named, command, note, print_json, progress_bars, say
from headstart.apps.options import (
    DEFAULT,
    Backbone,
    BoxesOption,
    ChannelsOption,
    Device,
    EngineOption,
    EveryOption,
    Exclude,
    Grades,
    JoinCase,
    LabelColumn,
    Labels,
    Offline,
    PathColumn,
    Seed,
    TaskOption,
    Test,
    Val,
    Weights,
    Workers,
    settings_of,
)
from headstart.errors import SettingsError, did_you_mean
from headstart.progress import untold

if TYPE_CHECKING:
    from headstart.runs.auditing import Audited


@command
def audit(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled images, in any form that train accepts.")],
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write findings, scores and audit.html to this folder.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier audit at --output.")] = False,
    fail_on: Annotated[
        str,
        typer.Option(metavar="CHECKS", help="Exit with code 3 if one of these finds a warning or worse, e.g. leak,conflict."),
    ] = "",
    val: Val = DEFAULT.val,
    test: Test = DEFAULT.test,
    exclude: Exclude = DEFAULT.exclude,
    labels: Labels = DEFAULT.labels,
    path_column: PathColumn = DEFAULT.path_column,
    label_column: LabelColumn = DEFAULT.label_column,
    boxes: BoxesOption = DEFAULT.boxes,
    join_case: JoinCase = DEFAULT.join_case,
    task: TaskOption = DEFAULT.task,
    grades: Grades = DEFAULT.grades,
    channels: ChannelsOption = DEFAULT.channels,
    every: EveryOption = DEFAULT.every,
    backbone: Backbone = DEFAULT.backbone,
    weights: Weights = DEFAULT.weights,
    offline: Offline = DEFAULT.offline,
    engine: EngineOption = None,
    device: Device = DEFAULT.device,
    workers: Workers = DEFAULT.workers,
    seed: Seed = DEFAULT.seed,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, as in findings.json.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Find problems in labelled images: leaks, wrong labels, duplicates, strays, broken files.

    Nothing is moved, changed or deleted. --output writes tables, a page with the images, and a list of images to leave out
    (exclude.csv), which can be edited and passed to train --exclude.

    Examples:

      headstart audit photos

      headstart audit photos --output audit --fail-on leak,conflict
    """
    settings = settings_of(locals())
    from headstart.audit.checks import CHECK_NAMES

    fatal = [name.strip() for name in fail_on.split(",") if name.strip()]
    for name in fatal:
        if name not in CHECK_NAMES:
            raise SettingsError(f"--fail-on: there is no check {name!r}", hint=did_you_mean(name, list(CHECK_NAMES)))
    from headstart.runs.auditing import audit_images

    with progress_bars(quiet=quiet) as progress:
        audited = audit_images(data, output, settings, overwrite=overwrite, progress=progress, tell=untold if quiet else note)
    if not quiet:
        for text in (*audited.notes, audited.work.sentence()):
            note(text)
    if json:
        print_json(audited.as_json())
    elif not quiet:
        _tell(audited)
    failed = sorted({f.check for f in audited.findings if f.check in fatal and f.is_grave})
    if failed:
        note(f"failed on {', '.join(failed)}")
        raise typer.Exit(EXIT_CHECK_FAILED)


def _tell(audited: "Audited") -> None:
    from headstart.data.shown_paths import folder_of

    folder = folder_of(audited.dataset)
    number = audited.dataset.number
    say(
        f"{len(audited.dataset.images)} images "
        + (f"with {number}" if number else f"in {len(audited.dataset.classes)} classes")
    )
    for result in audited.checked:
        if not result.findings:
            continue
        severest_first = reversed(result.counts().items())
        say(f"  {result.check:<15} {', '.join(f'{count} {severity}' for severity, count in severest_first if count)}")
        say(f"    {result.findings[0].in_words(folder)}")
    clean = [result.check for result in audited.checked if not result.findings]
    if clean:
        say(f"  nothing found: {', '.join(clean)}")
    if audited.output is not None:
        say(f"  pictures  {as_named(audited.output / 'audit.html')}")
        say(
            f"  next      look through {as_argument(as_named(audited.output / 'exclude.csv'))}, then pass it to train --exclude"
        )
