"""`compare_models` on drawn shapes and a tiny network."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, MakeOnce
from tints import LEARNS, draw_tints, quick_settings, write_blind_weights

from headstart.errors import BackboneError, DataError, SettingsError
from headstart.runs.comparing import _Tried, _what_pays, compare_models
from headstart.runs.contenders import Comparison
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
        "pays",
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
        "ms_per_image",
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


def test_backbones(tmp_path: Path, blind: Path) -> None:
    """Each backbone answers the same images in the same folds; what each costs an image is said, and which one pays."""
    names = [TINY, f"{TINY}.r160_in1k"]  # the same network by two names: no difference can be shown
    found = compare_models(
        draw_tints(tmp_path / "tints"), quick_settings(blind), strategies="probe", backbones=names, n_folds=2
    )
    one, other = found.contenders
    assert [one.backbone, other.backbone] == names
    assert other.difference == 0 and other.difference_ci95 is not None
    assert one.ms_per_image and other.ms_per_image
    sentence, verdict = found.sentences
    assert sentence.startswith(f"No difference between probe {names[1]} and probe {names[0]} can be shown with 160 images")
    assert sentence.endswith(f"takes {other.ms_per_image:.1f} ms an image instead of {one.ms_per_image:.1f}.")
    assert found.pays in (one.name, other.name)
    assert verdict == f"{found.pays} pays: it is the fastest of those that no other is shown to be better than."


def measured(backbone: str, n_right: int, ms: float | None, n: int = 1000) -> _Tried:
    return _Tried("probe", backbone, np.arange(n) < n_right, 1.0, 10.0, ms)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([measured("small", 900, 2.0), measured("large", 950, 20.0)], "probe large"),
        ([measured("small", 900, 2.0), measured("large", 903, 20.0)], "probe small"),
        ([measured("large", 903, 20.0), measured("small", 900, 2.0)], "probe small"),
        ([measured("small", 900, 2.0), measured("middle", 950, 5.0), measured("large", 952, 20.0)], "probe middle"),
        ([measured("small", 950, 2.0), measured("large", 900, 20.0)], "probe small"),
        ([measured("small", 900, None), measured("large", 950, 20.0)], None),
        ([measured("small", 900, 2.0), measured("small", 950, 2.0)], None),
    ],
)
def test_what_pays(found: list[_Tried], expected: str | None) -> None:
    """The dearer backbone pays only where it is shown to be better; where speeds are not known, nothing is said."""
    assert _what_pays(found, np.arange(1000)) == expected


def test_every_backbone_is_there_before_anything_is_computed(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings]
) -> None:
    """A misspelt name at the end of the list is said at once, and no image has been opened."""
    stages: list[str] = []
    with pytest.raises(BackboneError, match="there is no backbone called 'resnet81'"):
        compare_models(
            draw_classes({"circles": 6, "squares": 6}),
            settings(),
            backbones=[TINY, "resnet81"],
            progress=lambda stage, done, total: stages.append(stage),
        )
    assert stages == []
