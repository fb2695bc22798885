"""Many images for benchmarks/studio.py: crops of the images of a data set, made once, and features for them in the store."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from studio_benches import Images, made_vectors

from headstart.data.facts import ImageFacts
from headstart.data.images import decode, read_bytes
from headstart.model.feature_store import FeatureStore
from headstart.model.pretrained import Backbone
from headstart.storage import sha256_of_bytes
from headstart.threads import map_in_threads

SIDE_PX, QUALITY = 256, 85
SOURCES, SOURCE_PX = 400, 640  # images that are cropped, and their longer side
LEAST_SHARE = 0.5  # of a side that a crop shows
TOGETHER = 1_024
DONE = "features-are-made"


def make_images(folder: Path, images: Images, network: Backbone, n: int) -> None:
    """Fills `folder` with n crops, one folder for each class, and the store under home() with their features."""
    counted = folder.parent / f"{folder.name}-{n}.{DONE}"
    if counted.exists():
        return
    vectors, labels = made_vectors(images, n)
    _make_files(folder, images, labels)
    _make_features(folder, images.classes, labels, vectors, network)
    counted.touch()


def file_of(folder: Path, classes: list[str], label: int, number: int) -> Path:
    """Where an image is."""
    return folder / classes[label] / f"{number:06}.jpg"


def _make_files(folder: Path, images: Images, labels: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    sources: list[list[Image.Image]] = [[] for _ in images.classes]
    chosen = rng.permutation(len(images.candidates))[:SOURCES]
    for row in chosen.tolist():
        picture = decode(read_bytes(images.candidates[row].file), shorter_side_px=SOURCE_PX).rgb
        picture.thumbnail((SOURCE_PX, SOURCE_PX))
        sources[images.labels[row]].append(picture)
    for name in images.classes:
        (folder / name).mkdir(parents=True, exist_ok=True)

    def make(number: int) -> None:
        file = file_of(folder, images.classes, int(labels[number]), number)
        if file.exists():
            return
        draw = np.random.default_rng([1, number])
        picture = sources[labels[number]][draw.integers(len(sources[labels[number]]))]
        wide, high = (int(side * draw.uniform(LEAST_SHARE, 1)) for side in picture.size)
        left, top = int(draw.integers(picture.width - wide + 1)), int(draw.integers(picture.height - high + 1))
        crop = picture.resize((SIDE_PX, SIDE_PX * high // wide or 1), box=(left, top, left + wide, top + high))
        aside = file.with_suffix(".part")
        crop.save(aside, "JPEG", quality=QUALITY)
        aside.replace(file)

    for _ in map_in_threads(make, range(len(labels))):
        pass


def _make_features(folder: Path, classes: list[str], labels: np.ndarray, vectors: np.ndarray, network: Backbone) -> None:
    assert network.frozen is not None
    rng = np.random.default_rng(2)
    shelf = FeatureStore().shelf(network.preprocess, network.frozen.extractor)
    for start in range(0, len(labels), TOGETHER):
        numbers = range(start, min(start + TOGETHER, len(labels)))
        facts, of_digest = {}, {}
        for number in numbers:
            file = file_of(folder, classes, int(labels[number]), number)
            digest = sha256_of_bytes(file.read_bytes())
            with Image.open(file) as opened:
                width, height = opened.size
            brightness, sharpness = rng.uniform(40, 220), rng.uniform(50, 900)
            facts[digest] = ImageFacts(
                format="JPEG", mode="RGB", width=width, height=height, dhash=int(rng.integers(2**63)), red=brightness,
                green=brightness, blue=brightness, brightness=brightness, contrast=40.0, sharpness=sharpness,
            )  # fmt: skip
            of_digest[digest] = vectors[number].astype(np.float32)[None]
        shelf.keep(facts, of_digest, {})


def remove_thumbnails(home: Path) -> None:
    """So that they have to be made again."""
    shutil.rmtree(home / "thumbnails", ignore_errors=True)
