"""Thresholds with a guarantee: when a model should not answer, and which classes it cannot rule out."""

import math

import numpy as np

from headstart.evaluation.likeness import design_effect
from headstart.schema import Count, NotNegative, Schema, Share
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask

CONFIDENCE = 0.95  # with which a precision is promised
SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)  # shares of images to answer


class PrecisionThreshold(Schema):
    """The probability from which an answer is given, so that a given share of the answers is right."""

    min_confidence: Share
    target: Share
    promised: bool  # whether there were enough images to guarantee it with 95 % confidence
    precision: Share  # on the held-out images that are answered; 1 if there are none
    share_answered: Share  # of the held-out images
    n: Count  # held-out images


def precision_threshold(
    probabilities: np.ndarray,
    labels: np.ndarray,
    target: float,
    groups: np.ndarray | None = None,
    task: LearningTask = SINGLE_LABEL,
) -> PrecisionThreshold:
    """The lowest threshold that promises `target` precision, from (n, n_classes) probabilities of (n,) held-out images.

    The most confident 100 %, 95 %, 90 % ... of the images are tried. The largest share is answered that has so few mistakes
    that a model below the target precision would have that few less than 5 % of the time, over all shares tried (Learn then
    Test, Angelopoulos et al. 2021, with Bonferroni's correction). If no share can promise it, the largest share that reached
    the target on these images is answered, and `promised` is False. Images of one of the (n,) `groups` count as fewer, by
    their design effect.
    """
    from scipy.special import bdtr  # binomial distribution; machines that only predict do not have scipy

    confidence = task.confidence(probabilities)
    n = len(labels)
    candidates = []
    for share in SHARES:
        threshold = float(np.sort(confidence)[n - max(1, round(share * n))]) if n else 1.0
        answered, right = task.judged(probabilities, labels, threshold)
        effect = design_effect(right[answered], None if groups is None else groups[answered])
        candidates.append((threshold, int(answered.sum()), int((answered & ~right).sum()), effect))
    for promised in (True, False):
        for threshold, n_answered, n_wrong, effect in candidates:
            if promised:
                so_few = bdtr(math.ceil(n_wrong / effect), max(1, math.floor(n_answered / effect)), 1 - target)
                holds = so_few <= (1 - CONFIDENCE) / len(SHARES)
            else:
                holds = n_answered - n_wrong >= target * n_answered
            if holds:
                return PrecisionThreshold(
                    min_confidence=0.0 if threshold <= confidence.min() else threshold,
                    target=target,
                    promised=promised,
                    precision=1 - n_wrong / n_answered,
                    share_answered=n_answered / n,
                    n=n,
                )
    return PrecisionThreshold(min_confidence=1.0, target=target, promised=False, precision=1.0, share_answered=0.0, n=n)


def images_needed(target: float) -> int:
    """How many answers, all right, are needed at least to promise `target` precision."""
    return math.ceil(math.log((1 - CONFIDENCE) / len(SHARES)) / math.log(target))


class ConformalThreshold(Schema):
    """Classes with a probability of at least `min_probability` cannot be ruled out."""

    coverage: Share  # minimum share of new images whose true class is in the set
    min_probability: Share  # 0: too few images, so every class stays in the set
    mean_size: NotNegative  # mean number of classes in a set, on the held-out images
    n: Count  # held-out images


def conformal_threshold(
    probabilities: np.ndarray,
    labels: np.ndarray,
    coverage: float,
    groups: np.ndarray | None = None,
    task: LearningTask = SINGLE_LABEL,
) -> ConformalThreshold:
    """The threshold of split conformal prediction with the smallest sets (Vovk et al. 2005; Sadinle et al. 2019).

    The coverage holds on average for images from the same distribution as the (n,) held-out ones; a coverage of 0.95 needs n of
    19 or more. Only the least probable true label of each of the (n,) `groups` counts.
    """
    n = len(labels)
    of_label = probabilities[np.arange(n), labels]
    if groups is not None:
        numbers = np.unique(groups, return_inverse=True)[1]
        lowest = np.ones(int(numbers.max()) + 1 if n else 0)
        np.minimum.at(lowest, numbers, of_label)
        of_label = lowest
    of_label = np.sort(of_label)
    rank = math.ceil((len(of_label) + 1) * coverage)
    threshold = float(of_label[len(of_label) - rank]) if rank <= len(of_label) else 0.0
    sizes = [len(members) for members in task.sets(probabilities, threshold)]
    mean_size = float(np.mean(sizes)) if sizes else 0.0
    return ConformalThreshold(coverage=coverage, min_probability=threshold, mean_size=mean_size, n=n)


class PromiseCheck(Schema):
    """How the thresholds perform on images with known labels: whether they keep their promises."""

    share_answered: Share
    precision: Share | None  # of the answers; None if there were none
    coverage: Share | None  # share of sets that contain the true class, or mean share of the true labels; None without sets
    mean_size: NotNegative | None  # mean number of classes in a set


def promises_kept(
    probabilities: np.ndarray,
    labels: np.ndarray,
    min_confidence: float,
    min_probability: float | None,
    task: LearningTask = SINGLE_LABEL,
) -> PromiseCheck:
    """How the thresholds perform on (n, n_classes) probabilities of images with (n,) labels."""
    answered, right = task.judged(probabilities, labels, min_confidence)
    coverage = mean_size = None
    if min_probability is not None:
        sets = task.sets(probabilities, min_probability)
        coverage = float(np.mean([task.held_by(members, label) for label, members in zip(labels, sets, strict=True)]))
        mean_size = float(np.mean([len(members) for members in sets]))
    precision = float(right[answered].mean()) if answered.any() else None
    return PromiseCheck(share_answered=float(answered.mean()), precision=precision, coverage=coverage, mean_size=mean_size)
