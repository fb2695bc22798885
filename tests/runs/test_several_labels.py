"""`train --task multi-label` from drawn pictures to predictions, evaluations, exports, the server and the estimator."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from apps.serving.conftest import serving
from conftest import draw_shape
from PIL import Image
from sklearn.metrics import average_precision_score

import headstart
from headstart.artifact.bundle import read_bundle
from headstart.artifact.export import export_model
from headstart.artifact.predictor import Predictor
from headstart.artifact.verification import verify_model
from headstart.data.label_sets import label_matrix
from headstart.errors import DataError, SettingsError
from headstart.record.trained import Trained
from headstart.runs.auditing import audit_images
from headstart.runs.classifier import ImageClassifier
from headstart.runs.comparing import compare_models
from headstart.runs.evaluating import evaluate_model
from headstart.settings import TrainSettings
from runs.conftest import rows_of

NAMES = ("circles", "squares", "triangles")
Make = Callable[..., TrainSettings]


def draw_sets(folder: Path, count: int, seed: int = 0) -> Path:
    """`count` pictures of two halves, each with a shape or empty, and a table of what is in them."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    rows = []
    for i in range(count):
        picture, names = Image.new("RGB", (128, 64), (150, 150, 150)), set()
        for half in range(2):
            name = [*NAMES, ""][int(rng.integers(0, 4))]
            if name:
                picture.paste(draw_shape(name, rng, (64, 64)), (64 * half, 0))
                names.add(name)
        picture.save(folder / f"{i}.png")
        rows.append((f"{i}.png", "|".join(sorted(names))))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "labels"), *rows])
    return folder / "labels.csv"


def table_of(file: Path) -> tuple[list[Path], np.ndarray]:
    """The pictures of a table and their labels, (n, 3) of 0 and 1."""
    rows = rows_of(file)
    return [file.parent / row["path"] for row in rows], label_matrix([row["labels"] or "|" for row in rows], NAMES)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sets(tmp_path_factory.mktemp("data") / "pictures", 120)


@pytest.fixture(scope="module", params=["probe", "finetune"])
def trained(
    request: pytest.FixtureRequest, data: Path, settings: Make, tmp_path_factory: pytest.TempPathFactory, module_home: None
) -> Trained:
    chosen = settings(
        strategy=request.param,
        epochs=2 if request.param == "finetune" else None,
        task="multi-label",
        view="whole",
        conformal=0.8,
        target_recall=0.5,
    )
    return headstart.train(data, chosen, output=tmp_path_factory.mktemp("runs") / request.param)


def test_numbers_of_labels(trained: Trained) -> None:
    """The run is judged by how well it ranks the images of each label; its files say the same."""
    rows = rows_of(trained.run / "predictions.csv")
    true = label_matrix([row["label"] for row in rows], NAMES)
    said = label_matrix([row["predicted"] for row in rows], NAMES)
    probabilities = np.array([[float(row[f"p:{name}"]) for name in NAMES] for row in rows])
    found = trained.metrics["evaluation"]
    assert tuple(trained.metrics["classes"]) == NAMES
    assert found["accuracy"] == pytest.approx((true == said).all(axis=1).mean())
    expected = average_precision_score(true, probabilities, average="macro")
    assert found["label_sets"]["mean_average_precision"] == pytest.approx(expected)
    assert expected > 0.8  # colours tell the shapes
    assert "mean average precision" in trained.summary
    report = (trained.run / "report.html").read_text(encoding="utf-8")
    assert "Which labels occur together" in report and "average precision" in report
    decisions = trained.metrics["decisions"]
    assert [one["name"] for one in decisions["labels"]] == list(NAMES)
    assert all(one["aim"] == "recall" and one["target"] == 0.5 for one in decisions["labels"])


def test_predictions_say_every_label_above_its_threshold(trained: Trained, data: Path) -> None:
    predictor = Predictor.load(trained.run)
    thresholds = [one.threshold for one in read_bundle(trained.model).manifest.decisions.labels]
    images, _ = table_of(data)
    for answer in predictor.predict(images[:12]):
        assert answer.probabilities is not None and answer.labels is not None
        assert set(answer.labels) == {n for n, p, t in zip(NAMES, answer.probabilities, thresholds, strict=True) if p >= t}
        said = answer.as_json()
        assert said["labels"] == list(answer.labels) and "unsure" not in said
        assert answer.members is not None and set(said["set"]) == set(answer.members)


