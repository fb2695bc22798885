"""Numbers of things and lists of names, as sentences have them."""

from collections.abc import Sequence


def counted(count: int, noun: str) -> str:
    """ "1 class", "1,200 files"."""
    return f"{count:,} {noun}{'' if count == 1 else 'es' if noun.endswith('s') else 's'}"


def joined(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
