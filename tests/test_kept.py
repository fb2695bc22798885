"""A file format is a promise: models that were ever written are read, and answer as they did."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow.parquet
import pytest
import torch

from headstart.artifact.bundle import read_bundle
from headstart.artifact.card import card_of
from headstart.artifact.export import export_model
from headstart.artifact.manifest import FORMAT, read_manifest, save_manifest
from headstart.artifact.predictor import Predictor
from headstart.artifact.verification import verify_model
from headstart.data.preprocess import Preprocess
from headstart.model.feature_store import clear_store, store_size
from headstart.recipes import CarriedOutPlan
from headstart.record.trained import Trained
from headstart.runs.evaluating import evaluate_model
from headstart.runs.training import train
from headstart.settings import TrainSettings

BUNDLES = Path(__file__).with_name("kept")
FOLDERS = [path.parent for path in sorted(BUNDLES.glob("format-*/*/manifest.json")) if path.parent.name != "export"]
N_OF_CONVNEXT = 232  # features
NAMES = [f"{path.parent.name}/{path.name}" for path in FOLDERS]


def test_there_is_a_bundle_of_every_format() -> None:
    """FORMAT rises only where a bundle of each format before it is kept here."""
    assert {"format-1/first", "format-1/second"} <= set(NAMES)
    everywhere = [file.parent for file in BUNDLES.glob("format-*/**/manifest.json")]
    assert {read_bundle(folder).manifest.format for folder in everywhere} >= set(range(1, FORMAT))


@pytest.mark.parametrize("name", ["first", "second", "run/model", "export"])
def test_an_old_model_has_one_view_and_no_stages(name: str) -> None:
    """What format 1 did not say is what it did: the central square, and the features of the last layer alone."""
    manifest = read_bundle(BUNDLES / "format-1" / name).manifest
    assert (manifest.format, manifest.preprocess.view_name, manifest.backbone.stages) == (1, "crop", ())
    assert (manifest.preprocess.decoding, manifest.settings.stages) == (1, False)


def test_an_old_model_written_again_is_of_todays_format(tmp_path: Path) -> None:
    """Saved by this version, a manifest of format 1 says all that one of today says, and the model answers as before."""
    model = Path(shutil.copytree(BUNDLES / "format-1" / "second", tmp_path / "model"))
    before = read_manifest(model)
    save_manifest(model, before)
    values = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
    assert values["format"] == FORMAT and values["preprocess"]["cuts"] == ["crop"] and "crop" not in values["preprocess"]
    again = read_manifest(model)
    assert again.model_dump(exclude={"format", "manifest_sha256"}) == before.model_dump(exclude={"format", "manifest_sha256"})
    image = BUNDLES / "format-1" / "images" / "circles.png"
    answers = [next(iter(Predictor.load(place).predict([image]))) for place in (model, BUNDLES / "format-1" / "second")]
    assert (answers[0].probabilities == answers[1].probabilities).all()


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_old_models_answer_as_they_did(folder: Path) -> None:
    """Each bundle loads and gives the probabilities that it gave when it was written, within 1e-4.

    This must pass for ever. Where FORMAT rises, teach `read_manifest` the old format and add a bundle of the new one under
    kept/format-N, with what it answers in expected.json; never change, renew or drop one that is there.
    """
    expected = json.loads((folder.parent / "expected.json").read_text(encoding="utf-8"))[folder.name]
    predictor = Predictor.load(folder)
    assert len(expected) >= 2
    for answer in predictor.predict(sorted((folder.parent / "images").iterdir())):
        assert answer.probabilities is not None, answer.error
        found = dict(zip(answer.classes, answer.probabilities.tolist(), strict=True))
        assert found == pytest.approx(expected.pop(Path(answer.path).name), abs=1e-4)
    assert expected == {}


@pytest.fixture
def old_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which runs of November 2026 were made, to be worked in: their images, runs and an export."""
    monkeypatch.chdir(shutil.copytree(BUNDLES / "format-1", tmp_path / "format-1"))
    return Path()


