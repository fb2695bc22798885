"""Softmax regression against scikit-learn's, on problems of every shape."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from headstart.model import softmax_regression
from headstart.model.head import Head
from headstart.model.softmax_regression import TOLERANCE, Regression, Standardised, fit_path, standardise
from headstart.tasks.probabilities import cross_entropy, softmax


def problem(n: int, n_features: int, n_classes: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around a centre a class, on very different scales; labels in which every class is present."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    centres = rng.normal(size=(n_classes, n_features))
    vectors = centres[labels] + noise * rng.normal(size=(n, n_features))
    return (vectors * 10.0 ** rng.uniform(-2, 2, n_features) + 5).astype(np.float32), labels


def without_folds(points: Standardised, labels: np.ndarray, n_classes: int) -> Regression:
    return Regression(points, labels, n_classes, np.full(len(labels), -1), n_folds=0)


def in_folds(vectors: np.ndarray, labels: np.ndarray, n_classes: int, n_folds: int, workers: int = 1) -> Regression:
    """Image i is held out of fold i % n_folds; every seventh image is in no fold."""
    fold_of = np.arange(len(labels)) % n_folds
    fold_of[::7] = -1
    return Regression(standardise(vectors), labels, n_classes, fold_of, n_folds, workers)


def all_points(points: Standardised) -> np.ndarray:
    return points.part(slice(0, points.n))


def fit_head(vectors: np.ndarray, labels: np.ndarray, n_classes: int, strength: float) -> Head:
    points = standardise(vectors)
    (found,) = fit_path(without_folds(points, labels, n_classes), [strength])
    return points.to_head(found.weight[0], found.bias[0])


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
    points = standardise(vectors)
    strengths = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    path = fit_path(without_folds(points, labels, arguments["n_classes"]), strengths)
    for strength, found in zip(strengths, path, strict=True):
        standard = StandardScaler().fit_transform(vectors.astype(np.float64))
        model = LogisticRegression(C=strength, max_iter=20_000, tol=1e-8).fit(standard, labels)
        best = objective(model.coef_, model.intercept_, standard, labels, strength)
        assert found.strength == strength
        assert objective(found.weight[0], found.bias[0], all_points(points), labels, strength) <= best * (1 + 10 * TOLERANCE)


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
def test_standardising_loses_nothing(n: int, n_features: int) -> None:
    """Distances between standardised rows are those between the points, and a head on raw vectors gives the points' logits."""
    vectors = np.random.default_rng(0).normal(size=(n, n_features)).astype(np.float32) * 3 + 1
    points = standardise(vectors)
    found, standard = all_points(points), (vectors - points.mean) / points.scale
    assert found.shape[1] == min(n, n_features)
    np.testing.assert_allclose(found @ found.T, standard @ standard.T, atol=1e-3)
    weight = np.random.default_rng(1).normal(size=(2, points.n_columns)).astype(np.float32)
    bias = np.array([1, -2], np.float32)
    np.testing.assert_allclose(points.to_head(weight, bias).logits(vectors), found @ weight.T + bias, atol=1e-4)


@pytest.mark.parametrize("n", [80, 5])
def test_emphasis_is_a_weaker_penalty(n: int) -> None:
    """A feature with twice the emphasis has a standard deviation of 2, and heads on raw features take that into account."""
    vectors = np.random.default_rng(0).normal(size=(n, 20)).astype(np.float32) * 3 + 1
    emphasis = np.repeat([1.0, 2.0], 10)
    points = standardise(vectors, emphasis=emphasis)
    found, standard = all_points(points), (vectors - vectors.mean(axis=0)) / vectors.std(axis=0) * emphasis
    np.testing.assert_allclose(found @ found.T, standard @ standard.T, atol=1e-3)
    weight = np.random.default_rng(1).normal(size=(2, points.n_columns)).astype(np.float32)
    np.testing.assert_allclose(points.to_head(weight, np.zeros(2)).logits(vectors), found @ weight.T, atol=1e-4)


