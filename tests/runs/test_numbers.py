"""`train --task regression` from drawn plates with numbers to predictions, evaluations, exports, audits and the estimator."""

import csv
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from apps.serving.conftest import serving
from PIL import Image
from sklearn.base import clone
from sklearn.metrics import mean_absolute_error, r2_score

import headstart
from headstart.artifact.export import export_model
from headstart.artifact.manifest import read_manifest
from headstart.artifact.number_words import number_with_interval, numbers_table
from headstart.artifact.predictor import Predictor
from headstart.artifact.verification import verify_model
from headstart.data.reading import Reading
from headstart.errors import BundleError, DataError, SettingsError
from headstart.evaluation.number_evaluation import evaluate_numbers
from headstart.evaluation.number_intervals import NumberIntervals
from headstart.evaluation.number_metrics import NumbersSeen
from headstart.model.history import Epoch
from headstart.record.run_metrics import NumberRunMetrics
from headstart.record.tracked import complete_run
from headstart.record.trained import Trained
from headstart.runs.auditing import audit_images
from headstart.runs.classifier import ImageClassifier
from headstart.runs.comparing import compare_models
from headstart.runs.contenders import NumberContender
from headstart.runs.evaluating import evaluate_model
from headstart.runs.regressor import ImageRegressor
from headstart.settings import TrainSettings
from runs.conftest import rows_of

Make = Callable[..., TrainSettings]


def draw_plates(folder: Path, count: int, seed: int = 0, *, split: str = "") -> Path:
    """A table of plates with their thickness in micrometres, around 2,000: the darker, the thicker, but not exactly."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        darkness = rng.uniform(30, 220)
        plate = np.clip(255 - darkness + rng.normal(0, 20, (56, 56, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(plate).save(folder / f"{split}{i}.png")
        rows.append((f"{split}{i}.png", f"{2000 + darkness + rng.normal(0, 15):.2f}", split))
    table = folder / "plates.csv"
    is_new = not table.exists()
    with table.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "thickness", "split")] * is_new + rows)
    return table


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "plates"
    draw_plates(folder, 90, split="train")
    draw_plates(folder, 40, seed=1, split="val")
    return draw_plates(folder, 40, seed=2, split="test")


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module", params=["probe", "finetune"])
def trained(
    request: pytest.FixtureRequest, plates: Path, settings: Make, tmp_path_factory: pytest.TempPathFactory, module_home: None
) -> Trained:
    chosen = settings(
        strategy=request.param,
        epochs=2 if request.param == "finetune" else None,
        task="regression",
        label_column="thickness",
        conformal=0.8,
    )
    return headstart.train(plates, chosen, output=tmp_path_factory.mktemp("runs") / request.param)


def numbers_of(run: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, answers and the ends of the intervals in predictions.csv."""
    rows = rows_of(run / "predictions.csv")
    cells = np.array([[float(row[name]) for name in ("label", "predicted", "low", "high")] for row in rows])
    return cells[:, 0], cells[:, 1], cells[:, 2:]


def test_numbers_of_a_run(trained: Trained) -> None:
    """A run learns what the pictures tell, is judged by its errors on test, and checks its intervals there."""
    truth, answers, ends = numbers_of(trained.run)
    found = trained.metrics["evaluation"]
    assert (found["split"], found["n"], trained.metrics["number"]) == ("test", 40, "thickness")
    assert found["numbers"]["mean_absolute_error"] == pytest.approx(mean_absolute_error(truth, answers))
    assert found["numbers"]["r2"] == pytest.approx(r2_score(truth, answers))
    assert found["numbers"]["r2"] > 0.8
    assert found["numbers"]["mean_absolute_error"] < 0.5 * found["numbers"]["median_guess_error"]
    inside = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    assert found["intervals"]["coverage"] == pytest.approx(inside.mean())
    assert inside.mean() > 0.6
    assert f"off by {found['numbers']['mean_absolute_error']:.4g} on average" in trained.summary
    manifest = read_manifest(trained.model)
    assert manifest.numbers is not None and manifest.numbers.intervals is not None
    assert (manifest.task, manifest.classes, manifest.evaluation) == ("regression", ("thickness",), None)
    assert manifest.numbers.intervals.coverage == 0.8
    assert manifest.numbers.intervals_promised == (manifest.strategy == "probe")


