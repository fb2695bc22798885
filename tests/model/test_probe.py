"""The probe: its strength is chosen inside train, and what it says of an image in cross-validation never saw the image."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from headstart.data.splits import fold_count, folds
from headstart.model import probe as probe_module
from headstart.model import softmax_regression
from headstart.model.probe import DEFAULT_STRENGTH, STAGE_SCALES, STRENGTHS, Probe, cross_validate, fit_probe
from headstart.tasks.probabilities import cross_entropy, softmax


def blobs(n: int, n_features: int, n_classes: int, distance: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    centres = rng.normal(size=(n_classes, n_features)) * distance
    return (centres[labels] + rng.normal(size=(n, n_features))).astype(np.float32), labels


def alone(labels: np.ndarray) -> np.ndarray:
    """Every image is a group of its own."""
    return np.arange(len(labels))


def test_learns_what_can_be_learned() -> None:
    """Classes that features separate are told apart on images the probe never saw."""
    vectors, labels = blobs(200, 20, 4, 2.0)
    probe = fit_probe(vectors[:100], labels[:100], alone(labels[:100]), 4)
    assert (probe.head.logits(vectors[100:]).argmax(axis=1) == labels[100:]).mean() > 0.95
    assert probe.head.weight.shape == (4, 20)
    assert probe.head.weight.dtype == probe.head.bias.dtype == np.float32


def test_strength_is_the_best_on_held_out_images() -> None:
    """The chosen strength has the lowest held-out log loss of those tried, and all that were tried are recorded in order."""
    vectors, labels = blobs(90, 60, 3, 0.3)
    probe = fit_probe(vectors, labels, alone(labels), 3)
    tried = [strength for strength, _ in probe.log_losses]
    assert tried == list(STRENGTHS[: len(tried)])
    assert probe.strength == min(probe.log_losses, key=lambda pair: pair[1])[0]
    assert probe.n_folds == 5


def test_hard_problems_get_a_weaker_fit() -> None:
    """Noise asks for more penalty than clean data: the strength follows the data, it is no constant."""
    chosen = {d: fit_probe(*blobs(90, 60, 3, d), np.arange(90), 3).strength for d in (0.1, 3.0)}
    assert chosen[0.1] < chosen[3.0]


def test_held_out_log_loss_is_honest() -> None:
    """The log loss recorded for a strength is that of fits on the other folds, computed here anew."""
    vectors, labels = blobs(60, 30, 3, 0.5)
    probe = fit_probe(vectors, labels, alone(labels), 3, seed=4)
    strength, recorded = next(pair for pair in probe.log_losses if pair[0] == pytest.approx(1e-2))
    standard = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    total = 0.0
    for fit, held in folds(labels, alone(labels), 5, 4):
        model = LogisticRegression(C=strength, max_iter=20_000, tol=1e-8).fit(standard[fit], labels[fit])
        total += cross_entropy(model.decision_function(standard[held]), labels[held]) * len(held)
    assert recorded == pytest.approx(total / len(labels), rel=2e-3)
    assert recorded > cross_entropy(probe.head.logits(vectors), labels)


@pytest.mark.parametrize(("counts", "n_folds"), [((1, 9), 0), ((2, 9), 2), ((4, 4), 4), ((30, 30), 5)])
def test_small_classes(counts: tuple[int, int], n_folds: int) -> None:
    """There are as many folds as the smallest class has images; with a class of one the default strength is taken, and said."""
    labels = np.repeat([0, 1], counts)
    vectors = np.random.default_rng(0).normal(size=(len(labels), 8)).astype(np.float32) + labels[:, None]
    probe = fit_probe(vectors, labels, alone(labels), 2)
    assert probe.n_folds == n_folds
    assert bool(probe.log_losses) == (n_folds > 0)
    if not n_folds:
        assert probe.strength == DEFAULT_STRENGTH
    assert np.isfinite(probe.head.logits(vectors)).all()


def test_groups_are_never_divided() -> None:
    """Ten near copies of each image, grouped, teach nothing of held-out images: accuracy by chance. Ungrouped they would."""
    rng = np.random.default_rng(0)
    originals = rng.normal(size=(24, 40))
    vectors = (np.repeat(originals, 10, axis=0) + 0.01 * rng.normal(size=(240, 40))).astype(np.float32)
    labels = np.repeat(rng.permutation(np.arange(24) % 2), 10)  # nothing in the vectors tells the label
    groups = np.repeat(np.arange(24), 10)
    grouped = cross_validate(vectors, labels, groups, 2).probabilities.argmax(axis=1)
    leaking = cross_validate(vectors, labels, alone(labels), 2).probabilities.argmax(axis=1)
    assert (leaking == labels).mean() > 0.95
    assert (grouped == labels).mean() < 0.75


def test_groups_count_for_the_number_of_folds() -> None:
    """A class that is one group only cannot be cross-validated, however many images it has."""
    labels, groups = np.repeat([0, 1], 20), np.concatenate([np.zeros(20, np.int64), np.arange(1, 21)])
    vectors = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    assert fold_count(labels, groups) == 1
    assert fit_probe(vectors, labels, groups, 2).n_folds == 0


@pytest.mark.parametrize("n_features", [5, 300])
def test_random_labels_give_chance_accuracy(n_features: int) -> None:
    """Labels without meaning are answered by chance in cross-validation, also where the head can learn train by heart."""
    rng = np.random.default_rng(1)
    vectors, labels = rng.normal(size=(200, n_features)).astype(np.float32), rng.permutation(np.arange(200) % 2)
    found = cross_validate(vectors, labels, alone(labels), 2).probabilities
    assert 0.38 < (found.argmax(axis=1) == labels).mean() < 0.62
    assert -np.log(found[np.arange(200), labels]).mean() > 0.6  # ln 2 = 0.69: and it is not sure of itself either


def test_cross_validate_are_of_other_folds() -> None:
    """Each row is what a probe fitted on the other folds alone says of the image."""
    vectors, labels = blobs(30, 10, 2, 0.5)
    found = cross_validate(vectors, labels, alone(labels), 2, seed=3).probabilities
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    fit, held = next(iter(folds(labels, alone(labels), fold_count(labels, alone(labels)), 3)))
    probe = fit_probe(vectors[fit], labels[fit], alone(labels)[fit], 2, seed=3)
    expected = np.exp(probe.head.logits(vectors[held]).astype(np.float64))
    np.testing.assert_allclose(found[held], expected / expected.sum(axis=1, keepdims=True), atol=1e-6)


def test_same_seed_same_probe() -> None:
    """A probe is the same bit by bit for the same data and seed."""
    vectors, labels = blobs(60, 40, 3, 0.3)
    first, second = (fit_probe(vectors, labels, alone(labels), 3, seed=5) for _ in range(2))
    assert np.array_equal(first.head.weight, second.head.weight)
    assert first.log_losses == second.log_losses


def test_vectors_are_not_changed() -> None:
    """Fitting standardises a copy."""
    vectors, labels = blobs(40, 10, 2, 1.0)
    before = vectors.copy()
    fit_probe(vectors, labels, alone(labels), 2)
    assert np.array_equal(vectors, before)


def test_progress() -> None:
    """Progress counts strengths and ends at their number, although the path may end early; raising from it cancels."""
    vectors, labels = blobs(60, 40, 3, 0.3)
    steps: list[tuple[str, int, int]] = []
    probe: Probe = fit_probe(vectors, labels, alone(labels), 3, progress=lambda *step: steps.append(step))
    assert [done for _, done, _ in steps[:-1]] == list(range(1, len(probe.log_losses) + 1))
    assert steps[-1] == ("choosing the strength", len(STRENGTHS), len(STRENGTHS))

    def cancel(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_probe(vectors, labels, alone(labels), 3, progress=cancel)


def test_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above MANY images the path ends at the first rise of the log loss; what was chosen and fitted is the same."""
    vectors, labels = blobs(600, 20, 4, 0.4)
    few = fit_probe(vectors, labels, alone(labels), 4)
    for module in (probe_module, softmax_regression):
        monkeypatch.setattr(module, "MANY", 300)
    many = fit_probe(vectors, labels, alone(labels), 4)
    assert many.held_out is not None
    assert many.strength == few.strength == many.log_losses[-2][0]
    assert [loss for _, loss in many.log_losses] == pytest.approx([loss for _, loss in few.log_losses[:-1]], rel=1e-4)
    at = dict(many.log_losses)[many.strength]
    assert at == pytest.approx(cross_entropy(many.held_out * np.float32(many.temperature), labels), rel=1e-4)
    assert at > cross_entropy(many.head.logits(vectors), labels)
    np.testing.assert_allclose(many.head.weight, few.head.weight, atol=1e-3)
    again = fit_probe(vectors, labels, alone(labels), 4)
    assert np.array_equal(many.head.weight, again.head.weight)
    assert np.array_equal(many.held_out, again.held_out)


