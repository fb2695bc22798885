"""`train --task ordinal` from drawn grades to predictions, evaluations, exports and the estimator."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score

import headstart
from headstart.artifact.export import export_model
from headstart.artifact.predictor import Predictor
from headstart.errors import DataError, SettingsError
from headstart.record.trained import Trained
from headstart.runs.classifier import ImageClassifier
from headstart.runs.evaluating import evaluate_model
from headstart.settings import TrainSettings
from runs.conftest import rows_of

GRADES = ("none", "slight", "worse", "severe")
WORDS = "none,slight,worse,severe"
Make = Callable[..., TrainSettings]


def draw_grades(folder: Path, count: int, seed: int = 0) -> Path:
    """`count` plates of each grade, darker from grade to grade, so noisy that neighbours are mistaken for each other."""
    rng = np.random.default_rng(seed)
    for number, grade in enumerate(GRADES):
        (folder / grade).mkdir(parents=True)
        for i in range(count):
            plate = np.clip(rng.normal(215 - 40 * number, 24) + rng.normal(0, 20, (56, 56, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(plate).save(folder / grade / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_grades(tmp_path_factory.mktemp("data") / "plates", 24)


@pytest.fixture(scope="module", params=["probe", "finetune"])
def trained(
    request: pytest.FixtureRequest, plates: Path, settings: Make, tmp_path_factory: pytest.TempPathFactory, module_home: None
) -> Trained:
    chosen = settings(
        strategy=request.param, epochs=2 if request.param == "finetune" else None, task="ordinal", grades=WORDS, conformal=0.8
    )
    return headstart.train(plates, chosen, output=tmp_path_factory.mktemp("runs") / request.param)


def test_numbers_of_grades(trained: Trained) -> None:
    """The run names the grades in their order and is judged by how far its answers are off."""
    rows = rows_of(trained.run / "predictions.csv")
    true, answered = (np.array([GRADES.index(row[name]) for row in rows]) for name in ("label", "predicted"))
    found = trained.metrics["evaluation"]
    assert tuple(trained.metrics["classes"]) == GRADES
    assert found["accuracy"] == pytest.approx((true == answered).mean())
    assert found["grades"]["mean_absolute_error"] == pytest.approx(np.abs(true - answered).mean())
    assert found["grades"]["quadratic_kappa"] == pytest.approx(cohen_kappa_score(true, answered, weights="quadratic"))
    assert "grades off on average" in trained.summary
    report = (trained.run / "report.html").read_text(encoding="utf-8")
    assert "quadratic kappa" in report and "within one grade" in report
    assert "quadratic kappa" in (trained.model / "README.md").read_text(encoding="utf-8")


def test_every_answer_is_the_median_grade(trained: Trained) -> None:
    """predictions.csv, predict and evaluate answer with the median, which is not always the most probable grade."""
    rows = rows_of(trained.run / "predictions.csv")
    probabilities = np.array([[float(row[f"p:{grade}"]) for grade in GRADES] for row in rows])
    medians = (probabilities.cumsum(axis=1) < 0.5).sum(axis=1)
    assert [row["predicted"] for row in rows] == [GRADES[grade] for grade in medians]
    assert [float(row["probability"]) for row in rows] == pytest.approx(probabilities[np.arange(len(rows)), medians])
    predictor = Predictor.load(trained.run)
    answers = list(predictor.predict([row["path"] for row in rows]))
    assert [answer.predicted for answer in answers] == [row["predicted"] for row in rows]
    for answer in answers:
        assert answer.members is not None and answer.best in answer.members
        places = [GRADES.index(name) for name in answer.members]
        assert places == list(range(places[0], places[-1] + 1))


def test_evaluate_judges_grades(trained: Trained, tmp_path: Path) -> None:
    """`evaluate` on new plates gives the metrics of grades, of the answers that `predict` gives."""
    others = draw_grades(tmp_path / "others", 6, seed=1)
    found = evaluate_model(trained.run, others)
    paths = [image.path for image in found.dataset.images]
    answered = [GRADES.index(answer.predicted) for answer in Predictor.load(trained.run).predict(paths)]
    assert found.evaluation.grades is not None
    assert found.evaluation.grades.mean_absolute_error == pytest.approx(np.abs(found.dataset.labels - answered).mean())


@pytest.mark.process
def test_an_export_answers_alike(trained: Trained, plates: Path, tmp_path: Path) -> None:
    """An ONNX export says the same grades, and so does the program on its card."""
    exported = tmp_path / "exported"
    export_model(trained.run, exported)
    paths = sorted(plates.rglob("*.png"))[::3]
    answers = [answer.predicted for answer in Predictor.load(trained.run).predict(paths)]
    assert [answer.predicted for answer in Predictor.load(exported).predict(paths)] == answers
    card = (exported / "README.md").read_text(encoding="utf-8")
    (program,) = (part for part in card.split("```python\n")[1:] if "InferenceSession" in part)
    (exported / "classify.py").write_text(program.split("```")[0], encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "classify.py", *map(str, paths)], cwd=exported, capture_output=True, text=True, check=True
    ).stdout
    assert [line.split("\t")[1] for line in said.splitlines()] == answers


def test_the_estimator_keeps_the_order(plates: Path, tiny_weights: Path, tmp_path: Path) -> None:
    """`classes_` goes from the lowest grade to the highest, and answers are the median, also after save and load."""
    paths = sorted(plates.rglob("*.png"))
    numbers = np.array([10 * GRADES.index(path.parent.name) - 5 for path in paths])
    small = {"backbone": "timm/test_resnet", "weights": tiny_weights, "image_size": 48, "device": "cpu", "view": "crop"}
    fitted = ImageClassifier("probe", task="ordinal", **small).fit(paths, numbers)
    assert fitted.classes_.tolist() == [-5, 5, 15, 25]
    medians = (fitted.predict_proba(paths).cumsum(axis=1) < 0.5).sum(axis=1)
    assert fitted.predict(paths).tolist() == fitted.classes_[medians].tolist()
    again = ImageClassifier.load(fitted.save(tmp_path / "saved"))
    assert again.classes_.tolist() == ["-5", "5", "15", "25"]
    assert again.predict(paths).tolist() == [str(value) for value in fitted.predict(paths)]


def test_a_run_is_extended_as_what_it_is(trained: Trained, plates: Path, settings: Make, tmp_path: Path) -> None:
    """`--extend` keeps the task and the order, and compares the answers that both runs gave, which are medians."""
    grown = Path(shutil.copytree(plates, tmp_path / "plates"))
    draw_grades(tmp_path / "more", 3, seed=2)
    for picture in sorted((tmp_path / "more").rglob("*.png")):
        picture.rename(grown / picture.parent.name / f"more-{picture.name}")
    small = {"workers": 2, "device": "cpu"}
    found = headstart.train(grown, TrainSettings.of(**small), output=tmp_path / "run", extend=trained.run)
    assert (tuple(found.metrics["classes"]), found.evaluation.grades is None) == (GRADES, False)
    before = {row["path"].split("plates/")[-1]: row["predicted"] for row in rows_of(trained.run / "predictions.csv")}
    after = {row["path"].split("plates/")[-1]: row["predicted"] for row in rows_of(found.run / "predictions.csv")}
    flips = {row["path"].split("plates/")[-1] for row in rows_of(found.run / "flips.csv")}
    assert flips == {path for path in before if before[path] != after[path]}
    with pytest.raises(SettingsError, match="has --task ordinal"):
        headstart.train(grown, TrainSettings.of(task="single-label", **small), output=tmp_path / "other", extend=trained.run)


def test_what_cannot_be_in_an_order(plates: Path, settings: Make, tmp_path: Path) -> None:
    """Names without an order, grades that are not those of the data, and grades of another task are refused."""
    with pytest.raises(DataError, match="the order of the grades is not known"):
        headstart.train(plates, settings(strategy="probe", task="ordinal"), output=tmp_path / "run")
    with pytest.raises(DataError, match="--grades lacks"):
        headstart.train(plates, settings(strategy="probe", task="ordinal", grades="none,slight"), output=tmp_path / "run")
    stages: list[str] = []
    watched = {"output": tmp_path / "run", "progress": lambda stage, done, total: stages.append(stage)}
    for grades, sentence in (
        (None, "is not known"),
        ("none,slight", "lacks"),
        (f"{WORDS},worst", "'worst', of which there is no"),
    ):
        chosen = settings(strategy="probe", task="ordinal", grades=grades)
        for door in (headstart.train, headstart.audit_images):
            with pytest.raises(DataError, match=sentence):
                door(plates, settings=chosen, **watched)
    assert not stages  # as soon as the names of the classes are known: no image was read
    assert not (tmp_path / "run").exists()
    for wrong in ("none", "none,,slight", "none,none"):
        with pytest.raises(SettingsError, match="--grades cannot be"):
            settings(task="ordinal", grades=wrong)
    with pytest.raises(SettingsError, match="--grades are those of --task ordinal"):
        settings(grades=WORDS)
    assert not (tmp_path / "run").exists()