def test_the_report_and_the_card_speak_of_numbers(trained: Trained) -> None:
    """They say how far answers are off, and nothing of classes or probabilities."""
    report = (trained.run / "report.html").read_text(encoding="utf-8")
    card = (trained.model / "README.md").read_text(encoding="utf-8")
    for text in (report, card):
        assert "mean absolute error" in text and "thickness" in text and "coverage of intervals" in text
        of_numbers = text.split("How it was made")[0].split("Training curves")[0].replace("can reduce the accuracy", "")
        assert "accuracy" not in of_numbers and "probabilit" not in of_numbers
    assert (trained.run / "figures" / "numbers.png").is_file() and (trained.run / "figures" / "errors.png").is_file()
    assert "largest errors" in report


def test_the_best_epoch_has_the_smallest_error(trained: Trained) -> None:
    """Fine-tuning keeps the epoch with the lowest squared error on val; epoch 0 is the fitted head."""
    rows = rows_of(trained.run / "history.csv")
    losses = [float(row["val_loss"]) for row in rows]
    assert trained.metrics["best_epoch"] == int(np.argmin(losses))
    assert losses[0] < 0.5  # of the variance


def test_trackers_are_told_of_numbers_as_of_classes(trained: Trained) -> None:
    """The last epoch is the step, whichever was kept. What training found is no setting: a resumed run may find another."""
    metrics = NumberRunMetrics.from_json(trained.metrics)
    rows = rows_of(trained.run / "history.csv")
    history = [Epoch(**{name: float(cell) if cell else None for name, cell in row.items()}) for row in rows]
    told = complete_run(trained.run, metrics, read_manifest(trained.model).plan.as_json(), history)
    assert (told.step, told.summary) == (history[-1].epoch, trained.summary)
    reported, other = metrics.evaluation.numbers, metrics.other_evaluations[0].numbers
    assert told.numbers["evaluation/numbers/mean_absolute_error"] == reported.mean_absolute_error
    assert told.numbers["evaluation_on_val/numbers/r2"] == other.r2
    assert (told.numbers["best_epoch"], told.numbers["temperature"]) == (metrics.best_epoch, 1)
    assert "plan/seed" in told.plan and not {"plan/best_epoch", "plan/temperature"} & set(told.plan)


def test_predict_and_evaluate_agree_with_the_run(trained: Trained, plates: Path) -> None:
    """The same numbers with the same intervals, from the file to the answer."""
    truth, answers, ends = numbers_of(trained.run)
    paths = [row["path"] for row in rows_of(trained.run / "predictions.csv")]
    found = list(Predictor.load(trained.run).predict(paths))
    assert [one.value for one in found] == pytest.approx(answers.tolist(), abs=0.01)
    assert np.array([one.ends for one in found]) == pytest.approx(ends, abs=0.01)
    values = found[0].as_json()
    assert {"path", "predicted", "low", "high", "unfamiliar", "distance"} == set(values)
    assert values["low"] < values["predicted"] < values["high"]
    evaluated = evaluate_model(trained.run, plates, reading_of())
    assert evaluated.metrics["evaluation"]["split"] == "test"
    numbers = evaluated.metrics["evaluation"]["numbers"]
    assert numbers["mean_absolute_error"] == pytest.approx(np.abs(truth - answers).mean(), abs=0.01)
    assert evaluated.metrics["evaluation"]["intervals"]["coverage"] == trained.metrics["evaluation"]["intervals"]["coverage"]


def reading_of() -> Reading:
    return Reading(label_column="thickness")


