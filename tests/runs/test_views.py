"""Runs that see more than one view of an image, or choose which: the same from the first comparison to the saved model."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import COLOURS, TINY, draw_shape
from tints import LEARNS, draw_tints, quick_settings, write_blind_weights

from headstart import ImageClassifier
from headstart.artifact.bundle import CARD, WEIGHTS, read_bundle
from headstart.artifact.predictor import Predictor
from headstart.record.run_folder import new_run, resumed_run
from headstart.runs.auditing import audit_images
from headstart.runs.evaluating import evaluate_model
from headstart.runs.training import train
from headstart.settings import TrainSettings
from headstart.storage import sha256_of_file

Settings = Callable[..., TrainSettings]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 32 images: enough to compare views on."""
    folder, rng = tmp_path_factory.mktemp("data") / "shapes", np.random.default_rng(0)
    for label in COLOURS:
        (folder / label).mkdir(parents=True)
        for i in range(32):
            draw_shape(label, rng, (120, 70)).save(folder / label / f"{i}.png")
    return folder


@pytest.fixture
def settings(tiny_weights: Path) -> Settings:
    small = {"strategy": "probe", "backbone": TINY, "weights": tiny_weights, "image_size": 48, "device": "cpu", "workers": 2}
    return lambda **values: TrainSettings.of(**(small | values))


def test_views_are_chosen_told_and_kept(data: Path, settings: Settings, tmp_path: Path) -> None:
    """Without --view the candidates are compared, the choice is in metrics, manifest and notes, and val had no part in it."""
    trained = train(data, settings(), output=tmp_path / "run")
    views: dict[str, Any] = trained.metrics["views"]
    assert [trial["view"] for trial in views["trials"]] == ["crop", "whole", "crop+whole"] and views["n_images"] == 48
    manifest = read_bundle(trained.model).manifest
    assert views["view"] == manifest.preprocess.view_name and manifest.settings.stages
    assert any(note.startswith(f"views: {views['view']}") for note in trained.metrics["notes"])
    assert not any("had a part in the choice" in note for note in trained.metrics["notes"])
    assert trained.summary.endswith("nothing was selected on them.") and not trained.evaluation.selected_on
    again = train(data, settings(), output=tmp_path / "again")
    assert again.metrics["views"] == views
    assert sha256_of_file(again.model / WEIGHTS) == sha256_of_file(trained.model / WEIGHTS)


def test_the_claim_says_that_views_were_chosen_on_its_images(data: Path, settings: Settings, tmp_path: Path) -> None:
    """Cross-validation reports on images that chose the views: console, report, card, metrics and notes say so."""
    trained = train(data, settings(cv="3x1"), output=tmp_path / "run")
    chosen = trained.metrics["evaluation"]
    assert (chosen["split"], chosen["n"], chosen["selected_on"], chosen["views_chosen_on"]) == ("cv", 96, True, 48)
    said = "the views were chosen on 48 of them, so expect a little less on new ones."
    assert trained.summary.endswith(said)
    for file in (trained.run / "report.html", trained.model / CARD):
        text = file.read_text(encoding="utf-8")
        assert said in text and "nothing was selected" not in text
    assert "48 of the 96 cross-validated images had a part in the choice of the views" in trained.metrics["notes"]
    for values in ({"effort": "quick"}, {"view": "crop"}):
        alone = train(data, settings(cv="3x1", **values), output=tmp_path / str(values))
        assert alone.summary.endswith("nothing was selected on them.")
        assert (alone.evaluation.selected_on, alone.evaluation.views_chosen_on) == (False, 0)


