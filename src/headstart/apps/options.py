"""The command options that are training settings: their help texts and defaults come from TrainSettings."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from headstart.errors import SettingsError
from headstart.settings import Augment, Boxes, Effort, EngineChoice, Precision, TaskName, TrainSettings
from headstart.workplace import workplace_of

DEFAULT = TrainSettings()
LIBRARIES = get_args(EngineChoice)


def setting(name: str, *names: str, **options: Any) -> Any:
    """The option of the setting called `name`."""
    return typer.Option(*names, help=TrainSettings.model_fields[name].description, **options)


def workplace_named(text: str, others: tuple[str, ...] = ()) -> str:
    """A place to work at, or one of the other words."""
    if text not in others:
        try:
            workplace_of(text)
        except SettingsError as error:
            raise typer.BadParameter(f"{text!r} is none of {', '.join((*others, 'local[:N]', 'ray[:ADDRESS]'))}") from error
    return text


def place_option(text: str) -> Any:
    """The option --engine of a command that computes with a saved model, whose library the model names."""
    return typer.Option(parser=workplace_named, metavar="local[:N]|ray[:ADDRESS]", help=text)


# Options that more than one command has.
Val = Annotated[Path | None, setting("val")]
Test = Annotated[Path | None, setting("test")]
Exclude = Annotated[Path | None, setting("exclude", metavar="FILE")]
Labels = Annotated[Path | None, setting("labels", metavar="PROJECT")]
PathColumn = Annotated[str | None, setting("path_column", metavar="NAME")]
LabelColumn = Annotated[str | None, setting("label_column", metavar="NAME")]
TaskOption = Annotated[TaskName, setting("task")]
Grades = Annotated[str | None, setting("grades", metavar="A,B,C")]
BoxesOption = Annotated[Boxes, setting("boxes")]
JoinCase = Annotated[bool, setting("join_case", "--join-case")]
Backbone = Annotated[str, setting("backbone")]
Weights = Annotated[Path | None, setting("weights")]
Offline = Annotated[bool, setting("offline", "--offline")]
AugmentOption = Annotated[Augment | None, setting("augment")]
Epochs = Annotated[int | None, setting("epochs")]
View = Annotated[str | None, setting("view", metavar="VIEWS")]
ChannelsOption = Annotated[str | None, setting("channels", metavar="PARTS")]
EveryOption = Annotated[str | None, setting("every", metavar="N|SECONDSs")]
FramesOption = Annotated[
    str | None,
    typer.Option(
        "--every",
        metavar="N|SECONDSs",
        help="Answer for frames of videos: 25 is each 25th frame, 2s is one in two seconds. Each has a row of its own.",
    ),
]
EffortOption = Annotated[Effort, setting("effort")]
Stages = Annotated[bool, setting("stages", "--stages/--no-stages")]
ImageSize = Annotated[int | None, setting("image_size")]
PrecisionOption = Annotated[Precision, setting("precision")]
EngineOption = Annotated[
    list[str] | None,
    typer.Option(
        parser=partial(workplace_named, others=LIBRARIES),
        metavar="NAME",
        help=" ".join(str(TrainSettings.model_fields[name].description) for name in ("engine", "workplace")),
    ),
]
Device = Annotated[str, setting("device")]
Workers = Annotated[int | None, setting("workers")]
Seed = Annotated[int, setting("seed")]
Balance = Annotated[bool, setting("balance", "--balance")]


def settings_of(options: dict[str, Any], context: typer.Context | None = None) -> TrainSettings:
    """The settings among a command's arguments, taken by name from its `locals()`. Raises SettingsError.

    Only those count as given (`model_fields_set`) that differ from their defaults or, by the command's `context`, were typed.
    """
    values = {name: value for name, value in options.items() if name in TrainSettings.model_fields}
    if "engine" in values:
        values |= _by_kind(values["engine"] or [])
    source_of = context.get_parameter_source if context else lambda name: None
    typed = {name for name in values if (source := source_of(name)) is not None and source.name == "COMMANDLINE"}
    given = {name: value for name, value in values.items() if name in typed or value != getattr(DEFAULT, name)}
    return TrainSettings.of(**given)


def _by_kind(engines: Sequence[str]) -> dict[str, str | None]:
    """The library and the place among the values of --engine. Raises SettingsError."""
    libraries = [name for name in engines if name in LIBRARIES]
    places = [name for name in engines if name not in LIBRARIES]
    for found in (libraries, places):
        if len(set(found)) > 1:
            raise SettingsError(f"--engine is given as {' and as '.join(found)}", hint="choose one of them")
    return {"engine": next(iter(libraries), None), "workplace": next(iter(places), None)}