@pytest.fixture
def run_of_format_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which runs of the first version with stages and views were made, to be worked in."""
    return worked_in("format-2", tmp_path, monkeypatch)


@pytest.fixture
def run_of_format_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same of the first version with tasks."""
    return worked_in("format-3", tmp_path, monkeypatch)


def worked_in(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the runs of a format with the images and weights they were made with, as the working folder."""
    folder = Path(shutil.copytree(BUNDLES / name, tmp_path / name))
    shutil.copytree(BUNDLES / "format-1" / "shapes", folder / "shapes")
    shutil.copy(BUNDLES / "format-1" / "weights.safetensors", folder)
    monkeypatch.chdir(folder)
    return Path()


@pytest.mark.parametrize("name", ["run", "export"])
def test_an_old_run_and_an_old_export_answer_as_they_did(name: str, old_run: Path) -> None:
    """A fine-tuned run and what was exported from it give the probabilities of then; its files are whole."""
    expected = json.loads((old_run / "expected-of-run.json").read_text(encoding="utf-8"))[name]
    for answer in Predictor.load(old_run / name).predict(list(expected)):
        assert answer.probabilities is not None
        found = dict(zip(answer.classes, answer.probabilities.tolist(), strict=True))
        assert list(found.values()) == pytest.approx(expected[answer.path], abs=1e-4)
    assert [passed.check for passed in verify_model(old_run / name)] == ["manifest", "files", "tensors", "engine", "answers"]


def test_an_old_run_is_evaluated_and_exported(old_run: Path) -> None:
    """What was reported of it is measured again, on the images that its best epoch was chosen by."""
    reported = json.loads((old_run / "run" / "metrics.json").read_text(encoding="utf-8"))["evaluation"]
    evaluated = evaluate_model(old_run / "run", "shapes", split="val")
    assert (evaluated.evaluation.accuracy, evaluated.evaluation.n) == (reported["accuracy"], reported["n"])
    assert evaluated.evaluation.selected_on
    assert export_model("run", Path("again")).parity.images == 12


@pytest.mark.parametrize("name", ["run", "export"])
def test_a_probe_on_stages_and_two_views_answers_as_it_did(name: str, run_of_format_2: Path) -> None:
    """What format 2 brought, several views and the features of stages, in a run and in what was exported from it."""
    expected = json.loads((run_of_format_2 / "expected-of-run.json").read_text(encoding="utf-8"))[name]
    predictor = Predictor.load(run_of_format_2 / name)
    assert (predictor.preprocess.view_name, predictor.head.weight.shape) == ("crop+whole", (3, N_OF_CONVNEXT))
    for answer in predictor.predict(list(expected)):
        assert answer.probabilities is not None
        assert answer.probabilities.tolist() == pytest.approx(expected[answer.path], abs=1e-4)
    assert [passed.check for passed in verify_model(run_of_format_2 / name)] == [
        "manifest",
        "files",
        "tensors",
        "engine",
        "answers",
    ]


@pytest.mark.parametrize("name", ["run", "export"])
def test_a_probe_on_grades_answers_as_it_did(name: str, run_of_format_3: Path) -> None:
    """What format 3 brought, a task, in a run and in what was exported from it; both say what they said."""
    expected = json.loads((run_of_format_3 / "expected-of-run.json").read_text(encoding="utf-8"))[name]
    predictor = Predictor.load(run_of_format_3 / name)
    assert predictor.task.name == "ordinal" and predictor.manifest is not None and predictor.manifest.format == 3
    for answer in predictor.predict(list(expected)):
        assert answer.probabilities is not None
        *probabilities, predicted = expected[answer.path]
        assert answer.probabilities.tolist() == pytest.approx(probabilities, abs=1e-4)
        assert answer.predicted == predicted
    assert len(list(verify_model(run_of_format_3 / name))) == 5


@pytest.mark.slow
def test_an_old_run_that_was_killed_goes_on(old_run: Path) -> None:
    """A run that an earlier version began, killed after three of four epochs, ends as it would have then."""
    trained = resumed_from(old_run)
    manifest = read_bundle(trained.model).manifest
    assert (manifest.format, manifest.preprocess.view_name, manifest.backbone.stages) == (FORMAT, "crop", ())
    assert (trained.metrics["views"]["view"], trained.metrics["views"]["trials"]) == ("crop", [])


@pytest.mark.slow
def test_a_killed_run_that_trained_a_head_on_stages_goes_on(run_of_format_2: Path) -> None:
    """It keeps its plan, though today's would train the last layer's head alone, with another rate."""
    trained = resumed_from(run_of_format_2)
    assert read_bundle(trained.model).manifest.backbone.stages == tuple(f"stages.{i}" for i in range(4))
    plan = read_bundle(trained.model).manifest.plan
    assert isinstance(plan, CarriedOutPlan) and plan.network.head_on == "all features"
    assert plan.steps.head_learning_rate == 5 * plan.steps.learning_rate


@pytest.mark.slow
def test_an_old_store_is_used_and_gets_what_it_lacks(old_run: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a store without miniatures has is not computed again, stays as it is, and gives the same run as an empty store."""
    for kind in ("features", "facts"):
        shutil.copytree(BUNDLES / "store" / kind, own_home / kind)
    before = {file: file.read_bytes() for kind in ("features", "facts") for file in (own_home / kind).iterdir()}
    (facts,) = (own_home / "facts").iterdir()
    decoder = pyarrow.parquet.read_table(facts, columns=["pixels_version"]).column(0)[0].as_py()
    # The key holds the versions of Pillow and its libraries. Here, those of then count as those of now.
    monkeypatch.setattr(Preprocess, "pixels_version", property(lambda preprocess: decoder))
    settings = TrainSettings.of(
        strategy="probe", backbone="timm/test_convnext", weights="weights.safetensors", view="crop", device="cpu"
    )
    answers = []
    for number in range(3):
        trained = train("shapes", settings, output=f"again-{number}", pictures=False)
        assert trained.work.sentence().startswith("all 36 images were in the store" if number < 2 else "36 images computed")
        answers.append((trained.run / "predictions.csv").read_text(encoding="utf-8"))
        if number == 1:
            assert {file: file.read_bytes() for file in before} == before
            assert [n for n, _ in store_size().values()] == [1, 1, 1, 1]
            clear_store()
    assert answers[0] == answers[1] == answers[2]


def resumed_from(place: Path) -> Trained:
    """The run `killed`, resumed, after a check that its history and answers are those it would have had."""
    state = place / "killed.partial" / "checkpoints" / "run" / "state.json"
    saved = json.loads(state.read_text(encoding="utf-8"))
    saved["signature"] |= {"torch": torch.__version__, "threads": torch.get_num_threads()}  # of the machine it was begun on
    state.write_text(json.dumps(saved), encoding="utf-8")
    trained = train(None, resume=place / "killed")
    expected = json.loads((place / "expected-of-run.json").read_text(encoding="utf-8"))["killed"]
    for answer in Predictor.load("killed").predict(list(expected)):
        assert answer.probabilities is not None
        assert answer.probabilities.tolist() == pytest.approx(
            expected[answer.path], abs=0.02
        )  # another processor rounds otherwise
    with (
        (place / "killed-history.csv").open(newline="") as then,
        (place / "killed" / "history.csv").open(newline="") as now,
    ):
        for before, after in zip(csv.DictReader(then), csv.DictReader(now), strict=True):
            numbers = [{name: float(row[name]) for name in before if name != "seconds"} for row in (before, after)]
            assert numbers[1] == pytest.approx(numbers[0], rel=0.02)
    return trained


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_old_models_can_be_exported(folder: Path, tmp_path: Path) -> None:
    """An export of each is proven to answer as it does, and has a card, whatever its manifest does not know yet."""
    model = shutil.copytree(folder, tmp_path / "model")
    assert export_model(model, tmp_path / "out").parity.same_label == 1
    assert "## What it does not know" in card_of(read_bundle(tmp_path / "out").manifest)
