"""L-BFGS: it finds minima, of several functions at once too."""

import numpy as np
import pytest

from headstart.model.lbfgs import Answer, minimise_together, search

TOLERANCE = 1e-4


class Valley:
    """A quadratic whose curvatures differ a thousandfold, with 1 at its bottom; counts how often it is asked."""

    def __init__(self, bottom: float) -> None:
        self.curvature, self.bottom, self.asked = np.logspace(0, 3, 12).astype(np.float32), np.float32(bottom), 0

    def __call__(self, place: np.ndarray) -> Answer:
        self.asked += 1
        slope = self.curvature * (place - self.bottom)
        return float(0.5 * (slope * (place - self.bottom)).sum()) + 1.0, slope


def lowest(valleys: dict[int, Valley], *, know_curvature: bool = False) -> dict[int, np.ndarray]:
    scales = {i: 1 / valley.curvature if know_curvature else np.float32(1) for i, valley in valleys.items()}
    searches = {i: search(np.full(12, 50.0, np.float32), lambda g, i=i: g * scales[i], TOLERANCE) for i in valleys}
    return minimise_together(searches, lambda places: {i: valleys[i](place) for i, place in places.items()})


def test_finds_the_bottom_of_a_valley() -> None:
    """A badly scaled quadratic is minimised, from far away."""
    (found,) = lowest({0: (valley := Valley(3.0))}).values()
    assert valley(found)[0] <= 1 + 100 * TOLERANCE


def test_each_function_is_searched_by_itself() -> None:
    """Several functions at once get the steps and the minimum of each alone; one that is done is not asked again."""
    together = {3: Valley(49.0), 1: Valley(-200.0), 2: Valley(50.0)}
    found = lowest(together)
    assert list(found) == [3, 1, 2]
    for number, valley in together.items():
        alone = Valley(float(valley.bottom))
        assert np.array_equal(lowest({0: alone})[0], found[number])
        assert valley.asked == alone.asked
    assert together[2].asked < together[3].asked


def test_a_known_curvature_saves_steps() -> None:
    """With the inverse curvature for a preconditioner, the first step leads to the bottom."""
    knowing, guessing = Valley(3.0), Valley(3.0)
    found = lowest({0: knowing}, know_curvature=True)[0]
    lowest({0: guessing})
    assert found == pytest.approx(3.0, abs=1e-3)
    assert knowing.asked <= 3 < guessing.asked
