"""`compare_models` on drawn shapes and a tiny network."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from conftest import MakeOnce
from tints import LEARNS, draw_tints, quick_settings, write_blind_weights

from headstart.errors import DataError, SettingsError
from headstart.runs.comparing import Comparison, compare_models
from headstart.settings import TrainSettings


@pytest.fixture(scope="session")
def blind(made_once: MakeOnce, tiny_weights: Path) -> Path:
    """Weights of a colour-blind network."""
    return made_once("colour blind", lambda folder: write_blind_weights(folder, tiny_weights)) / "blind.safetensors"


@pytest.fixture
def learning(blind: Path) -> Callable[..., TrainSettings]:
    """Settings with which fine-tuning learns what a probe cannot see."""
    return lambda **values: quick_settings(blind, **(LEARNS | values))


@pytest.fixture
def settings(tiny_weights: Path) -> Callable[..., TrainSettings]:
    """Settings for a comparison that takes a second or two."""
    return partial(quick_settings, tiny_weights)


def test_comparison(tmp_path: Path, learning: Callable[..., TrainSettings]) -> None:
    """Every image is answered once by each; the second is measured against the first, and a sentence says what came out."""
    found = compare_models(draw_tints(tmp_path / "tints"), learning(), n_folds=2)
    probe, finetune = found.contenders
    assert found.n == 160 and (probe.strategy, finetune.strategy) == ("probe", "finetune")
    assert probe.to_first is None and finetune.to_first is not None
    assert probe.difference is None and finetune.difference == finetune.to_first.gain
    assert finetune.to_first.gain == pytest.approx(finetune.accuracy - probe.accuracy)
    assert finetune.seconds > probe.seconds
    (sentence,) = found.sentences
    assert ("better than" if finetune.to_first.is_shown else "No difference") in sentence
    assert json.loads(json.dumps(found.as_json()))["contenders"][1]["difference"] == finetune.to_first.gain


def test_one_against_itself_shows_no_difference(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings]
) -> None:
    """A single contender has nothing to be compared with; an unknown one is refused."""
    data = draw_classes({"circles": 6, "squares": 6})
    assert compare_models(data, settings(), strategies=["probe"]).sentences == []
    with pytest.raises(SettingsError, match="bagging"):
        compare_models(data, settings(), strategies=["probe", "bagging"])


def test_json_has_the_names_of_the_contract(draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings]) -> None:
    """What `compare --json` prints, key by key; the first contender differs from nobody."""
    data = draw_classes({"circles": 6, "squares": 6})
    (data / "circles" / "broken.png").touch()
    found = compare_models(data, settings(), strategies=["probe"])
    values = found.as_json()
    assert set(values) == {
        "format",
        "data",
        "n",
        "folds",
        "contenders",
        "sentences",
        "skipped",
        "seconds",
        "peak_rss_mb",
    }
    assert (values["format"], values["data"], values["n"], values["folds"], values["skipped"]) == (1, "shapes", 12, 3, 1)
    (contender,) = values["contenders"]
    assert set(contender) == {
        "strategy",
        "backbone",
        "accuracy",
        "accuracy_ci95",
        "difference",
        "difference_ci95",
        "seconds",
        "size_mb",
    }
    assert contender["difference"] is contender["difference_ci95"] is None
    assert [Path(skipped.path).name for skipped in found.skipped_files] == ["broken.png"]


def test_twins_and_test_images(draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings]) -> None:
    """Images of a test split are not compared on; twins of others are, never by a model that saw the other one."""
    data = draw_classes({"circles": 6, "squares": 6}, "shapes/train").parent
    draw_classes({"circles": 4, "squares": 4}, "shapes/test", 1)
    for i in range(6):
        shutil.copy(data / "train" / "circles" / f"circles-{i}.png", data / "train" / "circles" / f"twin-{i}.png")
    found = compare_models(data, settings(), strategies=["probe"])
    assert found.n == 18
    alone = compare_models(data / "train", settings(), strategies=["probe"])
    assert contenders(found) == contenders(alone)


def contenders(comparison: Comparison) -> list[tuple[str, float, tuple[float, float]]]:
    return [(one.name, one.accuracy, one.accuracy_ci95) for one in comparison.contenders]


@pytest.mark.parametrize("strategies", [["probe"], ["finetune", "probe"]])
def test_too_few_images(
    strategies: list[str], draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings]
) -> None:
    """What folds, or fine-tuning within one, cannot be held out from is said before minutes have gone by."""
    with pytest.raises(DataError, match=r"is too small for folds|could not hold out val images"):
        compare_models(draw_classes({"circles": 1, "squares": 6}), settings(), strategies=strategies)