@pytest.mark.process
def test_evaluation_exports_and_cards(trained: Trained, data: Path, tmp_path: Path) -> None:
    """Measured again on the images of val it is the same; an export answers the same, and its card's program too."""
    again = evaluate_model(trained.run, data, split="val")
    assert again.evaluation.label_sets is not None
    expected = trained.metrics["evaluation"]["label_sets"]["mean_average_precision"]
    assert again.evaluation.label_sets.mean_average_precision == pytest.approx(expected, abs=1e-3)
    exported = export_model(trained.run, tmp_path / "out")
    assert exported.parity.same_label == 1 and exported.parity.max_difference < 1e-4
    images, _ = table_of(data)
    ours, theirs = (list(Predictor.load(place).predict(images[:5])) for place in (trained.run, tmp_path / "out"))
    assert [answer.predicted for answer in ours] == [answer.predicted for answer in theirs]
    for place in (trained.run, tmp_path / "out"):
        assert "probabilities between 0 and 1" in list(verify_model(place))[-1].found
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    program = card.split("```python\n")[2].split("```")[0]
    (tmp_path / "out" / "classify.py").write_text(program, encoding="utf-8")
    told = subprocess.run(
        [sys.executable, "classify.py", *map(str, images[:5])],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        check=True,
    )
    for line, answer in zip(told.stdout.splitlines(), ours, strict=True):
        assert answer.labels is not None
        told_of = line.split("\t")[1:]
        assert ({part.rsplit(" ", 1)[0] for part in told_of} if answer.labels else told_of) == (
            set(answer.labels) or ["none of the labels"]
        )


def test_models_are_verified(trained: Trained, tmp_path: Path) -> None:
    """The probabilities of labels need not sum to 1."""
    export_model(trained.run, tmp_path / "out")
    for model in (trained.model, tmp_path / "out"):
        assert [check.found for check in verify_model(model)][-1].endswith("get probabilities between 0 and 1")


def test_what_does_not_know_several_labels_says_so(trained: Trained, data: Path, tmp_path: Path, settings: Make) -> None:
    (tmp_path / "review.csv").write_text("path,label\n0.png,circles\n")
    with pytest.raises(SettingsError, match="--review is for one class"):
        evaluate_model(trained.run, data, review=tmp_path / "review.csv")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"task": "single-label", "target_recall": 0.9}, "--target-recall is for"),
        ({"task": "multi-label", "target_recall": 0.9, "target_precision": 0.9}, "not both"),
        ({"task": "multi-label", "balance": True}, "--balance is not for"),
        ({"task": "multi-label", "join_case": True}, "--join-case is not for"),
    ],
)
def test_settings_that_do_not_fit(values: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        TrainSettings.of(**values)


def test_folders_have_one_label_an_image(draw_classes: Callable[..., Path], settings: Make) -> None:
    with pytest.raises(SettingsError, match="--task multi-label is for tables"):
        headstart.train(draw_classes({"circles": 6, "squares": 6}), settings(task="multi-label"))
    with pytest.raises(DataError, match="only one label"):
        folder = draw_classes({"circles": 6, "squares": 6}, "other")
        rows = "".join(f"{file.relative_to(folder)},{'x' * (i % 2)}\n" for i, file in enumerate(sorted(folder.rglob("*.png"))))
        (folder / "labels.csv").write_text("path,labels\n" + rows)
        headstart.train(folder / "labels.csv", settings(task="multi-label"))


def test_cross_validation_and_unknown_labels(data: Path, settings: Make, tmp_path: Path) -> None:
    """Labels that are not known are neither learnt nor judged; in each fold thresholds are chosen without its images."""
    images, labels = table_of(data)
    text = "path,circles,squares,triangles\n"
    for i, (image, row) in enumerate(zip(images, labels.tolist(), strict=True)):
        text += f"{image.name},{','.join('' if j == 1 and i % 3 == 0 else str(value) for j, value in enumerate(row))}\n"
    table = data.with_name("columns.csv")
    table.write_text(text)
    done = headstart.train(
        table, settings(strategy="probe", task="multi-label", view="whole", cv="4x2"), output=tmp_path / "run"
    )
    found = done.metrics["evaluation"]
    assert found["split"] == "cv" and done.metrics["cross_validation"]["folds"] == 4
    assert [one["n_known"] for one in found["label_sets"]["per_label"]] == [120, 80, 120]
    assert any("not known" in note for note in done.notes)
    manifest = read_bundle(done.model).manifest
    assert any("?squares" in text for text in manifest.image_labels["train"])


def test_audit_finds_wrong_labels(data: Path, settings: Make) -> None:
    """A label that was taken away or added is doubted by a model that never saw the image."""
    rows = rows_of(data)
    wrong = [i for i, row in enumerate(rows) if row["labels"] == "circles"][:2]
    for i in wrong:
        rows[i]["labels"] = "triangles"
    table = data.with_name("wrong.csv")
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "labels"), *((row["path"], row["labels"]) for row in rows)])
    found = audit_images(table, settings=settings(task="multi-label", view="whole"))
    (errors,) = (one for one in found.checked if one.check == "label_error")
    doubted = {Path(one.path).name for one in errors.findings if one.severity != "info"}
    assert {rows[i]["path"] for i in wrong} <= doubted
    assert {one.sentence.split("'")[1] for one in errors.findings} <= set(NAMES)


