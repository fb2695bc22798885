"""Labels that are likely wrong where an image has any number of them."""

import warnings

import numpy as np

from headstart.audit.evidence import Evidence
from headstart.audit.findings import LISTED_SHARE, Checked, Finding, Severity, strongest_first
from headstart.data.label_sets import HAS, NOT_KNOWN

CERTAIN = 0.95  # probability of another class, or of the opposite, from which a label that cleanlab doubts is severe
FEWEST = 5  # images with a label, and without it, below which it cannot be doubted


def label_errors_of_sets(check: str, evidence: Evidence) -> Checked:
    """Labels that a model which was not trained on the image contradicts, label by label.

    The score of an image is one minus the out-of-fold probability of its least credible label, given or lacking. Confident
    learning (Northcutt et al. 2021, cleanlab) doubts them, with having and lacking a label as two classes.
    """
    labels, n = evidence.dataset.labels, len(evidence.facts)
    if evidence.out_of_fold is None:
        return Checked(check, (), np.full(n, np.nan))
    has = labels == HAS
    known = (labels != NOT_KNOWN) & np.isfinite(evidence.out_of_fold)
    opposite = np.where(known, np.where(has, 1 - evidence.out_of_fold, evidence.out_of_fold), np.nan)
    judged = known.any(axis=1)
    scores = np.full(n, np.nan)
    scores[judged] = np.nanmax(opposite[judged], axis=1)
    doubted = _doubted(evidence.out_of_fold, has, known)
    order = np.argsort(-np.nan_to_num(scores, nan=-1.0), kind="stable")
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    findings = []
    for i in np.flatnonzero(judged):
        worst = int(np.nanargmax(opposite[i]))
        is_doubted = bool(doubted[i].any())
        if is_doubted:
            worst = int(np.where(doubted[i], opposite[i], -1.0).argmax())
        elif rank[i] >= LISTED_SHARE * n:
            continue
        severity: Severity = "info"
        if is_doubted:
            severity = "severe" if opposite[i, worst] >= CERTAIN else "warning"
        name, share = evidence.dataset.classes[worst], float(opposite[i, worst])
        says = (
            f"is labelled {name!r}, of which a model that never saw it is only {1 - share:.0%} sure"
            if has[i, worst]
            else f"is not labelled {name!r}, but a model that never saw it is {share:.0%} sure of that"
        )
        path = evidence.dataset.images[i].path
        findings.append(Finding(check=check, severity=severity, path=path, score=share, sentence=says))
    return Checked(check, strongest_first(findings), scores)


def _doubted(probabilities: np.ndarray, has: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(n, n_labels) bool: which labels cleanlab doubts."""
    from cleanlab.filter import find_label_issues

    found = np.zeros(has.shape, bool)
    for label in range(has.shape[1]):
        rows = np.flatnonzero(known[:, label])
        of_label, truth = probabilities[rows, label], has[rows, label]
        if truth.sum() < FEWEST or (~truth).sum() < FEWEST:
            continue
        pairs = np.column_stack([1 - of_label, of_label])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="May not flag all label issues")  # imbalance tells of rare labels
            found[rows, label] = find_label_issues(truth.astype(int), pairs, filter_by="prune_by_noise_rate", n_jobs=1)
    return found
