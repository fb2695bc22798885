"""Images that show the same picture: the same file, or one that was scaled, compressed, brightened or cropped a little."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from headstart.data.dataset import LabelledImage
from headstart.data.facts import ImageFacts
from headstart.data.images import UnreadableImage, decode, read_bytes
from headstart.threads import one_blas_thread

LEAF_IMAGES = 64  # images that are compared with each other, pair by pair
TREES = 16  # a pair of twins that one tree separates shares a leaf in another
MANY = 8_000  # images above which products are left to one thread: the rounding, and so the last bits, depend on it
ROWS, COLUMNS = 4096, 128  # that are standardised together: limits the memory
# Twins differ in few bits of their hashes; the more bits differ, the more similar their features must be. Hashes alone pair
# plain backgrounds; features alone pair two shots of one scene. If everything looks similar, as with solar cells, twins are
# images closer to each other than to the crowd around them, by this ratio of distances. Of 55 known twins among the monkeys'
# val images these limits find all, and two more real ones; among 2,062 hand signs, where nothing occurs twice, they find none.
MOST_BITS = 14
LEAST_SIMILARITY, SIMILARITY_PER_BIT = 0.7, 0.0125
CROWD, CROWD_RATIO = 10, 0.5  # the tenth nearest image represents the crowd
CERTAIN_SIMILARITY = 0.96  # from here on the crowd does not matter: it may be more copies of the picture


@dataclass(frozen=True, slots=True)
class Twins:
    """Pairs of images, the first before the second in the data set; the most similar pairs first.

    Each of many copies is paired with one copy in every split and class that has any, not with all of them: follow the pairs to
    find the whole group.
    """

    first: np.ndarray  # (n_pairs,) int64
    second: np.ndarray  # (n_pairs,) int64
    bits: np.ndarray  # (n_pairs,) int64: how many of the 64 bits of the difference hash differ
    similarity: np.ndarray  # (n_pairs,) float32: cosine of the standardised features
    same_pixels: np.ndarray  # (n_pairs,) bool: the same file, or another that decodes to the same pixels

    def __len__(self) -> int:
        return len(self.first)

    def pairs(self) -> list[tuple[int, int]]:
        """The pairs as Python integers."""
        return list(zip(self.first.tolist(), self.second.tolist(), strict=True))


def find_twins(images: Sequence[LabelledImage], facts: Sequence[ImageFacts], vectors: np.ndarray) -> Twins:
    """The twins among images with these facts and (n, n_features) features.

    Images with equal bytes are one picture; pictures are twins if both hash and features say so. Without features
    (n_features 0) only bytes are compared.
    """
    of_digest: dict[str, list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        of_digest[image.sha256].append(i)
    pictures = list(of_digest.values())
    shown = np.array([members[0] for members in pictures])
    hashes = np.array([facts[i].dhash for i in shown], np.uint64)
    pairs = [(one, one, 0, 1.0, True) for one, members in enumerate(pictures) if len(members) > 1]
    if len(pictures) < len(images):
        vectors = vectors[shown]
    alike = twin_pairs(hashes, vectors) if vectors.shape[1] else ()
    for one, other, bits, similarity in zip(*(column.tolist() for column in alike), strict=True):
        same = bits == 0 and _same_pixels(images[shown[one]], images[shown[other]])
        pairs.append((one, other, bits, similarity, same))
    found: dict[tuple[int, int], tuple[int, int, int, float, bool]] = {}
    for one, other, bits, similarity, same in pairs:
        for pair in _across(pictures[one], pictures[other], images):
            found.setdefault(pair, (*pair, bits, similarity, same))
    rows = sorted(found.values(), key=lambda row: (not row[4], -row[3], row[2], row[0], row[1]))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    types = (np.int64, np.int64, np.int64, np.float32, np.bool_)
    return Twins(*(np.array(column, dtype) for column, dtype in zip(columns, types, strict=True)))


def twin_pairs(hashes: np.ndarray, vectors: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, ...]:
    """(first, second, bits, similarity) of twins, found by (n,) uint64 difference hashes and (n, n_features) features.

    Random projections halve the images repeatedly until each part is small (Dasgupta and Freund 2008); within these leaves
    every pair is compared. Time grows as n log n: images far apart are never compared.
    """
    standard = standardised(vectors)
    rng = np.random.default_rng(seed)
    crowd = np.full(len(hashes), -1.0, np.float32)  # similarity to the tenth nearest, as far as the leaves show it
    with one_blas_thread() if len(standard) > MANY else nullcontext():
        parts = [_compared(leaf, hashes, standard, crowd) for _ in range(TREES) for leaf in _leaves(standard, rng)]
    first, second, bits, similarity = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    _, once = np.unique(first * len(hashes) + second, return_index=True)
    first, second, bits, similarity = first[once], second[once], bits[once], similarity[once]
    apart = 1 - similarity <= CROWD_RATIO * (1 - np.maximum(crowd[first], crowd[second]))
    alike = apart | (similarity >= CERTAIN_SIMILARITY)
    return first[alike], second[alike], bits[alike], similarity[alike]


def standardised(vectors: np.ndarray) -> np.ndarray:
    """(n, n_features) float32 -> the same with mean 0 and deviation 1 per feature, each row scaled to length 1.

    Features of one network all point in similar directions; only what sets an image apart from its set matters here.
    """
    n, n_features = vectors.shape
    mean, scale = np.empty((2, n_features), np.float32)
    for columns in np.array_split(np.arange(n_features), max(1, n_features // COLUMNS)):
        part = vectors[:, columns[0] : columns[-1] + 1]
        mean[columns], scale[columns] = part.mean(axis=0), part.std(axis=0)
    scale = np.where(scale < 1e-6, 1.0, scale)
    standard = np.empty((n, n_features), np.float32)
    for start in range(0, n, ROWS):
        part = (vectors[start : start + ROWS] - mean) / scale
        length = np.linalg.norm(part, axis=1, keepdims=True)
        standard[start : start + ROWS] = part / np.maximum(length, 1e-6)
    return standard


def _leaves(points: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Parts of 0 .. n - 1 of at most LEAF_IMAGES, from halving at the median along random directions: one random tree."""
    waiting = [np.arange(len(points))]
    while waiting:
        part = waiting.pop()
        if len(part) <= LEAF_IMAGES:
            yield np.sort(part)
            continue
        # From one image of the part to another: the part spreads along it; a random direction among 1,280 may show nothing.
        one, other = rng.choice(part, 2, replace=False)
        along = points[part] @ (points[one] - points[other])
        order = np.argpartition(along, len(part) // 2)
        waiting += [part[order[: len(part) // 2]], part[order[len(part) // 2 :]]]


def _compared(leaf: np.ndarray, hashes: np.ndarray, standard: np.ndarray, crowd: np.ndarray) -> tuple[np.ndarray, ...]:
    """(first, second, bits, similarity) of the pairs within a leaf that may be twins; raises `crowd` where it shows more."""
    similarity = standard[leaf] @ standard[leaf].T
    if len(leaf) > CROWD:
        crowd[leaf] = np.maximum(crowd[leaf], np.partition(similarity, -CROWD - 1, axis=1)[:, -CROWD - 1])  # 1: itself
    bits = np.bitwise_count(hashes[leaf][:, None] ^ hashes[leaf][None, :]).astype(np.int64)
    alike = (bits <= MOST_BITS) & (similarity >= LEAST_SIMILARITY + SIMILARITY_PER_BIT * bits)
    one, other = np.nonzero(np.triu(alike, k=1))
    return leaf[one], leaf[other], bits[one, other], similarity[one, other]


def _same_pixels(one: LabelledImage, other: LabelledImage) -> bool:
    if (one.width, one.height) != (other.width, other.height):
        return False
    try:
        pixels = [decode(read_bytes(image.file)).rgb.tobytes() for image in (one, other)]
    except UnreadableImage:  # gone since the scan: it cannot be compared, so it does not count
        return False
    return pixels[0] == pixels[1]


def _across(ones: Sequence[int], others: Sequence[int], images: Sequence[LabelledImage]) -> Iterator[tuple[int, int]]:
    """Pairs each copy of one picture with one copy of the other in every split and class, and vice versa."""
    for members, partners in ((ones, others), (others, ones)):
        cells = {(images[i].split, images[i].label): i for i in reversed(partners)}  # the first of each
        for i in members:
            for partner in cells.values():
                if i != partner:
                    yield min(i, partner), max(i, partner)
