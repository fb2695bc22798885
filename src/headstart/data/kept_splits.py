"""The splits of a data set that adds to an earlier one: images stay where they were, and new ones are divided like them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.label_sets import HAS
from headstart.data.number_sources import check_numbers
from headstart.data.set_splits import dealt_by_labels
from headstart.data.splits import can_be_held, hold_out
from headstart.errors import DataError

HELD = ("test", "val")  # where an image may not be trained on; the first counts more


@dataclass(frozen=True, slots=True)
class KeptSplits:
    """The split of each image, and how many are not where the data has them."""

    names: tuple[str, ...]  # train, val or test, in the order of the images
    moved: int  # images that were in another split before than the one they are given in now
    twins: int  # new images that show a picture of the earlier val or test, and are held out with it


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of the new images is held out, besides what comes with a split of its own."""

    test: float
    val: float


def kept_splits(
    dataset: Dataset,
    given: Sequence[str | None],
    groups: np.ndarray,
    was: Mapping[str, Sequence[str]],
    shares: Shares,
    seed: int,
) -> KeptSplits:
    """The splits of all images, where `was` has the SHA-256 of earlier ones with the splits that they were in.

    An earlier image stays where it was, whatever is `given` for it. A new one that is related to earlier images, by (n,)
    `groups`, goes to where these are held out, or else to train, unless it is given as val or test. Of the other new ones the
    shares are held out, stratified by class, by each of several labels, or by the size of numbers, and without dividing a
    group. Raises DataError if a class is left without train images.
    """
    before = [_before(was.get(image.sha256, ()), wanted) for image, wanted in zip(dataset.images, given, strict=True)]
    new = np.array([not name for name in before], bool)
    found = np.array([name or (wanted if wanted in HELD else "") for name, wanted in zip(before, given, strict=True)], object)
    related = {group: name for name in ("train", *reversed(HELD)) for group in groups[~new & (found == name)].tolist()}
    twins = 0
    for i in np.flatnonzero(found == "").tolist():
        found[i] = related.get(int(groups[i]), "")
        twins += found[i] in HELD
    for name, share in (("test", shares.test), ("val", shares.val / (1 - shares.test) if shares.test < 1 else 0.0)):
        free = np.flatnonzero(found == "")
        if share and not any(new[i] and given[i] == name for i in range(len(given))):
            found[free[_held(dataset, free, groups, new, share, seed)]] = name
    found[found == ""] = "train"
    _check_train(dataset, found)
    moved = sum(bool(name) and wanted not in (None, name) for name, wanted in zip(before, given, strict=True))
    return KeptSplits(tuple(found.tolist()), moved, twins)


def _before(splits: Sequence[str], given: str | None) -> str:
    """The split that an image was in; "" for a new one. Of several, the one that it is given in, else where it was held out."""
    return given if given and given in splits else next((name for name in (*HELD, "train") if name in splits), "")


def _held(dataset: Dataset, free: np.ndarray, groups: np.ndarray, new: np.ndarray, share: float, seed: int) -> np.ndarray:
    """(n_free,) bool: which of the free rows are held out: at least one of each class that is new, if it can be divided.

    Of a class that was there before, of several labels and of numbers a share of less than half an image is none.
    """
    labels, of_free = dataset.labels[free], groups[free]
    if dataset.several:
        return np.asarray(dealt_by_labels(labels, of_free, (1 - share, share), seed) == 1)
    if dataset.number:
        is_enough = round(share * len(free)) > 0 and len(np.unique(of_free)) > 1
        return hold_out(labels, of_free, share, seed, dataset.classes) if is_enough else np.zeros(len(free), bool)
    return _held_of_classes(dataset, labels, of_free, set(dataset.labels[~new].tolist()), share, seed)


def _held_of_classes(
    dataset: Dataset, labels: np.ndarray, groups: np.ndarray, known: set[int], share: float, seed: int
) -> np.ndarray:
    """The same for (n,) classes and groups of free rows, where `known` classes were there before."""
    counts = np.bincount(labels, minlength=len(dataset.classes)).tolist()
    asked = [label for label, n in enumerate(counts) if n and (label not in known or (n > 1 and round(share * n) > 0))]
    rows = np.flatnonzero(np.isin(labels, asked))
    codes = np.searchsorted(asked, labels[rows])
    held = np.zeros(len(labels), bool)
    if rows.size and (can_be_held(codes, groups[rows]).any() or min(counts[label] for label in asked) < 2):
        names = [dataset.classes[label] for label in asked]
        held[rows] = hold_out(codes, groups[rows], share, seed, names)
    return held


def _check_train(dataset: Dataset, found: np.ndarray) -> None:
    if dataset.number:
        check_numbers([(image.label, name) for image, name in zip(dataset.images, found.tolist(), strict=True)])
        return
    labels, kind = dataset.labels[found == "train"], "label" if dataset.several else "class"
    trained_on = set(np.flatnonzero((labels == HAS).any(axis=0)).tolist() if dataset.several else labels.tolist())
    for place, name in enumerate(dataset.classes):
        if place not in trained_on:
            raise DataError(
                f"{kind} {name!r} has only images that stay held out, because they were before or show the same pictures",
                hint=f"add other images of this {kind}",
            )