@pytest.mark.parametrize(
    "values", [{}, {"refit": True}, {"cv": "3x1"}, {"strategy": "finetune", "epochs": 2, "learning_rate": 0.01}], ids=str
)
def test_a_model_of_several_views_answers_as_in_training(
    values: dict[str, Any], data: Path, settings: Settings, tmp_path: Path
) -> None:
    """However it is trained, the saved model sees what training saw: measured again it is as good as was reported."""
    trained = train(data, settings(view="crop+pad+mirrored", **values), output=tmp_path / "run")
    predictor = Predictor.load(trained.run)
    assert predictor.preprocess.n_views == 4
    assert trained.metrics["views"]["trials"] == [] and any("4 times" in note for note in trained.metrics["notes"])
    with (trained.run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert len(rows) == trained.evaluation.n > 0
    if not values.get("refit") and "cv" not in values:  # otherwise other models answered
        for answer in predictor.predict(list(rows)):
            assert answer.predicted == rows[answer.path]["predicted"]
            assert answer.probability == pytest.approx(float(rows[answer.path]["probability"]), abs=1e-4)
        assert evaluate_model(trained.run, data, split="all").evaluation.n == 96


@pytest.mark.parametrize("effort", ["quick", "thorough"])
def test_effort_is_the_number_of_passes(effort: str, data: Path, settings: Settings, tmp_path: Path) -> None:
    """quick sees each image once and compares nothing; thorough sees it at most four times."""
    trained = train(data, settings(effort=effort), output=tmp_path / "run")
    preprocess = read_bundle(trained.model).manifest.preprocess
    assert preprocess.n_views <= {"quick": 1, "thorough": 4}[effort]
    assert len(trained.metrics["views"]["trials"]) == {"quick": 0, "thorough": 4}[effort]
    if effort == "quick":
        assert preprocess.view_name == "crop"


def test_without_stages(data: Path, settings: Settings, tmp_path: Path) -> None:
    """The last layer's features alone: a narrower head, which timm's own network takes as its last layer."""
    import safetensors.numpy

    trained = train(data, settings(stages=False, effort="quick"), output=tmp_path / "run")
    assert read_bundle(trained.model).manifest.backbone.stages == ()
    assert safetensors.numpy.load_file(trained.model / WEIGHTS)["fc.weight"].shape == (3, 96)
    trained = train(data, settings(effort="quick"), output=tmp_path / "staged")
    assert safetensors.numpy.load_file(trained.model / WEIGHTS)["fc.weight"].shape == (3, 464)


def test_a_resumed_run_sees_as_before(data: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Views that were chosen before a run was killed are kept: they are not compared again."""
    given = settings(strategy="finetune", epochs=1)
    first = train(data, given, output=tmp_path / "first")
    folder = new_run(str(data), given, "shapes", tmp_path / "run", overwrite=False)
    (folder.partial / "run.json").write_text(
        json.dumps(
            json.loads((folder.partial / "run.json").read_text(encoding="utf-8"))
            | {"views": first.metrics["views"] | {"view": "pad", "why": "as before"}}
        ),
        encoding="utf-8",
    )
    assert resumed_run(tmp_path / "run", None, TrainSettings()).state.views is not None
    resumed = train(None, resume=tmp_path / "run")
    assert resumed.metrics["views"]["view"] == "pad" and resumed.metrics["views"]["why"] == "as before"
    assert read_bundle(resumed.model).manifest.preprocess.view_name == "pad"


def test_the_estimator(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    """ImageClassifier takes the same settings, and what it saves answers as it does."""
    files = sorted(data.rglob("*.png"))
    classifier = ImageClassifier(
        backbone=TINY, weights=tiny_weights, image_size=48, device="cpu", view="whole+pad", stages=False, strategy="probe"
    )
    classifier.fit([str(file) for file in files], [file.parent.name for file in files])
    expected = classifier.predict_proba([str(file) for file in files[::7]])
    saved = Predictor.load(classifier.save(tmp_path / "model"))
    assert (saved.preprocess.view_name, saved.head.weight.shape) == ("whole+pad", (3, 96))
    found = [answer.probabilities for answer in saved.predict([str(file) for file in files[::7]])]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_audit_compares_nothing(data: Path, settings: Settings, tmp_path: Path) -> None:
    """An audit looks at every image once, through the backbone's own view."""
    steps: list[str] = []
    audit_images(data, tmp_path / "audit", settings(), progress=lambda stage, done, total: steps.append(stage))
    assert steps and not any("view" in step for step in steps)


def test_fine_tuning_trains_the_last_layers_head(tiny_weights: Path, tmp_path: Path) -> None:
    """A fine-tuned model does without the stages, which training moves; where no epoch is better it is the probe with them."""
    tints, blind = draw_tints(tmp_path / "tints"), write_blind_weights(tmp_path, tiny_weights)
    given: dict[str, Any] = {**LEARNS, "effort": "quick", "refit": True}
    tuned = train(tints, quick_settings(blind, strategy="finetune", **given), output=tmp_path / "tuned")
    given |= {"learning_rate": 1e-9}  # which changes no answer, so that no epoch is better
    kept = train(tints, quick_settings(tiny_weights, strategy="finetune", **given), output=tmp_path / "kept")
    assert tuned.metrics["best_epoch"] > 0 and kept.metrics["best_epoch"] == 0
    assert any("the saved model is the probe" in note for note in kept.metrics["notes"])
    for trained, stages, n_features in ((tuned, (), 96), (kept, ("layer1", "layer2", "layer3", "layer4"), 464)):
        manifest = read_bundle(trained.model).manifest
        assert manifest.backbone.stages == stages and manifest.settings.stages
        assert Predictor.load(trained.run).head.weight.shape == (2, n_features)
        assert evaluate_model(trained.run, tints, split="all").evaluation.n == 160
        assert not any("does not report its stages" in note for note in trained.metrics["notes"])
    probe = train(tints, quick_settings(tiny_weights, strategy="probe", effort="quick", refit=True), output=tmp_path / "probe")
    answers = [Predictor.load(run.run).predict(sorted(tints.rglob("*.png"))[::9]) for run in (kept, probe)]
    for one, other in zip(*answers, strict=True):
        assert one.probabilities is not None and other.probabilities is not None
        assert np.abs(one.probabilities - other.probabilities).max() < 0.3  # the temperatures are fitted on other images