@pytest.mark.process
def test_an_export_gives_the_same_numbers(trained: Trained, plates: Path, tmp_path: Path) -> None:
    """An ONNX export ends in the number, also for the program on its card, and is intact."""
    exported = tmp_path / "exported"
    parity = export_model(trained.run, exported).parity
    assert parity.max_difference < 1e-4 and parity.accuracy_before is None and parity.images == 40
    paths = sorted(plates.parent.glob("*.png"))[::9]
    answers = [answer.value for answer in Predictor.load(trained.run).predict(paths)]
    again = list(Predictor.load(exported).predict(paths))
    assert [answer.value for answer in again] == pytest.approx(answers, abs=0.02)
    assert all(answer.ends is not None for answer in again)
    for model in (trained.model, exported):
        assert [check.found for check in verify_model(model)][-1].endswith("get finite numbers")
    card = (exported / "README.md").read_text(encoding="utf-8")
    (program,) = (part for part in card.split("```python\n")[1:] if "InferenceSession" in part)
    (exported / "classify.py").write_text(program.split("```")[0], encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "classify.py", *map(str, paths)], cwd=exported, capture_output=True, text=True, check=True
    ).stdout
    assert [float(line.split("\t")[1]) for line in said.splitlines()] == pytest.approx(answers, abs=0.02)


def test_what_is_about_classes_is_refused(trained: Trained, plates: Path, settings: Make, tmp_path: Path) -> None:
    """A review, in one sentence, before anything is written."""
    with pytest.raises(SettingsError, match="are about classes"):
        evaluate_model(trained.run, plates, reading_of(), review=plates)
    with pytest.raises(BundleError, match="answers with numbers"):
        ImageClassifier.load(trained.run)
    assert list(tmp_path.iterdir()) == []


def test_contenders_are_compared_by_their_errors(plates: Path, settings: Make) -> None:
    """Of all images but those of test: the probe's error is small, that of a network trained for an epoch is beside it."""
    chosen = settings(task="regression", label_column="thickness", epochs=1)
    found = compare_models(plates, chosen, strategies=["finetune", "probe"], n_folds=2)
    finetune, probe = found.contenders
    assert isinstance(finetune, NumberContender) and isinstance(probe, NumberContender) and found.n == 130
    assert probe.numbers.r2 is not None and probe.numbers.r2 > 0.8
    assert probe.numbers.mean_absolute_error < 0.5 * probe.numbers.median_guess_error
    gained = finetune.numbers.mean_absolute_error - probe.numbers.mean_absolute_error
    assert probe.to_first is not None and probe.to_first.gain == pytest.approx(gained)
    values = found.as_json()["contenders"]
    assert values[1]["difference"] == pytest.approx(-gained) and values[0]["difference"] is None
    assert set(values[1]) == {
        *("strategy", "backbone", "seconds", "size_mb", "ms_per_image", "numbers", "difference", "difference_ci95")
    }
    (sentence,) = found.sentences
    assert ("in the mean absolute error" in sentence) == probe.to_first.is_shown
    alone = compare_models(plates, chosen, strategies="probe", n_folds=2).contenders[0]
    assert isinstance(alone, NumberContender) and alone.numbers == probe.numbers and alone.to_first is None


