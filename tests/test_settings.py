"""Settings are named, limited and explained in one place."""

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from headstart.errors import SettingsError
from headstart.settings import RecordedSettings, TrainSettings, upgraded_settings

NEW = ("view", "effort", "stages")  # settings that earlier versions did not have


def test_defaults() -> None:
    """Without arguments: auto on the default backbone, seed 0, a fifth held out, the rest left to the recipe."""
    settings = TrainSettings.of()
    assert (settings.strategy, settings.recipe, settings.backbone) == ("auto", "default", "efficientnet_lite0")
    assert (settings.seed, settings.val_fraction, settings.refit, settings.offline) == (0, 0.2, False, False)
    assert (settings.effort, settings.view, settings.stages) == ("normal", None, True)
    open_ones = ("augment", "schedule", "epochs", "learning_rate", "batch_size", "image_size", "workers")
    assert all(getattr(settings, name) is None for name in open_ones)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strategy", "finetuning"),
        ("recipe", "Tutorial"),
        ("augment", "flip"),
        ("schedule", "linear"),
        ("val_fraction", -0.1),
        ("val_fraction", 0.91),
        ("val_fraction", math.nan),
        ("epochs", 0),
        ("epochs", 2.5),
        ("learning_rate", 0),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("batch_size", 0),
        ("image_size", 31),
        ("image_size", 1025),
        ("freeze", -1),
        ("workers", 0),
        ("seed", -1),
        ("seed", 2**31),
        ("backbone", ""),
        ("device", ""),
        ("engine", "tensorrt"),
        ("effort", "much"),
        ("stages", "often"),
    ],
)
def test_wrong_value(name: str, value: Any) -> None:
    """A value that cannot be used is refused with the option's name, the value and the limit."""
    with pytest.raises(SettingsError) as caught:
        TrainSettings.of(**{name: value})
    assert caught.value.message == f"--{name.replace('_', '-')} cannot be {value!r}"
    assert caught.value.hint.startswith(("input should be", "string should have"))


@pytest.mark.parametrize(
    "view", ["", "mirrored", "centre", "crop+crop", "crop+mirrored+mirrored", "crop,whole", "crop+", "CROP"]
)
def test_views_that_are_none(view: str) -> None:
    """A view that there is not, or one named twice, is refused with those that there are."""
    with pytest.raises(SettingsError, match="--view cannot be") as caught:
        TrainSettings.of(view=view)
    assert all(word in caught.value.hint for word in ("crop", "whole", "pad", "mirrored"))


@pytest.mark.parametrize("view", [None, "crop", "whole", "pad", "whole+crop", "crop+whole+pad+mirrored", "mirrored+crop"])
def test_views(view: str | None) -> None:
    """One view, several, each with its mirror image, or none: then it is found out."""
    assert TrainSettings.of(view=view).view == view


def test_unknown_names_are_told_together() -> None:
    """All unknown names are in one sentence, and the first is answered with the name that was probably meant."""
    with pytest.raises(SettingsError) as caught:
        TrainSettings.of(lerning_rate=0.1, epoch=3)
    assert caught.value.message == "there is no setting called epoch, lerning_rate"
    assert caught.value.hint == "did you mean epochs?"


def test_settings_cannot_be_changed() -> None:
    """Settings are frozen: what a run was started with is what its record says."""
    settings = TrainSettings.of(seed=3)
    with pytest.raises(ValidationError, match="frozen"):
        settings.seed = 4


def test_json_round_trip() -> None:
    """Settings written as JSON come back equal, paths with forward slashes."""
    settings = TrainSettings.of(weights=Path("some") / "folder" / "w.pth", val="held out", epochs=3, augment="no-flip")
    values = settings.as_json()
    assert values["weights"] == "some/folder/w.pth"
    assert values["val"] == "held out"
    assert TrainSettings.of(**values) == settings


def test_recorded_settings_are_read_by_other_versions() -> None:
    """A setting of another version is left out where a file recorded it; typed by hand it is refused."""
    values = TrainSettings.of(epochs=3).as_json() | {"small_size": 160}
    assert dict(RecordedSettings.from_json(values)) == dict(TrainSettings.of(epochs=3))
    with pytest.raises(SettingsError, match="there is no setting called small_size"):
        TrainSettings.of(**values)
    with pytest.raises(ValueError, match="image_size"):
        RecordedSettings.from_json(values | {"image_size": "../../x"})


def test_settings_of_earlier_versions() -> None:
    """They had one view and the last layer's features: their settings are read so, and never as today's defaults."""
    old = {name: value for name, value in TrainSettings.of(epochs=3).as_json().items() if name not in NEW}
    read = RecordedSettings.from_json(upgraded_settings(old))
    assert not read.stages and (read.view is not None or read.effort == "quick")
    assert dict(read) | {"view": None, "effort": "normal", "stages": True} == dict(TrainSettings.of(epochs=3))
    for today in (TrainSettings.of(), TrainSettings.of(view="whole+pad", effort="thorough"), TrainSettings.of(stages=False)):
        assert upgraded_settings(today.as_json()) == today.as_json()
    assert [upgraded_settings(values) for values in (None, [], "x")] == [None, [], "x"]


@pytest.mark.parametrize("name", TrainSettings.model_fields)
def test_every_setting_is_explained(name: str) -> None:
    """Each setting has a help text, one sentence with its full stop."""
    said = TrainSettings.model_fields[name].description or ""
    assert len(said) > 10
    assert said.endswith(".")
