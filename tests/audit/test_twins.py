"""Twins: found whatever was done to the picture, and not where pictures are only of a kind."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from headstart.audit.neighbours import LEAF_IMAGES
from headstart.audit.points import standardised
from headstart.audit.twin_pairs import twin_pairs
from headstart.audit.twins import find_twins
from headstart.data.dataset import LabelledImage
from headstart.data.facts import ImageFacts, facts_of
from headstart.data.images import decode
from headstart.storage import sha256_of_file

N_FEATURES = 32


def drawn(rng: np.random.Generator) -> Image.Image:
    """A picture like no other: a coarse pattern, so that its hash says something."""
    cells = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((90, 90), Image.Resampling.BICUBIC)


def labelled(file: Path, label: str = "a", split: str | None = None) -> tuple[LabelledImage, ImageFacts]:
    decoded = decode(file.read_bytes())
    image = LabelledImage(str(file), file, label, split, None, sha256_of_file(file), decoded.width, decoded.height)
    return image, facts_of(decoded)


def mean_colours(file: Path) -> np.ndarray:
    """Features that a changed copy nearly keeps: the mean colours of a four by four grid."""
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB").resize((4, 4), Image.Resampling.BOX), np.float32).ravel()


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(5)
    files = [tmp_path / f"{i}.png" for i in range(40)]
    for file in files:
        drawn(rng).save(file)
    return files


def twins_of(files: list[Path]) -> set[tuple[str, str, bool]]:
    images, facts = zip(*(labelled(file) for file in files), strict=True)
    found = find_twins(images, facts, np.stack([mean_colours(file) for file in files]))
    names = [(Path(images[one].path).name, Path(images[other].path).name) for one, other in found.pairs()]
    return {(*pair, bool(same)) for pair, same in zip(names, found.same_pixels, strict=True)}


def test_changed_copies_are_twins(pictures: list[Path], tmp_path: Path) -> None:
    """A copy that was scaled, compressed or brightened is its original's twin; nothing else is anyone's."""
    with Image.open(pictures[3]) as image:
        image.resize((64, 64)).save(tmp_path / "scaled.png")
        image.convert("RGB").save(tmp_path / "compressed.jpg", quality=60)
        ImageEnhance.Brightness(image).enhance(1.1).save(tmp_path / "brightened.png")
    changed = ["scaled.png", "compressed.jpg", "brightened.png"]
    found = twins_of(pictures + [tmp_path / name for name in changed])
    assert {("3.png", name, False) for name in changed} <= found
    assert {name for one, other, _ in found for name in (one, other)} == {"3.png", *changed}


def test_same_pixels_in_another_file(pictures: list[Path], tmp_path: Path) -> None:
    """A copy under another name and one saved losslessly in another format have the same pixels."""
    (tmp_path / "copy.png").write_bytes(pictures[0].read_bytes())
    with Image.open(pictures[1]) as image:
        image.save(tmp_path / "other.bmp")
    found = twins_of([*pictures, tmp_path / "copy.png", tmp_path / "other.bmp"])
    assert found == {("0.png", "copy.png", True), ("1.png", "other.bmp", True)}


def test_plain_pictures_are_no_twins(tmp_path: Path) -> None:
    """Plain areas of different colours have equal hashes, and are not the same picture."""
    files = []
    for i, colour in enumerate([(250, 250, 250), (20, 30, 200), (200, 20, 30), (20, 200, 30), (5, 5, 5), (220, 220, 10)] * 3):
        files.append(tmp_path / f"{i}.png")
        Image.new("RGB", (60, 60 + i), colour).save(files[-1])
    hashes = {labelled(file)[1].dhash for file in files}
    assert hashes == {0}
    for one, other, same in twins_of(files):
        assert int(one.split(".")[0]) % 6 == int(other.split(".")[0]) % 6
        assert not same


def test_every_copy_is_paired_across_splits_and_classes(pictures: list[Path], tmp_path: Path) -> None:
    """Of many copies of one file each one in val is paired with one in train, and each class with the other."""
    copies = [tmp_path / f"copy{i}.png" for i in range(6)]
    for copy in copies:
        copy.write_bytes(pictures[0].read_bytes())
    placed = [("a", "train"), ("a", "val"), ("a", "val"), ("b", "train"), ("a", "train"), ("b", "val")]
    rows = [labelled(file, *place) for file, place in zip(copies, placed, strict=True)]
    rows += [labelled(file, "a", "train") for file in pictures[1:]]
    images, facts = zip(*rows, strict=True)
    pairs = find_twins(images, facts, np.stack([mean_colours(Path(image.path)) for image in images])).pairs()
    linked = {(images[one].split, images[other].split, held) for one, other in pairs for held in (one, other)}
    assert {held for *splits, held in linked if splits in (["train", "val"], ["val", "train"])} >= {1, 2, 5}
    assert any(images[one].label != images[other].label for one, other in pairs)
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize("n", [3, LEAF_IMAGES, 3000, 9000])
def test_pairs_among_many(n: int) -> None:
    """The pair is found among few and among thousands, and random features pair nothing else."""
    rng = np.random.default_rng(n)
    hashes = rng.integers(0, 2**63, n, dtype=np.uint64)
    vectors = rng.normal(size=(n, N_FEATURES)).astype(np.float32)
    hashes[n - 1] = hashes[1] ^ np.uint64(0b101)
    vectors[n - 1] = vectors[1] + rng.normal(scale=0.05, size=N_FEATURES)
    first, second = twin_pairs(hashes, standardised(vectors))
    assert (first.tolist(), second.tolist()) == ([1], [n - 1])


@pytest.mark.parametrize("shape", [(1, 3), (5000, 300), (9, 129)])
def test_standardised_in_parts(shape: tuple[int, int]) -> None:
    """Standardising a part at a time gives the same bits as all at once, a constant feature among them."""
    vectors = np.random.default_rng(0).normal(3, 5, size=shape).astype(np.float32)
    vectors[:, 0] = 7
    scale = vectors.std(axis=0)
    standard = (vectors - vectors.mean(axis=0)) / np.where(scale < 1e-6, 1.0, scale)
    length = np.linalg.norm(standard, axis=1, keepdims=True)
    assert np.array_equal(standardised(vectors), (standard / np.maximum(length, 1e-6)).astype(np.float32))


def test_a_crowd_is_no_set_of_twins() -> None:
    """Where all pictures look alike, likeness alone makes no twins: of 4,900 pairs of a kind hardly any is taken."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(4, N_FEATURES)), 50, axis=0) + rng.normal(scale=0.45, size=(200, N_FEATURES))
    first, *_ = twin_pairs(np.zeros(200, np.uint64), standardised(vectors.astype(np.float32)))
    assert len(first) <= 2


def test_without_features_bytes_tell(pictures: list[Path], tmp_path: Path) -> None:
    """Where no features were computed the same file is found, and nothing else."""
    (tmp_path / "copy.png").write_bytes(pictures[7].read_bytes())
    images, facts = zip(*(labelled(file) for file in [*pictures, tmp_path / "copy.png"]), strict=True)
    assert find_twins(images, facts, np.empty((len(images), 0), np.float32)).pairs() == [(7, len(pictures))]
