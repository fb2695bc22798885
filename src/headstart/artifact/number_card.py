"""What the card of a model says where its answers are numbers, in sentences."""

from collections.abc import Iterator

from headstart.artifact.manifest import NumbersEntry
from headstart.artifact.number_words import in_digits, intervals_in_words


def seen_in_words(numbers: NumbersEntry) -> str:
    """The numbers of the training images."""
    seen = numbers.seen
    return (
        f"Their numbers are from {in_digits(seen.low)} to {in_digits(seen.high)}, with a mean of {in_digits(seen.mean)} and a "
        f"median of {in_digits(seen.median)} in train."
    )


def limits_of_numbers(numbers: NumbersEntry, set_on: str) -> Iterator[str]:
    """What it does not know."""
    seen = numbers.seen
    yield (
        "Every image gets a number, even if it shows nothing that has one. The model has seen numbers from "
        f"{in_digits(seen.low)} to {in_digits(seen.high)}: beyond these it can only guess. An answer, or the end of an "
        "interval, may lie where no true number can be."
    )
    if numbers.intervals is None:
        yield "It gives no interval around an answer: too few unrelated images were held out to set one."
        return
    says = intervals_in_words(numbers.intervals, set_on, promised=numbers.intervals_promised)
    yield f"{says[:1].upper()}{says[1:]}. That holds on average over images: of images of one kind it can be less."
