"""A check for shortcuts: whether the class can be predicted without looking at the picture's content."""

import numpy as np

from headstart.audit.evidence import Evidence
from headstart.audit.findings import Checked, Finding, Severity, strongest_first
from headstart.evaluation.number_metrics import r2_score

TELLING, GIVING_AWAY = 0.5, 0.8  # share of the way from guessing to certainty
FOLDS, LEAF_IMAGES = 5, 3
MAX_IMAGES = 5000  # more add nothing but time
NOT_THE_PICTURE = ("size", "aspect", "format")  # what has nothing to do with the content of a picture


def shortcut(check: str, evidence: Evidence) -> Checked:
    """Size, aspect, format or mean colour that predicts the class: a model may learn it and fail on images taken differently.

    The score is the cross-validated balanced accuracy of a decision tree that sees only this property, as a share of the way
    from guessing to certainty; of numbers the share of their variance that such a tree explains. Colour may well belong to a
    class; size and format rarely do.
    """
    labels, facts = evidence.dataset.strata, evidence.facts  # of several labels the rarest of each image
    nothing = Checked(check, (), np.full(len(facts), np.nan))
    rows = np.random.default_rng(0).permutation(len(labels))[:MAX_IMAGES]
    counts = np.bincount(labels[rows])
    if counts[counts > 0].min() < FOLDS or (counts > 0).sum() < 2:
        return nothing
    formats = sorted({(fact.format, fact.mode) for fact in facts})
    columns = {
        "size": [[fact.width, fact.height] for fact in facts],
        "aspect": [[fact.width / fact.height] for fact in facts],
        "format": [[formats.index((fact.format, fact.mode))] for fact in facts],
        "mean colour": [[fact.red, fact.green, fact.blue] for fact in facts],
    }
    guessing = 1 / int((counts > 0).sum())
    findings = []
    for name, values in columns.items():
        points = np.array(values, np.float64)[rows]
        if len(np.unique(points, axis=0)) == 1:
            continue
        if evidence.dataset.number:
            score, sentence = _tells_number(name, points, evidence.dataset.labels[rows])
        else:
            score, sentence = _tells_class(name, points, labels[rows], guessing)
        if score < TELLING:
            continue
        severity: Severity = "info"
        if name in NOT_THE_PICTURE:
            severity = "severe" if score >= GIVING_AWAY else "warning"
        elif score >= GIVING_AWAY:
            severity = "warning"
        findings.append(Finding(check=check, severity=severity, score=float(score), sentence=sentence))
    return Checked(check, strongest_first(findings), nothing.scores)


def _tells_class(name: str, points: np.ndarray, labels: np.ndarray, guessing: float) -> tuple[float, str]:
    """How far (n, n_columns) points tell (n,) classes, and the sentence on it."""
    from sklearn.metrics import recall_score  # a second of imports that `train` does not need
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(min_samples_leaf=LEAF_IMAGES, class_weight="balanced", random_state=0)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    predicted = cross_val_predict(tree, points, labels, cv=folds)
    recall = recall_score(labels, predicted, average="macro")
    score = (recall - guessing) / (1 - guessing)
    return score, f"{name} alone tells the class in {recall:.0%} of the images (guessing: {guessing:.0%})"


def _tells_number(name: str, points: np.ndarray, numbers: np.ndarray) -> tuple[float, str]:
    """The share of the variance of (n,) numbers that (n, n_columns) points explain, and the sentence on it."""
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(min_samples_leaf=LEAF_IMAGES, random_state=0)
    predicted = cross_val_predict(tree, points, numbers, cv=KFold(FOLDS, shuffle=True, random_state=0))
    score = max(0.0, r2_score(predicted, numbers) or 0.0)
    return score, f"{name} alone explains {score:.0%} of the variance of the numbers"
