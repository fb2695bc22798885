"""What is unlike the training images is told from what is like them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from headstart.errors import BundleError
from headstart.model.familiarity import (
    FALSE_ALARMS,
    FARTHEST,
    MAX_REFERENCES,
    NEIGHBOURS,
    Familiarity,
    exceeded_by,
    familiarity_of,
)


def cloud(centre: int, n: int, seed: int) -> np.ndarray:
    """(n, 64) features around one of 64 axes."""
    return (np.eye(64)[centre] * 5 + np.random.default_rng(seed).normal(size=(n, 64)) * 0.5).astype(np.float32)


@pytest.fixture(scope="module")
def familiarity() -> Familiarity:
    """Of 300 images of two kinds."""
    vectors = np.concatenate([cloud(0, 150, 0), cloud(1, 150, 1)])
    return familiarity_of(vectors, np.repeat([0, 1], 150), np.arange(300))


def test_new_images_of_a_kind_are_familiar_and_others_not(familiarity: Familiarity) -> None:
    """False alarms are about as many as stated; another kind is found without exception."""
    alarms = (familiarity.distances(cloud(0, 3000, 2)) > familiarity.threshold).mean()
    assert alarms < 3 * FALSE_ALARMS
    assert (familiarity.distances(cloud(7, 500, 3)) > familiarity.threshold).all()


def test_brightness_of_features_does_not_matter(familiarity: Familiarity) -> None:
    """Only the direction of a vector counts."""
    vectors = cloud(0, 10, 4)
    assert np.allclose(familiarity.distances(vectors), familiarity.distances(vectors * 7), atol=1e-5)


def test_twins_do_not_make_the_threshold_narrow() -> None:
    """Five copies of every image, each with its group: the distances are to other groups."""
    vectors, labels = cloud(0, 60, 0), np.zeros(60, int)
    alone = familiarity_of(vectors, labels, np.arange(60)).threshold
    copies = familiarity_of(np.repeat(vectors, 6, axis=0), np.zeros(360, int), np.repeat(np.arange(60), 6)).threshold
    assert copies == pytest.approx(alone, rel=0.4)
    blind = familiarity_of(np.repeat(vectors, 6, axis=0), np.zeros(360, int), np.arange(360)).threshold
    assert blind < 0.1 * alone


def test_unseen_images_set_the_threshold() -> None:
    """Of a network that has learned its training images by heart, val says how far new ones lie."""
    train, val = cloud(0, 100, 0) * 0 + np.eye(64, dtype=np.float32)[0], cloud(0, 100, 1)
    labels, groups = np.zeros(100, int), np.arange(100)
    assert familiarity_of(train, labels, groups).threshold < 1e-3
    found = familiarity_of(train, labels, groups, val)
    assert (found.distances(val) > found.threshold).mean() <= 2 * FALSE_ALARMS


def test_many_images_are_drawn_from_and_rare_classes_kept() -> None:
    """Of 5,000 images with a class of 7 at most about MAX_REFERENCES are kept, and some of the rare class."""
    labels = np.r_[np.zeros(4993, int), np.ones(7, int)]
    vectors = np.concatenate([cloud(0, 4993, 0), cloud(1, 7, 1)])
    found = familiarity_of(vectors, labels, np.arange(5000))
    assert MAX_REFERENCES * 0.9 < len(found.references) <= MAX_REFERENCES + NEIGHBOURS
    assert (found.distances(cloud(1, 20, 2)) < 0.6).all()


def test_of_very_many_images_some_set_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are taken evenly, so that each kind has its share; false alarms are about as many as stated."""
    vectors, labels = np.concatenate([cloud(kind, 2000, kind) for kind in range(4)]), np.repeat(np.arange(4), 2000)
    monkeypatch.setattr("headstart.model.familiarity.MAX_COMPARED", 900)
    found = familiarity_of(vectors, labels, np.arange(8000))
    for kind in range(4):
        assert (found.distances(cloud(kind, 3000, 10 + kind)) > found.threshold).mean() < 3 * FALSE_ALARMS


def test_saved_and_loaded_it_is_the_same(familiarity: Familiarity, tmp_path: Path) -> None:
    """Every distance, and the threshold."""
    familiarity.save(tmp_path / "f.safetensors")
    again = Familiarity.load(tmp_path / "f.safetensors", 64)
    vectors = cloud(3, 20, 5)
    assert again.threshold == familiarity.threshold
    assert np.array_equal(again.distances(vectors), familiarity.distances(vectors))


def test_only_the_last_layer_is_compared() -> None:
    """What the stages add to a vector changes neither the distances nor the threshold, and is not kept."""
    vectors, labels, groups = cloud(0, 100, 0), np.zeros(100, int), np.arange(100)
    with_stages = np.concatenate([vectors, 50 * np.random.default_rng(1).random((100, 20), np.float32)], axis=1)
    plain, found = familiarity_of(vectors, labels, groups), familiarity_of(with_stages, labels, groups, n_last=64)
    assert found.references.shape == (100, 64)
    assert found.threshold == plain.threshold
    assert np.array_equal(found.distances(with_stages), plain.distances(vectors))
    val = np.concatenate([cloud(0, 30, 2), np.zeros((30, 20), np.float32)], axis=1)
    by_val = familiarity_of(with_stages, labels, groups, val, n_last=64)
    assert by_val.threshold == familiarity_of(vectors, labels, groups, val[:, :64]).threshold


