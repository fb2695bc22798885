"""What adding to a finished run changed: its answers before and after, on the images that both were judged on."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from headstart.data.wording import counted, listed
from headstart.evaluation.paired import Difference, paired_difference
from headstart.fitting.answers import SplitAnswers
from headstart.fitting.earlier import EarlierAnswer, Extended, Growth
from headstart.fitting.fitted import Fitted
from headstart.schema import Count, Name, Positive, Schema, Sha256, Share
from headstart.storage import write_csv

FLIPS = "flips.csv"
HEADER = ("path", "label", "before", "after", "became", "probability_before", "probability_after")
Became = Literal["right", "wrong", "another mistake"]


class Compared(Schema):
    """The answers of both on the same images."""

    split: Literal["val", "test", "cv"]  # of the extended run, that these images are of
    n: Positive
    accuracy_before: Share
    accuracy_after: Share
    difference: Difference  # after minus before
    became_right: Count
    became_wrong: Count
    other_mistakes: Count  # another answer, as wrong as the one before
    to_new_classes: Count  # of the answers that changed, those that name an added class

    @property
    def flips(self) -> int:
        """How many answers name another class."""
        return self.became_right + self.became_wrong + self.other_mistakes


class ExtensionReport(Schema):
    """The run that was added to, and what that changed; labels are those of now."""

    run: Name
    manifest_sha256: Sha256
    images: Growth
    compared: Compared | None  # None if no image was judged by both

    def sentence(self) -> str:
        """What changed, in a sentence."""
        begins = f"extends {self.run} by {self.images.in_words()}"
        found = self.compared
        if found is None:
            return f"{begins}; no image was judged in both runs, so what it changed cannot be said"
        chance = "beyond chance" if found.difference.is_shown else "not beyond chance"
        says = (
            f"{begins}; on the {counted(found.n, 'image')} judged in both, {found.accuracy_before:.1%} were right before and "
            f"{found.accuracy_after:.1%} are now: {found.difference.signed()}, {chance}"
        )
        return f"{says}; {self.flips_in_words()}"

    def flips_in_words(self) -> str:
        """How many answers changed and what they became, in words."""
        found = self.compared
        if found is None or not found.flips:
            return "no answer changed"
        changed = "1 answer changed" if found.flips == 1 else f"{found.flips:,} answers changed"
        parts = [
            f"{n:,} {what}"
            for n, what in (
                (found.became_right, "became right"),
                (found.became_wrong, "became wrong"),
                (found.other_mistakes, "from one mistake to another"),
            )
            if n
        ]
        new = f"; {found.to_new_classes:,} now {listed(self.images.classes_added)}" if found.to_new_classes else ""
        return f"{changed} ({', '.join(parts)}{new})"


@dataclass(frozen=True, slots=True)
class Flip:
    """An image whose answer is another class than before."""

    path: str
    label: str
    before: str
    after: str
    became: Became
    probability_before: float  # of the class that was answered
    probability_after: float


@dataclass(frozen=True, slots=True)
class Extension:
    """What adding to a run changed."""

    report: ExtensionReport
    flips: tuple[Flip, ...]  # those that became wrong first, the surest first

    def write(self, file: Path) -> None:
        """Writes the flips as a table."""
        write_csv(file, HEADER, ([getattr(flip, name) for name in HEADER] for flip in self.flips))


def extension_of(fitted: Fitted) -> Extension | None:
    """What adding to a finished run changed; None for a run that extends none."""
    extended = fitted.scanned.extended
    if extended is None:
        return None
    compared, flips = _compared(fitted, extended)
    earlier = extended.earlier
    report = ExtensionReport(
        run=earlier.run, manifest_sha256=earlier.manifest_sha256, images=extended.growth, compared=compared
    )
    return Extension(report, flips)


def _compared(fitted: Fitted, extended: Extended) -> tuple[Compared | None, tuple[Flip, ...]]:
    earlier, dataset = extended.earlier, fitted.dataset
    of_same_split = sorted(fitted.answers, key=lambda answers: answers.split != earlier.split)
    pairs = next((pairs for answers in of_same_split if (pairs := _pairs(fitted, answers, earlier.answers))), None)
    if pairs is None:
        return None, ()
    labels = [dataset.images[pair.image].label for pair in pairs]
    before = np.array([pair.before.predicted == label for pair, label in zip(pairs, labels, strict=True)])
    after = np.array([pair.after == label for pair, label in zip(pairs, labels, strict=True)])
    groups = fitted.scanned.groups[[pair.image for pair in pairs]]
    flips = tuple(
        Flip(
            dataset.images[pair.image].path,
            label,
            pair.before.predicted,
            pair.after,
            "right" if is_right else "wrong" if was_right else "another mistake",
            pair.before.probability,
            pair.probability,
        )
        for pair, label, was_right, is_right in zip(pairs, labels, before, after, strict=True)
        if pair.before.predicted != pair.after
    )
    added = set(extended.growth.classes_added)
    compared = Compared(
        split=earlier.split,
        n=len(pairs),
        accuracy_before=float(before.mean()),
        accuracy_after=float(after.mean()),
        difference=paired_difference(after, before, groups),
        became_right=sum(flip.became == "right" for flip in flips),
        became_wrong=sum(flip.became == "wrong" for flip in flips),
        other_mistakes=sum(flip.became == "another mistake" for flip in flips),
        to_new_classes=sum(flip.after in added for flip in flips),
    )
    order = ("wrong", "another mistake", "right")
    return compared, tuple(sorted(flips, key=lambda flip: (order.index(flip.became), -flip.probability_after)))


@dataclass(frozen=True, slots=True)
class _Pair:
    image: int  # its place in the data set
    before: EarlierAnswer
    after: str
    probability: float


def _pairs(fitted: Fitted, answers: SplitAnswers, before: Sequence[EarlierAnswer]) -> list[_Pair]:
    """Both answers for each image that has two; of files with the same bytes, each with one."""
    waiting: dict[str, list[EarlierAnswer]] = defaultdict(list)
    for one in reversed(before):
        waiting[one.sha256].append(one)
    dataset, pairs = fitted.dataset, []
    for i, row in zip(answers.indices.tolist(), answers.probabilities, strict=True):
        if waiting.get(dataset.images[i].sha256):
            best, probability = fitted.scanned.task.answer(dataset.classes, row, 0.0)
            pairs.append(_Pair(i, waiting[dataset.images[i].sha256].pop(), best, probability))
    return pairs
