"""Which images are trained on and which are held out: stratified by class, groups kept together, the same for the same seed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.dataset import Dataset, LabelledImage
from headstart.errors import DataError


@dataclass(frozen=True, slots=True)
class Split:
    """Indices into `Dataset.images`; each is (n,) int64, sorted. An absent split is empty."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    val_from: str  # "data": it came with the data; "train": split off here; "none"

    def as_dict(self) -> dict[str, np.ndarray]:
        """The three index arrays by name."""
        return {"train": self.train, "val": self.val, "test": self.test}


def split_dataset(dataset: Dataset, groups: np.ndarray, *, val_fraction: float, needs_val: bool, seed: int) -> Split:
    """The splits the data came with; where there is no val and one is needed or nothing else could be reported, one is
    split off train.

    `groups` (n_images,) int64 are not divided. `needs_val`: something will be selected on it, so a test split does not
    replace it. Raises DataError where a class is too small.
    """
    train, val, test = (dataset.indices_of(name) for name in ("train", "val", "test"))
    if not dataset.splits:
        train = np.arange(len(dataset.images))
    if val.size:
        return Split(train, val, test, "data")
    if val_fraction == 0 or (test.size and not needs_val):
        return Split(train, val, test, "none")
    labels = dataset.labels[train]
    held = hold_out(labels, groups[train], val_fraction, seed, dataset.classes)
    return Split(train[~held], train[held], test, "train")


def groups_of(images: Sequence[LabelledImage], alike: Iterable[tuple[int, int]] = ()) -> np.ndarray:
    """(n,) int64 group numbers: what belongs together in a split.

    Images of one group of the `group` column, with the very same bytes, or paired in `alike` are in one group, and so is
    everything that such pairs link.
    """
    parent = list(range(len(images)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, image in enumerate(images):
        keys = [("bytes", image.sha256)] + ([("group", image.group)] if image.group else [])
        for key in keys:
            parent[root(i)] = root(first.setdefault(key, i))
    for one, other in alike:
        parent[root(one)] = root(other)
    return np.unique([root(i) for i in range(len(images))], return_inverse=True)[1]


def hold_out(labels: np.ndarray, groups: np.ndarray, fraction: float, seed: int, classes: Sequence[str]) -> np.ndarray:
    """(n,) bool: about `fraction` of each class, at least one image of each, no group divided. Raises DataError."""
    for index, label in enumerate(classes):
        count = int((labels == index).sum())
        if count < 2:
            raise DataError(
                f"class {label!r} has {count} image{'s' * (count != 1)}; 2 are needed to hold one out",
                hint="add images, or pass --val-fraction 0",
            )
    rng = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=bool)
    for index, label in enumerate(classes):
        members = np.flatnonzero(labels == index)
        wanted = max(1, round(fraction * len(members)))
        done = int(held[members].sum())  # groups of several classes may have brought some already
        sizes = np.bincount(groups[members], minlength=groups.max() + 1)
        order = rng.permutation(np.unique(groups[members]))
        for group in order:
            if done >= wanted:
                break
            if done + sizes[group] <= wanted + sizes[group] // 2 and _may_be_held(groups == group, held, labels):
                held |= groups == group
                done += int(sizes[group])
        if not done:  # all groups are larger than what is wanted
            for group in order[np.argsort(sizes[order], kind="stable")]:
                if _may_be_held(groups == group, held, labels):
                    held |= groups == group
                    break
            else:
                raise DataError(
                    f"class {label!r} is all one group; a group cannot be on both sides of a split",
                    hint="give a val split, or pass --val-fraction 0",
                )
    return held


def _may_be_held(of_group: np.ndarray, held: np.ndarray, labels: np.ndarray) -> bool:
    """Whether the group is not held out yet, and every class keeps an image to train on without it."""
    after = held | of_group
    return not held[of_group].any() and all(not after[labels == label].all() for label in np.unique(labels[of_group]))


def folds(labels: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (fit, held) index arrays, stratified and group-safe; every image is held out once."""
    if len(np.unique(groups)) < len(labels):
        from sklearn.model_selection import StratifiedGroupKFold

        yield from StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(labels, labels, groups)
        return
    fold_of = _dealt(labels, n_folds, seed)
    for fold in range(n_folds):
        yield np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)


def _dealt(labels: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """(n,) int64: each image's fold. The shuffled images are dealt class after class like cards, so that folds and the classes
    in them differ in size by one at most. (scikit-learn does the same; importing it takes a second, this a millisecond.)
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold_of = np.empty(len(labels), np.int64)
    fold_of[by_class] = np.arange(len(labels)) % n_folds
    return fold_of


def fold_count(labels: np.ndarray, groups: np.ndarray, wanted: int = 5) -> int:
    """As many folds as the smallest class has groups, at most `wanted`; below 2 no fold can be made."""
    return min(wanted, *(len(np.unique(groups[labels == label])) for label in np.unique(labels)))


def spread_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """An order of (n,) labels in which each beginning holds the classes by their shares, each class at least once."""
    rng = np.random.default_rng(seed)
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        rank[members] = (np.arange(len(members)) + rng.random()) / len(members)
        rank[members[0]] = -1.0
    return np.argsort(rank, kind="stable")
