"""What adding to a finished run changed where answers are numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from headstart.data.wording import counted, in_digits
from headstart.evaluation.paired_scores import ErrorChange, error_change
from headstart.fitting.earlier import Extended, Growth
from headstart.fitting.fitted import Fitted
from headstart.record.answer_pairs import AnswerPairs
from headstart.record.changed_answers import TOO_FEW, chance
from headstart.schema import Count, NotNegative, Positive, Schema


class ComparedNumbers(Schema):
    """The numbers of both on the same images."""

    split: Literal["val", "test", "cv"]  # of the extended run, that these images are of
    n: Positive
    mean_absolute_error_before: NotNegative
    mean_absolute_error_after: NotNegative
    difference: ErrorChange  # after minus before
    nearer: Count  # of the answers that moved, those that are nearer to the true number now
    farther: Count  # the others

    def sentence(self, images: Growth) -> str:
        """What changed, as the end of a sentence."""
        moved, before, after = self.nearer + self.farther, self.mean_absolute_error_before, self.mean_absolute_error_after
        on = f"on the {counted(self.n, 'image')} judged in both"
        if not moved:
            return f"{on} no answer moved: they are off by {in_digits(after)} on average"
        interval, certain = self.difference.ci95, TOO_FEW
        if interval:
            ends = f"[{in_digits(interval[0])}, {in_digits(interval[1])}]"
            certain = f" {ends}, {chance(self.difference.is_shown)}"
        sign = "+" if self.difference.change >= 0 else ""
        return (
            f"{on}, the answers were off by {in_digits(before)} on average before and are off by {in_digits(after)} now: "
            f"{sign}{in_digits(self.difference.change)}{certain}; {counted(moved, 'answer')} moved, {self.nearer:,} nearer to "
            f"the true number and {self.farther:,} away from it"
        )


@dataclass(frozen=True, slots=True)
class Move:
    """An image whose answer is another number than before."""

    HEADING: ClassVar = ("image", "number", "before", "after", "moved by")  # of `cells`

    path: str
    label: str
    before: float
    after: float
    moved: float  # after minus before
    error_before: float  # how far off the answer was
    error_after: float

    def cells(self, in_words: Callable[[str], str]) -> tuple[str, ...]:
        """The move as tables show it to people."""
        return self.path, self.label, *(in_digits(number) for number in (self.before, self.after, self.moved))


def compare_numbers(fitted: Fitted, extended: Extended, pairs: AnswerPairs) -> tuple[ComparedNumbers, tuple[Move, ...]]:
    """Both answers compared, and the images whose answer moved, the farthest first.

    An answer that is the same but for a hundredth of the spread of the training images' numbers has not moved.
    """
    rows = pairs.after.indices
    numbers, after = fitted.dataset.labels[rows], pairs.after.probabilities
    before = np.array([one.probabilities for one in pairs.before])
    errors = [np.abs(answers[:, 0] - numbers) for answers in (before, after)]
    has_moved = np.flatnonzero(~fitted.task.alike(after, before))
    moves = tuple(
        Move(
            fitted.dataset.images[rows[i]].path,
            fitted.dataset.images[rows[i]].label,
            float(before[i, 0]),
            float(after[i, 0]),
            float(after[i, 0] - before[i, 0]),
            float(errors[0][i]),
            float(errors[1][i]),
        )
        for i in has_moved
    )
    nearer = int((errors[1] < errors[0])[has_moved].sum())
    compared = ComparedNumbers(
        split=extended.earlier.split,
        n=len(rows),
        mean_absolute_error_before=float(errors[0].mean()),
        mean_absolute_error_after=float(errors[1].mean()),
        difference=error_change(errors[1], errors[0], fitted.scanned.groups[rows]),
        nearer=nearer,
        farther=len(moves) - nearer,
    )
    return compared, tuple(sorted(moves, key=lambda move: -abs(move.moved)))
