"""`headstart.train` from a folder of drawn shapes to a finished run folder, on a tiny network."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, draw_shape

import headstart
from headstart.artifact.bundle import read_bundle
from headstart.artifact.predictor import Predictor
from headstart.errors import DataError, SettingsError
from headstart.recipes import CarriedOutPlan
from headstart.record.trained import Trained
from headstart.settings import TrainSettings
from headstart.storage import sha256_of_file
from runs.conftest import CLASSES, metrics_of, rows_of, run_of

CHANGES = ("seconds", "peak_rss_mb", "run", "model")  # what may differ between two runs with the same seed


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home for the runs that several tests look at."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("HEADSTART_HOME", str(home))
        yield home


@pytest.fixture(scope="module")
def dirty_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 15 shapes, with files among them that are no images, and a tool's folder."""
    folder, rng = tmp_path_factory.mktemp("data") / "shapes", np.random.default_rng(0)
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
        for i in range(15):
            draw_shape(label, rng, (64, 56)).save(folder / label / f"{i}.png")
    (folder / "circles" / "empty.jpg").touch()
    (folder / "squares" / "notes.jpg").write_text("not an image")
    (folder / "squares" / "cut.png").write_bytes((folder / "squares" / "0.png").read_bytes()[:500])
    (folder / ".ipynb_checkpoints").mkdir()
    draw_shape("circles", rng).save(folder / ".ipynb_checkpoints" / "0-checkpoint.png")
    return folder


@pytest.fixture(scope="module", params=["probe", "finetune"])
def trained(
    request: pytest.FixtureRequest,
    dirty_shapes: Path,
    settings: Callable[..., TrainSettings],
    tmp_path_factory: pytest.TempPathFactory,
    module_home: Path,
) -> Trained:
    """A finished run, of each strategy."""
    return run_of(request.param, dirty_shapes, settings, tmp_path_factory.mktemp("runs") / request.param)


# What a run leaves behind


def test_files_of_a_run(trained: Trained) -> None:
    """A run folder holds what the design promises, nothing half finished is left beside it, and nothing is pickled."""
    names = {path.relative_to(trained.run).as_posix() for path in trained.run.rglob("*") if path.is_file()}
    wanted = {"metrics.json", "history.csv", "predictions.csv", "skipped.csv", "report.html", "figures/confusion.png"}
    wanted |= {f"model/{name}" for name in ("README.md", "manifest.json", "weights.safetensors", "familiarity.safetensors")}
    wanted |= {"figures/samples.png", "figures/reliability.png"}
    assert wanted <= names
    assert names - wanted <= {"figures/history.png", "figures/mistakes.png", "figures/learning_curve.png"}
    assert ("figures/history.png" in names) == (trained.metrics["strategy"] == "finetune")
    assert [path.name for path in trained.run.parent.iterdir()] == [trained.run.name]


def test_metrics_are_what_the_contract_says(trained: Trained) -> None:
    """metrics.json is what `train` returns and holds every key of the contract."""
    found = metrics_of(trained.run)
    assert found == trained.metrics
    assert (found["format"], found["recipe"], found["interrupted"]) == (1, "default", False)
    assert found["strategy"] == found["requested"] == trained.run.name
    assert found["backbone"]["name"] == TINY
    assert len(found["backbone"]["weights_sha256"]) == 64
    assert found["classes"] == CLASSES
    assert found["images"] == {"train": 36, "val": 9, "test": 0, "skipped": 3}
    assert found["run"] == trained.run.as_posix()
    assert found["model"] == trained.model.as_posix() == f"{found['run']}/model"
    assert found["seconds"]["total"] > 0
    assert found["peak_rss_mb"] > 50
    evaluation = found["evaluation"]
    assert {"split", "n", "selected_on", "accuracy", "accuracy_ci95", "macro_f1", "log_loss", "ece"} <= set(evaluation)
    assert [entry["class"] for entry in evaluation["per_class"]] == CLASSES
    low, high = evaluation["accuracy_ci95"]
    assert 0 <= low <= evaluation["accuracy"] <= high <= 1


def test_what_was_selected_on(trained: Trained) -> None:
    """A probe never selects on val; fine-tuning chooses its best epoch there, and both say so."""
    evaluation = trained.metrics["evaluation"]
    assert (evaluation["split"], evaluation["n"]) == ("val", 9)
    assert evaluation["selected_on"] == (trained.metrics["strategy"] == "finetune")
    corrected = evaluation["selection_corrected"]
    assert (corrected is not None) == evaluation["selected_on"]  # it stands beside what was chosen by these images
    if corrected is not None:
        low, high = corrected["accuracy_ci95"]
        assert low <= corrected["accuracy"] <= high
        assert corrected["accuracy"] <= evaluation["accuracy"] + 0.05


