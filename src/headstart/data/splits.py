"""Which images are trained on and which are held out: stratified by class, groups kept together, the same for the same seed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.dataset import Dataset, LabelledImage
from headstart.data.image_files import BoxInFile
from headstart.data.number_strata import strata_of
from headstart.data.set_splits import dealt_by_labels
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


def split_dataset(
    dataset: Dataset,
    groups: np.ndarray,
    *,
    val_fraction: float,
    needs_val: bool,
    seed: int,
    looked_at: np.ndarray | None = None,
) -> Split:
    """The splits the data came with. A val is split off train if there is none and one is needed, or if nothing else could be
    reported.

    `groups` (n_images,) int64 are not divided, except where `parted` must. `needs_val`: something will be selected on val, so a
    test split does not replace it. Images that were `looked_at`, (n_images,) bool, and their groups stay in train as far as
    possible. Raises DataError if a class is too small.
    """
    train, val, test = (dataset.indices_of(name) for name in ("train", "val", "test"))
    if not dataset.splits:
        train = np.arange(len(dataset.images))
    if val.size:
        return Split(train, val, test, "data")
    if val_fraction == 0 or (test.size and not needs_val):
        return Split(train, val, test, "none")
    labels = dataset.labels[train]
    seen = None if looked_at is None else looked_at[train]
    held = hold_out(labels, parted(labels, groups[train]), val_fraction, seed, dataset.classes, seen)
    return Split(train[~held], train[held], test, "train")


def groups_of(images: Sequence[LabelledImage], alike: Iterable[tuple[int, int]] = ()) -> np.ndarray:
    """(n,) int64 group numbers: what belongs together in a split.

    Images of one group of the `group` column, with the very same bytes, or paired in `alike` are in one group, and so is
    everything that such pairs link.
    """
    first: dict[tuple[str, str], int] = {}
    pairs = list(alike)
    for i, image in enumerate(images):
        keys = [("bytes", image.sha256)] + ([("group", image.group)] if image.group else [])
        pairs += [(i, first.setdefault(key, i)) for key in keys]
    return linked(len(images), pairs)


def groups_by_looks(images: Sequence[LabelledImage], alike: Sequence[tuple[int, int]]) -> tuple[np.ndarray, str]:
    """The groups with the images that are paired in `alike`, and a note if such pairs do not count.

    A pair of boxes links their pictures with everything in them. If things look so much alike that this leaves nothing to hold
    out, the pictures alone are kept together: else their boxes would be divided one by one (see `parted`).
    """
    groups = groups_of(images, alike)
    if not alike or not any(isinstance(image.file, BoxInFile) for image in images):
        return groups, ""
    labels = np.unique([image.label for image in images], return_inverse=True)[1]
    if len(np.unique(labels[can_be_held(labels, groups)])) > 1:
        return groups, ""
    return groups_of(images), (
        "boxes in nearly all pictures look like boxes in others, so only the boxes of a picture are kept together in the "
        "splits; if pictures show the same things, the accuracy is too high"
    )


def linked(n: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """(n,) int64: numbers from 0 for the groups that pairs of 0 .. n - 1 link."""
    parent = list(range(n))
    for one, other in pairs:
        parent[root_of(parent, one)] = root_of(parent, other)
    return np.unique([root_of(parent, i) for i in range(n)], return_inverse=True)[1]


def root_of(parent: list[int], i: int) -> int:
    """The root of `i` in a forest, whose paths are halved on the way."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def hold_out(
    labels: np.ndarray,
    groups: np.ndarray,
    fraction: float,
    seed: int,
    classes: Sequence[str],
    looked_at: np.ndarray | None = None,
) -> np.ndarray:
    """(n,) bool: about `fraction` of each class (of numbers, of each tenth), at least one image of each, no group divided.

    Groups with an image that was `looked_at`, (n,) bool, come last. Nothing of a class that is all one group is held out (see
    `can_be_held`). Raises DataError if a class has fewer than two images, or if nothing can be held out. Of several labels,
    (n, n_labels) int8, the same holds for each as far as groups allow.
    """
    if labels.ndim == 2:
        held: np.ndarray = dealt_by_labels(labels, groups, (1 - fraction, fraction), seed, looked_at) == 1
        if not held.any():
            raise DataError("the images are too few, or all one group: nothing can be held out", hint="give --val or --test")
        return held
    labels, classes = _strata(labels, groups) if are_numbers(labels) else (labels, classes)
    counts = _enough_to_hold(labels, groups, classes)
    rng = np.random.default_rng(seed)
    group_of, shares = _shares(labels, groups)
    left = dict(Counter(labels.tolist()))  # class -> images that are not held out
    is_held = [False] * (len(shares.starts) - 1)  # by group
    is_seen = np.zeros(len(is_held), bool)
    is_seen[group_of[looked_at if looked_at is not None else slice(0)]] = True

    def try_to_hold(group: int) -> bool:
        """Holds a group out, unless it is held out already or a class would keep no image to train on."""
        parts = shares.of_group(group)
        if is_held[group] or any(left[shares.classes[part]] == shares.sizes[part] for part in parts):
            return False
        is_held[group] = True
        for part in parts:
            left[shares.classes[part]] -= shares.sizes[part]
        return True

    by_class = _members_by_class(np.array(shares.classes))
    for index in range(len(classes)):
        wanted = max(1, round(fraction * counts[index]))
        done = counts[index] - left[index]  # groups of several classes may have brought some already
        order = sorted(rng.permutation(by_class[index]).tolist(), key=lambda part: is_seen[shares.groups[part]])
        for part in order:
            if done >= wanted:
                break
            size = shares.sizes[part]
            if done + size <= wanted + size // 2 and try_to_hold(shares.groups[part]):
                done += size
        if not done:  # all groups are larger than what is wanted
            smallest_first = sorted(order, key=shares.sizes.__getitem__)
            any(try_to_hold(shares.groups[part]) for part in smallest_first)  # stops at the first that is held out
    if not any(is_held):
        raise DataError(
            f"class {classes[0]!r} is all one group, and so is every other; a group cannot be on both sides of a split",
            hint="give --val or --test",
        )
    return np.array(is_held)[group_of]


