"""What is unlike the training images is told from what is like them."""

from pathlib import Path

import numpy as np
import pytest

from headstart.errors import BundleError
from headstart.model.familiarity import FALSE_ALARMS, MAX_REFERENCES, NEIGHBOURS, Familiarity, familiarity_of


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


def test_saved_and_loaded_it_is_the_same(familiarity: Familiarity, tmp_path: Path) -> None:
    """Every distance, and the threshold."""
    familiarity.save(tmp_path / "f.safetensors")
    again = Familiarity.load(tmp_path / "f.safetensors", 64)
    vectors = cloud(3, 20, 5)
    assert again.threshold == familiarity.threshold
    assert np.array_equal(again.distances(vectors), familiarity.distances(vectors))


@pytest.mark.parametrize("damage", ["cut", "other model", "no file"])
def test_a_damaged_file_is_refused(familiarity: Familiarity, tmp_path: Path, damage: str) -> None:
    """With a sentence, whatever is wrong."""
    file = tmp_path / "f.safetensors"
    familiarity.save(file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    if damage == "no file":
        file.unlink()
    with pytest.raises(BundleError):
        Familiarity.load(file, 32 if damage == "other model" else 64)