def test_numbers_that_cannot_be_compared(settings: Make, tmp_path: Path) -> None:
    """One image, or one group, cannot be on both sides of a fold."""
    table = draw_plates(tmp_path / "set", 8)
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join(["path,thickness,group", *(line.rstrip(",") + ",one" for line in lines[1:])]), encoding="utf-8")
    with pytest.raises(DataError, match="all images are one group"):
        compare_models(table, settings(task="regression", label_column="thickness"), strategies="probe")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"balance": True}, "--balance"),
        ({"target_precision": 0.9}, "--target-precision"),
        ({"cv": "5x2"}, "--cv"),
        ({"join_case": True}, "--join-case"),
        ({"labels": "project"}, "--labels"),
        ({"recipe": "tutorial"}, "--recipe tutorial"),
    ],
)
def test_settings_of_classes_are_refused(given: dict[str, object], says: str) -> None:
    """One sentence names the setting, and the hint what to do."""
    with pytest.raises(SettingsError, match=f"{says} is not for --task regression") as caught:
        TrainSettings.of(task="regression", **given)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("rows", "says", "hint"),
    [
        ([("a.png", "1"), ("b.png", "1,5")], "has '1,5' in row 3, column 'label', which is not a number", "with a point"),
        ([("a.png", "1"), ("b.png", "thick")], "has 'thick' in row 3", "unit"),
        ([("a.png", "1"), ("b.png", "")], "has no number in row 3", "give each image a number"),
        ([("a.png", "7"), ("b.png", "7")], "all training images have the number 7", "different numbers"),
    ],
)
def test_tables_that_cannot_be_learnt(
    rows: list[tuple[str, str]], says: str, hint: str, settings: Make, tmp_path: Path
) -> None:
    """What is wrong, where it is, and what to do."""
    for name, _ in rows:
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 255, (40, 40, 3), np.uint8)).save(tmp_path / name)
    table = tmp_path / "t.csv"
    table.write_text("path,label\n" + "\n".join(f'{name},"{label}"' for name, label in rows), encoding="utf-8")
    with pytest.raises(DataError, match=says) as caught:
        headstart.train(table, settings(task="regression", strategy="probe"), output=tmp_path / "run")
    assert hint in str(caught.value.hint)


def test_folders_named_by_numbers(settings: Make, tmp_path: Path) -> None:
    """They are numbers; a folder that is none is named, with what can be given instead."""
    draw_plates(tmp_path / "all", 60)
    for number in ("0.5", "1", "1.50", "2"):
        (tmp_path / "set" / number).mkdir(parents=True)
    for i, picture in enumerate(sorted((tmp_path / "all").glob("*.png"))):
        picture.rename(tmp_path / "set" / ("0.5", "1", "1.50", "2")[i % 4] / picture.name)
    found = headstart.train(tmp_path / "set", settings(task="regression", strategy="probe"), output=tmp_path / "run")
    assert {row["label"] for row in rows_of(found.run / "predictions.csv")} == {"0.5", "1", "1.5", "2"}
    assert found.metrics["number"] == "number"
    (tmp_path / "set" / "2").rename(tmp_path / "set" / "many")
    with pytest.raises(DataError, match="set has the class 'many', which is not a number") as caught:
        headstart.train(tmp_path / "set", settings(task="regression", strategy="probe"), output=tmp_path / "other")
    assert "CSV" in str(caught.value.hint)


def test_without_val_and_test(plates: Path, settings: Make, tmp_path: Path) -> None:
    """A val is split off, with numbers of all sizes; with --val-fraction 0 the error is that of cross-validation."""
    table = draw_plates(tmp_path / "set", 100, seed=5)
    table.write_text(table.read_text(encoding="utf-8").replace(",split", "").replace(",\n", "\n"), encoding="utf-8")
    chosen = {"task": "regression", "label_column": "thickness", "strategy": "probe"}
    split = headstart.train(table, settings(**chosen), output=tmp_path / "split")
    assert split.metrics["images"] == {"train": 80, "val": 20, "test": 0, "skipped": 0}
    truth = numbers_of(split.run)[0]
    assert truth.min() < 2080 and truth.max() > 2180
    crossed = headstart.train(table, settings(**chosen, val_fraction=0), output=tmp_path / "crossed")
    found = crossed.metrics["evaluation"]
    assert (found["split"], found["n"], found["intervals"]) == ("cv", 100, None)  # the intervals were set on these images
    assert found["numbers"]["r2"] > 0.8
    refitted = headstart.train(table, settings(**chosen, refit=True), output=tmp_path / "refitted")
    assert read_manifest(refitted.model).numbers.seen.n == 100  # type: ignore[union-attr]