def are_numbers(labels: np.ndarray) -> bool:
    """Whether labels are numbers, not classes."""
    return labels.dtype.kind == "f"


def _strata(numbers: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, Sequence[str]]:
    """(n,) int64 strata instead of numbers, and names for them. Raises DataError if nothing can be held out."""
    strata = strata_of(numbers, groups)
    if len(np.unique(groups)) < 2:
        raise DataError("all images are one group, or one image: nothing can be held out", hint="give --val or --test")
    return strata, [f"stratum {i}" for i in range(int(strata.max()) + 1)]


def _enough_to_hold(labels: np.ndarray, groups: np.ndarray, classes: Sequence[str]) -> list[int]:
    """The number of images of each class. Raises DataError if one has fewer than two."""
    counts: list[int] = np.bincount(labels[labels >= 0], minlength=len(classes)).tolist()
    n_judged = len(np.unique(labels[can_be_held(labels, groups)]))
    for count, label in zip(counts, classes, strict=False):
        if count < 2:
            raise DataError(
                f"class {label!r} has {count} image{'s' * (count != 1)}; 2 are needed to hold one out",
                hint="add images, or " + ("pass --val-fraction 0" if n_judged > 1 else "give --val or --test"),
            )
    return counts


def can_be_held(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n,) bool: which images can be held out, so that a model is judged on them.

    A class that is all one group (frames of one scene, say) cannot be on both sides of a split. Its images are only trained on,
    and so is all that is in one group with them. Of several labels any image can be held out, unless all are one group.
    """
    if labels.ndim == 2 or are_numbers(labels):
        return np.full(len(labels), len(np.unique(groups)) > 1)
    group_of = np.unique(groups, return_inverse=True)[1]
    class_of = np.unique(labels, return_inverse=True)[1]
    stays = np.zeros(group_of.max(initial=-1) + 1, bool)
    while True:
        free = ~stays[group_of]
        pairs = np.unique(np.stack([class_of[free], group_of[free]]), axis=1)
        n_groups = np.bincount(pairs[0], minlength=class_of.max(initial=-1) + 1)
        whole = free & (n_groups[class_of] < 2)
        if not whole.any():
            return free
        stays[group_of[whole]] = True


def parted(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n,) int64: `groups`; but if fewer than two classes can be held out, the images that cannot are a group each.

    A number of one class, or none, says nothing, and fine-tuning has to choose its best epoch. What is reported of a divided
    group is called a leak.
    """
    alone = ~can_be_held(labels, groups)
    if labels.ndim == 2 or are_numbers(labels):
        return np.arange(len(labels)) if alone.any() else groups
    if len(np.unique(labels[~alone])) > 1:
        return groups
    apart = groups.copy()
    apart[alone] = groups.max(initial=0) + 1 + np.arange(alone.sum())
    return apart


@dataclass(frozen=True, slots=True)
class _Shares:
    """The images that a group has of a class, for each group and each of its classes, in the order of groups and classes.

    Lists, because they are read one by one.
    """

    groups: list[int]  # (n_shares,) counted from 0
    classes: list[int]  # (n_shares,)
    sizes: list[int]  # (n_shares,) images
    starts: list[int]  # (n_groups + 1,) where each group's shares begin

    def of_group(self, group: int) -> range:
        """The positions of a group's shares."""
        return range(self.starts[group], self.starts[group + 1])


