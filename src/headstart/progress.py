"""How long-running work reports its progress, and how it is cancelled.

A progress function is called as `progress(stage, done, total)`: the stage's name in plain words, how much is done, and
how much there is in total (both count the same thing; a total of 0 means unknown). Raising from it cancels the work.
"""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
Tell = Callable[[str], None]  # gets what the user should read before the work goes on


def silent(stage: str, done: int, total: int) -> None:
    """A progress function that reports nothing."""


def untold(sentence: str) -> None:
    """A tell function that keeps it to itself."""
