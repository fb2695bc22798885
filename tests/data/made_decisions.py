"""Decisions on made-up images, and logs that do not wait for the disk."""

from pathlib import Path

from headstart.data.decided import Change, ImageKey, State
from headstart.data.label_log import LabelLog

UNLABELLED, ANTS, BEES, WASPS = State(None), State("ants"), State("bees"), State("wasps")
OUT = State("ants", excluded=True)


def image(number: int) -> ImageKey:
    return ImageKey(f"{number:064x}", f"folder/{number}.jpg")


def change(number: int, old: State, new: State) -> Change:
    return Change(image(number), old, new)


def opened(file: Path) -> LabelLog:
    """A log that does not wait for the disk: no test cuts the power."""
    log = LabelLog.open(file)
    log._database.execute("PRAGMA synchronous = OFF")
    return log


def states_of(log: LabelLog) -> dict[int, State]:
    return {int(key.digest, 16): state for key, state in log.states().items()}
