"""Several labels an image, where images and labels were added to a run: what nobody could have said of an image is not known.

- An image of the run says nothing of a label that the run did not know, unless its table has a column for the label, or lists
  it. This stays so in the runs that extend the new one.
- An image in a table with a column for each label says nothing of labels without a column.
- What any other image does not list it lacks, as ever.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headstart.data.dataset import Dataset, LabelledImage
from headstart.data.label_sets import HAS, LACKS, NOT_KNOWN, LabelSet
from headstart.data.sources import Sources
from headstart.data.wording import MOST_LISTED, counted, listed
from headstart.errors import DataError
from headstart.fitting.earlier import Earlier


def with_unsaid(images: Sequence[LabelledImage], sources: Sequence[Sources], earlier: Earlier) -> list[LabelledImage]:
    """The images, whose labels are the texts of LabelSets, with what they do not say marked as not known."""
    columns = {candidate.path: source.columns for source in sources for candidate in source.candidates}
    sets = [LabelSet.of(image.label) for image in images]
    names = frozenset(name for one in sets for name in one.labels)
    added = names - frozenset(earlier.classes)

    def unsaid(image: LabelledImage) -> frozenset[str]:
        with_column = columns.get(image.path, frozenset())
        if with_column:
            return names - with_column
        if image.sha256 not in earlier.splits:
            return frozenset()
        return added | (LabelSet.of(earlier.labels.get(image.sha256, "")).unknown & earlier.unsaid)

    return [
        replace(image, label=LabelSet(one.labels, one.unknown | (unsaid(image) - one.labels)).text)
        for image, one in zip(images, sets, strict=True)
    ]


def is_relabelled(before: str, now: str, added: frozenset[str]) -> bool:
    """Whether a text says another thing than before; that an `added` label is not known, or lacking, is no news."""
    was, is_now = LabelSet.of(before), LabelSet.of(now)
    return was.labels != is_now.labels or was.unknown != is_now.unknown - added


def check_added(dataset: Dataset, added: Sequence[str]) -> None:
    """Raises DataError for an added label that no train image is known to lack: a model would say it of every image."""
    labels = dataset.labels[dataset.indices_of("train")]
    for name in added:
        column = labels[:, dataset.classes.index(name)]
        if not (column == LACKS).any():
            raise DataError(
                f"no train image is known to lack the new label {name!r}: {int((column == HAS).sum())} have it, and "
                f"{int((column == NOT_KNOWN).sum())} do not say",
                hint="add images without it; or say which of the old ones lack it, in a table with a column for each label "
                "(1, 0, or empty if it is not known)",
            )


def notes_on_added(dataset: Dataset, added: Sequence[str], earlier: Earlier) -> list[str]:
    """How many images of the run say nothing of each added label."""
    is_old = np.array([image.sha256 in earlier.splits for image in dataset.images])
    columns = {name: dataset.labels[:, dataset.classes.index(name)] for name in added}
    unsaid = {name: n for name, column in columns.items() if (n := int((column[is_old] == NOT_KNOWN).sum()))}
    notes = []
    for name in list(unsaid)[:MOST_LISTED]:
        has, lacks = (int((columns[name] == value).sum()) for value in (HAS, LACKS))
        notes.append(
            f"of {counted(unsaid[name], 'image')} of the extended run it is not known whether they have the new label "
            f"{name!r}: it is trained and judged on the others, {has:,} with it and {lacks:,} without"
        )
    others = list(unsaid)[MOST_LISTED:]
    if others:
        notes.append(f"the same holds for {counted(len(others), 'more new label')}: {listed(others)}")
    return notes


def notes_on_judging(dataset: Dataset) -> list[str]:
    """Which labels cannot be judged, if images are held out at all."""
    held = np.array([image.split != "train" for image in dataset.images])
    if not held.any():
        return []
    notes = []
    for name, column in zip(dataset.classes, dataset.labels[held].T, strict=True):
        if not (column == HAS).any():
            notes.append(f"no image with the label {name!r} is held out: it cannot be judged")
        elif not (column == LACKS).any():
            notes.append(f"no image that is known to lack the label {name!r} is held out: it cannot be judged")
    return notes
