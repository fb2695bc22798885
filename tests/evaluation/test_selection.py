"""The corrected accuracy is what the chosen epoch does on new images, not what it did on those it was chosen by."""

import numpy as np
import pytest
from scipy.stats import norm

from headstart.evaluation.selection import corrected_accuracy

N_EPOCHS, N_IMAGES, RUNS = 25, 153, 120


def epochs_of(rng: np.random.Generator, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """(n_epochs, n) answers of epochs that find the same images hard, and each epoch's true accuracy."""
    accuracies = rng.uniform(0.9, 0.95, N_EPOCHS)
    shared, own = rng.normal(size=(1, N_IMAGES)), rng.normal(size=(N_EPOCHS, N_IMAGES))
    ease = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    return ease < norm.ppf(accuracies)[:, None], accuracies


@pytest.mark.parametrize("correlation", [0.6, 0.9])
def test_bias(correlation: float) -> None:
    """Of 25 correlated epochs on 153 images the best looks a point too good; the corrected one is right on average."""
    rng = np.random.default_rng(1)
    selected, corrected, held = [], [], []
    for seed in range(RUNS):
        right, accuracies = epochs_of(rng, correlation)
        best = right.mean(axis=1).argmax()
        found = corrected_accuracy(right, seed=seed)
        selected.append(right[best].mean() - accuracies[best])
        corrected.append(found.accuracy - accuracies[best])
        held.append(found.accuracy_ci95[0] <= accuracies[best] <= found.accuracy_ci95[1])
    doubt = 2 * np.std(corrected) / np.sqrt(RUNS)  # of a mean over so many simulations
    assert np.mean(selected) > 0.01
    assert abs(np.mean(corrected)) < 0.003 + doubt
    assert np.mean(held) > 0.9


def test_one_model_has_nothing_to_correct() -> None:
    """With a single candidate the estimate is its accuracy, but for the chance of the draws."""
    right = (np.arange(400) % 10 != 0)[None]
    assert corrected_accuracy(right).accuracy == pytest.approx(0.9, abs=0.005)


def test_groups_make_the_interval_wider() -> None:
    """Where images come in groups that are right or wrong together, there is more doubt."""
    right = np.repeat(np.random.default_rng(0).random((3, 40)) < 0.8, 5, axis=1)
    alone, grouped = corrected_accuracy(right), corrected_accuracy(right, np.repeat(np.arange(40), 5))
    assert np.ptp(grouped.accuracy_ci95) > 1.5 * np.ptp(alone.accuracy_ci95)


def test_the_same_seed_gives_the_same() -> None:
    """The draws follow the seed."""
    right, _ = epochs_of(np.random.default_rng(0), 0.8)
    assert corrected_accuracy(right, seed=3) == corrected_accuracy(right, seed=3)
