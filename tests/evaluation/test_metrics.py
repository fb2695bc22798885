"""Metrics against numbers worked out by hand, and at the edges where libraries warn or divide by zero."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.evaluation.calibration import expected_calibration_error
from headstart.evaluation.intervals import wilson_interval
from headstart.evaluation.metrics import Evaluation, evaluate_predictions
from headstart.evaluation.selection import Corrected


def probabilities_for(predicted: list[int], n_classes: int, sure: float = 0.8) -> np.ndarray:
    """Rows that predict `predicted` with probability `sure`, the rest shared evenly."""
    rows = np.full((len(predicted), n_classes), (1 - sure) / (n_classes - 1))
    rows[np.arange(len(predicted)), predicted] = sure
    return rows


def evaluate(predicted: list[int], labels: list[int], classes: str = "abc") -> Evaluation:
    return evaluate_predictions(probabilities_for(predicted, len(classes)), np.array(labels), list(classes), split="val")


def test_by_hand() -> None:
    """Six images of three classes, every figure worked out on paper."""
    found = evaluate(predicted=[0, 0, 1, 1, 1, 2], labels=[0, 0, 0, 1, 1, 2])
    assert (found.split, found.n, found.selected_on) == ("val", 6, False)
    assert found.accuracy == pytest.approx(5 / 6)
    assert found.accuracy_ci95 == wilson_interval(5, 6)
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert found.macro_f1 == pytest.approx((0.8 + 0.8 + 1) / 3)
    assert found.log_loss == pytest.approx(-(5 * math.log(0.8) + math.log(0.1)) / 6)
    assert found.ece == pytest.approx((5 * 0.2 + 0.8) / 6)
    assert found.confusion == ((2, 1, 0), (0, 2, 0), (0, 0, 1))
    first = found.per_class[0]
    assert (first.name, first.n, first.precision, first.recall) == ("a", 3, 1.0, pytest.approx(2 / 3))
    assert first.f1 == pytest.approx(0.8)


def test_class_without_images() -> None:
    """A class without images has no recall and no F1, and the means are over the classes present."""
    found = evaluate(predicted=[0, 1, 2], labels=[0, 1, 1])
    absent = found.per_class[2]
    assert (absent.n, absent.precision, absent.recall, absent.f1) == (0, 0.0, None, None)
    assert found.balanced_accuracy == pytest.approx((1 + 0.5) / 2)
    assert found.macro_f1 == pytest.approx((1 + 2 / 3) / 2)
    assert np.shape(found.confusion) == (3, 3)


def test_class_never_predicted() -> None:
    """A class that was never predicted has no precision; its recall and F1 are 0."""
    found = evaluate(predicted=[0, 0, 0], labels=[0, 0, 1], classes="ab")
    missed = found.per_class[1]
    assert (missed.n, missed.precision, missed.recall, missed.f1) == (1, None, 0.0, 0.0)
    assert found.macro_f1 == pytest.approx(0.8 / 2)


@pytest.mark.parametrize("label", [0, 1])
def test_one_image(label: int) -> None:
    """A single image has all metrics, with an interval as wide as that deserves."""
    found = evaluate(predicted=[0], labels=[label], classes="ab")
    assert found.accuracy == 1 - label
    assert found.accuracy_ci95[1] - found.accuracy_ci95[0] > 0.7
    assert found.log_loss == pytest.approx(-math.log(0.2 if label else 0.8))


def test_a_recall_has_an_interval_from_twenty_images_on() -> None:
    """A class of 20 images has an interval, one of 19 is too small; groups make both intervals wider."""
    labels = np.repeat([0, 1], [20, 19])
    probabilities = np.where((labels == np.arange(39) % 2)[:, None], [0.9, 0.1], [0.2, 0.8])
    found = evaluate_predictions(probabilities, labels, ["a", "b"], split="val")
    large, small = found.per_class
    assert large.recall_ci95 is not None and large.recall is not None
    assert large.recall_ci95[0] < large.recall < large.recall_ci95[1]
    assert small.recall_ci95 is None
    of_two = evaluate_predictions(probabilities, labels, ["a", "b"], split="val", groups=np.arange(39) // 4)
    assert (found.n_groups, of_two.n_groups) == (39, 10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_certain_and_wrong(dtype: type) -> None:
    """A probability of exactly 0 for the truth gives a large and finite log loss."""
    probabilities = np.array([[1, 0], [0, 1]], dtype=dtype)
    found = evaluate_predictions(probabilities, np.array([0, 0]), ["a", "b"], split="test", selected_on=True)
    assert 5 < found.log_loss < 100
    assert found.ece == 0.5
    assert found.selected_on


def test_json_is_complete() -> None:
    """metrics.json holds every figure under its name, as JSON's own types."""
    values = evaluate(predicted=[0, 1, 1], labels=[0, 1, 0]).as_json()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert list(values) == [
        "split",
        "n",
        "n_groups",
        "selected_on",
        "views_chosen_on",
        "leaked",
        "unclear",
        "accuracy",
        "accuracy_ci95",
        "selection_corrected",
        "balanced_accuracy",
        "balanced_accuracy_ci95",
        "macro_f1",
        "macro_f1_ci95",
        "log_loss",
        "log_loss_ci95",
        "top5_accuracy",
        "ece",
        "grades",
        "tree",
        "label_sets",
        "per_class",
        "confusion",
    ]
    numbers = ("precision", "precision_ci95", "recall", "recall_ci95", "f1", "f1_ci95")
    assert values["per_class"][2] == {"class": "c", "n": 0} | dict.fromkeys(numbers)
    assert sum(map(sum, values["confusion"])) == 3