def test_a_feature_that_few_images_hardly_vary_in_does_not_decide_alone() -> None:
    """Steadied, an image in which it is far off is no stranger among the points; features that vary as others do stay so."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 300)).astype(np.float32)
    vectors[:, 7] = 1e-3 * rng.normal(size=40)
    other = vectors[:1] + np.eye(1, 300, 7, dtype=np.float32)
    plain, steady = standardise(vectors), standardise(vectors, steady=True)
    alone, steadied = (abs((other - points.mean) / points.scale)[0, 7] for points in (plain, steady))
    assert alone > 500 and steadied < 7
    usual = np.delete(np.arange(300), 7)
    np.testing.assert_allclose(steady.scale[usual], plain.scale[usual], rtol=0.05)


def test_many_images_are_steady_by_themselves() -> None:
    """Of many images hardly anything changes; where nothing varies a feature keeps its unit."""
    vectors = np.random.default_rng(0).normal(size=(4_000, 5)).astype(np.float32) * [0.1, 1, 1, 1, 3]
    plain, steady = standardise(vectors), standardise(vectors, steady=True)
    np.testing.assert_allclose(steady.scale, plain.scale, rtol=0.02)
    assert (standardise(np.ones((4, 3), np.float32), steady=True).scale == 1).all()


@pytest.mark.parametrize("n_features", [20, 400])
def test_folds_together_are_as_alone(n_features: int) -> None:
    """Fits of several folds at once are those of each fold by itself, and answer for the images that the fold holds out."""
    vectors, labels = problem(n=120, n_features=n_features, n_classes=3, noise=2.0)
    together = in_folds(vectors, labels, 3, 4)
    points = all_points(together.points)
    for found in fit_path(together, [1e-3, 1e-2, 1e-1]):
        for fit in range(5):
            fitted = together.fold_of != fit
            best = objective(found.weight[fit], found.bias[fit], points[fitted], labels[fitted], found.strength)
            standard = StandardScaler().fit_transform(vectors.astype(np.float64))
            model = LogisticRegression(C=found.strength, max_iter=20_000, tol=1e-8).fit(standard[fitted], labels[fitted])
            wanted = objective(model.coef_, model.intercept_, standard[fitted], labels[fitted], found.strength)
            assert best <= wanted * (1 + 10 * TOLERANCE)
            held = together.fold_of == fit
            np.testing.assert_allclose(found.held_out[held], points[held] @ found.weight[fit].T + found.bias[fit], atol=1e-4)
        assert not found.held_out[together.fold_of < 0].any()


@pytest.mark.parametrize("columns", [1, 7, 256])
def test_the_number_of_fits_at_once_changes_rounding_only(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many classes and folds are searched for together, for the sake of memory: the fits are the same."""
    vectors, labels = problem(n=120, n_features=20, n_classes=3, noise=2.0)
    (wanted,) = fit_path(in_folds(vectors, labels, 3, 4), [1e-2])
    monkeypatch.setattr(softmax_regression, "COLUMNS", columns)
    (found,) = fit_path(in_folds(vectors, labels, 3, 4), [1e-2])
    np.testing.assert_allclose(found.weight, wanted.weight, atol=1e-4)


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread and three find the same bits."""
    monkeypatch.setattr(softmax_regression, "AT_ONCE", 32)
    vectors, labels = problem(n=200, n_features=20, n_classes=3, noise=2.0)
    found = [list(fit_path(in_folds(vectors, labels, 3, 4, workers), [1e-3, 1e-2, 1e-1])) for workers in (1, 3)]
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one.weight, other.weight)
        assert np.array_equal(one.held_out, other.held_out)


@pytest.mark.parametrize("n", [1, 31, 32, 33, 100, 1000])
def test_parts_cover_all_points_once(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts follow each other, are none of them too large, and are of even number, so that two threads end together."""
    monkeypatch.setattr(softmax_regression, "AT_ONCE", 32)
    parts = standardise(np.zeros((n, 2), np.float32)).parts()
    assert np.array_equal(np.concatenate([np.arange(n)[part] for part in parts]), np.arange(n))
    assert max(part.stop - part.start for part in parts) <= 32
    assert len(parts) == 1 or len(parts) % 2 == 0


@pytest.mark.parametrize(("n", "n_parts"), [(1024, 1), (1025, 2), (2048, 2), (2049, 2), (4097, 4)])
def test_two_threads_have_work_where_it_pays(n: int, n_parts: int) -> None:
    """Above a thousand points each of two threads has a part; before, up to two thousand were left to one."""
    assert len(standardise(np.zeros((n, 2), np.float32)).parts()) == n_parts


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
    """Above MANY images points are made when they are needed, of the rows wanted; the fits are the same but for rounding."""
    vectors, labels = problem(400, 30, 4, 2.0)
    rows = np.sort(np.random.default_rng(0).permutation(400)[:n])
    few = standardise(vectors[rows])
    (wanted,) = fit_path(without_folds(few, labels[rows], 4), [0.1])
    monkeypatch.setattr(softmax_regression, "MANY", 90)
    monkeypatch.setattr(softmax_regression, "AT_ONCE", 64)
    many = standardise(vectors, rows)
    assert many.vectors is vectors  # no copy
    np.testing.assert_allclose(many.mean, few.mean, rtol=1e-6)
    np.testing.assert_allclose(many.scale, few.scale, rtol=1e-6)
    np.testing.assert_allclose(all_points(many), all_points(few), atol=1e-5)
    (found,) = fit_path(without_folds(many, labels[rows], 4), [0.1])
    heads = [points.to_head(fits.weight[0], fits.bias[0]) for points, fits in ((many, found), (few, wanted))]
    np.testing.assert_allclose(*(softmax(head.logits(vectors)) for head in heads), atol=0.01)
