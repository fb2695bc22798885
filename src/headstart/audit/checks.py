"""All checks, in the order in which they are shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from headstart.audit.appearance import blank, blurred, dark, foreign
from headstart.audit.copies import conflict, duplicate, leak, near_duplicate
from headstart.audit.evidence import Evidence
from headstart.audit.files import odd_size, type_mismatch, unreadable
from headstart.audit.findings import Checked
from headstart.audit.labels import imbalance, label_error
from headstart.audit.shortcuts import shortcut
from headstart.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class Check:
    """One check: how it is called, what its findings mean, and the function that finds."""

    name: str  # in files, options and findings
    title: str  # on the audit page
    meaning: str  # of its findings
    find: Callable[[str, Evidence], Checked]  # gets the check's name to put on what it returns
    is_cheap: bool = False  # needs no model, so every run of `train` makes it
    images_that: str = ""  # what they have in common, where a text counts images and names none; every cheap check has it
    # The image of a finding that exclude.csv proposes to leave out. None also for wrong labels: they should be corrected.
    leave_out: Literal["path", "other_path"] | None = None

    def run(self, evidence: Evidence) -> Checked:
        """What the check finds."""
        return self.find(self.name, evidence)


CHECKS = (
    Check(
        "leak",
        "Leaks",
        "Images of val or test that are in train as well. The accuracy on them is memory, not skill.",
        leak,
        leave_out="other_path",  # the copy in train, so that held-out images stay what they were
    ),
    Check(
        "conflict",
        "Conflicts",
        "The same picture in two classes: one of the labels is wrong.",
        conflict,
        is_cheap=True,
        images_that="also appear in another class",
    ),
    Check("unreadable", "Unreadable", "Files that could not be read. They are not used.", unreadable),
    Check(
        "foreign",
        "Foreign",
        "Images unlike all others of their class: placeholders, screenshots, strays.",
        foreign,
        is_cheap=True,
        images_that="are unlike all others of their class",
        leave_out="path",
    ),
    Check(
        "label_error",
        "Label errors",
        "Labels contradicted by a model that was not trained on the image. Look at the first ones first.",
        label_error,
    ),
    Check("duplicate", "Duplicates", "The same pixels again in the same class and split.", duplicate, leave_out="path"),
    Check("near_duplicate", "Near duplicates", "Nearly the same picture again in the same class and split.", near_duplicate),
    Check(
        "blank",
        "Blank",
        "Images that show almost nothing.",
        blank,
        is_cheap=True,
        images_that="show almost nothing",
        leave_out="path",
    ),
    Check("dark", "Dark", "Images that are nearly black.", dark, is_cheap=True, images_that="are nearly black"),
    Check("blurred", "Blurred", "Images without fine detail, in a set where the others have it.", blurred),
    Check("odd_size", "Odd sizes", "Very small, very large or very long images.", odd_size),
    Check("type_mismatch", "Names and contents", "Files whose name says one type and whose content is another.", type_mismatch),
    Check(
        "imbalance",
        "Imbalance",
        "Classes with fewer images than the largest: with few, or with far fewer.",
        imbalance,
        is_cheap=True,
        images_that="belong to a class with few images",
    ),
    Check("shortcut", "Shortcuts", "Properties that give the class away without the picture's content.", shortcut),
)
CHEAP_CHECKS = tuple(check for check in CHECKS if check.is_cheap)
CHECK_NAMES = tuple(check.name for check in CHECKS)


def check_named(name: str) -> Check:
    """The check with this name. Raises KeyError."""
    return {check.name: check for check in CHECKS}[name]


def run_checks(evidence: Evidence, checks: Sequence[Check] = CHECKS, progress: Progress = silent) -> tuple[Checked, ...]:
    """What each check finds, in their order."""
    found = []
    for number, check in enumerate(checks, start=1):
        found.append(check.run(evidence))
        progress("checking", number, len(checks))
    return tuple(found)
