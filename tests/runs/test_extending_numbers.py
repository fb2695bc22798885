"""`train --extend` where answers are numbers."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.errors import DataError, SettingsError
from headstart.evaluation.intervals import mean_interval
from headstart.record.trained import Trained
from headstart.settings import TrainSettings
from runs.conftest import contents, ended_by_a_save, extend, manifest_of, rows_of

Make = Callable[..., TrainSettings]
pytestmark = pytest.mark.usefixtures("here")


def draw_plates(folder: str, count: int, seed: int = 0, column: str = "thickness") -> Path:
    """A table of plates with their thickness: the darker, the thicker, but not exactly."""
    rng = np.random.default_rng(seed)
    Path(folder).mkdir()
    rows = []
    for i in range(count):
        darkness = rng.uniform(30, 220)
        plate = np.clip(255 - darkness + rng.normal(0, 20, (56, 56, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(plate).save(Path(folder) / f"{folder}-{i}.png")
        rows.append((f"{folder}-{i}.png", f"{2000 + darkness + rng.normal(0, 15):.2f}"))
    file = Path(folder, "plates.csv")
    with file.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([("path", column), *rows])
    return file


@pytest.fixture
def old() -> Path:
    return draw_plates("old", 120)


def by_name(file: Path) -> dict[str, dict[str, str]]:
    """The rows of a table by the names of their images; the folders depend on where the images were found."""
    return {Path(row["path"]).name: row for row in rows_of(file)}


def given(settings: Make, strategy: str = "probe", **more: object) -> TrainSettings:
    return settings(strategy=strategy, task="regression", label_column="thickness", view="whole", **more)


@pytest.fixture
def run(old: Path, settings: Make) -> Trained:
    return headstart.train(old, given(settings, seed=3), output="run", pictures=False)


def test_numbers_are_added(run: Trained, old: Path) -> None:
    """Old images stay in their splits, new ones are divided by their sizes; what changed is said of those judged in both."""
    before, was = contents(run.run), manifest_of("run")
    trained = extend(draw_plates("new", 50, seed=1))
    assert contents(run.run) == before
    now = manifest_of("more")
    assert (now.task, now.classes, now.seed) == ("regression", ("thickness",), 3)
    assert now.extends is not None and now.extends.images == 120
    assert all(set(was.images[name]) < set(now.images[name]) for name in ("train", "val"))
    added = [i for i, sha256 in enumerate(now.images["val"]) if sha256 not in was.images["val"]]
    assert len(added) == 10  # a fifth of 50
    sizes = sorted(float(now.image_labels["val"][i]) for i in added)
    assert sizes[0] < 2080 and sizes[-1] > 2170  # of all sizes
    assert trained.metrics["extended"]["images"] == {
        "kept": 120, "new": 50, "gone": 0, "relabelled": 0, "classes_added": [], "classes_gone": []
    }  # fmt: skip
    rows = [by_name(one.run / "predictions.csv") for one in (run, trained)]
    errors = [
        np.array([abs(float(of[path]["predicted"]) - float(of[path]["label"])) for path in rows[1] if path in rows[0]])
        for of in rows
    ]
    found = trained.metrics["extended"]["compared"]
    assert (found["split"], found["n"]) == ("val", len(rows[0]))
    assert found["mean_absolute_error_before"] == pytest.approx(errors[0].mean())
    assert found["mean_absolute_error_after"] == pytest.approx(errors[1].mean())
    interval = mean_interval(errors[1] - errors[0])
    assert found["difference"]["change"] == pytest.approx(errors[1].mean() - errors[0].mean())
    assert found["difference"]["change_ci95"] == pytest.approx(interval)
    assert "50 new images; on the 20 images judged in both, the answers were off by" in trained.extension


def test_the_answers_that_moved(run: Trained, old: Path) -> None:
    """flips.csv has every image whose answer moved, the farthest first; the report shows them, and counts are of these."""
    trained = extend(draw_plates("new", 50, seed=1))
    before, after = (by_name(one.run / "predictions.csv") for one in (run, trained))
    spread = np.std([float(text) for text in manifest_of("more").image_labels["train"]])
    moves = rows_of(trained.run / "flips.csv")
    assert list(moves[0]) == ["path", "label", "before", "after", "moved", "error_before", "error_after"]
    sizes = [abs(float(row["moved"])) for row in moves]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] >= 0.01 * spread
    moved = {
        path for path in before if abs(float(before[path]["predicted"]) - float(after[path]["predicted"])) >= 0.01 * spread
    }
    assert {Path(row["path"]).name for row in moves} == moved != set()
    for row in moves:
        path, label = Path(row["path"]).name, float(row["label"])
        assert (row["before"], row["after"]) == (before[path]["predicted"], after[path]["predicted"])
        assert float(row["error_before"]) == pytest.approx(abs(float(row["before"]) - label))
        assert float(row["error_after"]) == pytest.approx(abs(float(row["after"]) - label))
    found = trained.metrics["extended"]["compared"]
    nearer = sum(float(row["error_after"]) < float(row["error_before"]) for row in moves)
    assert (found["nearer"], found["farther"]) == (nearer, len(moves) - nearer)
    page = (trained.run / "report.html").read_text(encoding="utf-8")
    assert "What adding to the run changed" in page and "moved by" in page


def test_nothing_new_and_other_numbers(run: Trained, old: Path) -> None:
    """The same data gives the same answers; a number that is another one now is counted and judged as it is now."""
    same = extend(old)
    assert same.extension.startswith("extends run by no new image; on the 20 images judged in both no answer moved: ")
    assert rows_of(same.run / "flips.csv") == []
    val = rows_of(run.run / "predictions.csv")
    table = old.read_text(encoding="utf-8")
    old.write_text(table.replace(f",{float(val[0]['label']):.2f}", ",5000"), encoding="utf-8")
    trained = extend(old, output="other")
    assert trained.metrics["extended"]["images"]["relabelled"] == 1
    error = trained.metrics["extended"]["compared"]["mean_absolute_error_before"]
    wrong = [abs(float(row["predicted"]) - (5000 if i == 0 else float(row["label"]))) for i, row in enumerate(val)]
    assert error == pytest.approx(np.mean(wrong))


def test_few_new_images_leave_val_as_it_was(run: Trained, old: Path) -> None:
    extend(draw_plates("new", 2, seed=1))
    assert set(manifest_of("more").images["val"]) == set(manifest_of("run").images["val"])


def test_a_column_of_another_name(run: Trained, old: Path) -> None:
    """The number is called as in the run, and a note says what was taken for it; without --label-column it is refused."""
    new = draw_plates("new", 20, seed=1, column="height")
    with pytest.raises(DataError, match="thickness"):
        extend(new)
    trained = extend(new, label_column="height")
    assert manifest_of("more").classes == ("thickness",) and trained.metrics["number"] == "thickness"
    assert "what plates calls 'height' is taken for the 'thickness' of the extended run" in trained.notes


def test_a_cross_validated_run(old: Path, settings: Make) -> None:
    """Every old image has an answer by a probe that never saw it, before and after."""
    headstart.train(old, given(settings, val_fraction=0.0), output="run", pictures=False)
    found = extend(draw_plates("new", 20, seed=1)).metrics["extended"]["compared"]
    assert (found["split"], found["n"]) == ("cv", 120)


def test_a_chain_of_folders(run: Trained, old: Path) -> None:
    """New images may lie in folders named by numbers; a third run finds the images of all before."""
    plate = Path("folders", "2100.5")
    plate.mkdir(parents=True)
    for i in range(3):
        Image.fromarray(np.full((56, 56, 3), 120 + i, np.uint8)).save(plate / f"{i}.png")
    extend("folders")
    third = extend(draw_plates("third", 10, seed=2), "more", "again", label_column="thickness")
    assert third.metrics["extended"]["images"]["kept"] == 123
    assert manifest_of("again").classes == ("thickness",)


def test_a_fine_tuned_run_is_extended_and_resumed(old: Path, settings: Make) -> None:
    """It is fine-tuned on from its own weights; interrupted and resumed it ends as an undisturbed one."""
    headstart.train(old, given(settings, "finetune", epochs=1), output="run", pictures=False)
    new = draw_plates("new", 20, seed=1)
    undisturbed = extend(new, output="undisturbed", epochs=2)
    with ended_by_a_save():
        assert extend(new, epochs=2).interrupted
    resumed = headstart.train(None, resume="more", pictures=False)
    assert resumed.metrics["extended"] == undisturbed.metrics["extended"]
    assert resumed.metrics["evaluation"] == undisturbed.metrics["evaluation"]


def test_another_task_is_refused(run: Trained, old: Path) -> None:
    with pytest.raises(SettingsError, match="run has --task regression, and what it answered is of no use"):
        extend(old, task="ordinal")
