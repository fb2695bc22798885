"""How long work tells how far it is, and how it is cancelled.

A progress function is called as `progress(stage, done, total)`: the stage's name in plain words, what is done and what
there is to do in all (both counts of the same thing; a total of 0 is not known). Raising from it cancels the work.
"""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """The progress function that says nothing."""
