"""Numbers of things and lists of names, as sentences have them."""

from collections.abc import Sequence

MOST_LISTED = 5  # names


def counted(count: int, noun: str) -> str:
    """ "1 class", "1,200 files"."""
    return f"{count:,} {plural(count, noun)}"


def plural(count: int, noun: str) -> str:
    """ "class", or "classes" if there are several."""
    return f"{noun}{'' if count == 1 else 'es' if noun.endswith('s') else 's'}"


def joined(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def listed(names: Sequence[str]) -> str:
    """ "'a'", "'a', 'b' and 'c'", "'a', 'b', 'c', 'd', 'e' and 3 more"."""
    shown = [repr(name) for name in names]
    return joined(shown if len(shown) <= MOST_LISTED else [*shown[:MOST_LISTED], f"{len(shown) - MOST_LISTED} more"])
