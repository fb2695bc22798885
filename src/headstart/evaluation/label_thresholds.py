"""The probability from which each of several labels is said: by F1, or so that a precision or a recall is promised."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headstart.data.label_sets import HAS, NOT_KNOWN
from headstart.evaluation.likeness import design_effect
from headstart.schema import Count, Name, Schema, Share
from headstart.tasks.several_labels import HALF

CONFIDENCE = 0.95  # with which a precision or a recall is promised, for each label
STARTS = 3  # sequences of thresholds that are tested, each with its part of what may be wrong
STEP = 1.15  # from one threshold of a sequence to the next, in images that get the label
FEWEST = 3  # images with a label, below which a threshold chosen by them says nothing

Aim = Literal["f1", "precision", "recall"]


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """What the thresholds are chosen for."""

    aim: Aim = "f1"
    target: float = 0.0  # of precision or recall

    @classmethod
    def of(cls, precision: float | None, recall: float | None) -> "ThresholdRule":
        """The rule of --target-precision and --target-recall, of which one may be given."""
        if precision is not None:
            return cls("precision", precision)
        return cls() if recall is None else cls("recall", recall)


BEST_F1 = ThresholdRule()


class LabelThreshold(Schema):
    """The probability from which a label is said, and how well that does on the held-out images that it was chosen on."""

    name: Name
    threshold: Share  # above 1 - 1e-9 for a label that is never said
    aim: Aim
    target: Share | None = None  # None: the best F1
    promised: bool  # whether the target is guaranteed with 95 % confidence
    precision: Share | None  # None: never said
    recall: Share | None  # None: no image has it
    n: Count  # held-out images of which it is known whether they have it
    n_with: Count  # of these, those that have it


def label_thresholds(
    probabilities: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
    rule: ThresholdRule,
    groups: np.ndarray | None = None,
    *,
    can_promise: bool = True,
) -> tuple[LabelThreshold, ...]:
    """A threshold for each label, from (n, n_labels) probabilities of held-out images with (n, n_labels) labels.

    Images of one of the (n,) `groups` count as fewer. Where something else was chosen on the images before, nothing can be
    promised.
    """
    found = []
    for i, name in enumerate(names):
        known = (labels[:, i] != NOT_KNOWN) & np.isfinite(probabilities[:, i])
        of_label, has = probabilities[known, i], labels[known, i] == HAS
        threshold, promised = _chosen(of_label, has, rule, None if groups is None else groups[known])
        said = of_label >= threshold
        found.append(
            LabelThreshold(
                name=name,
                threshold=threshold,
                aim=rule.aim,
                target=rule.target if rule.aim != "f1" else None,
                promised=promised and can_promise,
                precision=float(has[said].mean()) if said.any() else None,
                recall=float(said[has].mean()) if has.any() else None,
                n=len(has),
                n_with=int(has.sum()),
            )
        )
    return tuple(found)


def _chosen(of_label: np.ndarray, has: np.ndarray, rule: ThresholdRule, groups: np.ndarray | None) -> tuple[float, bool]:
    """The threshold, and whether it keeps what the rule promises."""
    if has.sum() < FEWEST or (~has).sum() < FEWEST:
        return HALF, False
    if rule.aim == "precision":
        return _for_precision(of_label, has, rule.target, groups)
    if rule.aim == "recall":
        return _for_recall(of_label, has, rule.target, groups)
    return best_f1_threshold(of_label, has), False


def best_f1_threshold(probabilities: np.ndarray, has: np.ndarray) -> float:
    """The threshold on (n,) probabilities with the best F1 for (n,) bool `has`, at least one of which is True.

    It is halfway between two probabilities, so that rounding does not change an answer.
    """
    order = np.argsort(-probabilities, kind="stable")
    ranked, hits = probabilities[order], np.cumsum(has[order])
    n_said = np.arange(1, len(has) + 1)
    f1 = 2 * hits / (n_said + has.sum())
    is_last = np.append(ranked[1:] < ranked[:-1], True)  # equal probabilities are all said or none
    best = int(np.where(is_last, f1, -1.0).argmax())
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + below) / 2)


def _for_precision(of_label: np.ndarray, has: np.ndarray, target: float, groups: np.ndarray | None) -> tuple[float, bool]:
    """The lowest threshold that promises `target` precision; else the lowest that reached it here, which is no promise.

    Learn then Test (Angelopoulos et al. 2021) by fixed sequences: thresholds are tested from the strictest down, each by the
    binomial distribution of its mistakes, until one fails; a sequence begins where so many images get the label that it could
    pass. Three sequences that begin at different places share the 5 % between them.
    """
    from scipy.special import bdtr  # machines that only predict do not have scipy

    level = (1 - CONFIDENCE) / STARTS
    ranked = np.sort(of_label)[::-1]
    fewest = math.ceil(math.log(level) / math.log(target)) if 0 < target < 1 else len(ranked) + 1

    def wrong(threshold: float) -> tuple[float, float]:
        """Mistakes among the images that get the label, and these; both in unrelated images."""
        said = of_label >= threshold
        effect = design_effect(has[said], None if groups is None else groups[said])
        return float((~has[said]).sum()) / effect, float(said.sum()) / effect

    lowest: float | None = None
    for start in (fewest * 2**number for number in range(STARTS)):
        n_said = float(start)
        while n_said <= len(ranked):
            threshold = float(ranked[math.ceil(n_said) - 1])
            n_wrong, n_all = wrong(threshold)
            if bdtr(math.ceil(n_wrong), max(1, math.floor(n_all)), 1 - target) > level:
                break
            lowest = threshold if lowest is None else min(lowest, threshold)
            n_said = min(n_said * STEP, len(ranked)) if n_said < len(ranked) else math.inf
    if lowest is not None:
        return _below(lowest, of_label), True
    precision = np.cumsum(has[np.argsort(-of_label, kind="stable")]) / np.arange(1, len(has) + 1)
    reached = np.flatnonzero((precision >= target) & np.append(ranked[1:] < ranked[:-1], True))
    return (_below(float(ranked[reached[-1]]), of_label) if reached.size else 1.0), False


def _for_recall(of_label: np.ndarray, has: np.ndarray, target: float, groups: np.ndarray | None) -> tuple[float, bool]:
    """The highest threshold that promises `target` recall: a one-sided tolerance limit of the probabilities of the images with
    the label (Wilks 1941); 0 if they are too few.
    """
    from scipy.special import bdtr

    found = np.sort(of_label[has])
    best, effect_of = 0.0, None if groups is None else groups[has]
    for threshold in np.unique(found):
        missed = of_label[has] < threshold
        effect = design_effect(~missed, effect_of)
        n_missed, n_all = math.ceil(missed.sum() / effect), max(1, math.floor(len(found) / effect))
        if bdtr(n_missed, n_all, 1 - target) > 1 - CONFIDENCE:
            break
        best = float(threshold)
    return (_below(best, of_label), True) if best > 0 else (0.0, False)


def _below(threshold: float, of_label: np.ndarray) -> float:
    """Halfway to the next lower probability: the same images get the label, and rounding changes no answer."""
    lower = of_label[of_label < threshold]
    return (threshold + float(lower.max(initial=0.0))) / 2
