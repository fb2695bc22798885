"""Which images to review, so that the accuracy with wrong labels taken out is known well enough."""

from dataclasses import dataclass

import numpy as np

from headstart.evaluation.reviewed import Part, intervals

WRONG_MISTAKES, WRONG_AGREEMENTS = 0.5, 0.005  # shares of wrong labels that a plan expects, before anybody has looked
WIDER = 1.25  # than if every image were reviewed: how wide the interval of a plan may be if no width is wanted


@dataclass(frozen=True, slots=True)
class ReviewPlan:
    """The images to review, in order: the first of them are a random sample of each kind, so one may stop early."""

    rows: np.ndarray  # (n_rows,) int64
    n_mistakes: int  # of the rows: the model does not say their label
    n_agreements: int  # of the rows: it does
    half_width: float  # of the interval for new images that is to be expected


def plan_review(
    predicted: np.ndarray,
    labels: np.ndarray,
    *,
    budget: int | None = None,
    half_width: float | None = None,
    seed: int = 0,
) -> ReviewPlan:
    """Which of the images with these (n,) `predicted` classes and given `labels` to review; n is at least 1.

    All mistakes are reviewed, or a random sample of them if they are more than half of the images to review; the others are a
    random sample of the agreements. They are `budget` images; or as few as give an interval of `half_width`, within the budget
    if there is one. With neither, the interval is to be at most WIDER than that of a review of all images: beyond that,
    reviewing more tells little. If no number of images gives the half-width, all are reviewed, or as many as the budget allows.
    """
    mistakes, agreements = np.flatnonzero(predicted != labels), np.flatnonzero(predicted == labels)
    n = len(labels)
    enough = n if budget is None else max(min(n, 2), min(n, budget))  # 2: one of each kind
    if half_width is None and budget is None:
        half_width = WIDER * _half_width(len(mistakes), len(agreements), n)
    few = 1  # bisection: the width falls with the number of images
    while half_width is not None and enough - few > 1:
        middle = (few + enough) // 2
        if _half_width(len(mistakes), len(agreements), middle) <= half_width:
            enough = middle
        else:
            few = middle
    n_mistakes, n_agreements = _shared_out(len(mistakes), len(agreements), enough)
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.permutation(mistakes)[:n_mistakes], rng.permutation(agreements)[:n_agreements]])
    # Both kinds are spread evenly over the queue.
    places = np.concatenate([(np.arange(count) + 0.5) / max(count, 1) for count in (n_mistakes, n_agreements)])
    rows = rows[np.argsort(places, kind="stable")]
    return ReviewPlan(rows, n_mistakes, n_agreements, _half_width(len(mistakes), len(agreements), enough))


def _shared_out(n_mistakes: int, n_agreements: int, n_rows: int) -> tuple[int, int]:
    """How many of `n_rows` are mistakes and agreements: all mistakes, as long as half of the rows is left for agreements."""
    for_mistakes = min(n_mistakes, n_rows - min(n_agreements, n_rows // 2))
    return for_mistakes, min(n_agreements, n_rows - for_mistakes)


def _half_width(n_mistakes: int, n_agreements: int, n_rows: int) -> float:
    """Of the interval for new images after a review of `n_rows` that finds as many wrong labels as expected."""
    parts = []
    shares = (WRONG_MISTAKES, 1 - WRONG_AGREEMENTS)
    for n, known, share in zip((n_mistakes, n_agreements), _shared_out(n_mistakes, n_agreements, n_rows), shares, strict=True):
        parts.append(Part(known, known * share, n - known))
    low, high = intervals(parts)[1]
    return (high - low) / 2
