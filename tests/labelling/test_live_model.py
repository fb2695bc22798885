"""The model beside the person who labels."""

import numpy as np
import pytest

from headstart.labelling.live_model import LiveModel, sample_of
from headstart.labelling.strength_choice import LARGEST, Strength

CLASSES = ["a", "b", "c"]


def drawn(n: int, seed: int = 0, apart: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 12) float16 vectors in three overlapping classes, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    return (apart * np.eye(12)[labels] + rng.normal(size=(n, 12))).astype(np.float16), labels


def fitted(model: LiveModel, vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> object:
    """A fit to all rows."""
    rows = np.arange(len(labels))
    return model.fit(vectors, rows, labels, rows if groups is None else groups, CLASSES)


def test_a_fit_does_not_wait_for_the_strength() -> None:
    """The first fit has the usual strength; who waits is told when a better one is chosen, and the next fit has it."""
    told: list[Strength] = []
    model = LiveModel(on_chosen=lambda: told.append(model.choice.chosen))
    vectors, labels = drawn(90)
    first = fitted(model, vectors, labels)
    model.choice.wait()
    assert told == [model.choice.chosen]
    assert model.choice.chosen != Strength()
    second = fitted(model, vectors, labels)
    assert not np.array_equal(first.held_out, second.held_out)
    model.stop()


def test_the_strength_is_bounded_and_chosen_anew_when_the_labels_have_grown() -> None:
    """Classes that lie far apart lead to no endless fits; a few labels more lead to no new choice."""
    told: list[None] = []
    model = LiveModel(on_chosen=lambda: told.append(None))
    vectors, labels = drawn(90, apart=30)
    for n, choices in ((60, 1), (66, 1), (90, 2)):
        fitted(model, vectors[:n], labels[:n])
        model.choice.wait()
        assert len(told) == choices
    assert model.choice.chosen.strength <= LARGEST


def test_no_choice_goes_on_after_the_end() -> None:
    """Who ends the studio does not wait for a strength, and nothing is told afterwards."""
    told: list[None] = []
    model = LiveModel(on_chosen=lambda: told.append(None))
    model.stop()
    fitted(model, *drawn(90))
    model.choice.wait()
    assert not told


def test_a_wrong_label_is_suspicious() -> None:
    """A label that contradicts its image is doubted by a fit that never saw it, and not after it was repaired."""
    vectors, truth = drawn(120, apart=5)
    model, labels = LiveModel(), truth.copy()
    labels[7] = (truth[7] + 1) % 3
    fit = fitted(model, vectors, labels)
    assert fit.suspicion().argmax() == 7
    predicted, confidence = fit.answers(vectors)
    assert predicted[7] == truth[7]
    assert confidence[7] == pytest.approx(fit.held_out[7].max())
    repaired = fitted(model, vectors, truth)
    assert repaired.suspicion()[7] < 0.5
    model.stop()


def test_a_refit_is_what_a_new_fit_would_be() -> None:
    """Beginning at the last fit saves steps and changes no answer."""
    vectors, labels = drawn(150)
    model = LiveModel()
    fitted(model, vectors, labels)
    model.choice.wait()
    fitted(model, vectors, labels)
    labels = labels.copy()
    labels[:3] = labels[:3][::-1]
    again = fitted(model, vectors, labels)
    model._last = None
    anew = fitted(model, vectors, labels)
    assert np.abs(again.held_out - anew.held_out).max() < 0.05
    model.stop()


def test_few_labels_are_not_judged() -> None:
    """Below ten labels there is a model, but nothing is said of how good it is, and nothing is suspicious."""
    vectors, labels = drawn(9)
    fit = fitted(LiveModel(), vectors, labels)
    assert fit.evaluation is None and fit.held_out is None and fit.suspicion() is None
    assert set(fit.answers(vectors)[0].tolist()) <= {0, 1, 2}


def test_a_class_without_labels_is_never_predicted() -> None:
    """A class that was only made has no part in the model, and a place in its answers."""
    vectors, labels = drawn(60)
    labels = np.where(labels == 1, 2, labels)
    fit = fitted(LiveModel(), vectors, labels)
    assert fit.held_out.shape == (60, 3)
    assert not fit.held_out[:, 1].any()
    assert 1 not in fit.answers(vectors)[0]
    assert not fit.probabilities(vectors.astype(np.float32))[:, 1].any()


def test_of_many_labels_some_are_fitted_to_and_all_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more labels than can be fitted to, each still has an answer by a fit that never saw it."""
    monkeypatch.setattr("headstart.labelling.live_model.MOST_FITTED", 60)
    vectors, truth = drawn(240, apart=12)
    labels = truth.copy()
    wrong = np.arange(0, 240, 24)
    labels[wrong] = (truth[wrong] + 1) % 3
    model = LiveModel()
    fit = fitted(model, vectors, labels)
    assert np.allclose(fit.held_out.sum(axis=1), 1)
    assert fit.suspicion()[wrong].min() > np.delete(fit.suspicion(), wrong).mean() + 0.1
    assert fit.evaluation.n == 240
    model.stop()


def test_the_sample_has_whole_groups_and_small_classes() -> None:
    """Related images are in it together or not at all, or a fit would have seen them; small classes are in it whole."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=3_000)
    labels[:8] = 2
    groups = rng.integers(1_000, size=3_000)
    chosen = sample_of(labels, groups, 600, seed=0)
    assert 600 <= len(chosen) < 900
    assert set(range(8)) <= set(chosen.tolist())
    outside = np.setdiff1d(np.arange(3_000), chosen)
    assert not set(groups[chosen].tolist()) & set(groups[outside].tolist())
    assert np.array_equal(sample_of(labels[:500], groups[:500], 600, seed=0), np.arange(500))


def test_the_sample_hardly_changes() -> None:
    """One label more or another label leaves nearly all of the sample as it was: the next fit begins where the last ended."""
    labels, groups = np.arange(2_000) % 2, np.arange(2_000)
    before = set(sample_of(labels, groups, 500, seed=0).tolist())
    labels = np.append(labels, 0)
    labels[3] = 0
    after = set(sample_of(labels, np.arange(2_001), 500, seed=0).tolist())
    assert len(before ^ after) <= 6
