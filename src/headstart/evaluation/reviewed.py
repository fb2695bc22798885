"""The accuracy with wrong labels taken out, from some images whose true labels a person looked up."""

from dataclasses import dataclass

import numpy as np
from pydantic import computed_field

from headstart.data.wording import counted
from headstart.errors import DataError
from headstart.evaluation.intervals import share_interval, too_few
from headstart.evaluation.likeness import design_effect
from headstart.schema import Count, Positive, Schema, Share, ShareInterval

JEFFREYS = 0.5  # what Jeffreys' prior adds to the right ones and to the wrong ones
# What is added to the wrong ones of a sample. By simulation: where 1.6 % are wrong and 160 were reviewed, 0.5 held the truth 93
# times in 100, 0.6 and 0.7 95 and 96 times; where none is wrong, 0.7 held it 94 times, 0.5 and 0.6 95 times.
PRIOR_WRONG = 0.6
DRAWS = 10_000  # of the posterior; another seed would move the ends of an interval by 0.7 % of its width
NO_CLASS = -1  # the true label of an image that is of none of the classes


class Stratum(Schema):
    """Images that were reviewed in one way: those that the model gets wrong by their labels, or those it gets right."""

    n: Count
    n_reviewed: Count
    n_wrong_labels: Count  # of the reviewed ones
    n_right: Count  # of the reviewed ones: the model says their true label
    n_left_out: Count = 0  # of the reviewed ones: they are of none of the classes


class Reviewed(Schema):
    """An accuracy with wrong labels taken out, and the naive one beside it, which takes every label for true."""

    n: Positive
    n_groups: Positive
    naive: Share
    naive_ci95: ShareInterval
    accuracy: Share
    accuracy_ci95: ShareInterval  # on new images like these, as the naive one's; images in groups count as fewer
    of_these_ci95: ShareInterval  # the share of exactly these images that the model gets right
    mistakes: Stratum
    agreements: Stratum

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sentence(self) -> str:
        """Such as "93.9 %, of the 25 mistakes 11 were wrong labels: 96.4 % [94.1, 97.9]"."""
        found = _wrong_labels_in_words(self.mistakes, "mistake")
        if self.agreements.n_wrong_labels:
            found += f", {_wrong_labels_in_words(self.agreements, 'right answer')}"
        few = too_few(self.n, self.n_groups)
        low, high = (100 * end for end in self.accuracy_ci95)
        interval = f"(too few {few} for an interval)" if few else f"[{low:.1f}, {high:.1f}]"
        return f"{100 * self.naive:.1f} %, {found}: {100 * self.accuracy:.1f} % {interval}"


@dataclass(frozen=True, slots=True)
class Part:
    """A stratum as numbers: what is known of its images, and how many are left that nobody looked at."""

    n_known: float  # reviewed, and of one of the classes
    n_right: float  # of these
    n_rest: int  # not reviewed; without the share that is expected to be of none of the classes

    @property
    def size(self) -> float:
        """Images of one of the classes, as far as can be told."""
        return self.n_known + self.n_rest

    @property
    def share(self) -> float:
        """The share that is right among those that were reviewed; they are all of them, or a random sample."""
        return self.n_right / self.n_known if self.n_known else 0.0


