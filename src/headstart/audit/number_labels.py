"""Labels that are likely wrong where they are numbers."""

import numpy as np

from headstart.audit.evidence import Evidence
from headstart.audit.findings import LISTED_SHARE, Checked, Finding, Severity, strongest_first
from headstart.data.wording import in_digits
from headstart.evaluation.number_intervals import number_intervals

USUAL = 0.9  # of the errors; of normal ones these are below 1.6 standard deviations
DOUBTFUL, CERTAIN = 2.0, 3.0  # times the usual error: a label further off is doubted, or severely


def label_errors_of_numbers(check: str, evidence: Evidence) -> Checked:
    """Numbers far from what a model says that was not trained on the image.

    An error is compared with the largest of nine in ten around such an answer (see `number_intervals`): where the model is
    often far off, being far off says little of the label. The score is 0.5 at that usual error and tends to 1.
    """
    labels, n = evidence.dataset.labels, len(evidence.facts)
    if evidence.out_of_fold is None:
        return Checked(check, (), np.full(n, np.nan))
    answers = evidence.out_of_fold[:, 0]
    usual = number_intervals(answers, labels, USUAL)
    if usual is None:
        return Checked(check, (), np.full(n, np.nan))
    half = np.interp(answers, usual.answers, usual.half_widths)
    beyond = np.abs(answers - labels) / np.maximum(half, np.finfo(float).tiny)
    scores = beyond / (1 + beyond)
    findings = []
    for rank, i in enumerate(np.argsort(-scores, kind="stable")):
        if beyond[i] < DOUBTFUL and rank >= LISTED_SHARE * n:
            break
        severity: Severity = "severe" if beyond[i] >= CERTAIN else "warning" if beyond[i] >= DOUBTFUL else "info"
        image = evidence.dataset.images[i]
        says = f"has the number {image.label}, but a model that never saw it says {in_digits(answers[i], np.ptp(labels))}"
        findings.append(Finding(check=check, severity=severity, path=image.path, score=float(scores[i]), sentence=says))
    return Checked(check, strongest_first(findings), scores)
