"""Bursts and videos: pictures that are frames of one scene, told from pictures that are only of a kind."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from headstart.audit.kept_likeness import kept_likeness
from headstart.audit.neighbourhoods import Neighbourhood
from headstart.audit.points import colours_of
from headstart.data.dataset import LabelledImage
from headstart.data.facts import ImageFacts
from headstart.data.miniatures import CELLS, SIDE, layouts, lumas
from headstart.data.splits import linked, root_of
from headstart.model.features_on_disk import Features
from headstart.model.kept_miniatures import Miniatures

NEIGHBOURS = 3  # with which each picture is compared; frames that are farther apart are linked through others
TREES, TREES_APART = 8, 4  # for the nearest pictures, and for the nearest ones of other clusters
AT_ONCE = 4096  # pairs, or pictures: limits the memory
NEARBY = 0.2  # nearness below which two pictures are not compared
LINK = 0.4  # likeness from which two pictures can be frames of one scene
# Likeness that clusters of so many pictures may have to pictures they have nothing to do with. Two are alike by chance more
# easily than three, and a chain of many runs far.
SIZES, UNRELATED = (2, 3, 8, 32), (0.25, 0.15, 0.15, 0.25)
# Frames of a scene are closer to each other than to any other picture, by a ratio of (1 - likeness): the first one where other
# pictures are no more alike than ALIKE, the second where they are as alike as VERY_ALIKE, so that there is little to go by.
GAPS, ALIKE, VERY_ALIKE = (0.7, 0.5), 0.4, 0.85
# Two pictures can be alike by chance, three hardly. Two alone are a scene if details and features together say so. If only the
# layout does, they need a wider gap, so that of the hand signs, some of which are one person's, none is taken for another.
STRONG, LAID_OUT = 1.35, 0.7
PAIR_ALIKE, PAIR_VERY_ALIKE = 0.38, 0.48
# More pictures than that are rather a class of things that look alike, unless the gap is wide; whether they are cannot be told.
MANY_FRAMES, WIDE_GAP = 64, 0.3
# Likeness to the nearest picture of another scene that half the pictures reach in a set of one kind of thing, such as solar
# cells (0.7) or hand signs (0.5). There even a gap says little: two cells of one wafer are as alike as frames. Sets of
# photographs and drawings are below 0.25, also those with one background.
ONE_KIND = 0.45


@dataclass(frozen=True, slots=True)
class _Compared:
    """Pairs of pictures."""

    first: np.ndarray  # (n_pairs,) int64
    second: np.ndarray  # (n_pairs,) int64
    likeness: np.ndarray  # (n_pairs,) float32
    is_strong: np.ndarray  # (n_pairs,) bool: whether it says enough without a third picture
    is_laid_out: np.ndarray  # (n_pairs,) bool: whether colours are where the other picture has them

    def and_also(self, more: "_Compared") -> "_Compared":
        """These pairs and more."""
        names = [field.name for field in fields(_Compared)]
        return _Compared(*(np.concatenate([getattr(self, name), getattr(more, name)]) for name in names))


def frame_pairs(
    images: Sequence[LabelledImage],
    facts: Sequence[ImageFacts],
    neighbourhood: Neighbourhood,
    miniatures: Miniatures,
    *,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first, second) int64: pairs that link the frames of each scene; and (n,) int64: the crowd of each picture of which it
    cannot be told whether it is one scene, -1 for no crowd.

    Near pictures are laid over each other and compared in what they show: features, the layout of colours, details. Then single
    linkage gathers them. A cluster is a scene if it lies apart: its weakest link is closer than its nearest other picture, by
    the ratio GAPS. Where everything looks alike, as with hand signs, likeness falls off without such a gap. In a set of one
    kind of thing it cannot be told whether a cluster is a scene.
    """
    looks = _Looks(miniatures, facts, neighbourhood)
    rng = np.random.default_rng(seed)
    compared = looks.compare(*neighbourhood.nearest_pairs(NEIGHBOURS, TREES, rng))
    strong = compared.likeness >= LINK
    cluster = linked(len(images), zip(compared.first[strong].tolist(), compared.second[strong].tolist(), strict=True))
    # A large cluster has seen nothing but itself: its members are compared with others, or the gap would not be known.
    large = np.bincount(cluster)[cluster] > NEIGHBOURS // 2
    if large.any():
        first, second = neighbourhood.nearest_pairs(NEIGHBOURS // 2, TREES_APART, rng, apart=cluster)
        outside = large[first] | large[second]
        more = looks.compare(first[outside], second[outside])
        compared = compared.and_also(more)
    scene, crowd = _scenes(len(images), compared)
    if np.median(_outside(scene, compared)) >= ONE_KIND:
        is_frame = np.bincount(scene, minlength=len(images))[scene] > 1
        scene, crowd = np.arange(len(images)), np.where(is_frame, scene, crowd)
    # Frames of one scene show one thing. What has two labels differs in what matters, however alike the rest is.
    labels = [image.label for image in images]
    return *_chains(list(zip(scene.tolist(), labels, strict=True))), crowd


def _chains(keys: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    """(first, second) int64: each picture with the one before it that has the same key."""
    last: dict[Hashable, int] = {}
    pairs = []
    for i, key in enumerate(keys):
        if key in last:
            pairs.append((last[key], i))
        last[key] = i
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    return first, second


class _Looks:
    """What pictures look like: points in space for all, miniatures for those that are compared."""

    def __init__(self, miniatures: Miniatures, facts: Sequence[ImageFacts], neighbourhood: Neighbourhood) -> None:
        self.colour = colours_of(facts)
        self.miniatures, self.points, self.standard = miniatures, neighbourhood.points, neighbourhood.standard
        self.row = np.full(len(facts), -1)  # of each picture in the next two; -1: not looked up, -2: there is none
        self.grey = np.empty((0, SIDE, SIDE), np.uint8)
        self.layout = np.empty((0, CELLS * CELLS * 3), np.float32)
        self.mean = self.scale = np.empty(0, np.float32)  # of the layouts read first

    def compare(self, first: np.ndarray, second: np.ndarray) -> _Compared:
        """The likeness of those of the pairs that are nearby, 0 .. 1."""
        nearby = 1 - _squared_distance(self.points, first, second) / 2 >= NEARBY
        self._look_up(np.unique(np.concatenate([first[nearby], second[nearby]])))
        nearby &= (self.row[first] >= 0) & (self.row[second] >= 0)
        first, second = first[nearby], second[nearby]
        one, other = self.row[first], self.row[second]
        details = kept_likeness(self.miniatures, first, second, self.grey, self.row)
        layout = 1 - _squared_distance(self.layout, one, other) / 2  # rows have length 1: the cosine
        features = 1 - _squared_distance(self.standard, first, second) / 2
        colour = np.exp(-_squared_distance(self.colour, first, second))
        alike = np.maximum((2 * details + layout + features) / 4, 0) * colour
        return _Compared(first, second, alike, details + features >= STRONG, layout >= LAID_OUT)

    def _look_up(self, wanted: np.ndarray) -> None:
        wanted = wanted[self.row[wanted] == -1]
        if not wanted.size:
            return
        self.row[wanted] = -2
        grey = np.empty((len(wanted), SIDE, SIDE), np.uint8)
        layout = np.empty((len(wanted), CELLS * CELLS * 3), np.float32)
        n_found = 0
        for start in range(0, len(wanted), AT_ONCE):
            rows, known = self.miniatures.of(wanted[start : start + AT_ONCE])
            found = slice(n_found, n_found + int(known.sum()))
            grey[found], layout[found] = lumas(rows[known]), layouts(rows[known])
            self.row[wanted[start : start + AT_ONCE][known]] = len(self.grey) + np.arange(found.start, found.stop)
            n_found = found.stop
        if not n_found:
            return
        grey, layout = grey[:n_found], layout[:n_found]
        if not self.mean.size:
            self.mean, self.scale = layout.mean(axis=0), layout.std(axis=0)
        layout -= self.mean
        layout /= np.where(self.scale < 1e-6, 1, self.scale)
        layout /= np.maximum(np.linalg.norm(layout, axis=1, keepdims=True), 1e-6)
        self.grey = np.concatenate([self.grey, grey]) if len(self.grey) else grey
        self.layout = np.concatenate([self.layout, layout])


def _squared_distance(points: Features, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n_pairs,) float32."""
    parts = [slice(start, start + AT_ONCE) for start in range(0, len(first), AT_ONCE)]
    found = (((points[first[part]] - points[second[part]]) ** 2).sum(axis=1) for part in parts)
    return np.concatenate([np.empty(0, np.float32), *found])


def _scenes(n: int, compared: _Compared) -> tuple[np.ndarray, np.ndarray]:
    """(n,) int64 twice: the scene of each picture, its own number if it has none; and its crowd, -1 if it is in none.

    Nodes of the single-linkage tree: 0 .. n - 1 are the pictures, each later one joins two at the likeness of a pair. The
    scenes are the largest nodes that lie apart.
    """
    parent, node = list(range(n)), list(range(n))
    parts: list[tuple[int, int]] = []
    size, weakest = [1] * n, [1.0] * n  # of each node: pictures, likeness of its weakest link
    beside, joined_by = [0.0] * n, [-1] * n  # likeness of its link to the rest; the pair that made it
    order = np.argsort(-compared.likeness, kind="stable")
    columns = (order, compared.first[order], compared.second[order], compared.likeness[order])
    for pair, one, other, link in zip(*(column.tolist() for column in columns), strict=True):
        one, other = root_of(parent, one), root_of(parent, other)
        if one == other:
            continue
        for joined in (node[one], node[other]):
            beside[joined] = link
        parts.append((node[one], node[other]))
        size.append(size[node[one]] + size[node[other]])
        weakest.append(link)
        beside.append(0.0)
        joined_by.append(pair)
        parent[other] = one
        node[one] = len(size) - 1
    scene, crowd = np.arange(n), np.full(n, -1)
    waiting = sorted({node[root_of(parent, i)] for i in range(n)})
    while waiting:
        top = waiting.pop()
        if top < n:
            continue
        outside = max(beside[top], float(np.interp(size[top], SIZES, UNRELATED)))
        gap = (1 - weakest[top]) / max(1 - outside, 1e-6)
        widest = float(np.interp(outside, (ALIKE, VERY_ALIKE), GAPS))
        if size[top] == 2 and not compared.is_strong[joined_by[top]]:
            narrow = float(np.interp(outside, (PAIR_ALIKE, PAIR_VERY_ALIKE), GAPS))
            widest = min(widest, narrow) if compared.is_laid_out[joined_by[top]] else 0.0
        lies_apart = weakest[top] >= LINK and gap <= widest
        if lies_apart:
            members = list(_pictures(top, parts, n))
            if size[top] <= MANY_FRAMES or gap <= WIDE_GAP:
                scene[members] = min(members)
                continue
            crowd[members] = min(members)
        waiting += parts[top - n]
    return scene, crowd


def _outside(scene: np.ndarray, compared: _Compared) -> np.ndarray:
    """(n,) float32: the likeness of each picture to the nearest one of another scene, 0 if it was compared with none."""
    outside = np.zeros(len(scene), np.float32)
    apart = scene[compared.first] != scene[compared.second]
    for side in (compared.first, compared.second):
        np.maximum.at(outside, side[apart], compared.likeness[apart])
    return outside


def _pictures(top: int, parts: Sequence[tuple[int, int]], n: int) -> Iterator[int]:
    waiting = [top]
    while waiting:
        node = waiting.pop()
        if node < n:
            yield node
        else:
            waiting += parts[node - n]
