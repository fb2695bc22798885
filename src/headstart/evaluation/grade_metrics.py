"""How far answers are from the truth where classes are grades in an order."""

from typing import Annotated

import numpy as np
from pydantic import Field

from headstart.evaluation.intervals import mean_interval, share_interval
from headstart.evaluation.resampling import PRIOR_IMAGES, SAMPLES, around
from headstart.schema import Interval, NotNegative, Schema, Share, ShareInterval

Kappa = Annotated[float, Field(ge=-1, le=1)]
SAMPLES_AT_ONCE = 200  # limits the memory


class GradeMetrics(Schema):
    """Metrics of grades. A distance is counted in grades."""

    mean_absolute_error: NotNegative  # grades
    mean_absolute_error_ci95: Interval | None = None  # None: too few images or groups
    guessing_error: NotNegative  # the mean absolute error of always answering the median grade of these images
    quadratic_kappa: Kappa | None  # None: only one grade among these images and the answers to them
    quadratic_kappa_ci95: tuple[Kappa, Kappa] | None = None
    within_one: Share  # share of the answers that are at most one grade off
    within_one_ci95: ShareInterval | None = None


def grade_metrics(
    predicted: np.ndarray,
    labels: np.ndarray,
    confusion: np.ndarray,
    effects: np.ndarray,
    groups: np.ndarray | None,
    *,
    enough: bool,
) -> GradeMetrics:
    """Metrics of (n,) predicted grades against (n,) labels; n is at least 1.

    `confusion` (n_grades, n_grades) counts them, rows true; `effects` (n_grades,) are the design effects of the rows. Intervals
    take into account that images of one of the (n,) `groups` are related; without `enough` images there are none.
    """
    off = np.abs(predicted - labels)
    kappa = quadratic_kappa(confusion)
    return GradeMetrics(
        mean_absolute_error=float(off.mean()),
        mean_absolute_error_ci95=mean_interval(off.astype(float), groups) if enough else None,
        guessing_error=float(np.abs(labels - np.sort(labels)[(len(labels) - 1) // 2]).mean()),
        quadratic_kappa=kappa,
        quadratic_kappa_ci95=_kappa_interval(confusion, effects, kappa) if enough and kappa is not None else None,
        within_one=float((off <= 1).mean()),
        within_one_ci95=share_interval(off <= 1, groups) if enough else None,
    )


def quadratic_kappa(confusion: np.ndarray) -> float | None:
    """Agreement beyond chance, where mistakes count by their squared distance (Cohen 1968); None if all is one grade.

    Of an (n_grades, n_grades) matrix of counts or weights.
    """
    found = _kappas(confusion[None].astype(float))[0]
    return None if np.isnan(found) else float(found)


def _kappas(confusions: np.ndarray) -> np.ndarray:
    """(n,) float64 for (n, n_grades, n_grades) matrices; NaN where all is one grade."""
    grades = np.arange(confusions.shape[1])
    squared = (grades[:, None] - grades[None, :]) ** 2.0
    true, answered = confusions.sum(axis=2), confusions.sum(axis=1)
    by_chance = np.einsum("ni,ij,nj->n", true, squared, answered) / true.sum(axis=1)
    with np.errstate(invalid="ignore"):
        kappas: np.ndarray = 1 - np.einsum("nij,ij->n", confusions, squared) / np.where(by_chance > 0, by_chance, np.nan)
    return kappas


def _kappa_interval(confusion: np.ndarray, effects: np.ndarray, found: float, seed: int = 0) -> tuple[float, float]:
    """95 %: how often each grade gets each answer is drawn from its posterior, as for macro-F1, and the median is shifted.

    How frequent the grades are is drawn too, because kappa depends on it: taken as known, 91 of 100 intervals held the truth.
    """
    present = np.flatnonzero(confusion.sum(axis=1))
    shapes = confusion[present] / effects[present, None] + PRIOR_IMAGES / len(confusion)
    rng = np.random.default_rng(seed)
    kappas = []
    for _ in range(0, SAMPLES, SAMPLES_AT_ONCE):
        drawn = np.zeros((SAMPLES_AT_ONCE, *confusion.shape))
        drawn[:, present] = rng.standard_gamma(shapes, (SAMPLES_AT_ONCE, *shapes.shape)) * effects[present, None]
        kappas.append(_kappas(drawn))
    return around(found, np.concatenate(kappas), least=-1.0)
