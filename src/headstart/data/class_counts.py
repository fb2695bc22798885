"""The classes that were found, with the number of files of each, before any is opened."""

from collections import Counter
from collections.abc import Sequence

from headstart.data.label_sets import LabelSet
from headstart.data.sources import Candidate, Sources, natural_order
from headstart.data.wording import counted, range_in_digits

SHOWN_CLASSES = 8


def labels_given(sources: Sequence[Sources]) -> tuple[str, ...]:
    """The names of the classes of all files, in their order."""
    labels = {candidate.label for source in sources for candidate in source.candidates if candidate.label}
    return tuple(sorted(labels, key=natural_order))


def classes_found(sources: Sequence[Sources]) -> str:
    """A line such as "2 classes in 398 files (train/val): ants 124/70, bees 121/83"; of many classes the first are named.

    Of numbers "age from 3 to 84 in 398 files".
    """
    candidates = [candidate for source in sources for candidate in source.candidates]
    if sources[0].number:
        numbers = [float(candidate.label) for candidate in candidates if candidate.label is not None]
        low, high = min(numbers, default=0.0), max(numbers, default=0.0)
        span = f" from {range_in_digits(low, high, high - low)}" if numbers else ""
        return f"{sources[0].number}{span} in {counted(len(candidates), 'file')}"
    several = any(source.several for source in sources)
    counts = Counter((label, one.split) for one in candidates for label in _labels_of(one, several))
    labels = sorted({label for label, _ in counts}, key=natural_order)
    given = {candidate.split for candidate in candidates}
    splits = [split for split in (None, "train", "val", "test") if split in given]
    shown = ", ".join(f"{label} {'/'.join(str(counts[label, split]) for split in splits)}" for label in labels[:SHOWN_CLASSES])
    more = f", … and {len(labels) - SHOWN_CLASSES} more" if len(labels) > SHOWN_CLASSES else ""
    by_split = f" ({'/'.join(split or 'no split' for split in splits)})" if given - {None} else ""
    kinds = counted(len(labels), "label" if several else "class")
    return f"{kinds} in {counted(len(candidates), 'file')}{by_split}{':' * bool(labels)} {shown}{more}".rstrip()


def _labels_of(candidate: Candidate, several: bool) -> frozenset[str]:
    text = candidate.label or ""
    return LabelSet.of(text).labels if several else frozenset({text})
