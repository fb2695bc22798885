"""Every kind of answer is the same on the page of an export for the browser as in Python."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from conftest import PATIENCE_SECONDS, TINY, MakeOnce, draw_shape, home_of
from playwright.sync_api import Browser, Page, expect

from artifact.conftest import needs_chromium, served
from headstart.artifact import web_export
from headstart.artifact.predictor import Doubts, Prediction, Predictor
from headstart.artifact.web_export import export_web
from headstart.errors import BundleError
from headstart.evaluation.number_intervals import NumberIntervals
from headstart.settings import TaskName
from headstart.tasks.kinds import task_named
from headstart.tasks.one_number import Numbers

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
    "regression": {"2010.5": "circles", "2040": "squares", "2090": "triangles"},
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


def test_the_page_knows_every_task(modules: Page) -> None:
    """A kind of answer that is new in Python is new here, too."""
    known = modules.evaluate('async () => Object.keys((await import("/tasks.js")).TASKS)')
    assert set(known) == set(get_args(TaskName))


@pytest.mark.parametrize("intervals", [((5.0,), (2.0,)), ((-3.0, 0.0, 0.5, 7e5), (1.0, 0.25, 4.0, 1e4)), None])
def test_numbers_have_pythons_intervals(modules: Page, intervals: tuple[tuple[float, ...], tuple[float, ...]] | None) -> None:
    """At the places where their width changes, between these and beyond; the answer is the number itself."""
    set_to = intervals and NumberIntervals(coverage=0.9, answers=intervals[0], half_widths=intervals[1], n=60, n_groups=60)
    asked = [-1e6, -3.0, -1.7, -0.0, 1e-7, 0.5, 0.3, 5.0, 12345.678, 7e5, 1e21, float(np.float32(0.1))]
    of_all = Doubts(intervals=set_to).judged([""] * len(asked), ("n",), np.array(asked)[:, None], None, Numbers())
    script = """async ([asked, intervals]) => {
      const { TASKS } = await import("/tasks.js");
      return asked.map((number) => TASKS.regression.decide([number], { intervals }));
    }"""
    found = modules.evaluate(script, [asked, set_to.as_json() if set_to else None])
    for said, own in zip(found, of_all, strict=True):
        assert (float(said["predicted"]), said["unsure"], said["set"]) == (own.value, False, None)
        assert said["ends"] == (None if own.ends is None else pytest.approx(own.ends, rel=1e-12))
    assert found[8]["words"] == "12350" and ("note" in found[8]) == (intervals is not None)


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
        precision = None if task == "regression" else 0.85
        chosen = {"task": task, "strategy": "probe", "target_precision": precision, "conformal": 0.8, "device": "cpu"}
        settings = TrainSettings.of(backbone=TINY, weights=tiny_weights, **chosen)
        with home_of(folder / "home", compiled_forms):
            train(folder / "data", settings, output=folder / "run")

    return lambda task: made_once(f"web run {task}", lambda folder: make(folder, task)) / "run"


@pytest.mark.parametrize("task", ["ordinal", "nested"])
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


def test_a_page_of_numbers_answers_as_python(
    run_of: Callable[[TaskName], Path], npm_package: Path, chromium: Browser, tmp_path: Path
) -> None:
    """The number with its interval, where it is said how good the model is, and nothing of classes."""
    exported = export_web(run_of("regression"), tmp_path / "page", runtime=npm_package)
    assert exported.proof is not None and exported.of_numbers
    assert exported.proof.images == 36 and exported.proof.same_label == 1 and exported.proof.max_difference < 1e-4
    files = sorted((run_of("regression").parent / "data" / "val").rglob("*.png"))[::7]
    page = chromium.new_page()
    with served(exported.folder) as url:
        page.goto(url)
        expect(page.locator("#choose")).to_be_enabled()
        expect(page.locator("#claim")).to_contain_text("the answers are off by")
        for number, own in enumerate(Predictor.load(run_of("regression")).predict(files), start=1):
            page.set_input_files("#files", own.path)
            expect(page.locator(".answer")).to_have_count(number)
            card = page.locator(".answer").first
            assert own.value is not None and own.ends is not None
            expect(card.get_by_role("heading")).to_have_text(f"{own.value:.4g}")
            low, high = own.ends
            expect(card).to_contain_text(f"Between {low:.4g} and {high:.4g}, for 80 % of images like the training images")
            expect(card.locator(".bars")).to_have_count(0)
        expect(page.locator("#facts")).to_contain_text("Their numbers are from 2010 to 2090")
        expect(page.locator("body")).not_to_contain_text("class")
    page.close()


@pytest.mark.parametrize("what", ["number", "interval"])
def test_a_page_with_other_numbers_is_not_kept(
    what: str, run_of: Callable[[TaskName], Path], npm_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that is off by a fiftieth of a standard deviation, and one with another interval, are noticed."""
    if what == "number":
        right = web_export.write_graph

        def moved(bundle: Any, predictor: Predictor, *rest: Any) -> None:
            head = replace(predictor.head, bias=predictor.head.bias + np.float32(0.02))
            right(
                bundle, Predictor(predictor.classes, predictor.preprocess, predictor.extractor, head, predictor.manifest), *rest
            )

        monkeypatch.setattr(web_export, "write_graph", moved)
        says = "numbers, in standard deviations, differ by 0.0200"
    else:
        of_page = web_export._about

        def narrower(*given: Any) -> dict[str, Any]:
            about = of_page(*given)
            return about | {"intervals": about["intervals"] | {"half_widths": [0.0] * len(about["intervals"]["half_widths"])}}

        monkeypatch.setattr(web_export, "_about", narrower)
        says = "does not follow from the network's output"
    with pytest.raises(BundleError, match=says):
        export_web(run_of("regression"), tmp_path / "page", runtime=npm_package)
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_decides_otherwise_is_not_kept(
    run_of: Callable[[TaskName], Path], npm_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most probable grade with the right probabilities is no answer of a model of grades."""
    right = web_export._about
    monkeypatch.setattr(web_export, "_about", lambda *given: right(*given) | {"task": "single-label"})
    with pytest.raises(BundleError, match="does not follow from its probabilities"):
        export_web(run_of("ordinal"), tmp_path / "page", runtime=npm_package)
    assert list(tmp_path.iterdir()) == []
