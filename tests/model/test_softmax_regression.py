"""Softmax regression against scikit-learn's, on problems of every shape."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from headstart.evaluation.probabilities import cross_entropy, softmax
from headstart.model import softmax_regression
from headstart.model.head import Head
from headstart.model.softmax_regression import TOLERANCE, fit_path, minimise, rotate


def problem(n: int, n_features: int, n_classes: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around a centre a class, on very different scales; labels in which every class is present."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    centres = rng.normal(size=(n_classes, n_features))
    vectors = centres[labels] + noise * rng.normal(size=(n, n_features))
    return (vectors * 10.0 ** rng.uniform(-2, 2, n_features) + 5).astype(np.float32), labels


def fit_head(vectors: np.ndarray, labels: np.ndarray, n_classes: int, strength: float) -> Head:
    rotated = rotate(vectors)
    (solution,) = fit_path(rotated.points, labels, n_classes, [strength])
    return rotated.to_head(solution)


def reference(vectors: np.ndarray, labels: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's logits' weights on standardised vectors, and its probabilities (multinomial also for two classes)."""
    standard = StandardScaler().fit_transform(vectors.astype(np.float64))
    model = LogisticRegression(C=strength, max_iter=20_000, tol=1e-8).fit(standard, labels)
    return standard, model.predict_proba(standard)


def objective(weight: np.ndarray, bias: np.ndarray, points: np.ndarray, labels: np.ndarray, strength: float) -> float:
    loss = cross_entropy(points @ weight.T + bias, labels) * len(labels)
    return float(strength * loss + 0.5 * (weight**2).sum())


SHAPES = {
    "more images than features": {"n": 300, "n_features": 20, "n_classes": 3, "noise": 2.0},
    "more features than images": {"n": 60, "n_features": 400, "n_classes": 3, "noise": 3.0},
    "as many": {"n": 50, "n_features": 50, "n_classes": 3, "noise": 2.0},
    "separable": {"n": 100, "n_features": 30, "n_classes": 4, "noise": 0.1},
    "many classes": {"n": 200, "n_features": 30, "n_classes": 20, "noise": 1.0},
    "a point a class": {"n": 5, "n_features": 30, "n_classes": 5, "noise": 1.0},
}


