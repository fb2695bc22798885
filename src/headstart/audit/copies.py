"""Checks for pictures that occur more than once: harmless, across splits (a leak), or across classes (a conflict)."""

import numpy as np

from headstart.audit.evidence import Evidence
from headstart.audit.findings import Checked, Finding, Severity, strongest_first
from headstart.data.label_sets import NOT_KNOWN

HELD_OUT_RANK = {None: 0, "train": 0, "val": 1, "test": 2}


def duplicate(check: str, evidence: Evidence) -> Checked:
    """The same file, or the same pixels in another file, more than once in a split and class."""
    pairs = _harmless(evidence) & evidence.twins.same_pixels
    return _checked(check, "warning", evidence, pairs, "has the same pixels as another image of its class")


def near_duplicate(check: str, evidence: Evidence) -> Checked:
    """The same picture, scaled, compressed or changed slightly, more than once in a split and class."""
    pairs = _harmless(evidence) & ~evidence.twins.same_pixels
    return _checked(check, "info", evidence, pairs, "is nearly identical to another image of its class")


def leak(check: str, evidence: Evidence) -> Checked:
    """Pictures of val or test that are also in train, or of test also in val: the accuracy on them is memory, not skill."""
    return _checked(check, "severe", evidence, _across_splits(evidence), "is in {split}, and its twin is in {other_split}")


def conflict(check: str, evidence: Evidence) -> Checked:
    """Pictures that are in two classes: one of the labels is wrong. Also files that rows of a table label differently."""
    sentence = "is labelled {label!r}, but its twin is labelled {other_label!r}"
    found = _checked(check, "severe", evidence, _across_classes(evidence), sentence)
    labelled_twice = [
        Finding(check=check, severity="severe", path=entry.path, score=1.0, sentence=f"is not used: {entry.reason}")
        for entry in evidence.dataset.skipped
        if entry.kind == "conflict"
    ]
    return Checked(check, strongest_first([*labelled_twice, *found.findings]), found.scores)


def _across_splits(evidence: Evidence) -> np.ndarray:
    return _differ(evidence, np.array([HELD_OUT_RANK[image.split] for image in evidence.dataset.images]))


def _across_classes(evidence: Evidence) -> np.ndarray:
    labels = evidence.dataset.labels
    if labels.ndim == 1:
        return _differ(evidence, labels)
    one, other = labels[evidence.twins.first], labels[evidence.twins.second]
    return np.asarray(((one != other) & (one != NOT_KNOWN) & (other != NOT_KNOWN)).any(axis=1))


def _harmless(evidence: Evidence) -> np.ndarray:
    return ~_across_splits(evidence) & ~_across_classes(evidence)


def _differ(evidence: Evidence, values: np.ndarray) -> np.ndarray:
    """(n_pairs,) bool: whether a pair's two images have different values."""
    return np.asarray(values[evidence.twins.first] != values[evidence.twins.second])


def _checked(check: str, severity: Severity, evidence: Evidence, chosen: np.ndarray, sentence: str) -> Checked:
    """A finding for one image of each chosen pair: the one held out, else the later one, with its closest twin."""
    images, twins = evidence.dataset.images, evidence.twins
    scores = np.zeros(len(images))
    findings: dict[str, Finding] = {}
    for pair in np.flatnonzero(chosen):
        other, one = images[twins.first[pair]], images[twins.second[pair]]
        if HELD_OUT_RANK[one.split] < HELD_OUT_RANK[other.split]:
            one, other = other, one
        likeness = 1.0 if twins.same_pixels[pair] else float(twins.similarity[pair])
        for i in (twins.first[pair], twins.second[pair]):
            scores[i] = max(scores[i], likeness)
        says = sentence.format(split=one.split, other_split=other.split, label=one.label, other_label=other.label)
        findings.setdefault(
            one.path,
            Finding(check=check, severity=severity, path=one.path, other_path=other.path, score=likeness, sentence=says),
        )
    return Checked(check, strongest_first(findings.values()), scores)
