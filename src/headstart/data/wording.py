"""Numbers of things and lists of names, as sentences have them."""

import math
from collections.abc import Sequence

MOST_LISTED = 5  # names
DIGITS = 4  # of a measured number
EXACT_BELOW = 1e15  # whole numbers beyond are not written in full


def counted(count: int, noun: str) -> str:
    """ "1 class", "1,200 files"."""
    return f"{count:,} {plural(count, noun)}"


def plural(count: int, noun: str) -> str:
    """ "class", or "classes" if there are several."""
    return f"{noun}{'' if count == 1 else 'es' if noun.endswith('s') else 's'}"


def joined(names: Sequence[str], word: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    return f" {word} ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def listed(names: Sequence[str], word: str = "and") -> str:
    """ "'a'", "'a', 'b' and 'c'", "'a', 'b', 'c', 'd', 'e' and 3 more"."""
    return first_of([repr(name) for name in names], word)


def first_of(names: Sequence[str], word: str = "and") -> str:
    """The first names as they are, and how many more there are."""
    return joined(names if len(names) <= MOST_LISTED else [*names[:MOST_LISTED], f"{len(names) - MOST_LISTED} more"], word)


def range_in_digits(low: float, high: float, span: float = 0.0) -> str:
    """ "1.5 to 2.25": both ends as `in_digits` has them."""
    return f"{in_digits(low, span)} to {in_digits(high, span)}"


def in_digits(number: float, span: float = 0.0) -> str:
    """A number with four digits, or as many as tell numbers apart that are a hundredth of `span` from it: "1700001235"."""
    apart = math.ceil(math.log10(abs(number) / span)) + 2 if span > 0 and number else 0
    if apart <= DIGITS or abs(number) >= EXACT_BELOW:
        return f"{number:.{max(apart, DIGITS)}g}"
    text = f"{number:.{max(0, apart - 1 - math.floor(math.log10(abs(number))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