def test_strategies_are_compared(data: Path, settings: Make) -> None:
    found = compare_models(data, settings(task="multi-label", view="whole", epochs=1), strategies=["probe"], n_folds=3)
    assert 0 < found.contenders[0].accuracy <= 1


@pytest.mark.filterwarnings("always::headstart.errors.HeadstartWarning")
def test_the_estimator_has_scikit_learns_form(data: Path, settings: Make, tmp_path: Path) -> None:
    """fit and score take a matrix of 0 and 1, a data frame or lists of names; predict gives the matrix."""
    images, labels = table_of(data)
    given = dict(settings(task="multi-label", view="whole", strategy="probe"))
    one = ImageClassifier(**given).fit(images[:90], labels[:90])
    said = one.predict(images[90:])
    assert said.shape == (30, 3) and set(np.unique(said)) <= {0, 1} and one.classes_.tolist() == [0, 1, 2]
    assert one.score(images[90:], labels[90:]) == pytest.approx((said == labels[90:]).all(axis=1).mean())
    names = [{name for name, has in zip(NAMES, row, strict=True) if has} for row in labels.tolist()]
    by_name = ImageClassifier(**given).fit(images[:90], names[:90])
    assert by_name.classes_.tolist() == list(NAMES)
    assert np.allclose(by_name.predict_proba(images[90:]), one.predict_proba(images[90:]))
    assert by_name.score(images[90:], labels[90:]) == by_name.score(images[90:], names[90:])
    loaded = ImageClassifier.load(by_name.save(tmp_path / "model"))
    assert (loaded.predict(images[90:]) == said).all()
    from_table = ImageClassifier(**given).fit(data)
    assert from_table.classes_.tolist() == list(NAMES) and from_table.score(data) > 0.5
    with pytest.raises(DataError, match="matrix of 0 and 1"):
        ImageClassifier(**given).fit(images[:4], ["a", "b", "c", "d"])
    with pytest.raises(DataError, match="not 0 and 1"):
        ImageClassifier(**given).fit(images[:2], np.array([[0, 2], [1, 0]]))


@pytest.mark.process
def test_the_command_line(data: Path, settings: Make, tmp_path: Path) -> None:
    """train, predict in three formats, and what is told of a table without labels."""
    small = settings()
    made = ["--backbone", small.backbone, "--weights", str(small.weights), "--image-size", "48", "--strategy", "probe"]

    def headstart_(*arguments: str, expected: int = 0) -> str:
        done = subprocess.run([sys.executable, "-m", "headstart", *arguments], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == expected, done.stderr
        return done.stdout if expected == 0 else done.stderr

    headstart_("train", str(data), "--task", "multi-label", *made, "--target-precision", "0.8", "--output", "run")
    images = [str(image) for image in table_of(data)[0][:6]]
    line = json.loads(headstart_("predict", "run", *images, "--format", "jsonl").splitlines()[0])
    assert set(line) >= {"labels", "predicted", "probabilities"}
    rows = list(csv.DictReader(headstart_("predict", "run", *images, "--format", "csv").splitlines()))
    assert rows[0]["predicted"] == line["predicted"]
    assert len(headstart_("predict", "run", *images).splitlines()) == 6
    with serving(tmp_path / "run", home=Path(os.environ["HEADSTART_HOME"])) as server:
        (answer,) = server.predict(Path(images[0]).read_bytes()).json()["predictions"]
        assert answer["labels"] == line["labels"] and answer["predicted"] == line["predicted"]
        counted = server.client.get("/metrics").text
        assert all(f'class="{name}"' in counted or f'"{name}"' in counted for name in answer["labels"])
    (tmp_path / "none.csv").write_text(f"path,note\n{images[0]},x\n")
    told = headstart_("train", "none.csv", "--task", "multi-label", *made, expected=1)
    assert "neither a column of labels" in told and "Traceback" not in told
