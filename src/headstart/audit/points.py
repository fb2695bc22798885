"""Where pictures lie: points made of their features, and beside these of their mean colour and brightness."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from headstart.audit.comparable import shortening
from headstart.data.facts import ImageFacts
from headstart.model.features import SCANS
from headstart.model.features_on_disk import Features, FeaturesOnDisk
from headstart.storage import home

LOOKS = 4  # columns beside the features: mean colour and brightness
# Differences of the mean colour (in shares of luma) and of the logarithm of the brightness that tell scenes apart.
COLOUR, BRIGHTNESS = 0.2, 0.5
ROWS, COLUMNS = 4096, 128  # that are standardised together: limits the memory
SPREAD = 16_384  # of many pictures, those by which the mean and the deviation of a feature are measured


def points_of_few(vectors: np.ndarray, facts: Sequence[ImageFacts]) -> np.ndarray:
    """(n, n_features + LOOKS) float32: the standardised features of pictures, and what they look like.

    One minus half the squared distance of two points: the cosine of the features, less what colour and brightness differ.
    """
    points = standardised(vectors, room=LOOKS)
    points[:, -LOOKS:] = looks_of(facts)
    return points


def points_of_many(features: Features, rows: np.ndarray, facts: Sequence[ImageFacts]) -> tuple[FeaturesOnDisk, str]:
    """The same of some rows of the features of many images, in short and in a file; and a digest of them all."""
    projection, n = shortening(features), len(rows)

    def short(some: np.ndarray) -> np.ndarray:
        found = features[some].astype(np.float32) if projection is None else projection.of_rows(features, some)
        return np.ascontiguousarray(found)

    mean, scale = _spread(short(rows[:: max(1, n // SPREAD)]))
    points = FeaturesOnDisk.nameless(home() / SCANS, n, len(mean) + LOOKS, np.float32)
    digest = hashlib.sha256()
    for start in range(0, n, ROWS):
        part = slice(start, start + ROWS)
        block = np.hstack([_of_length_one(short(rows[part]), mean, scale), looks_of(facts[part])])
        points[start] = block
        digest.update(block.tobytes())
    points.close()
    return points, digest.hexdigest()


def blocks_of(points: Features) -> Iterator[tuple[int, np.ndarray]]:
    """All points, some rows at a time, each time with the number of the first."""
    for start in range(0, len(points), ROWS):
        yield start, points[start : start + ROWS]


def colours_of(facts: Sequence[ImageFacts]) -> np.ndarray:
    """(n, 3) float32: the mean colour in shares of luma, in units that tell scenes apart."""
    rgb = np.array([(fact.red, fact.green, fact.blue) for fact in facts], np.float32).reshape(len(facts), 3)
    colours: np.ndarray = rgb / np.maximum(_luma(facts), 8)[:, None] / COLOUR
    return colours


def looks_of(facts: Sequence[ImageFacts]) -> np.ndarray:
    """(n, LOOKS) float32: mean colour and brightness as coordinates of points."""
    looks = np.empty((len(facts), LOOKS), np.float32)
    looks[:, :-1] = np.sqrt(2) * colours_of(facts)
    looks[:, -1] = np.sqrt(2) * np.log(_luma(facts) + 4) / BRIGHTNESS
    return looks


def _luma(facts: Sequence[ImageFacts]) -> np.ndarray:
    return np.array([fact.brightness for fact in facts], np.float32)


def standardised(vectors: np.ndarray, room: int = 0) -> np.ndarray:
    """(n, n_features) float32 -> the same with mean 0 and deviation 1 per feature, each row scaled to length 1.

    `room` more columns are left empty, so that nobody has to copy the features to put something beside them.
    Features of one network all point in similar directions; only what sets an image apart from its set matters here.
    """
    n, n_features = vectors.shape
    mean, scale = _spread(vectors)
    standard = np.empty((n, n_features + room), np.float32)
    for start in range(0, n, ROWS):
        standard[start : start + ROWS, :n_features] = _of_length_one(vectors[start : start + ROWS], mean, scale)
    return standard


def _spread(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n_features,) twice: the mean and the deviation of each feature, 1 for one that is constant."""
    n_features = vectors.shape[1]
    mean, scale = np.empty((2, n_features), np.float32)
    for columns in np.array_split(np.arange(n_features), max(1, n_features // COLUMNS)):
        part = vectors[:, columns[0] : columns[-1] + 1]
        mean[columns], scale[columns] = part.mean(axis=0), part.std(axis=0)
    return mean, np.where(scale < 1e-6, 1.0, scale)


def _of_length_one(vectors: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    part = (vectors - mean) / scale
    scaled: np.ndarray = part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-6)
    return scaled