def test_too_few_images_for_intervals(settings: Make, tmp_path: Path) -> None:
    """Of six images no interval is given; that is said, and predictions.csv has empty cells."""
    table = draw_plates(tmp_path / "set", 6)
    table.write_text(table.read_text(encoding="utf-8").replace(",split", "").replace(",\n", "\n"), encoding="utf-8")
    chosen = settings(task="regression", label_column="thickness", strategy="probe")
    found = headstart.train(table, chosen, output=tmp_path / "run")
    assert any("too few unrelated images" in note for note in found.notes)
    assert {(row["low"], row["high"]) for row in rows_of(found.run / "predictions.csv")} == {("", "")}
    answer = next(iter(Predictor.load(found.run).predict([tmp_path / "set" / "0.png"])))
    assert answer.ends is None and "low" not in answer.as_json()


def test_an_audit_doubts_wrong_numbers(settings: Make, tmp_path: Path) -> None:
    """A plate with the number of a thicker one is the first of the label errors; numbers that the size tells are a shortcut."""
    table = draw_plates(tmp_path / "set", 80)
    lines = [line.rstrip(",") for line in table.read_text(encoding="utf-8").splitlines()]
    rows = sorted((line.split(",") for line in lines[1:]), key=lambda row: float(row[1]))
    wrong = rows[3][0]
    rows[3][1] = rows[-3][1]
    table.write_text("path,thickness\n" + "\n".join(map(",".join, rows)), encoding="utf-8")
    audited = audit_images(table, settings=settings(task="regression", label_column="thickness"))
    (errors,) = (result for result in audited.checked if result.check == "label_error")
    assert errors.findings[0].path.endswith(wrong) and errors.findings[0].is_grave
    assert f"has the number {float(rows[3][1])}" in errors.findings[0].sentence
    shortcuts = [finding.sentence for result in audited.checked if result.check == "shortcut" for finding in result.findings]
    assert not any(sentence.startswith("size") for sentence in shortcuts)
    for name, number in rows:
        with Image.open(tmp_path / "set" / name) as picture:
            picture.resize((round(float(number) - 1900),) * 2).save(tmp_path / "set" / name)
    again = audit_images(table, settings=settings(task="regression", label_column="thickness"))
    (told,) = (result for result in again.checked if result.check == "shortcut")
    assert any("size alone explains" in finding.sentence for finding in told.findings)


@pytest.fixture
def regressor(tiny_weights: Path) -> ImageRegressor:
    return ImageRegressor(
        "probe", backbone="timm/test_resnet", weights=tiny_weights, image_size=48, device="cpu", view="crop", conformal=0.8
    )


def test_the_estimator(plates: Path, regressor: ImageRegressor, tmp_path: Path) -> None:
    """fit, predict, intervals, R2, save and load, on lists and on the table; a copy by scikit-learn is not fitted."""
    rows = rows_of(plates)
    paths, numbers = [plates.parent / row["path"] for row in rows], np.array([float(row["thickness"]) for row in rows])
    fitted = clone(regressor).fit(paths[:100], numbers[:100])
    answers = fitted.predict(paths[100:])
    assert answers.dtype == np.float64
    assert fitted.score(paths[100:], numbers[100:]) == pytest.approx(r2_score(numbers[100:], answers))
    assert fitted.score(paths[100:], numbers[100:]) > 0.8
    ends = fitted.predict_interval(paths[100:])
    assert isinstance(fitted.intervals_, NumberIntervals) and fitted.intervals_.coverage == 0.8
    assert ((ends[:, 0] <= numbers[100:]) & (numbers[100:] <= ends[:, 1])).mean() > 0.6
    again = ImageRegressor.load(fitted.save(tmp_path / "saved"))
    assert again.predict(paths[100:]) == pytest.approx(answers, abs=0.01)
    assert again.intervals_ == fitted.intervals_
    with Image.open(paths[0]) as picture:
        assert fitted.predict(picture) == pytest.approx(fitted.predict([paths[0]]))
    of_table = clone(regressor).set_params(label_column="thickness").fit(plates)
    assert of_table.score(plates) > 0.8