def _shares(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, _Shares]:
    """(n,) the group of each image, counted from 0 in the order of `groups`' numbers; and the groups' shares in the classes."""
    numbers, group_of = np.unique(groups, return_inverse=True)
    classes, class_of = np.unique(labels, return_inverse=True)
    shares, sizes = np.unique(group_of * len(classes) + class_of, return_counts=True)
    of_group, of_class = np.divmod(shares, len(classes))
    starts = np.searchsorted(of_group, np.arange(len(numbers) + 1))
    return group_of, _Shares(of_group.tolist(), classes[of_class].tolist(), sizes.tolist(), starts.tolist())


def folds(labels: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (fit, held) index arrays, stratified and group-safe; every image that can be held out is held out once."""
    free = can_be_held(labels, groups)
    if are_numbers(labels):
        yield from _folds(strata_of(labels, groups), groups, n_folds, seed)
        return
    if labels.ndim == 2:
        part = dealt_by_labels(labels, groups, [1 / n_folds] * n_folds, seed)
        yield from ((np.flatnonzero(part != fold), np.flatnonzero(part == fold)) for fold in range(n_folds))
        return
    if free.all():
        yield from _folds(labels, groups, n_folds, seed)
        return
    rows, always = np.flatnonzero(free), np.flatnonzero(~free)
    for fit, held in _folds(labels[rows], groups[rows], n_folds, seed):
        yield np.sort(np.concatenate([rows[fit], always])), rows[held]


def _folds(labels: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    deal = _dealt if len(np.unique(groups)) == len(labels) else _dealt_in_groups
    fold_of = deal(labels, groups, n_folds, seed)
    for fold in range(n_folds):
        yield np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)


def _dealt(labels: np.ndarray, _: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """(n,) int64: each image's fold, where every image is a group of its own. The shuffled images are dealt class after class
    like cards, so that folds and the classes in them differ in size by one at most. (scikit-learn does the same; importing it
    takes a second, this a millisecond.)
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold_of = np.empty(len(labels), np.int64)
    fold_of[by_class] = np.arange(len(labels)) % n_folds
    return fold_of


def _dealt_in_groups(labels: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """(n,) int64: each image's fold. The shuffled groups, the largest first, go one by one to the fold that has the smallest
    share of their classes, and the fewest images where these are equal; single images even out what larger groups left.
    (scikit-learn's StratifiedGroupKFold does much the same in fifty times the time, and its folds are no more even.)
    """
    group_of, shares = _shares(labels, groups)
    n_images = np.bincount(group_of)
    shuffled = np.random.default_rng(seed).permutation(len(n_images))
    weight = {label: 1 / count**2 for label, count in Counter(labels.tolist()).items()}  # rare classes count as much as others
    of_class = {label: [0] * n_folds for label in weight}  # images that each fold has so far
    in_all = [0] * n_folds
    fold_of = np.empty(len(n_images), np.int64)
    for group in shuffled[np.argsort(-n_images[shuffled], kind="stable")].tolist():
        parts = [(of_class[shares.classes[i]], shares.sizes[i], weight[shares.classes[i]]) for i in shares.of_group(group)]
        # What a fold's sum of squared shares of the classes would grow by, less what is the same for every fold.
        growth = [sum(counts[fold] * size * factor for counts, size, factor in parts) for fold in range(n_folds)]
        fold = min(range(n_folds), key=lambda fold: (growth[fold], in_all[fold]))
        fold_of[group] = fold
        for counts, size, _ in parts:
            counts[fold] += size
            in_all[fold] += size
    return fold_of[group_of]


def fold_count(labels: np.ndarray, groups: np.ndarray, wanted: int = 5) -> int:
    """As many folds as the smallest class that can be held out has groups, at most `wanted`; 1 if fewer than two classes can
    be held out. Of several labels as many as there are groups.
    """
    if labels.ndim == 2 or are_numbers(labels):
        return min(wanted, len(np.unique(groups)))
    free = can_be_held(labels, groups)
    _, shares = _shares(labels[free], groups[free])
    n_groups = Counter(shares.classes).values()
    return min(wanted, *n_groups) if len(n_groups) > 1 else 1


def spread_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """An order of (n,) labels in which each beginning holds the classes by their shares, each class at least once."""
    rng = np.random.default_rng(seed)
    rank = np.empty(len(labels))
    for members in _members_by_class(labels).values():
        shuffled = rng.permutation(members)
        rank[shuffled] = (np.arange(len(members)) + rng.random()) / len(members)
        rank[shuffled[0]] = -1.0
    return np.argsort(rank, kind="stable")


def _members_by_class(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Class -> where it is in `labels`, in the order of classes."""
    order = np.argsort(labels, kind="stable")
    classes, starts = np.unique(labels[order], return_index=True)
    return dict(zip(classes.tolist(), np.split(order, starts[1:]), strict=True))
