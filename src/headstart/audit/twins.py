"""Images that show the same picture: the same file, or one that was scaled, compressed, brightened or cropped a little."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from headstart.audit.neighbourhoods import Neighbourhood, neighbourhood_at
from headstart.audit.points import ROWS
from headstart.audit.scenes import frame_pairs
from headstart.data.dataset import LabelledImage
from headstart.data.facts import ImageFacts
from headstart.data.image_files import whole_file
from headstart.data.images import UnreadableImage, decode, read_bytes
from headstart.data.splits import linked
from headstart.jobs.parts import Parts
from headstart.model.features_on_disk import Features
from headstart.model.kept_miniatures import Miniatures
from headstart.progress import Progress, silent
from headstart.threads import one_blas_thread


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


def find_twins(
    images: Sequence[LabelledImage],
    facts: Sequence[ImageFacts],
    features: Features,
    *,
    miniatures: Miniatures | None = None,
    workplace: str | None = None,
    parts: Parts | None = None,
    progress: Progress = silent,
) -> Twins:
    """The twins among images with these facts and (n, n_features) features, and their miniatures, if these are kept.

    Images with equal bytes are one picture; pictures are twins if both hash and features say so, or if they are frames of one
    scene. Without features (n_features 0) only bytes are compared.
    Many images are compared at a place, such as local:4, or in this process, with the same result; see `neighbourhood_at`.
    Raises HeadstartError.
    """
    of_digest: dict[str, list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        of_digest[image.sha256].append(i)
    pictures = list(of_digest.values())
    shown = np.array([members[0] for members in pictures])
    hashes = np.array([facts[i].dhash for i in shown], np.uint64)
    pairs = [(one, one, 0, 1.0, True) for one, members in enumerate(pictures) if len(members) > 1]
    crowd = np.empty(0, np.int64)
    if features.shape[1]:
        shown_facts = [facts[i] for i in shown]
        with neighbourhood_at(features, shown, shown_facts, workplace, parts, progress) as neighbourhood:
            some = (miniatures or Miniatures(images)).some(shown)
            alike, of_picture = _alike(some, shown_facts, hashes, neighbourhood)
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
    miniatures: Miniatures, facts: Sequence[ImageFacts], hashes: np.ndarray, neighbourhood: Neighbourhood
) -> tuple[list[tuple[int, int, int, float]], np.ndarray]:
    """(first, second, bits, similarity) of twins and of frames of one scene, each pair once; and the crowd of each picture."""
    images, standard = miniatures.images, neighbourhood.standard
    with one_blas_thread():  # the products are small, and a warm probe imports Matplotlib in another thread meanwhile
        twins = neighbourhood.twin_pairs(hashes)
        *frames, crowd = frame_pairs(images, facts, neighbourhood, miniatures)
        first, second = (np.concatenate(both) for both in zip(twins, frames, strict=True))
        first, second = _with_nearest(images, first, second, standard)
    pictures = [whole_file(image.file) for image in images]
    # Boxes of one picture overlap without being copies, and stay together in any case.
    apart = [pictures[one] != pictures[other] for one, other in zip(first.tolist(), second.tolist(), strict=True)]
    first, second = first[np.array(apart, bool)], second[np.array(apart, bool)]
    bits = np.bitwise_count(hashes[first] ^ hashes[second]).astype(np.int64)
    similarity = _cosines(standard, first, second)
    return list(zip(first.tolist(), second.tolist(), bits.tolist(), similarity.tolist(), strict=True)), crowd


def _cosines(standard: Features, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n_pairs,) float32."""
    parts = [slice(start, start + ROWS) for start in range(0, len(first), ROWS)]
    found = (np.einsum("ij,ij->i", standard[first[part]], standard[second[part]]) for part in parts)
    return np.concatenate([np.empty(0, np.float32), *found])


def _with_nearest(
    images: Sequence[LabelledImage], first: np.ndarray, second: np.ndarray, standard: Features
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


def _same_pixels(one: LabelledImage, other: LabelledImage) -> bool:
    if (one.width, one.height) != (other.width, other.height):
        return False
    try:
        pixels = [np.asarray(decode(read_bytes(image.file), channels=image.channels).seen) for image in (one, other)]
    except UnreadableImage:  # gone since the scan: it cannot be compared, so it does not count
        return False
    return np.array_equal(pixels[0], pixels[1])


def _across(ones: Sequence[int], others: Sequence[int], images: Sequence[LabelledImage]) -> Iterator[tuple[int, int]]:
    """Pairs each copy of one picture with one copy of the other in every split and class, and vice versa."""
    for members, partners in ((ones, others), (others, ones)):
        cells = {(images[i].split, images[i].label): i for i in reversed(partners)}  # the first of each
        for i in members:
            for partner in cells.values():
                if i != partner:
                    yield min(i, partner), max(i, partner)
