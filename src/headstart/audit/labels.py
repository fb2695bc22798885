"""Checks of the labels: which are likely wrong, and whether each class has enough images."""

import warnings

import numpy as np

from headstart.audit.evidence import Evidence
from headstart.audit.findings import LISTED_SHARE, Checked, Finding, Severity, strongest_first
from headstart.audit.number_labels import label_errors_of_numbers
from headstart.audit.set_labels import CERTAIN, label_errors_of_sets
from headstart.evaluation.metrics import are_uneven

TINY_CLASS, SMALL_CLASS = 10, 20  # images


def label_error(check: str, evidence: Evidence) -> Checked:
    """Labels contradicted by a model that was not trained on the image: confident learning (Northcutt et al. 2021, cleanlab).

    The score is one minus the label's out-of-fold probability. cleanlab estimates how many labels of each class are wrong;
    these are warnings. The rest of the highest tenth is listed as info: the images to look at first.
    """
    n = len(evidence.facts)
    if evidence.dataset.several:
        return label_errors_of_sets(check, evidence)
    if evidence.dataset.number:
        return label_errors_of_numbers(check, evidence)
    if evidence.out_of_fold is None:
        return Checked(check, (), np.full(n, np.nan))
    from cleanlab.filter import find_label_issues

    labels, probabilities, classes = evidence.dataset.labels, evidence.out_of_fold, evidence.dataset.classes
    scores = 1 - probabilities[np.arange(n), labels]
    known = np.flatnonzero(~np.isnan(scores))
    doubted = np.zeros(n, bool)
    # cleanlab wants every class to have a label: those of images that were not judged agree with it by construction.
    filled = np.where(np.isnan(probabilities), np.eye(len(classes))[labels], probabilities)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="May not flag all label issues")  # imbalance tells of small classes
        doubted[known] = find_label_issues(labels, filled, filter_by="prune_by_noise_rate", n_jobs=1)[known]
    findings = []
    for rank, i in enumerate(known[np.argsort(-scores[known], kind="stable")]):
        if rank >= LISTED_SHARE * n and not doubted[i]:
            continue
        best = int(probabilities[i].argmax())
        severity: Severity = "info"
        if doubted[i]:
            severity = "severe" if probabilities[i, best] >= CERTAIN and best != labels[i] else "warning"
        says = f"is labelled {classes[labels[i]]!r}"
        if best == labels[i]:
            says += f", of which a model that never saw it is only {probabilities[i, best]:.0%} sure"
        else:
            says += f"; a model that never saw it says {classes[best]!r} ({probabilities[i, best]:.0%})"
        findings.append(
            Finding(
                check=check,
                severity=severity,
                path=evidence.dataset.images[i].path,
                score=float(scores[i]),
                sentence=says,
            )
        )
    return Checked(check, strongest_first(findings), scores)


def imbalance(check: str, evidence: Evidence) -> Checked:
    """Classes with fewer images than the largest: with few, or with far fewer."""
    counts = evidence.dataset.class_counts(np.arange(len(evidence.facts)))
    largest = max(counts)
    findings = []
    for name, count in zip(evidence.dataset.classes, counts, strict=True):
        is_far_smaller = are_uneven((largest, count))
        if count == largest or (count >= SMALL_CLASS and not is_far_smaller):
            continue
        severity: Severity = "warning" if count < TINY_CLASS or is_far_smaller else "info"
        sentence = f"the class {name!r} has {count} image{'s' * (count != 1)}, the largest {largest}"
        if is_far_smaller and not evidence.dataset.several:
            sentence += "; train with --balance if it matters as much"
        findings.append(Finding(check=check, severity=severity, score=max(largest, SMALL_CLASS) / count, sentence=sentence))
    return Checked(check, strongest_first(findings), np.full(len(evidence.facts), np.nan))
