"""The classes that were found, with the number of files of each, before any is opened."""

from collections import Counter
from collections.abc import Sequence

from headstart.data.sources import Sources, natural_order
from headstart.data.wording import counted

SHOWN_CLASSES = 8


def labels_in(sources: Sequence[Sources]) -> tuple[str, ...]:
    """The names of the classes of all files, in their order."""
    labels = {candidate.label for source in sources for candidate in source.candidates if candidate.label}
    return tuple(sorted(labels, key=natural_order))


def classes_found(sources: Sequence[Sources]) -> str:
    """A line such as "2 classes in 398 files (train/val): ants 124/70, bees 121/83"; of many classes the first are named."""
    candidates = [candidate for source in sources for candidate in source.candidates]
    counts = Counter((candidate.label or "", candidate.split) for candidate in candidates)
    labels = sorted({label for label, _ in counts}, key=natural_order)
    given = {split for _, split in counts}
    splits = [split for split in (None, "train", "val", "test") if split in given]
    shown = ", ".join(f"{label} {'/'.join(str(counts[label, split]) for split in splits)}" for label in labels[:SHOWN_CLASSES])
    more = f", … and {len(labels) - SHOWN_CLASSES} more" if len(labels) > SHOWN_CLASSES else ""
    by_split = f" ({'/'.join(split or 'no split' for split in splits)})" if given - {None} else ""
    return f"{counted(len(labels), 'class')} in {counted(len(candidates), 'file')}{by_split}: {shown}{more}"
