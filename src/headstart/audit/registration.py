"""Whether two pictures show the same details once one is shifted and zoomed onto the other."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from headstart.data.miniatures import SIDE
from headstart.threads import map_in_threads

REACH = 0.2  # of the side: how far one picture may be shifted against the other
# How far each of the two pictures is enlarged.
WAYS = ((1.0, 1.0), (1.06, 1.0), (1.12, 1.0), (1.0, 1.06), (1.0, 1.12))
# The mean of a neighbourhood is taken away and its contrast divided out, so that a wall counts as much as the bird in front of
# it: frames of one scene share both, pictures of a kind hardly the wall. (Side, neighbourhood, grey levels that are noise.)
COARSE, FINE = (32, 7, 8.0), (SIDE, 9, 4.0)
SMALLEST = 0.25  # coarse likeness below which a pair is not looked at closely: 99 of 100 pairs of photographs are below it
TOGETHER = 2048  # pairs whose pictures are prepared once for all of them: limits the memory
AT_ONCE = 128  # pictures, or pairs, of a thread


def likeness(grey: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n_pairs,) float32: the correlation of the details of two miniatures at the shift and zoom where it is highest; 1: equal.

    `grey` is (n, SIDE, SIDE) uint8, `one` and `other` index it. Pictures are compared where they overlap (Padfield 2012, masked
    normalised cross-correlation). A pair that is unlike at a glance gets its coarse likeness.
    """
    parts = [slice(start, start + TOGETHER) for start in range(0, len(one), TOGETHER)]
    return np.concatenate([np.empty(0, np.float32), *(_coarse_to_fine(grey, one[part], other[part]) for part in parts)])


