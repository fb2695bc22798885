"""Whether two pictures show the same details once one is shifted and zoomed onto the other."""

from functools import lru_cache

import numpy as np

from headstart.threads import map_in_threads

SIDE = 64  # of a miniature, pixels
REACH = 0.2  # of the side: how far one picture may be shifted against the other
# How far each of the two pictures is enlarged.
WAYS = ((1.0, 1.0), (1.06, 1.0), (1.12, 1.0), (1.0, 1.06), (1.0, 1.12))
# The mean of a neighbourhood is taken away and its contrast divided out, so that a wall counts as much as the bird in front of
# it: frames of one scene share both, pictures of a kind hardly the wall. (Side, neighbourhood, grey levels that are noise.)
COARSE, FINE = (32, 7, 8.0), (SIDE, 9, 4.0)
SMALLEST = 0.25  # coarse likeness below which a pair is not looked at closely: 99 of 100 pairs of photographs are below it
AT_ONCE = 512  # pairs: limits the memory


def likeness(grey: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n_pairs,) float32: the correlation of the details of two miniatures at the shift and zoom where it is highest; 1: equal.

    `grey` is (n, SIDE, SIDE) uint8, `one` and `other` index it. Pictures are compared where they overlap (Padfield 2012, masked
    normalised cross-correlation). A pair that is unlike at a glance gets its coarse likeness.
    """
    parts = [slice(start, start + AT_ONCE) for start in range(0, len(one), AT_ONCE)]
    found = map_in_threads(lambda part: _coarse_to_fine(grey, one[part], other[part]), parts)
    return np.concatenate([np.empty(0, np.float32), *found])


def _coarse_to_fine(grey: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    found = _correlation(grey, one, other, WAYS[0], COARSE)
    close = np.flatnonzero(found >= SMALLEST)
    if not close.size:
        return found
    one, other = one[close], other[close]
    at_a_glance = [found[close], *(_correlation(grey, one, other, way, COARSE) for way in WAYS[1:])]
    best = np.argmax(at_a_glance, axis=0)
    for number, way in enumerate(WAYS):
        chosen = np.flatnonzero(best == number)
        if chosen.size:
            found[close[chosen]] = _correlation(grey, one[chosen], other[chosen], way, FINE)
    return found


def _correlation(
    grey: np.ndarray, one: np.ndarray, other: np.ndarray, zooms: tuple[float, float], scale: tuple[int, int, float]
) -> np.ndarray:
    """(n_pairs,) float32: the highest correlation over all shifts, the pictures of each side enlarged by its zoom."""
    prepared = []
    for wanted, zoom in zip((one, other), zooms, strict=True):
        used, place = np.unique(wanted, return_inverse=True)  # each picture is prepared once
        prepared.append((_Details(_details(_zoomed(grey[used].astype(np.float32), zoom), scale)), place))
    (first, at_first), (second, at_second) = prepared
    return first.correlation(second, at_first, at_second)


def _details(pictures: np.ndarray, scale: tuple[int, int, float]) -> np.ndarray:
    """(n, side, side) float32: what is left of each pixel when its neighbourhood's mean and contrast are taken out."""
    side, width, noise = scale
    n, step = len(pictures), SIDE // side
    small = pictures.reshape(n, side, step, side, step).mean(axis=(2, 4))
    apart = small - _blurred(small, width)
    return apart / (np.sqrt(np.maximum(_blurred(apart**2, width), 0)) + noise)


def _blurred(pictures: np.ndarray, width: int) -> np.ndarray:
    """Means over width x width pixels; the border is repeated outwards."""
    side = pictures.shape[1]
    reach = np.clip(np.arange(side)[:, None] + np.arange(width) - width // 2, 0, side - 1)
    weights = np.zeros((side, side), np.float32)
    np.add.at(weights, (np.arange(side)[:, None], reach), np.float32(1 / width))
    return weights @ pictures @ weights.T


def _zoomed(pictures: np.ndarray, zoom: float) -> np.ndarray:
    """The middle of each picture, enlarged to its size again (bilinear)."""
    if zoom == 1:
        return pictures
    at = np.clip((np.arange(SIDE) + 0.5 - SIDE / 2) / zoom + SIDE / 2 - 0.5, 0, SIDE - 1)
    left = np.minimum(at.astype(np.int64), SIDE - 2)
    weights = np.zeros((SIDE, SIDE), np.float32)
    weights[np.arange(SIDE), left] = 1 - (at - left)
    weights[np.arange(SIDE), left + 1] = at - left
    return weights @ pictures @ weights.T


class _Details:
    """Details of pictures, ready to be correlated with others."""

    def __init__(self, details: np.ndarray) -> None:
        self.side = details.shape[1]
        self.reach = round(REACH * self.side)
        size = _fast_size(self.side + self.reach)
        self.size = size
        centred = details - details.mean(axis=(1, 2), keepdims=True)
        self.spectra = np.fft.rfft2(centred, (size, size))
        self.sums, self.squares = _integral(centred), _integral(centred**2)

    def correlation(self, others: "_Details", one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(n_pairs,) float32: the highest correlation of the overlapping parts, over all shifts within reach."""
        product = np.fft.irfft2(self.spectra[one] * np.conj(others.spectra[other]), (self.size, self.size))
        shifts = np.arange(-self.reach, self.reach + 1)
        product = product[:, shifts[:, None], shifts[None, :]]
        area = (self.side - np.abs(shifts))[:, None] * (self.side - np.abs(shifts))[None, :]
        sum_one, square_one = (_over(table[one], shifts) for table in (self.sums, self.squares))
        sum_other, square_other = (_over(table[other], -shifts) for table in (others.sums, others.squares))
        spread = np.maximum(square_one - sum_one**2 / area, 1e-3) * np.maximum(square_other - sum_other**2 / area, 1e-3)
        return ((product - sum_one * sum_other / area) / np.sqrt(spread)).max(axis=(1, 2)).astype(np.float32)


def _integral(pictures: np.ndarray) -> np.ndarray:
    """(n, side + 1, side + 1) float32: the sum of all pixels above and to the left."""
    side = pictures.shape[1]
    before = np.tri(side + 1, side, -1, dtype=np.float32)
    return before @ pictures @ before.T


def _over(table: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """(n, n_shifts, n_shifts): the sum of a picture's pixels that another one, shifted down and right against it, covers."""
    side = table.shape[1] - 1
    first, last = np.maximum(shifts, 0), side + np.minimum(shifts, 0)
    rows = table[:, last] - table[:, first]
    return rows[:, :, last] - rows[:, :, first]


@lru_cache
def _fast_size(least: int) -> int:
    """The next size from `least` on that has no prime factor above 5."""
    size = least
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1
