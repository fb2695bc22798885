"""The command options that are training settings: their help texts and defaults come from TrainSettings."""

from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.settings import Augment, Effort, EngineChoice, Precision, TrainSettings

DEFAULT = TrainSettings()


def setting(name: str, *names: str, **options: Any) -> Any:
    """The option of the setting called `name`."""
    return typer.Option(*names, help=TrainSettings.model_fields[name].description, **options)


# Options that more than one command has.
Val = Annotated[Path | None, setting("val")]
Test = Annotated[Path | None, setting("test")]
Exclude = Annotated[Path | None, setting("exclude", metavar="FILE")]
Labels = Annotated[Path | None, setting("labels", metavar="PROJECT")]
PathColumn = Annotated[str | None, setting("path_column", metavar="NAME")]
LabelColumn = Annotated[str | None, setting("label_column", metavar="NAME")]
JoinCase = Annotated[bool, setting("join_case", "--join-case")]
Backbone = Annotated[str, setting("backbone")]
Weights = Annotated[Path | None, setting("weights")]
Offline = Annotated[bool, setting("offline", "--offline")]
AugmentOption = Annotated[Augment | None, setting("augment")]
Epochs = Annotated[int | None, setting("epochs")]
View = Annotated[str | None, setting("view", metavar="VIEWS")]
EffortOption = Annotated[Effort, setting("effort")]
Stages = Annotated[bool, setting("stages", "--stages/--no-stages")]
ImageSize = Annotated[int | None, setting("image_size")]
PrecisionOption = Annotated[Precision, setting("precision")]
EngineOption = Annotated[EngineChoice | None, setting("engine")]
Device = Annotated[str, setting("device")]
Workers = Annotated[int | None, setting("workers")]
Seed = Annotated[int, setting("seed")]
Balance = Annotated[bool, setting("balance", "--balance")]


def settings_of(options: dict[str, Any]) -> TrainSettings:
    """The settings among a command's arguments, taken by name from its `locals()`. Raises SettingsError."""
    return TrainSettings.of(**{name: value for name, value in options.items() if name in TrainSettings.model_fields})
