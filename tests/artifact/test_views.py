"""A model that sees several views of an image answers with the mean of their logits, in every form that it takes."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import SavedRun

from artifact.conftest import edit
from headstart.artifact.bundle import read_bundle
from headstart.artifact.export import export_model
from headstart.artifact.manifest import FORMAT
from headstart.artifact.predictor import Predictor
from headstart.artifact.verification import verify_model
from headstart.data.odd_images import odd_images
from headstart.errors import BundleError, HeadstartError
from headstart.model.exported import ExportFormat, ExportPrecision
from headstart.tasks.probabilities import softmax

N_VIEWS, SIZE = 6, 64


def views_of(predictor: Predictor, files: list[str]) -> np.ndarray:
    return np.stack([predictor.preprocess.views_of_file(Path(file).read_bytes()) for file in files])


def test_the_files_say_which_views(run_of_views: Path) -> None:
    """Manifest and metrics name the views, the stages and why; nothing was compared where they were asked for."""
    manifest = read_bundle(run_of_views).manifest
    assert (manifest.format, manifest.preprocess.cuts, manifest.preprocess.mirrored) == (FORMAT, ("crop", "whole", "pad"), True)
    assert manifest.backbone.stages == ("layer1", "layer2", "layer3", "layer4")
    assert (manifest.settings.view, manifest.settings.stages) == ("crop+whole+pad+mirrored", True)
    metrics = json.loads((run_of_views / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["views"] == {"view": "crop+whole+pad+mirrored", "why": "it was asked for", "n_images": 0, "trials": []}
    assert any("6 times" in note for note in metrics["notes"])


def test_an_answer_is_the_mean_of_the_views_logits(run_of_views: Path, saved_run: SavedRun) -> None:
    """Torch's own network on each view alone, its logits averaged: the predictor's answer within 1e-4."""
    from headstart.model.backbones import bundled_network, named_or_timm

    predictor, bundle = Predictor.load(run_of_views), read_bundle(run_of_views)
    views = views_of(predictor, list(saved_run.labels)[:5])
    assert views.shape == (5, N_VIEWS, SIZE, SIZE, 3)
    spec = named_or_timm(bundle.manifest.backbone.name).model_copy(update={"stages": bundle.manifest.backbone.stages})
    network = bundled_network(spec, predictor.preprocess, 3, bundle.weights)
    expected = softmax(np.stack([network.logits(views[:, i]) for i in range(N_VIEWS)]).mean(axis=0))
    np.testing.assert_allclose(predictor.answer(views), expected, atol=1e-4)
    assert np.ptp(predictor.answer(views[:, :1]) - predictor.answer(views)) > 1e-3, "one view would do"


def test_training_and_prediction_agree(run_of_views: Path, saved_run: SavedRun) -> None:
    """predictions.csv has what the model in the run answers, also from bytes and whatever comes with an image."""
    with (run_of_views / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    predictor = Predictor.load(run_of_views)
    answers = list(predictor.predict(list(saved_run.labels)))
    assert {answer.path for answer in answers} == set(rows)
    for answer in answers:
        assert float(rows[answer.path]["probability"]) == pytest.approx(answer.probability, abs=1e-5)
        assert rows[answer.path]["predicted"] == answer.predicted
    (alone,) = predictor.predict([Path(next(iter(saved_run.labels))).read_bytes()])
    assert np.array_equal(alone.probabilities, answers[0].probabilities)


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_an_export_answers_as_the_original(
    run_of_views: Path, saved_run: SavedRun, tmp_path: Path, format: ExportFormat
) -> None:
    """The mean is part of the exported file: the same probabilities within 1e-4 and the same doubts; the export is whole."""
    parity = export_model(run_of_views, tmp_path / "out", format=format).parity
    assert (parity.images, parity.odd_images) == (len(saved_run.labels), len(odd_images()))
    assert parity.same_label == 1 and parity.max_difference <= 1e-4
    original, copy = Predictor.load(run_of_views), Predictor.load(tmp_path / "out")
    for one, other in zip(original.predict(saved_run.labels), copy.predict(saved_run.labels), strict=True):
        assert one.predicted == other.predicted and one.unfamiliar == other.unfamiliar
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)
    for model in (run_of_views, tmp_path / "out"):
        assert [passed.check for passed in verify_model(model)] == ["manifest", "files", "tensors", "engine", "answers"]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_an_export_in_less_precision(run_of_views: Path, tmp_path: Path, precision: ExportPrecision) -> None:
    """Half precision and eight bits take several views too; what that costs is told."""
    parity = export_model(run_of_views, tmp_path / "out", precision=precision).parity
    assert parity.images > 0 and parity.max_difference < {"fp16": 0.01, "int8": 1}[precision]


def test_what_an_exported_file_takes(run_of_views: Path, saved_run: SavedRun, tmp_path: Path) -> None:
    """Any number of images with all their views at once, and the answer of each is the one that it has alone."""
    import onnxruntime

    file = export_model(run_of_views, tmp_path / "out").file
    session = onnxruntime.InferenceSession(str(file))
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ("views", "tensor(uint8)", [N_VIEWS, SIZE, SIZE, 3])
    views = views_of(Predictor.load(run_of_views), list(saved_run.labels)[:4])
    features, together = session.run(["features", "probabilities"], {"views": views})
    alone = np.concatenate([session.run(["probabilities"], {"views": view[None]})[0] for view in views])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(features, Predictor.load(run_of_views).extractor.features(views), atol=1e-3)


def test_views_that_the_file_does_not_take(run_of_views: Path, tmp_path: Path) -> None:
    """An export whose manifest names other views than its file takes is refused where it is loaded."""
    export_model(run_of_views, tmp_path / "out")
    edit(tmp_path / "out", lambda values: values["preprocess"].update(cuts=["crop"]))
    with pytest.raises(BundleError, match="cannot be run"):
        Predictor.load(tmp_path / "out")


def test_stages_that_the_network_does_not_have(run_of_views: Path, tmp_path: Path) -> None:
    """A manifest that names a part which the network lacks, or fewer than the last layer needs, is refused in a sentence."""
    for stages in (["layer9"], ["layer1"], [], ["layer1", "layer2", "layer3", "layer4", "layer4"]):
        model = Path(shutil.copytree(run_of_views / "model", tmp_path / "model"))
        edit(model, lambda values, stages=stages: values["backbone"].update(stages=stages))  # type: ignore[misc]
        with pytest.raises(HeadstartError):
            next(iter(Predictor.load(model).predict([Path(__file__).parents[1] / "kept/format-1/images/circles.png"])))
        shutil.rmtree(model)
