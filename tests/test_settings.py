"""Settings are named, limited and explained in one place."""

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from headstart.errors import SettingsError
from headstart.settings import RecordedSettings, TrainSettings


def test_defaults() -> None:
    """Without arguments: auto on the default backbone, seed 0, a fifth held out, the rest left to the recipe."""
    settings = TrainSettings.of()
    assert (settings.strategy, settings.recipe, settings.backbone) == ("auto", "default", "efficientnet_lite0")
    assert (settings.seed, settings.val_fraction, settings.refit, settings.offline) == (0, 0.2, False, False)
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
    ],
)
def test_wrong_value(name: str, value: Any) -> None:
    """A value that cannot be used is refused with the option's name, the value and the limit."""
    with pytest.raises(SettingsError) as caught:
        TrainSettings.of(**{name: value})
    assert caught.value.message == f"--{name.replace('_', '-')} cannot be {value!r}"
    assert caught.value.hint.startswith(("input should be", "string should have"))


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


@pytest.mark.parametrize("name", TrainSettings.model_fields)
def test_every_setting_is_explained(name: str) -> None:
    """Each setting has a help text, one sentence with its full stop."""
    said = TrainSettings.model_fields[name].description or ""
    assert len(said) > 10
    assert said.endswith(".")
