"""Ridge regression: its answers for groups left out are those of fits without them, and its strength is the best of these."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge as ScikitRidge

from headstart.model import ridge as ridge_module
from headstart.model import softmax_regression
from headstart.model.features_on_disk import FeaturesOnDisk
from headstart.model.ridge import DEFAULT_STRENGTH, STAGE_SCALES, STRENGTHS, cross_validate_ridge, fit_ridge, numbers_of
from headstart.model.softmax_regression import standardise


def drawn(n: int, n_features: int, noise: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features and numbers that depend on some of them, around 40."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, n_features)).astype(np.float32) * np.linspace(0.5, 3, n_features, dtype=np.float32)
    weight = rng.normal(size=n_features) * (np.arange(n_features) < 8)
    return vectors, 40 + 10 * (vectors @ weight + noise * rng.normal(size=n))


def scaled(vectors: np.ndarray) -> np.ndarray:
    """As the probe standardises, without turning."""
    points = standardise(vectors, steady=True)
    return (vectors - points.mean) / points.scale


@pytest.mark.parametrize(("n", "n_features"), [(200, 20), (60, 80), (20, 100)])
def test_it_is_scikit_learns_ridge(n: int, n_features: int) -> None:
    """At a given strength the head is that of scikit-learn, with more images than features, with fewer, and with far fewer."""
    vectors, numbers = drawn(n, n_features)
    found = fit_ridge(vectors, numbers, np.arange(n), strength=0.01)
    wanted = ScikitRidge(alpha=100).fit(scaled(vectors), numbers).predict(scaled(vectors))
    assert found.head.weight.shape == (1, n_features) and found.head.bias.shape == (1,)
    assert found.head.weight.dtype == found.head.bias.dtype == np.float32
    np.testing.assert_allclose(numbers_of(found.head, vectors, np.arange(n)), wanted, atol=2e-3)


@pytest.mark.parametrize(("n", "n_features"), [(60, 12), (60, 80), (24, 100)])
@pytest.mark.parametrize("group_size", [1, 3, 20])
def test_what_is_said_of_a_group_left_out_is_what_a_fit_without_it_says(n: int, n_features: int, group_size: int) -> None:
    """Without fitting anew, for single images, small groups, and groups of more images than there are axes."""
    vectors, numbers = drawn(n, n_features)
    groups = np.random.default_rng(1).permutation(np.arange(n) // group_size)
    found = fit_ridge(vectors, numbers, groups)
    assert found.held_out is not None
    points = scaled(vectors)
    for group in np.unique(groups):
        fit, held = groups != group, groups == group
        wanted = ScikitRidge(alpha=1 / found.strength).fit(points[fit], numbers[fit]).predict(points[held])
        np.testing.assert_allclose(found.held_out[held], wanted, rtol=1e-4)
    assert dict(found.errors)[found.strength] == pytest.approx(np.sqrt(np.square(found.held_out - numbers).mean()))


def test_the_strength_is_the_best_on_what_was_left_out() -> None:
    """All strengths are tried; the one with the lowest error is taken, and noisy numbers ask for a weaker fit."""
    chosen = {noise: fit_ridge(*drawn(80, 60, noise), np.arange(80)) for noise in (0.1, 30.0)}
    for found in chosen.values():
        assert tuple(strength for strength, _ in found.errors) == STRENGTHS
        assert found.strength == min(found.errors, key=lambda pair: pair[1])[0]
    assert chosen[30.0].strength < chosen[0.1].strength


def test_units_do_not_matter() -> None:
    """Numbers in another unit give the same strength and the same answers in that unit."""
    vectors, numbers = drawn(80, 30)
    metres, millimetres = (fit_ridge(vectors, numbers * unit, np.arange(80)) for unit in (1e-3, 1.0))
    assert metres.strength == millimetres.strength
    assert metres.held_out is not None and millimetres.held_out is not None
    np.testing.assert_allclose(1e3 * metres.held_out, millimetres.held_out, rtol=1e-9)


def test_groups_are_never_divided() -> None:
    """Copies of each image teach nothing if they are grouped; if not, they make the answers look right."""
    rng = np.random.default_rng(0)
    vectors = (np.repeat(rng.normal(size=(30, 40)), 5, axis=0) + 0.01 * rng.normal(size=(150, 40))).astype(np.float32)
    numbers = np.repeat(rng.normal(size=30), 5)
    groups = np.repeat(np.arange(30), 5)
    for answers in (
        lambda g: fit_ridge(vectors, numbers, g).held_out,
        lambda g: cross_validate_ridge(vectors, numbers, g).numbers,  # type: ignore[union-attr]
    ):
        grouped, leaking = (np.square(answers(g) - numbers).mean() / numbers.var() for g in (groups, np.arange(150)))
        assert grouped > 0.9
        assert leaking < 0.2


def test_cross_validation_is_of_other_folds() -> None:
    """Each number is what a head of the other folds says."""
    vectors, numbers = drawn(60, 20)
    found = cross_validate_ridge(vectors, numbers, np.arange(60), seed=3)
    assert found is not None
    assert sorted(np.unique(found.fold)) == [0, 1, 2, 3, 4]
    for fold in range(5):
        fit, held = np.flatnonzero(found.fold != fold), np.flatnonzero(found.fold == fold)
        head = fit_ridge(vectors[fit], numbers[fit], fit)
        np.testing.assert_array_equal(found.numbers[held], numbers_of(head.head, vectors, held))


def test_all_one_group() -> None:
    """Nothing can be left out: the default strength is taken, nothing is held out, and there is no cross-validation."""
    vectors, numbers = drawn(20, 10)
    found = fit_ridge(vectors, numbers, np.zeros(20))
    assert (found.strength, found.held_out, found.errors) == (DEFAULT_STRENGTH, None, ())
    assert cross_validate_ridge(vectors, numbers, np.zeros(20)) is None


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_images(n: int) -> None:
    """Two images are fitted, and one gives its number."""
    vectors, numbers = drawn(n, 10)
    found = fit_ridge(vectors, numbers, np.arange(n))
    assert np.isfinite(found.head.logits(vectors)).all()
    if n == 1:
        assert found.head.logits(vectors)[0, 0] == pytest.approx(numbers[0])


def test_the_same_number_for_all() -> None:
    """It is the answer to every image."""
    vectors, _ = drawn(30, 10)
    found = fit_ridge(vectors, np.full(30, 7.0), np.arange(30))
    np.testing.assert_allclose(found.head.logits(vectors), 7)
    np.testing.assert_allclose(found.held_out, 7)  # type: ignore[arg-type]


@pytest.mark.parametrize("group_size", [1, 4])
def test_many_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, group_size: int) -> None:
    """Above MANY images, read in parts from a file, the fit is the same; nor do cores and other rows change a bit of it."""
    vectors, numbers = drawn(300, 20)
    groups = np.random.default_rng(0).permutation(np.arange(300) // group_size)
    few = fit_ridge(vectors, numbers, groups)
    with_others = FeaturesOnDisk(tmp_path / "features", 600, 20, is_new=True, dtype=np.float32)
    rows = np.sort(np.random.default_rng(1).permutation(600)[:300])
    spread = np.zeros((600, 20), np.float32)
    spread[rows] = vectors
    with_others[0] = spread
    with_others.close()
    for module in (ridge_module, softmax_regression):
        monkeypatch.setattr(module, "MANY", 100)
        monkeypatch.setattr(module, "AT_ONCE", 32)
    found = []
    for n_cores in (1, 4):
        monkeypatch.setattr(ridge_module, "cores", lambda n_cores=n_cores: n_cores)
        found.append(fit_ridge(with_others, numbers, groups, rows=rows))
    assert found[0].strength == few.strength
    np.testing.assert_allclose(found[0].held_out, few.held_out, rtol=1e-5)  # type: ignore[arg-type]
    np.testing.assert_allclose(found[0].head.weight, few.head.weight, atol=1e-4)
    assert np.array_equal(found[0].held_out, found[1].held_out)  # type: ignore[arg-type]
    assert np.array_equal(found[0].head.weight, found[1].head.weight)


@pytest.mark.parametrize("telling", [True, False])
def test_stages_count_as_much_as_they_tell(telling: bool) -> None:
    """The features of stages get the larger scale if the error is lower with it, and only then; a known scale is not chosen."""
    rng = np.random.default_rng(0)
    stages, numbers = drawn(120, 20, 1.0)
    last, of_last = drawn(120, 200, 1.0, seed=1)
    vectors = np.concatenate([last, stages + 0.5 * rng.normal(size=stages.shape)], axis=1).astype(np.float32)
    target = numbers if telling else of_last
    found, plain = (fit_ridge(vectors, target, np.arange(120), n_stage_features=n) for n in (20, 0))
    errors = [min(error for _, error in one.errors) for one in (found, plain)]
    assert plain.stage_scale == 1.0
    assert (found.stage_scale, errors[0] < errors[1]) == ((STAGE_SCALES[-1], True) if telling else (1.0, False))
    known = fit_ridge(vectors, target, np.arange(120), n_stage_features=20, known_scale=STAGE_SCALES[-1])
    given = fit_ridge(
        vectors, target, np.arange(120), n_stage_features=20, strength=known.strength, stage_scale=STAGE_SCALES[-1]
    )
    assert known.stage_scale == given.stage_scale == STAGE_SCALES[-1]
    assert np.array_equal(known.head.weight, given.head.weight)


def test_vectors_are_not_changed_and_progress_can_cancel() -> None:
    """Fitting standardises a copy. Progress counts scales; raising from it cancels."""
    vectors, numbers = drawn(40, 10)
    before = vectors.copy()
    steps: list[tuple[str, int, int]] = []
    fit_ridge(vectors, numbers, np.arange(40), n_stage_features=5, progress=lambda *step: steps.append(step))
    assert np.array_equal(vectors, before)
    assert steps[-1] == ("choosing the strength", 2, 2)

    def cancel(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_ridge(vectors, numbers, np.arange(40), progress=cancel)