def test_settings_of_the_estimator() -> None:
    """They are those of `train`, with their defaults, but for those that are about classes, and for the strategy's name."""
    parameters = inspect.signature(ImageRegressor).parameters
    about_classes = {"task", "grades", "recipe", "labels", "join_case", "balance", "cv", "target_precision", "target_recall"}
    assert set(parameters) == set(TrainSettings.model_fields) - about_classes
    assert {name: one.default for name, one in parameters.items()} == {
        name: TrainSettings.model_fields[name].default for name in parameters
    }


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["1", "b"], "at position 0 is '1', which is not a number"),
        ([1.0, np.nan], "1 label is missing, at position 1"),
        ([[1, 2], [3, 4]], "shape"),
        ([1.0], "2 images and 1 labels"),
        ([1.0, np.inf], "infinite"),
    ],
)
def test_labels_that_the_estimator_refuses(labels: object, says: str, plates: Path, regressor: ImageRegressor) -> None:
    """Text, missing numbers, several numbers an image, and another number of them."""
    with pytest.raises(DataError, match=says):
        regressor.fit(sorted(plates.parent.glob("*.png"))[:2], labels)


def test_estimators_know_what_they_are(plates: Path, regressor: ImageRegressor, tmp_path: Path) -> None:
    """A classifier is not fitted to numbers as numbers, and does not load a regressor's model; nor the other way round."""
    paths = sorted(plates.parent.glob("*.png"))[:3]
    with pytest.raises(SettingsError, match="ImageClassifier tells classes apart"):
        ImageClassifier(task="regression").fit(paths, [1, 2, 3])
    with pytest.raises(SettingsError, match="too few unrelated images"):
        regressor.fit(paths, [1, 2, 3]).predict_interval(paths)
    with pytest.raises(SettingsError, match="fit needs numbers"):
        regressor.fit(paths)


