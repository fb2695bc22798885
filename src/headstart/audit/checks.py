"""All checks, in the order they are told."""

from collections.abc import Callable, Sequence

from headstart.audit.appearance import blank, blurred, dark, foreign
from headstart.audit.copies import conflict, duplicate, leak, near_duplicate
from headstart.audit.evidence import Evidence
from headstart.audit.files import odd_size, type_mismatch, unreadable
from headstart.audit.findings import Checked
from headstart.audit.labels import imbalance, label_error
from headstart.audit.shortcuts import shortcut
from headstart.progress import Progress, silent

# A check is a function from evidence to what it found; its name is the check's.
CHECKS: tuple[Callable[[Evidence], Checked], ...] = (
    leak,
    conflict,
    unreadable,
    foreign,
    label_error,
    duplicate,
    near_duplicate,
    blank,
    dark,
    blurred,
    odd_size,
    type_mismatch,
    imbalance,
    shortcut,
)
CHEAP_CHECKS = (conflict, foreign, blank, dark, imbalance)  # need no model: every run of `train` makes them
CHECK_NAMES = tuple(check.__name__ for check in CHECKS)


def run_checks(
    evidence: Evidence, checks: Sequence[Callable[[Evidence], Checked]] = CHECKS, progress: Progress = silent
) -> tuple[Checked, ...]:
    """What each check says, in their order."""
    found = []
    for number, check in enumerate(checks, start=1):
        found.append(check(evidence))
        progress("checking", number, len(checks))
    return tuple(found)