def _coarse_to_fine(grey: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    coarse, fine = _Prepared(grey, COARSE), _Prepared(grey, FINE)
    coarse.prepare(WAYS[0][0], np.concatenate([one, other]))
    found = coarse.correlation(one, other, WAYS[0])
    close = np.flatnonzero(found >= SMALLEST)
    if not close.size:
        return found
    one, other = one[close], other[close]
    zooms = np.array(WAYS)
    for zoom in np.unique(zooms)[1:].tolist():
        coarse.prepare(zoom, np.concatenate([one, other]))
    at_a_glance = [found[close], *(coarse.correlation(one, other, way) for way in WAYS[1:])]
    best = np.argmax(at_a_glance, axis=0)
    for zoom in np.unique(zooms).tolist():
        fine.prepare(zoom, np.concatenate([one[zooms[best, 0] == zoom], other[zooms[best, 1] == zoom]]))
    for number, way in enumerate(WAYS):
        chosen = np.flatnonzero(best == number)
        if chosen.size:
            found[close[chosen]] = fine.correlation(one[chosen], other[chosen], way)
    return found


class _Prepared:
    """Pictures at one scale, each prepared once for each zoom: their details, as they are correlated with others."""

    def __init__(self, grey: np.ndarray, scale: tuple[int, int, float]) -> None:
        self.grey, self.scale, self.shifts = grey, scale, _Shifts.of(scale[0])
        self.pictures: dict[float, np.ndarray] = {}  # zoom -> (n,) int64, rising: which pictures these are
        self.spectra: dict[float, _Spectra] = {}

    def prepare(self, zoom: float, wanted: np.ndarray) -> None:
        """Prepares pictures that are enlarged so far; all that will be correlated at once."""
        pictures = self.pictures[zoom] = np.unique(wanted)
        spectra = self.spectra[zoom] = self.shifts.room_for(len(pictures))

        def fill(part: slice) -> None:
            spectra.fill(part, self._details(self.grey[pictures[part]], zoom), self.shifts)

        for _ in map_in_threads(fill, _parts(len(pictures))):
            pass

    def _details(self, grey: np.ndarray, zoom: float) -> np.ndarray:
        """(n, side, side) float32: what is left of each pixel when its neighbourhood's mean and contrast are taken out."""
        side, width, noise = self.scale
        view = _view(side, zoom)
        small = view @ grey.astype(np.float32) @ view.T
        apart = small - _blurred(small, width)
        return apart / (np.sqrt(np.maximum(_blurred(apart**2, width), 0)) + noise)

    def correlation(self, one: np.ndarray, other: np.ndarray, way: tuple[float, float]) -> np.ndarray:
        """(n_pairs,) float32: the highest correlation over all shifts, each side enlarged by its zoom."""
        at_one, at_other = (np.searchsorted(self.pictures[zoom], side) for zoom, side in zip(way, (one, other), strict=True))
        first, second = (self.spectra[zoom] for zoom in way)
        found = map_in_threads(lambda p: self.shifts.highest(first, second, at_one[p], at_other[p]), _parts(len(one)))
        return np.concatenate(list(found))


def _parts(n: int) -> list[slice]:
    return [slice(start, min(start + AT_ONCE, n)) for start in range(0, n, AT_ONCE)]


@dataclass(frozen=True, slots=True)
class _Spectra:
    """What the correlation needs of some pictures."""

    spectra: np.ndarray  # (n, size, size // 2 + 1) complex64
    sums: np.ndarray  # (n, n_shifts, n_shifts) float32: of the pixels that another picture, shifted against it, covers
    squares: np.ndarray  # the same of their squares

    def fill(self, part: slice, details: np.ndarray, shifts: "_Shifts") -> None:
        """Writes those of (n_part, side, side) details."""
        n, side = details.shape[:2]
        centred = details - details.mean(axis=(1, 2), keepdims=True)
        by_row = (centred.reshape(n * side, side) @ shifts.waves_across).view(np.complex64).reshape(n, side, -1)
        self.spectra[part] = shifts.waves_down @ by_row
        self.sums[part] = shifts.covered @ centred @ shifts.covered.T
        self.squares[part] = shifts.covered @ centred**2 @ shifts.covered.T


@dataclass(frozen=True, slots=True)
class _Shifts:
    """All shifts of a picture against another of the same side, and the Fourier transforms that tell the correlation at these.

    As matrix products these take a third of the time of a fast transform: the way back is needed at few shifts, and pictures
    are small.
    """

    area: np.ndarray  # (n_shifts, n_shifts) float32: pixels that overlap
    covered: np.ndarray  # (n_shifts, side) float32: 1 where a row of pixels is covered by that of the other picture
    waves_across: np.ndarray  # (side, 2 * (size // 2 + 1)) float32: from a row to real and imaginary parts in turn
    waves_down: np.ndarray  # (size, side) complex64: from a column to its spectrum
    back_down: np.ndarray  # (n_shifts, size) complex64
    back_across: np.ndarray  # (2 * (size // 2 + 1), n_shifts) float32

    @classmethod
    @lru_cache
    def of(cls, side: int) -> "_Shifts":
        """Those of up to REACH of the side in each direction."""
        reach = round(REACH * side)
        size = side + reach  # so that no shift meets the picture's other end
        shifts, pixel = np.arange(-reach, reach + 1), np.arange(side)
        overlap = side - np.abs(shifts)
        covered = (pixel >= np.maximum(shifts, 0)[:, None]) & (pixel < (side + np.minimum(shifts, 0))[:, None])
        half = np.arange(size // 2 + 1)
        there, back = (np.exp(2j * np.pi * np.outer(at, np.arange(size)) / size) for at in (-pixel, shifts))
        twice = np.where((half == 0) | (2 * half == size), 1, 2) / size**2  # the other half of the spectrum says the same
        return cls(
            np.outer(overlap, overlap).astype(np.float32),
            covered.astype(np.float32),
            _in_turn(there[:, half].real, there[:, half].imag),
            there.T.astype(np.complex64),
            back.astype(np.complex64),
            np.ascontiguousarray(_in_turn(back[:, half].real * twice, -back[:, half].imag * twice).T),
        )

    def room_for(self, n: int) -> _Spectra:
        """For the spectra of `n` pictures."""
        size, n_shifts = len(self.waves_down), len(self.covered)
        sums, squares = np.empty((2, n, n_shifts, n_shifts), np.float32)
        return _Spectra(np.empty((n, size, size // 2 + 1), np.complex64), sums, squares)

    def highest(self, first: _Spectra, second: _Spectra, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(n_pairs,) float32: the highest correlation of the overlapping parts, over all shifts."""
        product = self.back_down @ (first.spectra[one] * second.spectra[other].conj())
        n, n_shifts = product.shape[:2]
        product = (product.reshape(n * n_shifts, -1).view(np.float32) @ self.back_across).reshape(n, n_shifts, n_shifts)
        sum_one, square_one = first.sums[one], first.squares[one]
        # A shift of one picture is the opposite shift of the other.
        sum_other, square_other = second.sums[other, ::-1, ::-1], second.squares[other, ::-1, ::-1]
        spread = np.maximum(square_one - sum_one**2 / self.area, 1e-3)
        spread *= np.maximum(square_other - sum_other**2 / self.area, 1e-3)
        product -= sum_one * sum_other / self.area
        product /= np.sqrt(spread)
        found: np.ndarray = product.max(axis=(1, 2))
        return found


def _in_turn(real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
    """(n, 2 * m) float32: numbers as complex64 has them in memory."""
    return np.stack([real, imaginary], axis=2).reshape(len(real), -1).astype(np.float32)


@lru_cache
def _view(side: int, zoom: float) -> np.ndarray:
    """(side, SIDE) float32: from a miniature's rows to those of its enlarged middle (bilinear), reduced to `side`."""
    at = np.clip((np.arange(SIDE) + 0.5 - SIDE / 2) / zoom + SIDE / 2 - 0.5, 0, SIDE - 1)
    left = np.minimum(at.astype(np.int64), SIDE - 2)
    weights = np.zeros((SIDE, SIDE))
    weights[np.arange(SIDE), left] = 1 - (at - left)
    weights[np.arange(SIDE), left + 1] = at - left
    return weights.reshape(side, SIDE // side, SIDE).mean(axis=1).astype(np.float32)


def _blurred(pictures: np.ndarray, width: int) -> np.ndarray:
    """Means over width x width pixels; the border is repeated outwards."""
    weights = _means(pictures.shape[1], width)
    return weights @ pictures @ weights.T


@lru_cache
def _means(side: int, width: int) -> np.ndarray:
    reach = np.clip(np.arange(side)[:, None] + np.arange(width) - width // 2, 0, side - 1)
    weights = np.zeros((side, side), np.float32)
    np.add.at(weights, (np.arange(side)[:, None], reach), np.float32(1 / width))
    return weights
