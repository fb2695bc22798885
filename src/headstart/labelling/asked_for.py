"""What it does to the measured accuracy that the studio chose which images were labelled."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from headstart.evaluation.intervals import TOO_FEW, share_interval
from headstart.labelling.live_model import LiveFit
from headstart.labelling.next_images import FEW_LABELS

Direction = Literal["high", "low"]

WHY: dict[Direction | None, str] = {
    "high": "most of these are typical of many others, and easier than the rest, so this accuracy is likely too high",
    "low": "the model was unsure of most of these, and they are harder than the rest, so this accuracy is likely too low",
    None: "some of these are easier than the rest, others harder, so this accuracy may be too high or too low",
}
# Up to so many labels for each typical image that was asked for the accuracy is too high on every set, and from so many on too
# low; between, it depends on the set (docs/studio.md has the figures).
EASY, HARD = 4 / 3, 3.0
# Share of the labels, and of all images those without a label, from which on it is told: with fewer the figure moves by a point
# or two, and where all images have a label none was left out.
RELEVANT = 0.05


@dataclass(frozen=True, slots=True)
class AskedFor:
    """Labels of images that the queue of what to label next asked for, and the accuracy on the others."""

    n: int
    likely_too: Direction | None  # the accuracy on all labels, compared with that on all images; None: the one or the other
    sentence: str
    accuracy_of_others: float | None  # None: too few
    ci95_of_others: tuple[float, float] | None


def asked_for(
    fit: LiveFit, n_open: int, asked: np.ndarray, flattering: np.ndarray, is_val: np.ndarray, groups: np.ndarray
) -> AskedFor | None:
    """What is to be said of a fit; None if few of its labels were asked for, few images are left, or it has no accuracy.

    `n_open` images have no label. Of each of the (n,) labels: whether its image was `asked` for, whether the label is
    `flattering`, decided because the model disagreed, whether the image is of the split val, and its group.
    """
    n, n_all = int(asked.sum()), len(fit.rows)
    if fit.held_out is None or not n or n < RELEVANT * n_all or n_open < RELEVANT * (n_all + n_open):
        return None
    first = f"{n:,} of the {n_all:,} labels are of images that the studio asked for"
    # While there are few labels the queue asks for typical images; labels that were there already are not asked for again.
    n_typical = FEW_LABELS * len(np.unique(fit.labels)) - (n_all - n)
    likely_too: Direction | None = "high" if n <= EASY * n_typical else "low" if n > HARD * n_typical else None
    others = ~asked & ~flattering
    name = f"the other {int(others.sum()):,}"
    if (others & is_val).sum() >= TOO_FEW:
        others &= is_val
        name = f"the {int(others.sum()):,} of val that it did not ask for"
    sentence = f"{first}: {WHY[likely_too]}."
    if others.sum() < TOO_FEW:
        advice = "To know the one on all images, label unlabelled ones in shuffled order: it is then given for these alone."
        return AskedFor(n, likely_too, f"{sentence} {advice}", None, None)
    right = (fit.held_out.argmax(axis=1) == fit.labels)[others]
    interval = share_interval(right, groups[others])
    sentence = f"{sentence} On {name} it is {right.mean():.1%} [{interval[0]:.1%}, {interval[1]:.1%}]."
    return AskedFor(n, likely_too, sentence, float(right.mean()), interval)