def correct_accuracy(
    predicted: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    true_labels: np.ndarray,
    groups: np.ndarray | None = None,
) -> Reviewed:
    """The accuracy of (n,) `predicted` classes if all labels were true, from the (k,) `true_labels` of the reviewed `rows`.

    `labels` are the (n,) given labels. The reviewed images must be, among those where prediction and label agree and among
    those where they do not, all or a random sample: the estimate is the stratified one, without bias. A true label of NO_CLASS
    takes an image out, and its stratum shrinks by the share of such images.

    The intervals are the middle 95 % of a posterior with priors like Jeffreys'. Of each stratum's images that nobody looked at,
    the right ones are drawn from the beta-binomial distribution (a finite population: nothing is drawn if all were reviewed);
    their sum says how many of these images the model gets right, and a beta distribution around it what that says of new ones.
    So no wrong label among the reviewed agreements doesn't promise that there is none. The interval for new images holds the
    truth in 93 to 98 of 100 simulated reviews (benchmarks/reviewed.py).

    Raises DataError if nothing was reviewed of a stratum that has images, or if no image is left.
    """
    agree = predicted == labels
    parts, strata = [], []
    values = agree.astype(np.float64)  # the expected share of right answers, image by image
    for those, name in ((~agree, "the model's mistakes"), (agree, "its right answers")):
        inside = those[rows]
        part, stratum = _stratum(int(those.sum()), predicted[rows[inside]], labels[rows[inside]], true_labels[inside], name)
        values[those] = part.share
        parts.append(part)
        strata.append(stratum)
    values[rows] = predicted[rows] == true_labels
    kept = np.ones(len(labels), bool)
    kept[rows[true_labels == NO_CLASS]] = False
    if not kept.any():
        raise DataError("no reviewed image is of the model's classes", hint="check the labels of the review")
    kept_groups = None if groups is None else groups[kept]
    accuracy = sum(part.size * part.share for part in parts) / sum(part.size for part in parts)
    of_these, of_new = intervals(parts, design_effect(values[kept], kept_groups))
    return Reviewed(
        n=len(labels),
        n_groups=len(labels) if groups is None else len(np.unique(groups)),
        naive=float(agree.mean()),
        naive_ci95=share_interval(agree, groups),
        accuracy=accuracy,
        accuracy_ci95=of_new,
        of_these_ci95=of_these,
        mistakes=strata[0],
        agreements=strata[1],
    )


def intervals(parts: list[Part], effect: float = 1.0) -> tuple[tuple[float, float], tuple[float, float]]:
    """The 95 % intervals of the share that is right among the images of the strata, and among new images like them.

    `effect` is how many of the images say as much as one unrelated image.
    """
    rng = np.random.default_rng(0)  # the same numbers give the same interval
    size = sum(part.size for part in parts)
    right = np.zeros(DRAWS)
    for part in parts:
        share = rng.beta(part.n_right + JEFFREYS, part.n_known - part.n_right + PRIOR_WRONG, DRAWS)
        right += part.n_right + rng.binomial(part.n_rest, share)
    shares = right / size
    n_effective = size / effect
    new = rng.beta(n_effective * shares + JEFFREYS, n_effective * (1 - shares) + JEFFREYS)
    accuracy = sum(part.size * part.share for part in parts) / size
    return _middle(shares, accuracy), _middle(new, accuracy)


def _middle(draws: np.ndarray, estimate: float) -> tuple[float, float]:
    """The middle 95 % of the draws, with the estimate in it; ends of exactly 0 and 1 if it is 0 or 1 (Brown et al. 2001)."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return (
        0.0 if estimate <= 0 else min(float(low), estimate),
        1.0 if estimate >= 1 else max(float(high), estimate),
    )


def _stratum(n: int, predicted: np.ndarray, labels: np.ndarray, true_labels: np.ndarray, name: str) -> tuple[Part, Stratum]:
    """A stratum of `n` images from its (k,) reviewed ones."""
    n_reviewed, n_left_out = len(labels), int((true_labels == NO_CLASS).sum())
    n_known = n_reviewed - n_left_out
    if n and not n_known and n_left_out < n:
        raise DataError(
            f"none of {name} was reviewed, of {n}", hint="review a random sample of them: the accuracy needs both kinds"
        )
    n_right = int((predicted == true_labels).sum())
    stratum = Stratum(
        n=n,
        n_reviewed=n_reviewed,
        n_wrong_labels=int((labels != true_labels).sum()),
        n_right=n_right,
        n_left_out=n_left_out,
    )
    inside = n_known / n_reviewed if n_reviewed else 0.0
    return Part(n_known, n_right, round((n - n_reviewed) * inside)), stratum


def _wrong_labels_in_words(stratum: Stratum, noun: str) -> str:
    """ "of the 25 mistakes 11 were wrong labels"; of a sample, "of 100 of the 240 mistakes 43 were wrong labels"."""
    if not stratum.n:
        return f"no {noun}s"
    wrong = stratum.n_wrong_labels
    sample = "" if stratum.n_reviewed == stratum.n else f"{stratum.n_reviewed:,} of "
    found = "none was a wrong label" if not wrong else "1 was a wrong label" if wrong == 1 else f"{wrong:,} were wrong labels"
    return f"of {sample}the {counted(stratum.n, noun)} {found}"
