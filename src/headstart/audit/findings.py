"""What a check returns: a score for each image, and findings for images whose score is beyond a limit."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headstart.schema import Name, Schema

Severity = Literal["info", "warning", "severe"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "severe")
LISTED_SHARE = 0.1  # of the images, those with the least credible labels, are listed whatever their score


class Finding(Schema):
    """Something the owner of the images may want to look at."""

    check: Name
    severity: Severity
    path: str = ""  # "" if it is about the whole data set
    other_path: str = ""  # the image it is like; "" if there is none
    score: float  # comparable within a check; higher is stronger
    sentence: str

    @property
    def is_grave(self) -> bool:
        """Whether it is more severe than an info."""
        return self.severity != "info"

    def in_words(self, folder: str) -> str:
        """The finding on one line, its images named by their paths within `folder`."""
        path, other_path = (path.removeprefix(folder) for path in (self.path, self.other_path))
        return " ".join(part for part in (path, self.sentence, other_path) if part)


@dataclass(frozen=True, slots=True)
class Checked:
    """What one check says about a data set."""

    check: str
    findings: tuple[Finding, ...]  # the severest first, within a severity the strongest
    scores: np.ndarray  # (n_images,) float64, higher is stronger; all NaN if the check does not look at single images

    def counts(self) -> dict[Severity, int]:
        """Severity -> number of findings."""
        return {severity: sum(finding.severity == severity for finding in self.findings) for severity in SEVERITIES}


def strongest_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings in the order in which they are listed."""
    return tuple(sorted(findings, key=lambda f: (-SEVERITIES.index(f.severity), -f.score, f.path)))
