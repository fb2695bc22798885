"""What adding to a finished run changed where answers are classes, or sets of labels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from headstart.artifact.numbers import share
from headstart.data.wording import counted, listed
from headstart.evaluation.paired import Difference, paired_difference
from headstart.evaluation.paired_scores import ScoreChange, judged_labels, precision_change
from headstart.evaluation.precision_recall import average_precisions
from headstart.fitting.earlier import Extended, Growth
from headstart.fitting.fitted import Fitted
from headstart.record.answer_pairs import AnswerPairs
from headstart.schema import Count, Name, Positive, Schema, Share

Became = Literal["right", "wrong", "another mistake", "still right"]
ORDER: tuple[Became, ...] = ("wrong", "another mistake", "still right", "right")


class ComparedLabels(Schema):
    """How well both rank the images of each label, over those labels that both know and that can be judged on these images."""

    labels: tuple[Name, ...]
    mean_average_precision_before: Share
    mean_average_precision_after: Share
    difference: ScoreChange  # after minus before

    def in_words(self) -> str:
        """The mean average precision before and now."""
        interval = self.difference.ci95
        certain = f" [{interval[0]:.3f}, {interval[1]:.3f}], {chance(self.difference.is_shown)}" if interval else TOO_FEW
        return (
            f"the mean average precision of {counted(len(self.labels), 'label')} was {self.mean_average_precision_before:.3f} "
            f"before and is {self.mean_average_precision_after:.3f} now: {self.difference.change:+.3f}{certain}"
        )


class Compared(Schema):
    """The answers of both on the same images. Of several labels an answer is right if all labels that are known are."""

    split: Literal["val", "test", "cv"]  # of the extended run, that these images are of
    n: Positive
    accuracy_before: Share
    accuracy_after: Share
    difference: Difference  # after minus before
    became_right: Count
    became_wrong: Count
    other_mistakes: Count  # another answer, as wrong as the one before
    still_right: Count = 0  # another answer, as right as the one before: what it says of other labels is not known
    to_new_classes: Count  # of the answers that changed, those that name an added class
    label_sets: ComparedLabels | None = None  # of several labels, if any can be judged

    @property
    def flips(self) -> int:
        """How many answers changed."""
        return self.became_right + self.became_wrong + self.other_mistakes + self.still_right

    def sentence(self, images: Growth) -> str:
        """What changed, as the end of a sentence."""
        of_sets = f"{self.label_sets.in_words()}; " if self.label_sets else ""
        return (
            f"on the {counted(self.n, 'image')} judged in both, {of_sets}{self.accuracy_before:.1%} were right before and "
            f"{self.accuracy_after:.1%} are now: {self.difference.signed()}, {chance(self.difference.is_shown)}; "
            f"{self._flips_in_words(images)}"
        )

    def _flips_in_words(self, images: Growth) -> str:
        """How many answers changed and what they became, in words."""
        if not self.flips:
            return "no answer changed"
        changed = "1 answer changed" if self.flips == 1 else f"{self.flips:,} answers changed"
        parts = [
            f"{n:,} {what}"
            for n, what in (
                (self.became_right, "became right"),
                (self.became_wrong, "became wrong"),
                (self.other_mistakes, "from one mistake to another"),
                (self.still_right, "still right"),
            )
            if n
        ]
        new = f"; {self.to_new_classes:,} now {listed(images.classes_added)}" if self.to_new_classes else ""
        return f"{changed} ({', '.join(parts)}{new})"


TOO_FEW = ", too few to say whether by chance"


def chance(is_shown: bool) -> str:
    """Whether a difference is beyond chance, in words."""
    return "beyond chance" if is_shown else "not beyond chance"


@dataclass(frozen=True, slots=True)
class Flip:
    """An image whose answer is another one than before."""

    HEADING: ClassVar = ("image", "label", "before", "after", "became")  # of `cells`

    path: str
    label: str
    before: str
    after: str
    became: Became
    probability_before: float  # of the answer
    probability_after: float

    def cells(self, in_words: Callable[[str], str]) -> tuple[str, ...]:
        """The flip as tables show it to people."""
        before = f"{in_words(self.before)} {share(self.probability_before)}"
        after = f"{in_words(self.after)} {share(self.probability_after)}"
        return self.path, in_words(self.label), before, after, self.became


def compare_answers(fitted: Fitted, extended: Extended, pairs: AnswerPairs) -> tuple[Compared, tuple[Flip, ...]]:
    """Both answers compared, and the images whose answer changed: those that became wrong first, the surest first."""
    dataset, task = fitted.dataset, fitted.task
    images = [dataset.images[i] for i in pairs.after.indices]
    answers = [task.named(dataset.classes, answer) for answer in pairs.after.decisions(task)]
    was_right = np.array([task.agree(one.label, was.predicted) for one, was in zip(images, pairs.before, strict=True)])
    is_right = np.array([task.agree(one.label, answer) for one, answer in zip(images, answers, strict=True)])
    sure = [task.answer(dataset.classes, row, 0.0)[1] for row in pairs.after.probabilities]
    flips = tuple(
        Flip(
            image.path,
            image.label,
            was.predicted,
            answer,
            _became(was_right=bool(was_right[i]), is_right=bool(is_right[i])),
            was.probability,
            sure[i],
        )
        for i, (image, was, answer) in enumerate(zip(images, pairs.before, answers, strict=True))
        if was.predicted != answer
    )
    counts = {word: sum(flip.became == word for flip in flips) for word in ORDER}
    added = set(extended.growth.classes_added)
    compared = Compared(
        split=extended.earlier.split,
        n=len(images),
        accuracy_before=float(was_right.mean()),
        accuracy_after=float(is_right.mean()),
        difference=paired_difference(is_right, was_right, fitted.scanned.groups[pairs.after.indices]),
        became_right=counts["right"],
        became_wrong=counts["wrong"],
        other_mistakes=counts["another mistake"],
        still_right=counts["still right"],
        to_new_classes=sum(bool(added & task.names_in(flip.after)) for flip in flips),
        label_sets=_of_labels(fitted, extended, pairs) if dataset.several else None,
    )
    return compared, tuple(sorted(flips, key=lambda flip: (ORDER.index(flip.became), -flip.probability_after)))


def _became(*, was_right: bool, is_right: bool) -> Became:
    if was_right:
        return "still right" if is_right else "wrong"
    return "right" if is_right else "another mistake"


def _of_labels(fitted: Fitted, extended: Extended, pairs: AnswerPairs) -> ComparedLabels | None:
    """The mean average precisions of both, if a label that both know can be judged."""
    before, now = extended.earlier.classes, fitted.dataset.classes
    rows, columns = pairs.after.indices, [i for i, name in enumerate(now) if name in before]
    judged = [columns[i] for i in judged_labels(fitted.dataset.labels[rows][:, columns])]
    if not judged:
        return None
    names, labels = [now[i] for i in judged], fitted.dataset.labels[rows][:, judged]
    one = pairs.after.probabilities[:, judged]
    other = np.array([was.probabilities for was in pairs.before])[:, [before.index(name) for name in names]]
    return ComparedLabels(
        labels=tuple(names),
        mean_average_precision_before=float(np.mean(average_precisions(other, labels))),
        mean_average_precision_after=float(np.mean(average_precisions(one, labels))),
        difference=precision_change(one, other, labels, fitted.scanned.groups[rows]),
    )