@pytest.mark.parametrize(
    ("sure", "n_right", "expected"), [(0.8, 80, 0.0), (0.8, 60, 0.2), (0.8, 100, 0.2), (0.6, 60, 0.0), (1.0, 50, 0.5)]
)
def test_calibration_of_one_confidence(sure: float, n_right: int, expected: float) -> None:
    """With one confidence for all and right answers spread evenly, the error is the distance to the share that is right."""
    labels = np.zeros(100, int)
    predicted = [int((i * n_right) // 100 == ((i + 1) * n_right) // 100) for i in range(100)]
    assert predicted.count(0) == n_right
    assert expected_calibration_error(probabilities_for(predicted, 2, sure), labels, n_bins=5) == pytest.approx(expected)


def test_calibration_bins_have_equal_size() -> None:
    """Overconfidence in one half and underconfidence in the other do not cancel out."""
    probabilities = np.vstack([probabilities_for([0] * 50, 2, 0.9), probabilities_for([0] * 50, 2, 0.6)])
    labels = np.array(([0, 1] * 25) + [0] * 50)
    assert expected_calibration_error(probabilities, labels, n_bins=2) == pytest.approx((0.4 + 0.4) / 2)
    assert expected_calibration_error(probabilities, labels, n_bins=1) == pytest.approx(0.0)


def test_calibrated_predictions_have_a_small_error() -> None:
    """Labels drawn from the very probabilities give an error that is sampling noise only."""
    rng = np.random.default_rng(0)
    first = rng.uniform(0, 1, 20_000)
    probabilities = np.stack([first, 1 - first], axis=1)
    labels = (rng.uniform(0, 1, 20_000) > first).astype(int)
    assert expected_calibration_error(probabilities, labels) < 0.02
    assert expected_calibration_error(probabilities, 1 - labels) > 0.3


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(1, 100), min_size=4, max_size=4)), min_size=1, max_size=30))
def test_any_predictions(rows: list[tuple[int, list[int]]]) -> None:
    """Whatever the predictions, all figures are finite, within their limits, and agree with the confusion matrix."""
    weights = np.array([row for _, row in rows], np.float64)
    labels = np.array([label for label, _ in rows])
    found = evaluate_predictions(weights / weights.sum(axis=1, keepdims=True), labels, list("abcd"), split="val")
    assert found.accuracy == pytest.approx(np.trace(found.confusion) / np.sum(found.confusion))
    assert [sum(row) for row in found.confusion] == [c.n for c in found.per_class]
    low, high = found.accuracy_ci95
    assert 0 <= low <= found.accuracy <= high <= 1
    for value in (found.balanced_accuracy, found.macro_f1, found.ece):
        assert 0 <= value <= 1
    assert 0 < found.log_loss < 10
    json.dumps(found.as_json(), allow_nan=False)


@pytest.mark.parametrize(("counts", "uneven"), [((10, 10), False), ((30, 10), False), ((31, 10), True), ((31, 0), False)])
def test_uneven_classes_are_noticed(counts: tuple[int, int], uneven: bool) -> None:
    """From more than three times as many images on; a class without any does not count."""
    labels = np.repeat([0, 1], counts)
    assert evaluate_predictions(np.full((len(labels), 2), 0.5), labels, ["a", "b"], split="val").is_uneven == uneven


