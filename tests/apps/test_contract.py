"""The command line is a contract: names of commands, options and their defaults are the design's (section 6)."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
import typer

from apps.conftest import Result
from headstart.apps.answers.rows import Format
from headstart.apps.main import COMMANDS, build_app
from headstart.model.exported import ExportFormat, ExportPrecision
from headstart.settings import Augment, Boxes, Effort, Precision, Recipe, Schedule, Strategy, TaskName, TrainSettings

# What design.md names, and behind the bar what was added since.
OPTIONS = {
    "demo": "| --output --overwrite --offline",
    "train": "--strategy --task --grades --recipe --backbone --weights --offline --val --test --val-fraction --augment "
    "--schedule --epochs "
    "--learning-rate --batch-size --image-size --freeze --device --workers --seed --output --overwrite --resume --refit "
    "--json --quiet --exclude --cv --time-budget --target-precision --conformal --balance | --precision --engine "
    "--path-column --label-column --boxes --join-case --effort --view --stages --report --labels --extend --channels "
    "--every --log --target-recall",
    "audit": "--output --fail-on | --overwrite --engine --val --test --exclude --backbone --weights --offline --device "
    "--workers --seed --json --quiet --path-column --label-column --boxes --join-case --labels --task --grades --channels "
    "--every",
    "compare": "| --strategies --backbones --folds --output --val --exclude --epochs --augment --effort --view --stages "
    "--image-size --balance --task --grades "
    "--offline --engine --device --workers --seed --json --quiet --path-column --label-column --boxes --join-case --overwrite "
    "--labels --channels --every",
    "preview": "--augment --output | --overwrite --recipe --images --seed --path-column --label-column --boxes",
    "predict": "--format --top-k --grid --output --min-confidence | --explain --engine --device --files-from --null -0 "
    "--resume --overwrite --boxes",
    "export": "--format --output | --precision --runtime --offline --overwrite --json",
    "verify": "| --json",
    "serve": "| --host --port --token-file --cors --allow-host --device --max-batch --max-wait-ms --max-queue --max-image-mb "
    "--max-megapixels --max-request-mb --timeout",
    "studio": "| --project --host --port --token-file --no-browser --backbone --weights --offline",
    "evaluate": "--split --json | --review --engine --device --path-column --label-column --boxes --join-case --labels",
    "embed": "--output | --backbone --weights --offline --image-size --precision --engine --device --workers --quiet "
    "--path-column --label-column --boxes --overwrite --view --stages --channels --every",
    "cache": "--clear --all |",
    "backbones": "--fetch | --measure | --prepare",
}
ARGUMENTS = {
    "demo": {},
    "train": {"DATA": False},  # --resume needs none
    "audit": {"DATA": True},
    "compare": {"DATA": True},
    "preview": {"DATA": True},
    "predict": {"MODEL": True, "PATH": False},
    "export": {"MODEL": True},
    "verify": {"MODEL": True},
    "serve": {"MODEL": True},
    "studio": {"DATA": True},
    "evaluate": {"MODEL": True, "DATA": True},
    "embed": {"DATA": True},
    "cache": {},
    "backbones": {"NAME": False},  # for --prepare, which has a default
}
# of train: where and how, not what
NOT_SETTINGS = {"output", "overwrite", "resume", "extend", "json", "report", "quiet", "log"}
DEFAULTS: dict[tuple[str, str], Any] = {
    ("predict", "format"): None,  # by the ending of --output, else table
    ("predict", "files_from"): None,
    ("predict", "resume"): False,
    ("predict", "top_k"): 1,
    ("predict", "grid"): None,
    ("predict", "output"): None,
    ("predict", "min_confidence"): None,
    ("compare", "strategies"): "probe,finetune",
    ("compare", "folds"): 3,
    ("predict", "device"): "cpu",
    ("export", "format"): "onnx",
    ("export", "precision"): "fp32",
    ("evaluate", "split"): None,
    ("evaluate", "json"): False,
    ("evaluate", "device"): "cpu",
    ("preview", "augment"): "standard",
    ("demo", "output"): None,
    ("demo", "offline"): False,
    ("demo", "overwrite"): False,
    ("backbones", "fetch"): None,
    ("cache", "clear"): False,
    ("cache", "all"): False,
    ("embed", "backbone"): "efficientnet_lite0",
    ("embed", "precision"): "fp32",
    ("embed", "engine"): None,
    ("embed", "device"): "auto",
    ("train", "output"): None,
    ("train", "resume"): None,
    ("train", "extend"): None,
    ("train", "overwrite"): False,
    ("train", "json"): False,
    ("train", "report"): False,
    ("train", "quiet"): False,
}
CHOICES = {
    ("train", "strategy"): get_args(Strategy),
    ("train", "recipe"): get_args(Recipe),
    ("train", "task"): get_args(TaskName),
    ("train", "augment"): get_args(Augment),
    ("train", "effort"): get_args(Effort),
    ("compare", "effort"): get_args(Effort),
    ("train", "precision"): get_args(Precision),
    ("embed", "precision"): get_args(Precision),
    ("train", "boxes"): get_args(Boxes),
    ("evaluate", "boxes"): get_args(Boxes),
    ("train", "schedule"): get_args(Schedule),
    ("compare", "augment"): get_args(Augment),
    ("preview", "augment"): get_args(Augment),
    ("preview", "recipe"): get_args(Recipe),
    ("predict", "format"): get_args(Format),
    ("export", "format"): (*get_args(ExportFormat), "web"),
    ("export", "precision"): get_args(ExportPrecision),
    ("evaluate", "split"): ("val", "test", "all"),
}


def commands() -> dict[str, Any]:
    """The commands as click knows them."""
    group: Any = typer.main.get_command(build_app())
    return dict(group.commands)


def options_of(name: str) -> dict[str, Any]:
    """The options of a command by the name of their parameter."""
    return {p.name: p for p in commands()[name].params if p.param_type_name == "option" and p.name != "help"}


def test_commands() -> None:
    """The commands are the design's, no fewer and no more, each with a summary."""
    assert set(commands()) == set(COMMANDS) == set(OPTIONS)
    assert all(summary.endswith(".") for summary in COMMANDS.values())