def test_features_of_a_refitted_network_replace_the_references() -> None:
    """The threshold and what is compared stay."""
    vectors = np.concatenate([cloud(0, 60, 0), np.ones((60, 8), np.float32)], axis=1)
    found = familiarity_of(vectors, np.zeros(60, int), np.arange(60), n_last=64)
    again = found.of_references(np.concatenate([cloud(1, 60, 0), np.ones((60, 8), np.float32)], axis=1))
    assert (again.threshold, again.references.shape) == (found.threshold, (60, 64))
    assert (again.distances(vectors) > found.distances(vectors)).all()


def test_a_class_of_great_variety_does_not_hide_strangers_to_a_narrow_one() -> None:
    """The same difference counts for more in a class whose images are all alike; few images of a class change little."""
    rng = np.random.default_rng(0)

    def kind(centre: int, noise: float, n: int) -> np.ndarray:
        return (np.eye(64)[centre] * 5 + rng.normal(size=(n, 64)) * noise).astype(np.float32)

    vectors, labels = np.concatenate([kind(0, 0.2, 200), kind(1, 0.8, 200)]), np.repeat([0, 1], 200)
    found = familiarity_of(vectors, labels, np.arange(400))
    narrow, wide = found.scales[0], found.scales[-1]
    assert narrow > 1 > wide >= 0.5
    alarms = [float((found.distances(kind(i, noise, 2000)) > found.threshold).mean()) for i, noise in enumerate((0.2, 0.8))]
    assert max(alarms) < 0.05
    few = familiarity_of(np.concatenate([vectors, kind(2, 0.1, 2)]), np.r_[labels, 2, 2], np.arange(402))
    assert few.scales[-1] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("n", [120, 250, 1000])
def test_one_in_a_hundred_is_a_false_alarm_whatever_the_tail(n: int) -> None:
    """On average of 200 samples 0.6 to 1.6 of 100 new distances are above, for light tails and heavy ones."""
    rng = np.random.default_rng(0)
    for draw in (rng.standard_normal, rng.random, rng.standard_exponential):
        new = np.sort(draw(200_000)) / 1000  # of distances far below 2
        above = [1 - np.searchsorted(new, exceeded_by(draw(n) / 1000, FALSE_ALARMS)) / len(new) for _ in range(200)]
        assert 0.006 < np.mean(above) < 0.016


def test_a_threshold_is_less_a_matter_of_chance_than_a_quantile() -> None:
    """From sample to sample of 250 distances, the share of new ones above it varies less."""
    rng = np.random.default_rng(0)
    samples = rng.gamma(20, 0.01, (300, 250))
    new = np.sort(rng.gamma(20, 0.01, 200_000))
    found = {
        "tail": [exceeded_by(sample, FALSE_ALARMS) for sample in samples],
        "quantile": np.quantile(samples, 1 - FALSE_ALARMS, axis=1),
    }
    spread = {name: np.std(np.searchsorted(new, thresholds)) for name, thresholds in found.items()}
    assert spread["tail"] < 0.95 * spread["quantile"]


@pytest.mark.parametrize(
    "distances", [[0.3], [0.1, 0.2], [0.0] * 50, [0.4] * 50, [0.0] * 49 + [2.0], list(np.linspace(0, 2, 500))]
)
def test_any_distances_have_a_threshold(distances: list[float]) -> None:
    """One image, equal images, an outlier: it is a number from the sample's upper end to 2."""
    found = exceeded_by(np.array(distances), FALSE_ALARMS)
    assert np.quantile(distances, 0.9) <= found <= FARTHEST


def test_a_file_of_before_answers_as_before(tmp_path: Path) -> None:
    """Without scales it is one minus the mean cosine of the five nearest, in all features, to the last bit."""
    references = np.random.default_rng(0).normal(size=(40, 64)).astype(np.float16)
    save_file({"references": references, "threshold": np.array([0.3])}, tmp_path / "f.safetensors")
    found, vectors = Familiarity.load(tmp_path / "f.safetensors", 64), cloud(0, 20, 1)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = -np.partition(-(directions @ references.astype(np.float32).T), NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    expected = 1 - nearest.sum(axis=1, dtype=np.float64) / NEIGHBOURS
    assert found.threshold == 0.3
    assert np.array_equal(found.distances(vectors), np.clip(expected, 0, FARTHEST))


@pytest.mark.parametrize("damage", ["cut", "other model", "no file", "other stages", "scales"])
def test_a_damaged_file_is_refused(familiarity: Familiarity, tmp_path: Path, damage: str) -> None:
    """With a sentence, whatever is wrong."""
    file = tmp_path / "f.safetensors"
    familiarity.save(file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    if damage == "no file":
        file.unlink()
    if damage == "other stages":  # the same last layer
        familiarity_of(cloud(0, 60, 0), np.zeros(60, int), np.arange(60), n_last=32).save(file)
    if damage == "scales":
        replace(familiarity, scales=familiarity.scales[1:]).save(file)
    with pytest.raises(BundleError):
        Familiarity.load(file, 32 if damage in {"other model", "other stages"} else 64)


def test_images_that_are_almost_equal() -> None:
    """Features that differ in their last digits alone have a distance of 0, not one below it that no manifest may hold."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        vectors = (rng.normal(size=128) + 1e-5 * rng.normal(size=(20, 128))).astype(np.float32)
        found = familiarity_of(vectors, np.repeat([0, 1], 10), np.arange(20))
        assert found.threshold >= 0
        assert (found.distances(vectors) >= 0).all()