def test_a_val_split_off_train_is_recorded(trained: Trained) -> None:
    """That val came off train is said, and which images it took is in the manifest; nothing is on both sides."""
    assert "val is 9 images split off from train, stratified by class" in trained.notes
    images = read_bundle(trained.model).manifest.images
    assert (len(images["train"]), len(images["val"])) == (36, 9)
    assert not set(images["train"]) & set(images["val"])
    assert all(entry["n"] == 3 for entry in trained.metrics["evaluation"]["per_class"])


def test_dirty_files_are_skipped_and_listed(trained: Trained) -> None:
    """Files that are no images are listed with their reasons and training goes on; a tool's folder is no class."""
    reasons = {Path(row["path"]).name: row["reason"] for row in rows_of(trained.run / "skipped.csv")}
    assert set(reasons) == {"empty.jpg", "notes.jpg", "cut.png"}
    assert reasons["empty.jpg"] == "the file is empty"
    assert reasons["notes.jpg"] == "a text file, not an image"
    assert reasons["cut.png"].startswith("the image is damaged: ")


def test_predictions_are_those_of_the_metrics(trained: Trained) -> None:
    """predictions.csv holds each val image once with its probabilities, and its accuracy is the reported one."""
    rows = rows_of(trained.run / "predictions.csv")
    assert list(rows[0]) == ["path", "label", "predicted", "probability", *(f"p:{name}" for name in CLASSES)]
    assert len({row["path"] for row in rows}) == len(rows) == 9
    for row in rows:
        probabilities = [float(row[f"p:{name}"]) for name in CLASSES]
        assert sum(probabilities) == pytest.approx(1)
        assert row["predicted"] == CLASSES[int(np.argmax(probabilities))]
        assert float(row["probability"]) == max(probabilities)
        assert Path(row["path"]).parent.name == row["label"]
    accuracy = np.mean([row["predicted"] == row["label"] for row in rows])
    assert accuracy == pytest.approx(trained.metrics["evaluation"]["accuracy"])


def test_the_bundle_answers_as_predictions_csv(trained: Trained) -> None:
    """The saved model, loaded anew, gives the classes of predictions.csv and its probabilities within 1e-4."""
    rows = rows_of(trained.run / "predictions.csv")
    answers = list(Predictor.load(trained.run).predict(row["path"] for row in rows))
    assert [answer.predicted for answer in answers] == [row["predicted"] for row in rows]
    found = np.array([answer.probabilities for answer in answers])
    np.testing.assert_allclose(found, [[float(row[f"p:{name}"]) for name in CLASSES] for row in rows], atol=1e-4)


def test_history(trained: Trained) -> None:
    """history.csv has a row an epoch; the fitted head is epoch 0, and the best epoch is among them."""
    rows = rows_of(trained.run / "history.csv")
    columns = ["epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"]
    assert list(rows[0]) == columns
    n_epochs = 2 if trained.metrics["strategy"] == "finetune" else 0
    assert [int(row["epoch"]) for row in rows] == list(range(n_epochs + 1))
    best = rows[trained.metrics["best_epoch"]]
    assert float(best["val_accuracy"]) == pytest.approx(trained.metrics["evaluation"]["accuracy"])
    assert float(best["val_loss"]) == pytest.approx(trained.metrics["evaluation"]["log_loss"], rel=1e-3)