@pytest.mark.parametrize("name", OPTIONS)
def test_option_names(name: str) -> None:
    """A command has exactly the options of the contract, under these very names."""
    wanted = sorted(OPTIONS[name].replace("|", "").split())
    assert sorted(flag for option in options_of(name).values() for flag in option.opts) == wanted
    negated = {flag for option in options_of(name).values() for flag in option.secondary_opts}
    assert negated == ({"--no-stages"} if "--stages" in wanted else set()), "no other --no- form was agreed on"


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments(name: str) -> None:
    """A command takes the arguments of the contract; train's DATA and predict's PATH may be left out."""
    found = {p.metavar: p.required for p in commands()[name].params if p.param_type_name == "argument"}
    assert found == ARGUMENTS[name]


def test_train_s_options_are_the_settings() -> None:
    """Every setting is an option of train and every other option is known: there is one list of settings."""
    assert set(options_of("train")) - NOT_SETTINGS == set(TrainSettings.model_fields) - {"workplace"}


@pytest.mark.parametrize("name", sorted(set(TrainSettings.model_fields) - {"workplace"}))
def test_train_s_defaults(name: str) -> None:
    """An option's default and help text are the setting's; --engine has those of two."""
    option, field = options_of("train")[name], TrainSettings.model_fields[name]
    assert option.default == field.default
    more = f" {TrainSettings.model_fields['workplace'].description}" if name == "engine" else ""
    assert option.help == f"{field.description}{more}"


@pytest.mark.parametrize(("command", "name"), DEFAULTS)
def test_other_defaults(command: str, name: str) -> None:
    """The defaults of the other options are the contract's."""
    assert options_of(command)[name].default == DEFAULTS[command, name]


@pytest.mark.parametrize(("command", "name"), CHOICES)
def test_choices(headstart: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, command: str, name: str) -> None:
    """An option with choices names them in the help, and names them again where something else is given."""
    monkeypatch.setenv("COLUMNS", "200")
    assert f"--{name} <{'|'.join(CHOICES[command, name])}>" in " ".join(headstart(command, "--help").out.split()).replace(
        "[", "<"
    ).replace("]", ">")
    refused = headstart(command, "a", "b", f"--{name}", "none of these")
    assert refused.code == 2
    assert all(repr(choice) in refused.err for choice in CHOICES[command, name])


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_explained(name: str) -> None:
    """Each option and argument has a help text, and each command an example that calls it."""
    command = commands()[name]
    assert all(getattr(parameter, "help", "") for parameter in command.params)
    assert "Example" in command.help
    assert f"headstart {name}" in command.help