@pytest.mark.process
def test_the_command_line(plates: Path, tiny_weights: Path, tmp_path: Path) -> None:
    """train, predict in every form, resuming them, and evaluate: numbers with the ends of their intervals."""
    home = tmp_path / "home"

    def done(*arguments: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "headstart", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HEADSTART_HOME": str(home)})

    def run(*arguments: object) -> str:
        result = done(*arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    small = ["--backbone", "timm/test_resnet", "--weights", tiny_weights, "--image-size", 48, "--device", "cpu"]
    given = ["--task", "regression", "--label-column", "thickness", "--strategy", "probe", "--output", tmp_path / "run"]
    metrics = json.loads(run("train", plates, *small, *given, "--json"))
    assert metrics["intervals"]["coverage"] == 0.9
    pictures = sorted(plates.parent.glob("*.png"))[:3]
    lines = [json.loads(line) for line in run("predict", tmp_path / "run", *pictures, "--format", "jsonl").splitlines()]
    table = list(csv.DictReader(run("predict", tmp_path / "run", *pictures, "--format", "csv").splitlines()))
    assert [float(row["predicted"]) for row in table] == pytest.approx([line["predicted"] for line in lines])
    assert [list(row)[:4] for row in table[:1]] == [["path", "predicted", "low", "high"]]
    shown = run("predict", tmp_path / "run", *pictures)
    assert f"{lines[0]['predicted']:.4g} ({lines[0]['low']:.4g} to {lines[0]['high']:.4g})" in shown
    for form in ("csv", "jsonl", "parquet"):
        output = tmp_path / f"answers.{form}"
        run("predict", tmp_path / "run", *pictures[:2], "--format", form, "--output", output)
        shutil.copy(output, f"{output}.kept")
        run("predict", tmp_path / "run", *pictures, "--format", form, "--output", output, "--resume")
        assert output.stat().st_size > Path(f"{output}.kept").stat().st_size
    for option in (["--top-k", 2], ["--min-confidence", 0.5]):
        refused = done("predict", tmp_path / "run", *pictures, *option)
        assert refused.returncode == 1
        assert f"{option[0]} is about classes, and this model answers with numbers" in refused.stderr
    told = run("evaluate", tmp_path / "run", plates, "--label-column", "thickness")
    assert "the answers are off by" in told and "coverage of intervals" in told


@pytest.mark.process
def test_a_server_answers_with_numbers(plates: Path, settings: Make, tmp_path: Path, own_home: Path) -> None:
    """POST /predict gives the number with its interval, as `predict` does; the counters name the number, not its values."""
    chosen = settings(strategy="probe", task="regression", label_column="thickness")
    trained = headstart.train(plates, chosen, output=tmp_path / "run")
    picture = plates.parent / "test0.png"
    expected = next(iter(Predictor.load(trained.run).predict([picture]))).as_json()
    with serving(trained.run, home=own_home) as server:
        (found,) = server.predict(picture.read_bytes()).json()["predictions"]
        counted = server.client.get("/metrics").text
        schema = server.client.get("/openapi.json").json()["components"]["schemas"]["PredictionModel"]["properties"]
    assert found == pytest.approx(expected | {"path": found["path"]}, abs=0.01)
    assert 'headstart_predicted_total{class="thickness"' in counted
    assert {"low", "high"} < set(schema)


def test_large_numbers_that_differ_little(settings: Make, tmp_path: Path) -> None:
    """Seconds of a clock are learnt and shown in full; 32 bits cannot hold them, so an export is refused with a way out."""
    table = draw_plates(tmp_path / "plates", 30)
    rows = rows_of(table)
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("path", "label"), *((row["path"], f"{1_700_000_000 + float(row['thickness'])}") for row in rows)]
        )
    run = headstart.train(table, settings(task="regression"), output=tmp_path / "run")
    assert "numbers are from 17000020" in (run.model / "README.md").read_text(encoding="utf-8")
    answer = next(iter(Predictor.load(run.model).predict([tmp_path / "plates" / "0.png"])))
    assert re.fullmatch(r"1700002\d{3} \(1700002\d{3} to 1700002\d{3}\)", number_with_interval(answer))
    with pytest.raises(BundleError, match="32-bit numbers, which are 128 apart there") as caught:
        export_model(run.model, tmp_path / "exported")
    assert "1.7e+09" in caught.value.hint and not (tmp_path / "exported").exists()


def test_a_split_that_leaves_one_number(settings: Make, tmp_path: Path) -> None:
    """If all images of train have the same number, the model always says it, which is told."""
    table = draw_plates(tmp_path / "plates", 12)
    text = "\n".join(["path,label,split", *(f"{i}.png,{3 + i // 8},{'val' if i >= 8 else 'train'}" for i in range(12))])
    table.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="all training images have the number 3"):
        headstart.train(table, settings(task="regression"), output=tmp_path / "run")
    table.write_text("path,label\n0.png,1\n1.png,2\n", encoding="utf-8")
    run = headstart.train(table, settings(task="regression"), output=tmp_path / "run")
    assert any("no two images of train have different numbers" in note for note in run.metrics["notes"])
    assert "val is 1 image split off from train, with numbers of all sizes" in run.metrics["notes"]


def test_a_very_wrong_model_has_a_short_r2() -> None:
    """R2 has no lower limit; its row is read by people."""
    true = np.arange(30.0)
    far = evaluate_numbers(np.full(30, 1e30), true, NumbersSeen.of(true), split="val", groups=np.arange(30))
    row = next(row for row in numbers_table(far) if row[0] == "R2")
    assert len(row[1]) < 12 and row[1].startswith("-1")