def test_same_seed_same_metrics(
    trained: Trained, dirty_shapes: Path, settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """A second run with the same seed has the same metrics apart from times, paths and memory, and the same weights."""
    again = run_of(trained.metrics["strategy"], dirty_shapes, settings, tmp_path / "again")
    assert {k: v for k, v in again.metrics.items() if k not in CHANGES} == {
        k: v for k, v in trained.metrics.items() if k not in CHANGES
    }
    assert sha256_of_file(again.model / "weights.safetensors") == sha256_of_file(trained.model / "weights.safetensors")


def test_the_report_is_one_file(trained: Trained) -> None:
    """report.html says the summary sentence and loads nothing from elsewhere."""
    text = (trained.run / "report.html").read_text(encoding="utf-8")
    assert f"{trained.metrics['evaluation']['accuracy']:.1%}".split(".")[0] in text
    assert 'src="http' not in text
    assert 'href="http' not in text


# Settings


def test_refit(draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """--refit reports the numbers of the model before it, saves one trained on train and val, and says so."""
    data = draw_classes(dict.fromkeys(CLASSES, 8))
    plain = headstart.train(data, settings(), output=tmp_path / "plain")
    refit = headstart.train(data, settings(refit=True), output=tmp_path / "refit")
    assert refit.metrics["evaluation"] == plain.metrics["evaluation"]
    assert (plain.metrics["refit"], refit.metrics["refit"]) == (False, True)
    assert any(note.startswith("refit: the saved model was trained on train and val") for note in refit.notes)
    assert sha256_of_file(refit.model / "weights.safetensors") != sha256_of_file(plain.model / "weights.safetensors")
    whole = headstart.train(data, settings(val_fraction=0), output=tmp_path / "whole")
    answers = [list(Predictor.load(run.run).predict(sorted(data.rglob("*.png")))) for run in (refit, whole)]
    for one, other in zip(*answers, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)  # the same images, the same probe


def test_refit_of_fine_tuning(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """Fine-tuning's refit goes as many epochs as were best; its history and numbers are those of the first training."""
    data = draw_classes(dict.fromkeys(CLASSES[:2], 8))
    plain = headstart.train(data, settings(strategy="finetune", epochs=2), output=tmp_path / "plain")
    refit = headstart.train(data, settings(strategy="finetune", epochs=2, refit=True), output=tmp_path / "refit")
    assert refit.metrics["refit"] is True
    assert refit.metrics["evaluation"] == plain.metrics["evaluation"]
    assert refit.metrics["best_epoch"] == plain.metrics["best_epoch"]
    assert sha256_of_file(refit.model / "weights.safetensors") != sha256_of_file(plain.model / "weights.safetensors")


def test_settings_without_effect_are_told(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """A setting that a probe has no use for is named, each in a note; so is --refit where nothing was held out."""
    data = draw_classes(dict.fromkeys(CLASSES, 5))
    chosen = settings(epochs=3, augment="no-flip", freeze=1, refit=True, val_fraction=0)
    run = headstart.train(data, chosen, output=tmp_path / "run")
    for name in ("epochs", "augment", "freeze"):
        assert f"a probe takes no gradient steps: --{name} has no effect" in run.notes
    assert "--refit has no effect: no val images were held out" in run.notes
    assert run.metrics["notes"] == list(run.notes)


def test_a_class_too_small_to_choose_by(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """With two images of a class one is held out, one is trained on, and that nothing could be chosen is said."""
    run = headstart.train(draw_classes({"circles": 2, "squares": 9}), settings(), output=tmp_path / "run")
    assert any("too small for cross-validation" in note for note in run.notes)
    with pytest.raises(DataError, match="class 'circles' is too small to report an accuracy by cross-validation"):
        headstart.train(draw_classes({"circles": 1, "squares": 9}, "less"), settings(val_fraction=0), output=tmp_path / "no")


@pytest.mark.parametrize("strategy", ["probe", "finetune"])
def test_tutorial(
    strategy: str, draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """--recipe tutorial selects on val and says so, for both strategies; its pixels are resized to 256 and cut to 224."""
    data = draw_classes(dict.fromkeys(CLASSES[:2], 6))
    chosen = settings(strategy=strategy, recipe="tutorial", epochs=1, image_size=None)
    run = headstart.train(data, chosen, output=tmp_path / "run")
    assert (run.metrics["recipe"], run.metrics["strategy"]) == ("tutorial", strategy)
    assert run.metrics["evaluation"]["selected_on"] is True
    assert [row["epoch"] for row in rows_of(run.run / "history.csv")] == ["1"]
    manifest = read_bundle(run.model).manifest
    assert (manifest.preprocess.size_px, manifest.preprocess.resize_px) == (224, 256)
    assert (manifest.preprocess.interpolation, manifest.preprocess.decode_margin) == ("bilinear", 0)
    assert isinstance(manifest.plan, CarriedOutPlan)
    steps = manifest.plan.steps
    assert (steps.optimizer, steps.learning_rate, steps.batch_size, steps.step_epochs) == ("sgd", 0.001, 4, 7)


def test_image_size_that_a_backbone_cannot_take(
    draw_classes: Callable[..., Path], tmp_path: Path, settings: Callable[..., TrainSettings]
) -> None:
    """A network that is bound to its input size says so before any work is done."""
    import safetensors.torch
    import timm

    safetensors.torch.save_file(timm.create_model("test_coatnet").state_dict(), tmp_path / "w.safetensors")
    chosen = settings(backbone="timm/test_coatnet", weights=tmp_path / "w.safetensors", image_size=64)
    with pytest.raises(SettingsError, match="timm/test_coatnet cannot take images of 64 px") as caught:
        headstart.train(draw_classes(dict.fromkeys(CLASSES, 3)), chosen, output=tmp_path / "run")
    assert caught.value.hint == "leave out --image-size"
