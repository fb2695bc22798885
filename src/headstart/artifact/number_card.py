"""What the card of a model says where its answers are numbers, in sentences."""

from collections.abc import Iterator

from headstart.artifact.manifest import NumbersEntry
from headstart.artifact.number_words import intervals_in_words
from headstart.data.wording import in_digits


def seen_in_words(numbers: NumbersEntry) -> str:
    """The numbers of the training images."""
    low, high, mean, median = _of_training(numbers)
    return f"Their numbers are from {low} to {high}, with a mean of {mean} and a median of {median} in train."


def limits_of_numbers(numbers: NumbersEntry, set_on: str) -> Iterator[str]:
    """What it does not know."""
    low, high, *_ = _of_training(numbers)
    yield (
        "Every image gets a number, even if it shows nothing that has one. The model has seen numbers from "
        f"{low} to {high}: beyond these it can only guess. An answer, or the end of an "
        "interval, may lie where no true number can be."
    )
    if numbers.intervals is None:
        yield "It gives no interval around an answer: too few unrelated images were held out to set one."
        return
    says = intervals_in_words(numbers.intervals, set_on, promised=numbers.intervals_promised)
    yield f"{says[:1].upper()}{says[1:]}. That holds on average over images: of images of one kind it can be less."


def _of_training(numbers: NumbersEntry) -> tuple[str, str, str, str]:
    """The lowest, the highest, the mean and the median number of the training images."""
    seen = numbers.seen
    low, high, mean, median = (in_digits(one, seen.high - seen.low) for one in (seen.low, seen.high, seen.mean, seen.median))
    return low, high, mean, median
