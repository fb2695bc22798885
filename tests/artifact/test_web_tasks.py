"""Every kind of answer is the same on the page of an export for the browser as in Python."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PATIENCE_SECONDS, TINY, MakeOnce, draw_shape, home_of
from playwright.sync_api import Browser, Page, expect

from artifact.conftest import needs_chromium, served
from headstart.artifact import web_export
from headstart.artifact.predictor import Doubts, Prediction, Predictor
from headstart.artifact.web_export import export_web
from headstart.errors import BundleError
from headstart.settings import TaskName
from headstart.tasks.kinds import task_named

pytestmark = [pytest.mark.slow, needs_chromium]
expect.set_options(timeout=1000 * PATIENCE_SECONDS)
CLASSES: dict[TaskName, list[str]] = {
    "single-label": ["bees", "ants", "a/b", "wasps", "flies", "moths", "beetles"],
    "ordinal": ["none", "slight", "worse", "severe", "gone"],
    "nested": ["animals/insects/bees", "animals/insects/ants", "animals/cats", "animal", "plants/trees", "plants/moss/a/b"],
}
DECIDED = """async ([task, classes, asked]) => {
  const { TASKS } = await import("/tasks.js");
  return asked.map(([probabilities, limits]) => {
    const { predicted, unsure, set } = TASKS[task].decide(probabilities, { classes, ...limits });
    return [predicted, unsure, set];
  });
}"""
FOLDERS: dict[TaskName, dict[str, str]] = {
    "ordinal": {"1": "circles", "2": "squares", "3": "triangles"},
    "nested": {"round/circles": "circles", "edged/four/squares": "squares", "edged/three": "triangles"},
}


THRESHOLDS = (0.125, 0.25, 0.1, 0.5)


def test_several_labels_are_said_as_in_python(modules: Page) -> None:
    """Every label whose threshold is reached, none too, and the sets, whatever the probabilities."""
    classes = ("ants", "bees 2", "bees 10", "cats")
    task = task_named("multi-label", classes).with_thresholds(THRESHOLDS)
    asked, wanted = [], []
    for probabilities in drawn_probabilities(4):
        for min_probability in (None, 0.125, 0.0):
            own = next(Doubts(0.0, min_probability).judged([""], classes, probabilities[None], None, task))
            asked.append([probabilities.tolist(), {"thresholds": THRESHOLDS, "min_probability": min_probability}])
            wanted.append(of_prediction(own))
    found = modules.evaluate(DECIDED, ["multi-label", classes, asked])
    assert len({answer for answer, _, _ in wanted}) > 8
    assert found == wanted


def drawn_probabilities(n_classes: int) -> Iterator[np.ndarray]:
    """(n_classes,) probabilities: even and sharp ones, of which many are equal, and sums that are a half exactly."""
    rng = np.random.default_rng(0)
    for concentration in (0.05, 0.3, 1.0, 5.0):
        yield from rng.dirichlet(np.full(n_classes, concentration), 100)
    for _ in range(100):
        sixteenths = rng.multinomial(16, np.full(n_classes, 1 / n_classes))
        yield sixteenths / 16


@pytest.mark.parametrize("task", CLASSES)
def test_decisions_are_pythons(modules: Page, task: TaskName) -> None:
    """The answer, whether it is unsure, and what cannot be ruled out, whatever the probabilities and the thresholds."""
    classes = tuple(CLASSES[task])
    asked, wanted = [], []
    for probabilities in drawn_probabilities(len(classes)):
        for min_confidence, min_probability in ((0.0, None), (0.5, 0.125), (0.75, 0.0), (1.0, 0.5)):
            doubts = Doubts(min_confidence, min_probability)
            own = next(doubts.judged([""], classes, probabilities[None], None, task_named(task, classes)))
            if abs(own.probability - min_confidence) < 1e-9 and not (16 * probabilities % 1 == 0).all():
                continue  # sums of these are rounded differently here and there
            asked.append([probabilities.tolist(), {"min_confidence": min_confidence, "min_probability": min_probability}])
            wanted.append(of_prediction(own))
    found = modules.evaluate(DECIDED, [task, classes, asked])
    assert len(wanted) > 1500 and len({answer for answer, _, _ in wanted}) >= len(classes)
    assert found == wanted


def of_prediction(own: Prediction) -> list[Any]:
    """What is compared of an answer."""
    return [own.best, own.unsure, None if own.members is None else list(own.members)]


@pytest.fixture(scope="session")
def run_of(made_once: MakeOnce, tiny_weights: Path, compiled_forms: Path) -> Callable[[TaskName], Path]:
    """A small run of a task, with thresholds of both kinds. Some labels are wrong, so that it is unsure."""
    from headstart.runs.training import train
    from headstart.settings import TrainSettings

    def make(folder: Path, task: TaskName) -> None:
        rng, shapes = np.random.default_rng(0), list(FOLDERS[task].values())
        for split, count in (("train", 12), ("val", 12)):
            for below, shape in FOLDERS[task].items():
                place = folder / "data" / split / below
                place.mkdir(parents=True)
                for i in range(count):
                    draw_shape(shapes[i % 3] if i % 4 == 3 else shape, rng).save(place / f"{i}.png")
        settings = TrainSettings.of(
            backbone=TINY, weights=tiny_weights, task=task, strategy="probe", target_precision=0.85, conformal=0.8, device="cpu"
        )
        with home_of(folder / "home", compiled_forms):
            train(folder / "data", settings, output=folder / "run")

    return lambda task: made_once(f"web run {task}", lambda folder: make(folder, task)) / "run"


@pytest.mark.parametrize("task", FOLDERS)
def test_a_page_answers_as_python(
    task: TaskName, run_of: Callable[[TaskName], Path], npm_package: Path, chromium: Browser, tmp_path: Path
) -> None:
    """The proof compares answer for answer; the page shows what `predict` says, and the set where there are several."""
    exported = export_web(run_of(task), tmp_path / "page", runtime=npm_package)
    assert exported.proof is not None and exported.proof.same_label == 1
    files = sorted((run_of(task).parent / "data" / "val").rglob("*.png"))[::5]
    answers = list(Predictor.load(run_of(task)).predict(files))
    said = {answer.predicted for answer in answers}
    assert ("unsure" if task == "ordinal" else "edged") in said, "the test is about doubtful answers, too"
    page = chromium.new_page()
    with served(exported.folder) as url:
        page.goto(url)
        expect(page.locator("#choose")).to_be_enabled()
        for number, (file, own) in enumerate(zip(files, answers, strict=True), start=1):
            page.set_input_files("#files", str(file))
            expect(page.locator(".answer")).to_have_count(number)
            card = page.locator(".answer").first
            expect(card.get_by_role("heading")).to_have_text("Unsure" if own.unsure else own.best)
            assert own.members is not None
            sets = card.get_by_text(f"It could be: {', '.join(own.members)}.", exact=True)
            expect(sets).to_have_count(int(len(own.members) > 1))
            if task == "ordinal":
                expect(card.locator(".class")).to_have_text(["1", "2", "3"])
    page.close()


def test_a_page_that_decides_otherwise_is_not_kept(
    run_of: Callable[[TaskName], Path], npm_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most probable grade with the right probabilities is no answer of a model of grades."""
    right = web_export._about
    monkeypatch.setattr(web_export, "_about", lambda *given: right(*given) | {"task": "single-label"})
    with pytest.raises(BundleError, match="does not follow from its probabilities"):
        export_web(run_of("ordinal"), tmp_path / "page", runtime=npm_package)
    assert list(tmp_path.iterdir()) == []