@pytest.mark.parametrize("n_classes", [2, 5, 12])
def test_scikit_learn_agrees(n_classes: int) -> None:
    """Every number is scikit-learn's; some classes are without images, some are never predicted."""
    from sklearn import metrics

    rng = np.random.default_rng(n_classes)
    labels = rng.integers(0, n_classes - 1 if n_classes > 2 else 2, 300)
    probabilities = rng.dirichlet(np.full(n_classes, 0.3), 300)
    probabilities[:, 1] = np.where(probabilities[:, 1] == probabilities.max(axis=1), 0, probabilities[:, 1]) + 1e-9
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    classes = [str(i) for i in range(n_classes)]
    found = evaluate_predictions(probabilities, labels, classes, split="val")
    predicted, indices = probabilities.argmax(axis=1), np.arange(n_classes)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    recall = metrics.recall_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0)
    assert found.balanced_accuracy == pytest.approx(recall)
    present = np.unique(labels)
    assert found.macro_f1 == pytest.approx(metrics.f1_score(labels, predicted, labels=present, average="macro"))
    assert found.log_loss == pytest.approx(metrics.log_loss(labels, probabilities, labels=indices))
    assert np.array_equal(found.confusion, metrics.confusion_matrix(labels, predicted, labels=indices))
    scores = metrics.precision_recall_fscore_support(labels, predicted, labels=indices, zero_division=0)
    for i, c in enumerate(found.per_class):
        assert c.n == scores[3][i]
        assert (c.precision or 0, c.recall or 0, c.f1 or 0) == pytest.approx([score[i] for score in scores[:3]])
    if n_classes > 10:
        assert found.top5_accuracy == pytest.approx(metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=indices))
    else:
        assert found.top5_accuracy is None


def test_an_evaluation_survives_its_json() -> None:
    """What `as_json` gave becomes the same evaluation again, its optional parts too."""
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(12), 400), rng.integers(0, 11, 400)  # one class has no images
    evaluation = evaluate_predictions(probabilities, labels, [f"c{i}" for i in range(12)], split="test")
    corrected = evaluation.model_copy(
        update={"selection_corrected": Corrected(accuracy=0.5, accuracy_ci95=(0.4, 0.6)), "selected_on": True}
    )
    viewed = evaluate_predictions(probabilities, labels, [f"c{i}" for i in range(12)], split="cv", views_chosen_on=300)
    assert viewed.selected_on and not viewed.epoch_chosen_on and corrected.epoch_chosen_on
    for one in (evaluation, corrected, viewed):
        again = Evaluation.from_json(json.loads(json.dumps(one.as_json())))
        assert again.as_json() == one.as_json()
        assert again == one


def test_an_evaluation_of_the_first_days_is_read() -> None:
    """Without intervals but the accuracy's, as models of the first days have it; the manifest says the number of groups."""
    values = evaluate_predictions(np.eye(2)[[0, 1, 1]], np.array([0, 1, 0]), ["a", "b"], split="val").as_json()
    new = {key for key in values if key.endswith("ci95")} - {"accuracy_ci95"} | {
        "selection_corrected",
        "top5_accuracy",
        "views_chosen_on",
    }
    old = {key: value for key, value in values.items() if key not in new}
    old["per_class"] = [{key: c[key] for key in ("class", "n", "precision", "recall", "f1")} for c in values["per_class"]]
    evaluation = Evaluation.from_json(old)
    assert (evaluation.n_groups, evaluation.macro_f1_ci95, evaluation.selection_corrected) == (3, None, None)
    assert evaluation.views_chosen_on == 0
    assert evaluation.accuracy == values["accuracy"]


def test_an_evaluation_that_contradicts_itself_is_refused() -> None:
    """A class named twice, or a confusion matrix of another number of classes."""
    values = evaluate(predicted=[0, 1, 1], labels=[0, 1, 0]).as_json()
    with pytest.raises(ValueError, match="a class appears twice in per_class"):
        Evaluation.from_json(values | {"per_class": [values["per_class"][0]] * 3})
    for confusion in ([], [[0, 0], [0, 0]], [[0, 0, 0], [0, 0], [0, 0, 0]]):
        with pytest.raises(ValueError, match="confusion must have one row and one column for each class"):
            Evaluation.from_json(values | {"confusion": confusion})


def test_few_groups_have_numbers_but_no_intervals() -> None:
    """Ninety images of six patients: only the accuracy keeps an interval, a wide one; classes have none."""
    labels, groups = np.tile([0, 1], 45), np.repeat(np.arange(6), 15)
    probabilities = np.where((labels == (np.arange(90) % 9 > 1))[:, None], [0.9, 0.1], [0.2, 0.8])
    found = evaluate_predictions(probabilities, labels, ["a", "b"], split="val", groups=groups)
    assert found.balanced_accuracy_ci95 is found.macro_f1_ci95 is found.log_loss_ci95 is None
    assert all(c.recall_ci95 is c.precision_ci95 is c.f1_ci95 is None for c in found.per_class)
    of_nine = evaluate_predictions(probabilities, labels, ["a", "b"], split="val", groups=np.arange(90) // 10)
    assert of_nine.macro_f1_ci95 is not None and of_nine.per_class[0].recall_ci95 is not None
