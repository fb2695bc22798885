"""L-BFGS for several smooth convex functions at once, so that one large matrix product answers for all of them."""

from collections import deque
from collections.abc import Callable, Generator

import numpy as np

MEMORY = 5  # number of (step, gradient change) pairs that are kept
MAX_STEPS = 300

Answer = tuple[float, np.ndarray]  # a function's value and gradient at a place
Search = Generator[np.ndarray, Answer, np.ndarray]  # yields places, is sent the answers there, returns the minimum
Precondition = Callable[[np.ndarray], np.ndarray]  # a gradient -> roughly the inverse curvature times the gradient
Pairs = deque[tuple[np.ndarray, np.ndarray, float]]  # (step, change of the gradient, their product)


def minimise_together(
    searches: dict[int, Search], evaluate: Callable[[dict[int, np.ndarray]], dict[int, Answer]]
) -> dict[int, np.ndarray]:
    """The minimum that each of the `searches` finds, in their order.

    `evaluate` gets the places at which the searches that go on wait for an answer, by the searches' numbers.
    """
    found = {}
    places = {number: next(one) for number, one in searches.items()}
    while places:
        for number, answer in evaluate(places).items():
            try:
                places[number] = searches[number].send(answer)
            except StopIteration as end:
                found[number] = end.value
                del places[number]
    return {number: found[number] for number in searches}


def search(start: np.ndarray, precondition: Precondition, tolerance: float) -> Search:
    """Finds the minimum of one function by L-BFGS (Nocedal 1980) with backtracking.

    It ends when a step lowers the value by less than `tolerance`, relatively. scipy has the same method, but cannot wait for
    answers that are computed for several functions at once.
    """
    place = start
    value, gradient = yield place
    pairs: Pairs = deque(maxlen=MEMORY)
    for _ in range(MAX_STEPS):
        direction = _direction(gradient, pairs, precondition)
        slope = float(np.vdot(direction, gradient))
        if slope >= 0:  # rounding has destroyed the curvature
            pairs.clear()
            direction = -precondition(gradient)
            slope = float(np.vdot(direction, gradient))
        length = 1.0
        while True:
            next_place = place + np.float32(length) * direction
            next_value, next_gradient = yield next_place
            if next_value <= value + 1e-4 * length * slope or length < 1e-6:
                break
            length /= 2
        step, change = next_place - place, next_gradient - gradient
        curvature = float(np.vdot(step, change))
        if curvature > 1e-10 * float(np.vdot(change, change)):
            pairs.append((step, change, curvature))
        decrease = value - next_value
        if next_value <= value:
            place, value, gradient = next_place, next_value, next_gradient
        if decrease <= tolerance * max(abs(value), 1e-12):
            return place
    return place


def _direction(gradient: np.ndarray, pairs: Pairs, precondition: Precondition) -> np.ndarray:
    """The quasi-Newton direction: minus the inverse curvature estimated from the pairs, times the gradient."""
    direction = -gradient
    factors = []
    for step, change, curvature in reversed(pairs):
        factor = float(np.vdot(step, direction)) / curvature
        direction -= np.float32(factor) * change
        factors.append(factor)
    direction = precondition(direction)
    if pairs:
        _, change, curvature = pairs[-1]
        direction *= np.float32(curvature / float(np.vdot(change, precondition(change))))
    for (step, change, curvature), factor in zip(pairs, reversed(factors), strict=True):
        direction += np.float32(factor - float(np.vdot(change, direction)) / curvature) * step
    return direction
