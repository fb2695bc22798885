"""Temperatures and reliability: what they are for logits whose calibration is known."""

import numpy as np
import pytest

from headstart.evaluation.calibration import (
    BeforeAndAfter,
    Calibration,
    CalibrationError,
    cross_fitted,
    ece_by_chance,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from headstart.tasks.probabilities import as_logits, cross_entropy, log_losses, softmax


def drawn(n: int, scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of 4 classes that are `scale` times as sure as they should be, with labels."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(size=(n, 4)) * 2
    labels = (softmax(honest).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return (honest * scale).astype(np.float32), labels


@pytest.mark.parametrize("scale", [0.4, 0.7, 1.8, 3.0])
def test_the_temperature_undoes_what_is_too_sure_or_not_sure_enough(scale: float) -> None:
    """Logits multiplied by a number need that number as temperature."""
    assert fit_temperature(*drawn(4000, scale)) == pytest.approx(scale, rel=0.06)


def test_calibrated_logits_are_left_alone() -> None:
    """What chance alone shows is no reason for a temperature: of 40 sets of 150 images nearly all keep 1."""
    changed = sum(fit_temperature(*drawn(150, 1.0, seed)) != 1 for seed in range(40))
    assert changed <= 4


def test_few_images_cannot_move_it_far() -> None:
    """Three images that are all right would ask for certainty; the prior does not give it."""
    logits = np.array([[1.0, 0.0]] * 3, np.float32)
    assert fit_temperature(logits, np.zeros(3, int)) > 0.3


def test_each_half_is_answered_at_the_temperature_of_the_other() -> None:
    """Halves that need different temperatures get each other's: groups decide who is in which."""
    (sure, labels_a), (timid, labels_b) = drawn(2000, 3.0), drawn(2000, 0.5, 1)
    logits, labels = np.concatenate([sure, timid]), np.concatenate([labels_a, labels_b])
    probabilities = cross_fitted(logits, labels, np.repeat([0, 1], 2000))
    assert np.allclose(probabilities[:2000], softmax(sure, fit_temperature(timid, labels_b)))
    assert np.allclose(probabilities[2000:], softmax(timid, fit_temperature(sure, labels_a)))


def test_one_group_has_no_halves() -> None:
    """Images that all belong together keep their probabilities."""
    logits, labels = drawn(50, 3.0)
    assert np.allclose(cross_fitted(logits, labels, np.zeros(50, int)), softmax(logits))


def test_bins_hold_equally_many_from_the_least_sure_to_the_surest() -> None:
    """Ten images in five bins: two each, in order."""
    sure = np.linspace(0.55, 0.95, 10)
    bins = reliability(np.stack([sure, 1 - sure], axis=1), np.zeros(10, int), n_bins=5)
    assert [b.n for b in bins] == [2] * 5
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)
    assert all(b.accuracy == 1 for b in bins)
    assert reliability(np.empty((0, 2)), np.empty(0, int)) == ()


def test_probabilities_to_logits_and_back() -> None:
    """as_logits is softmax's inverse but for a constant; an impossible class stays all but impossible."""
    logits, labels = drawn(100, 1.0)
    probabilities = softmax(logits)
    assert np.allclose(softmax(as_logits(probabilities)), probabilities)
    assert cross_entropy(logits, labels) == pytest.approx(log_losses(probabilities, labels).mean())
    assert np.isfinite(as_logits(np.array([[1.0, 0.0]]))).all()


def test_json_holds_before_and_after() -> None:
    """Both figures are named."""
    ece = CalibrationError(before=0.1, after=0.02, by_chance=0.0)
    values = Calibration(temperature=1.5, fitted_on="val", log_loss=BeforeAndAfter(before=0.5, after=0.4), ece=ece).as_json()
    assert values["log_loss"] == {"before": 0.5, "after": 0.4}
    assert values["ece"] == {"before": 0.1, "after": 0.02, "by_chance": 0.0}


@pytest.mark.parametrize("n", [50, 150, 1000])
def test_few_images_make_an_error_by_chance(n: int) -> None:
    """Honest probabilities stay below what chance makes nineteen times out of twenty; the fewer images, the more it makes."""
    above = 0
    for seed in range(60):
        logits, labels = drawn(n, 1.0, seed)
        probabilities = softmax(logits)
        above += expected_calibration_error(probabilities, labels) > ece_by_chance(probabilities)
    assert above <= 9
    sure, labels = drawn(n, 4.0)
    assert expected_calibration_error(softmax(sure), labels) > ece_by_chance(softmax(sure))
