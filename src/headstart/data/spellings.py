"""Spellings of a class: names that differ only in letter case or spaces."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from headstart.data.sources import Sources, natural_order


def spelling_key(label: str) -> str:
    """The same text for all spellings of a class."""
    return " ".join(label.casefold().split())


def join_spellings(sources: Sequence[Sources]) -> list[Sources]:
    """The sources with one spelling for each class, the most frequent one; in case of a tie the first in natural order."""
    counts = Counter(candidate.label for source in sources for candidate in source.candidates if candidate.label)
    counts.update({label: 0 for source in sources for _, label in source.empty_classes})
    spelling = one_spelling(sorted(counts, key=lambda label: (-counts[label], natural_order(label))))
    joined = []
    for source in sources:
        candidates = tuple(replace(c, label=spelling[spelling_key(c.label)]) if c.label else c for c in source.candidates)
        filled = {(c.split or "", c.label) for c in candidates}
        empty = {(split, spelling[spelling_key(label)]) for split, label in source.empty_classes}
        joined.append(replace(source, candidates=candidates, empty_classes=tuple(sorted(empty - filled))))
    return joined


def one_spelling(labels: Iterable[str]) -> dict[str, str]:
    """Spelling key -> the first of the labels that are spelled so."""
    spelling: dict[str, str] = {}
    for label in labels:
        spelling.setdefault(spelling_key(label), label)
    return spelling


def spelled_as(sources: Sources, classes: Sequence[str]) -> Sources:
    """The sources with the labels that are other spellings of `classes` written as these are."""
    spelling = one_spelling(classes)
    candidates = (replace(c, label=spelling.get(spelling_key(c.label), c.label)) if c.label else c for c in sources.candidates)
    return replace(sources, candidates=tuple(candidates))


def class_called(name: str, classes: Sequence[str], *, join_case: bool) -> str | None:
    """The class of this name, in whatever spelling if `join_case`; None if there is none."""
    if join_case:
        return one_spelling(classes).get(spelling_key(name))
    return name if name in classes else None