@pytest.mark.parametrize("strength", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_scikit_learn(shape: str, strength: float) -> None:
    """With three classes or more the probabilities are scikit-learn's at the same C, within 0.01 on average.

    A fit ends at a relative decrease of 1e-4: single probabilities of hard problems are then up to 0.03 off.
    """
    arguments: Any = SHAPES[shape]
    vectors, labels = problem(**arguments)
    _, expected = reference(vectors, labels, strength)
    found = softmax(fit_head(vectors, labels, arguments["n_classes"], strength).logits(vectors))
    np.testing.assert_allclose(found, expected, atol=0.03)
    assert np.abs(found - expected).mean() < 0.01


@pytest.mark.parametrize("strength", [1e-3, 1e-1, 10.0])
def test_two_classes(strength: float) -> None:
    """With two classes two weight vectors share the penalty, as in scikit-learn's logistic regression at twice the C."""
    vectors, labels = problem(n=120, n_features=15, n_classes=2, noise=2.0)
    _, expected = reference(vectors, labels, 2 * strength)
    found = softmax(fit_head(vectors, labels, 2, strength).logits(vectors))
    np.testing.assert_allclose(found, expected, atol=0.03)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_whole_path_is_minimal(shape: str) -> None:
    """At every strength of a path the objective is within a thousandth of scikit-learn's minimum."""
    arguments: Any = SHAPES[shape]
    vectors, labels = problem(**arguments)
    rotated = rotate(vectors)
    strengths = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    for strength, solution in zip(strengths, fit_path(rotated.points, labels, arguments["n_classes"], strengths), strict=True):
        standard = StandardScaler().fit_transform(vectors.astype(np.float64))
        model = LogisticRegression(C=strength, max_iter=20_000, tol=1e-8).fit(standard, labels)
        best = objective(model.coef_, model.intercept_, standard, labels, strength)
        found = objective(solution.weight, solution.bias, rotated.points, labels, strength)
        assert found <= best * (1 + 10 * TOLERANCE)


@settings(max_examples=60)
@given(
    n=st.integers(4, 40),
    n_features=st.integers(1, 60),
    n_classes=st.integers(2, 4),
    strength=st.sampled_from([1e-4, 1e-2, 1.0, 100.0]),
    constant=st.booleans(),
    doubled=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_any_problem(
    n: int, n_features: int, n_classes: int, strength: float, constant: bool, doubled: bool, seed: int
) -> None:
    """Whatever the shape, with constant features and doubled rows too, the fit is finite and no worse than no fit at all."""
    vectors, labels = problem(n, n_features, n_classes, noise=1.0, seed=seed)
    if constant:
        vectors[:, 0] = 7.0
    if doubled:
        vectors, labels = np.concatenate([vectors, vectors]), np.concatenate([labels, labels])
    head = fit_head(vectors, labels, n_classes, strength)
    assert head.weight.shape == (n_classes, n_features)
    assert np.isfinite(head.weight).all()
    assert np.isfinite(head.bias).all()
    shares = np.bincount(labels, minlength=n_classes) / len(labels)
    without_features = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    assert cross_entropy(head.logits(vectors), labels) <= without_features + 1e-3


@pytest.mark.parametrize("n", [4, 30])
def test_constant_features_have_no_weight(n: int) -> None:
    """Where every feature is constant, the answer is each class's share."""
    labels = np.array([0, 1, 1, 1] * (n // 4))
    head = fit_head(np.full((len(labels), 10), 3.0, np.float32), labels, 2, 100.0)
    np.testing.assert_allclose(softmax(head.logits(np.full((1, 10), 3.0, np.float32))), [[0.25, 0.75]], atol=0.01)
    assert np.abs(head.weight).max() < 1e-6


def test_doubled_rows_count_twice() -> None:
    """Every row twice is the same as twice the strength."""
    vectors, labels = problem(n=60, n_features=10, n_classes=3, noise=2.0)
    twice = fit_head(np.concatenate([vectors, vectors]), np.concatenate([labels, labels]), 3, 0.05)
    strong = fit_head(vectors, labels, 3, 0.1)
    np.testing.assert_allclose(softmax(twice.logits(vectors)), softmax(strong.logits(vectors)), atol=0.01)


def test_an_absent_class_is_never_the_answer() -> None:
    """A class without a row (as in a fold) gets a probability below every row's own class."""
    vectors, labels = problem(n=60, n_features=10, n_classes=3, noise=0.5)
    present = labels != 1
    head = fit_head(vectors[present], labels[present], 3, 1.0)
    assert 1 not in head.logits(vectors[present]).argmax(axis=1)


@pytest.mark.parametrize(("n", "n_features"), [(80, 10), (10, 80), (1, 5)])
def test_rotation_loses_nothing(n: int, n_features: int) -> None:
    """Distances between standardised rows are those between the points, and a head on raw vectors gives the points' logits."""
    vectors = np.random.default_rng(0).normal(size=(n, n_features)).astype(np.float32) * 3 + 1
    rotated = rotate(vectors)
    standard = (vectors - rotated.mean) / rotated.scale
    np.testing.assert_allclose(rotated.points @ rotated.points.T, standard @ standard.T, atol=1e-3)
    labels = np.arange(n) % 2
    (solution,) = fit_path(rotated.points, labels, 2, [1.0])
    np.testing.assert_allclose(rotated.to_head(solution).logits(vectors), solution.logits(rotated.points), atol=1e-4)


def test_minimise_finds_the_bottom_of_a_valley() -> None:
    """A quadratic whose curvatures differ a thousandfold is minimised, from far away."""
    curvature = np.logspace(0, 3, 12).astype(np.float32)
    target = np.arange(12, dtype=np.float32)

    def valley(place: np.ndarray) -> tuple[float, np.ndarray]:
        return float(0.5 * (curvature * (place - target) ** 2).sum()) + 1.0, curvature * (place - target)

    found = minimise(valley, np.full(12, 50.0, np.float32))
    assert valley(found)[0] <= 1.0 * (1 + 100 * TOLERANCE)


def test_softmax_is_safe_and_sums_to_one() -> None:
    """Huge logits overflow nothing; rows sum to 1; cross-entropy is the mean of minus log probability."""
    logits = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1, 2, 3]], np.float32)
    found = softmax(logits)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(found[1], 1 / 3)
    assert cross_entropy(logits, np.array([0, 2, 2])) == pytest.approx(-np.log(found[[0, 1, 2], [0, 2, 2]]).mean())
    assert cross_entropy(logits[:1], np.array([1])) == pytest.approx(2e4)


@pytest.mark.parametrize("n", [100, 300])
def test_some_rows_of_many(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above MANY images the points are made in parts, of the rows wanted; the fits are the same but for rounding."""
    vectors, labels = problem(400, 30, 4, 2.0)
    rows = np.sort(np.random.default_rng(0).permutation(400)[:n])
    few = rotate(vectors[rows])
    monkeypatch.setattr(softmax_regression, "MANY", 90)
    monkeypatch.setattr(softmax_regression, "AT_ONCE", 64)
    many = rotate(vectors, rows)
    np.testing.assert_allclose(many.mean, few.mean, rtol=1e-6)
    np.testing.assert_allclose(many.scale, few.scale, rtol=1e-6)
    np.testing.assert_allclose(many.points @ many.points.T, few.points @ few.points.T, atol=0.02)
    (solution,) = fit_path(many.points, labels[rows], 4, [0.1])
    monkeypatch.undo()
    (wanted,) = fit_path(few.points, labels[rows], 4, [0.1])
    probabilities = [softmax(r.to_head(s).logits(vectors)) for r, s in ((many, solution), (few, wanted))]
    np.testing.assert_allclose(*probabilities, atol=0.01)
