"""Adding to a fine-tuned run: training goes on from its weights."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import headstart
from headstart.errors import SettingsError
from headstart.settings import TrainSettings
from headstart.storage import sha256_of_file
from runs.conftest import add_to, contents, ended_by_a_save, extend, manifest_of, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("here")]
KEPT = Path(__file__).parents[1] / "kept" / "format-1"
Make = Callable[..., TrainSettings]


@pytest.fixture
def tuned(old_shapes: Path, settings: Make) -> Path:
    """A run of two epochs."""
    given = settings(strategy="finetune", epochs=2, view="crop")
    headstart.train(old_shapes, given, output="run", pictures=False)
    return Path("run")


def body_of(weights: Path) -> dict[str, np.ndarray]:
    """The convolutions of a network, which training changes."""
    state = safetensors.numpy.load_file(weights)
    return {name: tensor for name, tensor in state.items() if tensor.ndim == 4}


def distance(one: Path, other: Path) -> float:
    state = body_of(other)
    return max(float(np.abs(tensor - state[name]).max()) for name, tensor in body_of(one).items())


def test_a_fine_tuned_run_is_fine_tuned_on(tuned: Path, old_shapes: Path) -> None:
    """The new run is fine-tuned as well, compared on val, and answers as it has reported; the old one stays as it is."""
    before = contents(tuned)
    trained = extend(add_to(old_shapes, {"circles": 3, "triangles": 8}))
    assert contents(tuned) == before
    now, was = manifest_of("more"), manifest_of("run")
    assert (now.strategy, now.classes) == ("finetune", ("circles", "squares", "triangles"))
    assert now.backbone.weights_sha256 == was.backbone.weights_sha256  # what it was pretrained with, not what it began with
    assert now.settings.epochs == 2
    assert trained.metrics["extended"]["compared"]["split"] == "val"
    rows = rows_of(trained.run / "predictions.csv")
    answers = headstart.Predictor.load(trained.run).predict([row["path"] for row in rows])
    assert [answer.predicted for answer in answers] == [row["predicted"] for row in rows]


@pytest.mark.parametrize("place", ["run", "probe"])
def test_training_goes_on_from_the_weights_of_the_run(place: str, tmp_path: Path) -> None:
    """With steps too small to change anything, the new network is that of the run, with a head for one more class.

    A probe has the pretrained network, with which fine-tuning then begins.
    """
    shutil.copytree(KEPT / "run", "run")  # its fourth epoch was the best
    shutil.copytree(KEPT / "shapes", "shapes")
    shutil.copy(KEPT / "weights.safetensors", tmp_path)
    for split in ("train", "val"):
        add_to(Path("shapes") / split / "stars", {"circles": 5}, seed=len(split))
        for image in (Path("shapes") / split / "stars" / "circles").iterdir():
            image.rename(image.parents[1] / image.name)
        (Path("shapes") / split / "stars" / "circles").rmdir()
    if place == "probe":
        extend("shapes", output="probe", strategy="probe")
    extend("shapes", place, strategy="finetune", epochs=1, learning_rate=1e-12)
    weights = Path("model", "weights.safetensors")
    assert distance("run" / weights, Path("weights.safetensors")) > 1e-3
    assert distance("more" / weights, "run" / weights if place == "run" else Path("weights.safetensors")) < 1e-6
    assert manifest_of("more").backbone.weights_sha256 == sha256_of_file(Path("weights.safetensors"))


def test_weights_that_have_seen_val_are_not_begun_with(old_shapes: Path, settings: Make) -> None:
    """A refitted run was trained on val too: fine-tuning starts from the pretrained network, and says so."""
    given = settings(strategy="finetune", epochs=1, learning_rate=0.05, view="crop", refit=True)
    headstart.train(old_shapes, given, output="run", pictures=False)
    trained = extend(add_to(old_shapes, {"circles": 3}), learning_rate=1e-12)
    assert manifest_of("run").refit
    assert any("fine-tuning starts from the pretrained network" in note for note in trained.notes)


def test_another_strategy(tuned: Path, old_shapes: Path) -> None:
    """A probe on a fine-tuned run is one on the pretrained network, and a probe can be fine-tuned afterwards."""
    probe = extend(add_to(old_shapes, {"triangles": 8}), strategy="probe", output="probe")
    assert probe.metrics["strategy"] == "probe" and probe.metrics["extended"]["compared"]["n"] > 0
    again = extend(old_shapes, "probe", "tuned again", strategy="finetune", epochs=1)
    assert again.metrics["strategy"] == "finetune"


def test_an_interrupted_extension_is_resumed(tuned: Path, old_shapes: Path) -> None:
    """What Ctrl-C interrupts goes on with the splits and weights that it began with, and ends as an undisturbed one."""
    add_to(old_shapes, {"triangles": 8})
    undisturbed = extend(old_shapes, output="undisturbed")
    with ended_by_a_save():
        assert extend(old_shapes).interrupted
    resumed = headstart.train(None, resume="more", pictures=False)
    assert not resumed.interrupted
    assert resumed.metrics["evaluation"] == undisturbed.metrics["evaluation"]
    assert resumed.metrics["extended"] == undisturbed.metrics["extended"]
    assert distance(resumed.run / "model" / "weights.safetensors", undisturbed.run / "model" / "weights.safetensors") == 0


def test_a_run_that_became_another_is_not_resumed_on(tuned: Path, old_shapes: Path, settings: Make) -> None:
    """If the extended run was replaced in the meantime, its splits are others: a sentence says so."""
    with ended_by_a_save():
        assert extend(add_to(old_shapes, {"triangles": 8})).interrupted
    headstart.train(old_shapes, settings(strategy="probe", view="crop"), output="run", overwrite=True, pictures=False)
    with pytest.raises(SettingsError, match="run, which this run extends, is another run now"):
        headstart.train(None, resume="more")