@pytest.mark.parametrize("many", [40, 1000])
def test_some_rows(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe of some rows is the probe of these rows alone."""
    for module in (probe_module, softmax_regression):
        monkeypatch.setattr(module, "MANY", many)
    vectors, labels = blobs(90, 10, 3, 0.5)
    rows = np.arange(0, 90, 2)
    of_rows, wanted = (
        [fit(v, labels[rows], alone(labels)[rows], 3, rows=r) for fit in (fit_probe, cross_validate)]
        for v, r in ((vectors, rows), (vectors[rows], None))
    )
    assert np.array_equal(of_rows[0].head.weight, wanted[0].head.weight)
    assert of_rows[0].log_losses == wanted[0].log_losses
    assert np.array_equal(of_rows[1].probabilities, wanted[1].probabilities)


@pytest.mark.parametrize("many", [40, 1000])
def test_cores_change_no_bit(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One core and four find the same probe, and say the same in cross-validation."""
    for module in (probe_module, softmax_regression):
        monkeypatch.setattr(module, "MANY", many)
    monkeypatch.setattr(softmax_regression, "AT_ONCE", 16)
    vectors, labels = blobs(150, 10, 3, 0.5)
    found = []
    for n_cores in (1, 4):
        monkeypatch.setattr(probe_module, "cores", lambda n_cores=n_cores: n_cores)
        probe = fit_probe(vectors, labels, alone(labels), 3)
        found.append((probe.head.weight, probe.held_out, cross_validate(vectors, labels, alone(labels), 3).probabilities))
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)


