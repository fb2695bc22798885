"""`train --task nested` on folders within folders."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_shape

import headstart
from headstart.artifact.predictor import Predictor
from headstart.errors import DataError
from headstart.record.trained import Trained
from headstart.runs.evaluating import evaluate_model
from headstart.settings import TrainSettings
from runs.conftest import rows_of

Make = Callable[..., TrainSettings]
FOLDERS = {"round/circles": "circles", "edged/four/squares": "squares", "edged/three": "triangles"}


def draw_tree(folder: Path, count: int, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for below, shape in FOLDERS.items():
        (folder / below).mkdir(parents=True)
        for i in range(count):
            draw_shape(shape, rng, (64, 56)).save(folder / below / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def trained(settings: Make, tmp_path_factory: pytest.TempPathFactory, module_home: None) -> Trained:
    data = draw_tree(tmp_path_factory.mktemp("data") / "shapes", 24)
    chosen = settings(strategy="probe", task="nested", target_precision=0.8)
    return headstart.train(data, chosen, output=tmp_path_factory.mktemp("runs") / "run")


def test_folders_within_folders_are_nested_classes(trained: Trained) -> None:
    """A class is the path of folders to its images, and the run says how many answers are right on each level."""
    assert sorted(trained.metrics["classes"]) == sorted(FOLDERS)
    tree = trained.metrics["evaluation"]["tree"]
    assert [level["depth"] for level in tree["levels"]] == [1, 2, 3]
    rows = rows_of(trained.run / "predictions.csv")
    right = np.mean([row["label"].split("/")[0] == row["predicted"].split("/")[0] for row in rows])
    assert tree["levels"][0]["accuracy"] == pytest.approx(right)
    assert "accuracy, level 1" in (trained.run / "report.html").read_text(encoding="utf-8")
    assert "accuracy, level 1" in (trained.model / "README.md").read_text(encoding="utf-8")


def test_an_answer_may_stop_above_the_classes(trained: Trained, tmp_path: Path) -> None:
    """With a higher confidence asked for, an answer is a group, whose probability is the sum of its classes."""
    others = draw_tree(tmp_path / "others", 4, seed=1)
    found = evaluate_model(trained.run, others)
    assert found.evaluation.tree is not None and found.evaluation.n == 12
    predictor = Predictor.load(trained.run)
    nodes = {"round", "edged", "edged/four", *FOLDERS}
    for answer in predictor.predict(sorted(others.rglob("*.png"))):
        assert answer.best in nodes and answer.probabilities is not None
        below = [
            share for name, share in zip(answer.classes, answer.probabilities, strict=True) if name.startswith(answer.best)
        ]
        assert answer.probability == pytest.approx(sum(below))
        assert answer.predicted == ("unsure" if answer.probability < answer.min_confidence else answer.best)


def test_a_tree_is_extended_by_new_images_alone(trained: Trained, tmp_path: Path) -> None:
    """The images of the run keep their nested classes where they are; a new one below a group is added to them."""
    rng = np.random.default_rng(2)
    new = tmp_path / "more"
    (new / "edged" / "five").mkdir(parents=True)
    (new / "round" / "circles").mkdir(parents=True)
    for i in range(6):
        draw_shape("triangles", rng, (64, 20)).save(new / "edged" / "five" / f"{i}.png")
        draw_shape("circles", rng, (64, 56)).save(new / "round" / "circles" / f"{i}.png")
    settings = TrainSettings.of(workers=2, device="cpu")
    found = headstart.train(new, settings, output=tmp_path / "run", extend=trained.run, pictures=False)
    images = found.metrics["extended"]["images"]
    assert (images["kept"], images["new"], images["relabelled"]) == (72, 12, 0)
    assert (images["classes_added"], images["classes_gone"]) == (["edged/five"], [])


def test_images_above_the_classes_are_refused(settings: Make, tmp_path: Path) -> None:
    """An image directly in a folder that has class folders is of no class."""
    data = draw_tree(tmp_path / "shapes", 3)
    draw_shape("squares", np.random.default_rng(0)).save(data / "edged" / "loose.png")
    with pytest.raises(DataError, match="some images are of 'edged', others of classes below it"):
        headstart.train(data, settings(strategy="probe", task="nested"), output=tmp_path / "run")


def test_without_the_task_a_class_is_its_outer_folder(settings: Make, tmp_path: Path) -> None:
    """As ever: folders below a class folder are only folders."""
    trained = headstart.train(draw_tree(tmp_path / "shapes", 6), settings(strategy="probe"), output=tmp_path / "run")
    assert trained.metrics["classes"] == ["edged", "round"]
    assert trained.metrics["evaluation"]["tree"] is None
