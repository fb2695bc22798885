"""Images that show the same picture: the same file, or one that was scaled, compressed, brightened or cropped a little."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from headstart.audit.neighbours import leaves
from headstart.audit.scenes import LOOKS, frame_pairs
from headstart.data.dataset import LabelledImage
from headstart.data.facts import ImageFacts
from headstart.data.image_files import whole_file
from headstart.data.images import UnreadableImage, decode, read_bytes
from headstart.data.splits import linked
from headstart.threads import one_blas_thread

TREES = 16  # a pair of twins that one tree separates shares a leaf in another
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
    """Pairs of images that show the same picture or are frames of one scene, the first before the second in the data set.

    The most similar pairs come first.

    Each of many copies is paired with one copy in every split and class that has any, not with all of them: follow the pairs to
    find the whole group.
    """

    first: np.ndarray  # (n_pairs,) int64
    second: np.ndarray  # (n_pairs,) int64
    bits: np.ndarray  # (n_pairs,) int64: how many of the 64 bits of the difference hash differ
    similarity: np.ndarray  # (n_pairs,) float32: cosine of the standardised features
    same_pixels: np.ndarray  # (n_pairs,) bool: the same file, or another that decodes to the same pixels
    # (n_images,) int64: the crowd of an image, -1 for none: many images that are one scene, or only alike. Empty: no crowds.
    crowd: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.first)

    def pairs(self) -> list[tuple[int, int]]:
        """The pairs as Python integers."""
        return list(zip(self.first.tolist(), self.second.tolist(), strict=True))


def find_twins(images: Sequence[LabelledImage], facts: Sequence[ImageFacts], vectors: np.ndarray) -> Twins:
    """The twins among images with these facts and (n, n_features) features.

    Images with equal bytes are one picture; pictures are twins if both hash and features say so, or if they are frames of one
    scene. Without features (n_features 0) only bytes are compared.
    """
    of_digest: dict[str, list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        of_digest[image.sha256].append(i)
    pictures = list(of_digest.values())
    shown = np.array([members[0] for members in pictures])
    hashes = np.array([facts[i].dhash for i in shown], np.uint64)
    pairs = [(one, one, 0, 1.0, True) for one, members in enumerate(pictures) if len(members) > 1]
    crowd = np.empty(0, np.int64)
    if vectors.shape[1]:
        points = standardised(vectors[shown] if len(pictures) < len(images) else vectors, room=LOOKS)
        alike, of_picture = _alike([images[i] for i in shown], [facts[i] for i in shown], hashes, points)
        for one, other, bits, similarity in alike:
            same = bits == 0 and _same_pixels(images[shown[one]], images[shown[other]])
            pairs.append((one, other, bits, similarity, same))
        crowd = np.full(len(images), -1)
        crowd[np.concatenate(pictures)] = np.repeat(of_picture, [len(members) for members in pictures])
    found: dict[tuple[int, int], tuple[int, int, int, float, bool]] = {}
    for one, other, bits, similarity, same in pairs:
        for pair in _across(pictures[one], pictures[other], images):
            found.setdefault(pair, (*pair, bits, similarity, same))
    rows = sorted(found.values(), key=lambda row: (not row[4], -row[3], row[2], row[0], row[1]))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    first, second, apart, near, exact = columns
    return Twins(
        np.array(first, np.int64),
        np.array(second, np.int64),
        np.array(apart, np.int64),
        np.array(near, np.float32),
        np.array(exact, np.bool_),
        crowd,
    )


def _alike(
    images: Sequence[LabelledImage], facts: Sequence[ImageFacts], hashes: np.ndarray, points: np.ndarray
) -> tuple[list[tuple[int, int, int, float]], np.ndarray]:
    """(first, second, bits, similarity) of twins and of frames of one scene, each pair once; and the crowd of each picture."""
    standard = points[:, :-LOOKS]
    with one_blas_thread():  # the products are small, and a warm probe imports Matplotlib in another thread meanwhile
        twins = twin_pairs(hashes, standard)
        *frames, crowd = frame_pairs(images, facts, points)
        first, second = (np.concatenate(both) for both in zip(twins, frames, strict=True))
        first, second = _with_nearest(images, first, second, standard)
    pictures = [whole_file(image.file) for image in images]
    # Boxes of one picture overlap without being copies, and stay together in any case.
    apart = [pictures[one] != pictures[other] for one, other in zip(first.tolist(), second.tolist(), strict=True)]
    first, second = first[np.array(apart, bool)], second[np.array(apart, bool)]
    bits = np.bitwise_count(hashes[first] ^ hashes[second]).astype(np.int64)
    similarity = np.einsum("ij,ij->i", standard[first], standard[second])
    return list(zip(first.tolist(), second.tolist(), bits.tolist(), similarity.tolist(), strict=True)), crowd


def _with_nearest(
    images: Sequence[LabelledImage], first: np.ndarray, second: np.ndarray, standard: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs, and each picture with its nearest in every other split, among those of its class that the pairs link it to."""
    n = len(images)
    group = linked(n, zip(first.tolist(), second.tolist(), strict=True))
    pairs = [first * n + second]
    members: dict[tuple[int, str], dict[str | None, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i in np.flatnonzero(np.bincount(group)[group] > 1).tolist():
        members[int(group[i]), images[i].label][images[i].split].append(i)
    for by_split in members.values():
        for split, there in by_split.items():
            away = np.array([i for other, rows in by_split.items() if other != split for i in rows], np.int64)
            if away.size:
                parts = [away[start : start + ROWS] for start in range(0, len(away), ROWS)]
                nearest = np.concatenate(
                    [np.array(there)[(standard[part] @ standard[there].T).argmax(axis=1)] for part in parts]
                )
                pairs.append(np.minimum(away, nearest) * n + np.maximum(away, nearest))
    return np.divmod(np.unique(np.concatenate(pairs)), n)


def twin_pairs(hashes: np.ndarray, standard: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(first, second) int64 of twins, found by (n,) uint64 difference hashes and (n, n_features) standardised features.

    Every pair within the leaves of random trees is compared.
    """
    rng = np.random.default_rng(seed)
    crowd = np.full(len(hashes), -1.0, np.float32)  # similarity to the tenth nearest, as far as the leaves show it
    parts = [_compared(leaf, hashes, standard, crowd) for _ in range(TREES) for leaf in leaves(standard, rng)]
    first, second, similarity = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    _, once = np.unique(first * len(hashes) + second, return_index=True)
    first, second, similarity = first[once], second[once], similarity[once]
    apart = 1 - similarity <= CROWD_RATIO * (1 - np.maximum(crowd[first], crowd[second]))
    alike = apart | (similarity >= CERTAIN_SIMILARITY)
    return first[alike], second[alike]


def standardised(vectors: np.ndarray, room: int = 0) -> np.ndarray:
    """(n, n_features) float32 -> the same with mean 0 and deviation 1 per feature, each row scaled to length 1.

    `room` more columns are left empty, so that nobody has to copy the features to put something beside them.
    Features of one network all point in similar directions; only what sets an image apart from its set matters here.
    """
    n, n_features = vectors.shape
    mean, scale = np.empty((2, n_features), np.float32)
    for columns in np.array_split(np.arange(n_features), max(1, n_features // COLUMNS)):
        part = vectors[:, columns[0] : columns[-1] + 1]
        mean[columns], scale[columns] = part.mean(axis=0), part.std(axis=0)
    scale = np.where(scale < 1e-6, 1.0, scale)
    standard = np.empty((n, n_features + room), np.float32)
    for start in range(0, n, ROWS):
        part = (vectors[start : start + ROWS] - mean) / scale
        length = np.linalg.norm(part, axis=1, keepdims=True)
        standard[start : start + ROWS, :n_features] = part / np.maximum(length, 1e-6)
    return standard


def _compared(leaf: np.ndarray, hashes: np.ndarray, standard: np.ndarray, crowd: np.ndarray) -> tuple[np.ndarray, ...]:
    """(first, second, similarity) of the pairs within a leaf that may be twins; raises `crowd` where it shows more."""
    points = standard[leaf]
    similarity = points @ points.T
    if len(leaf) > CROWD:
        crowd[leaf] = np.maximum(crowd[leaf], np.partition(similarity, -CROWD - 1, axis=1)[:, -CROWD - 1])  # 1: itself
    bits = np.bitwise_count(hashes[leaf][:, None] ^ hashes[leaf][None, :]).astype(np.int64)
    alike = (bits <= MOST_BITS) & (similarity >= LEAST_SIMILARITY + SIMILARITY_PER_BIT * bits)
    one, other = np.nonzero(np.triu(alike, k=1))
    return leaf[one], leaf[other], similarity[one, other]


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