def test_a_given_strength_is_fitted_as_a_chosen_one() -> None:
    """The head at the strength that was chosen is the head that the choice ended with; a strength off the path is kept."""
    vectors, labels = blobs(90, 60, 3, 0.3)
    chosen = fit_probe(vectors, labels, alone(labels), 3)
    given = fit_probe(vectors, labels, alone(labels), 3, strength=chosen.strength)
    np.testing.assert_allclose(given.head.weight, chosen.uncalibrated.weight, atol=1e-4)
    for strength in (1e-6, 0.02):
        assert fit_probe(vectors, labels, alone(labels), 3, strength=strength).strength == strength


def with_stages(*, telling: bool) -> tuple[np.ndarray, np.ndarray]:
    """Many features of a last layer and a few of stages; only one kind of them tells the class."""
    rng = np.random.default_rng(0)
    last, labels = blobs(120, 200, 3, 0.0 if telling else 0.3)
    stages, _ = blobs(120, 20, 3, 0.6 if telling else 0.0, seed=1)
    return np.concatenate([last, stages + 0.1 * rng.normal(size=stages.shape)], axis=1).astype(np.float32), labels


@pytest.mark.parametrize("telling", [True, False])
def test_stages_count_as_much_as_they_tell(telling: bool) -> None:
    """The features of stages get the larger scale if the held-out log loss is lower with it, and only then."""
    vectors, labels = with_stages(telling=telling)
    probe = fit_probe(vectors, labels, alone(labels), 3, n_stage_features=20)
    plain = fit_probe(vectors, labels, alone(labels), 3)
    losses = [min(loss for _, loss in one.log_losses) for one in (probe, plain)]
    assert plain.stage_scale == 1.0
    assert (probe.stage_scale, losses[0] < losses[1]) == ((STAGE_SCALES[-1], True) if telling else (1.0, False))
    if not telling:
        assert np.array_equal(probe.head.weight, plain.head.weight)


def test_a_given_scale_is_fitted_as_a_chosen_one() -> None:
    """With the strength and the scale that were chosen, the head is the one that the choice ended with."""
    vectors, labels = with_stages(telling=True)
    chosen = fit_probe(vectors, labels, alone(labels), 3, n_stage_features=20)
    arguments = (vectors, labels, alone(labels), 3)
    scale = chosen.stage_scale
    given = fit_probe(*arguments, n_stage_features=20, strength=chosen.strength, stage_scale=scale)
    assert given.stage_scale == scale == STAGE_SCALES[-1]
    np.testing.assert_allclose(given.head.weight, chosen.uncalibrated.weight, atol=1e-4)
    without = fit_probe(*arguments, n_stage_features=20, strength=chosen.strength)
    assert not np.allclose(without.head.weight, chosen.uncalibrated.weight, atol=1e-2)


def test_a_known_scale_is_not_chosen_again() -> None:
    """It gives the probe that choosing it gives; another one is taken as it is known."""
    vectors, labels = with_stages(telling=True)
    arguments = vectors, labels, alone(labels), 3
    chosen = fit_probe(*arguments, n_stage_features=20)
    known = fit_probe(*arguments, n_stage_features=20, known_scale=chosen.stage_scale)
    assert (known.stage_scale, known.strength) == (chosen.stage_scale, chosen.strength)
    assert (known.head.weight == chosen.head.weight).all()
    assert fit_probe(*arguments, n_stage_features=20, known_scale=STAGE_SCALES[0]).stage_scale == STAGE_SCALES[0]


def test_stages_in_cross_validation() -> None:
    """Each probe of a cross-validation chooses the scale by itself: what it says is what a probe of its images says."""
    vectors, labels = with_stages(telling=True)
    found = cross_validate(vectors, labels, alone(labels), 3, n_stage_features=20)
    fit, held = next(iter(folds(labels, alone(labels), 5, 0)))
    probe = fit_probe(vectors, labels[fit], alone(labels)[fit], 3, rows=fit, n_stage_features=20)
    assert probe.stage_scale == STAGE_SCALES[-1]
    np.testing.assert_allclose(found.probabilities[held], softmax(probe.head.logits(vectors[held])), atol=1e-6)
