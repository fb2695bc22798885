"""Checks of an image's appearance: blank, dark, blurred, or unlike all others of its class."""

from collections.abc import Callable

import numpy as np

from headstart.audit.evidence import Evidence, robust_z
from headstart.audit.findings import Checked, Finding, Severity, strongest_first
from headstart.model.features_on_disk import Features, some_rows

BLANK_CONTRAST, EMPTY_CONTRAST = 6.0, 2.0  # standard deviation of luma, 0 .. 255
DARK_BRIGHTNESS, BLACK_BRIGHTNESS = 30.0, 10.0  # mean luma
BLURRED_SHARPNESS = 40.0  # variance of the Laplacian; sharp photographs have hundreds
BLURRED_Z = 2.5  # and this many deviations below the set's median: if all images are soft, none is blurred
FOREIGN_Z, CERTAINLY_FOREIGN_Z = 4.0, 6.0
NEIGHBOURS = 5
REFERENCES = 4096  # a larger class is represented by a random sample: time grows linearly, not quadratically
BLOCK = 1024  # images compared at once: limits the memory


def blank(check: str, evidence: Evidence) -> Checked:
    """Images of one colour, or nearly so."""
    contrast = np.array([fact.contrast for fact in evidence.facts])
    scores = BLANK_CONTRAST / np.maximum(contrast, 0.1)
    return _beyond(
        check,
        evidence,
        scores,
        lambda i: "severe" if contrast[i] <= EMPTY_CONTRAST else "warning",
        lambda i: f"is almost uniform: its brightness varies by {contrast[i]:.1f} of 255",
    )


def dark(check: str, evidence: Evidence) -> Checked:
    """Images that are nearly black."""
    brightness = np.array([fact.brightness for fact in evidence.facts])
    scores = DARK_BRIGHTNESS / np.maximum(brightness, 0.5)
    return _beyond(
        check,
        evidence,
        scores,
        lambda i: "warning" if brightness[i] <= BLACK_BRIGHTNESS else "info",
        lambda i: f"is dark: its mean brightness is {brightness[i]:.0f} of 255",
    )


def blurred(check: str, evidence: Evidence) -> Checked:
    """Images without fine detail, in a set whose other images have it."""
    sharpness = np.array([fact.sharpness for fact in evidence.facts])
    unusual = robust_z(-np.log(np.maximum(sharpness, 0.01)))
    scores = np.where(sharpness < BLURRED_SHARPNESS, unusual / BLURRED_Z, 0.0)
    return _beyond(
        check,
        evidence,
        scores,
        lambda i: "info",
        lambda i: f"is blurred: its sharpness is {sharpness[i]:.0f}, and the set's median is {np.median(sharpness):.0f}",
    )


def foreign(check: str, evidence: Evidence) -> Checked:
    """Images unlike every other of their class: placeholders, screenshots, images in the wrong folder.

    An image's distance is the mean distance to its nearest images of the class (Ramaswamy et al. 2000). Its twins do not count,
    so that a placeholder saved ten times does not vouch for itself. The score is how unusual that distance is. Of 24 strays put
    into four data sets (a placeholder, and images of another set), each had the highest score of all. Scores relative to the
    class alone, or from standardised features, ranked a third of them lower.
    """
    labels, vectors = evidence.dataset.strata, evidence.vectors
    if evidence.dataset.number:  # of which there are no kinds
        labels = np.zeros_like(labels)
    distance = np.zeros(len(labels))
    judged: list[np.ndarray] = []
    n_classes = int(labels.max(initial=0)) + 1
    one, other = evidence.twins.first, evidence.twins.second
    pairs = np.column_stack([np.concatenate([one, other]), np.concatenate([other, one])])
    pairs = pairs[labels[pairs[:, 0]] == labels[pairs[:, 1]]]
    twins_of = _by_class(labels[pairs[:, 0]], n_classes)
    for members, rows in zip(_by_class(labels, n_classes), twins_of, strict=True):
        if len(members) <= NEIGHBOURS + 1:  # too few to say what is usual
            continue
        distance[members] = _distances(some_rows(vectors, members), np.searchsorted(members, pairs[rows]))
        judged.append(members)
    scores = np.zeros(len(labels))
    if judged:
        rows = np.concatenate(judged)
        scores[rows] = robust_z(distance[rows])
    of_all = "the data set" if evidence.dataset.number else "its class"
    sentence = f"is unlike every other image of {of_all}: its nearest are {{:.1f}} deviations further away than usual"
    return _beyond(
        check,
        evidence,
        scores / FOREIGN_Z,
        lambda i: "severe" if scores[i] >= CERTAINLY_FOREIGN_Z else "warning",
        lambda i: sentence.format(scores[i]),
    )


def _by_class(labels: np.ndarray, n_classes: int) -> list[np.ndarray]:
    """The indices of each class in (n,) labels, in order."""
    ends = np.cumsum(np.bincount(labels, minlength=n_classes))
    return np.split(np.argsort(labels, kind="stable"), ends[:-1])


def _distances(vectors: Features, twins: np.ndarray) -> np.ndarray:
    """(n,): one minus the mean cosine to the nearest of (n, n_features) vectors of a class, ignoring (n_pairs, 2) twins.

    `twins` contains each pair in both orders.
    """
    n = len(vectors)
    references = np.arange(n)
    if n > REFERENCES:
        references = np.sort(np.random.default_rng(0).choice(n, REFERENCES, replace=False))
    place = np.full(n, -1)
    place[references] = np.arange(len(references))
    left_out = np.concatenate([twins, np.column_stack([references, references])])  # an image is not its own neighbour either
    left_out = left_out[place[left_out[:, 1]] >= 0]
    left_out = left_out[np.argsort(left_out[:, 0], kind="stable")]
    others = _directions(vectors[references]).T
    found = np.empty(n)
    for start in range(0, n, BLOCK):
        similarity = _directions(vectors[start : start + BLOCK]) @ others
        begin, end = np.searchsorted(left_out[:, 0], [start, start + BLOCK])
        similarity[left_out[begin:end, 0] - start, place[left_out[begin:end, 1]]] = -1.0
        nearest = np.partition(similarity, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:]
        found[start : start + BLOCK] = 1 - nearest.mean(axis=1)
    return found


def _directions(vectors: np.ndarray) -> np.ndarray:
    directions: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return directions


def _beyond(
    check: str, evidence: Evidence, scores: np.ndarray, severity: Callable[[int], Severity], sentence: Callable[[int], str]
) -> Checked:
    """Findings for the images whose score is 1 or more."""
    findings = [
        Finding(
            check=check,
            severity=severity(int(i)),
            path=evidence.dataset.images[i].path,
            score=float(scores[i]),
            sentence=sentence(int(i)),
        )
        for i in np.flatnonzero(scores >= 1)
    ]
    return Checked(check, strongest_first(findings), scores)
