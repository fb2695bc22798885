"""What the audit's checks say of a project's images, row by row."""

from dataclasses import dataclass, replace

import numpy as np

from headstart.audit.checks import CHECKS, run_checks
from headstart.audit.comparable import comparable
from headstart.audit.evidence import Evidence
from headstart.audit.findings import Finding
from headstart.audit.twins import Twins, find_twins
from headstart.data.dataset import Dataset, LabelledImage
from headstart.data.preprocess import Preprocess
from headstart.data.splits import groups_by_looks
from headstart.labelling.catalogue import SPLITS, Catalogue
from headstart.model.features_on_disk import SomeFeatures
from headstart.model.kept_miniatures import Miniatures
from headstart.progress import Progress, silent

# Of all checks, those on single images and pairs. Wrong labels follow the model that is fitted after each decision.
OF_IMAGES = tuple(check for check in CHECKS if check.name not in ("label_error", "imbalance", "shortcut", "unreadable"))
CHECK_NAMES = tuple(check.name for check in OF_IMAGES)
NO_LABEL = ""  # of images without one, in what the checks see


@dataclass(frozen=True, slots=True)
class FoundOfRow:
    """A finding about a row."""

    check: str
    row: int
    other: int | None  # the row it is like
    score: float
    sentence: str


@dataclass(frozen=True, slots=True)
class FindingsByRow:
    """All findings, and which rows are related."""

    found: tuple[FoundOfRow, ...]  # check by check, the strongest first
    groups: np.ndarray  # (n,) int64: related rows, including twins; a row that cannot be used is alone

    def of_check(self, name: str) -> list[FoundOfRow]:
        """The findings of one check, the strongest first."""
        return [one for one in self.found if one.check == name]

    def bits(self) -> np.ndarray:
        """(n,) uint32: which checks found something, in the order of CHECK_NAMES."""
        bits = np.zeros(len(self.groups), np.uint32)
        for one in self.found:
            for row in (one.row, one.other):
                if row is not None:
                    bits[row] |= np.uint32(1 << CHECK_NAMES.index(one.check))
        return bits


def _images_of(catalogue: Catalogue, rows: np.ndarray) -> tuple[LabelledImage, ...]:
    """The images of some rows, with the labels that they have now."""
    columns, images = catalogue.columns, []
    for row in rows.tolist():
        candidate = catalogue.candidates[row]
        images.append(
            LabelledImage(
                path=candidate.path,
                file=candidate.file,
                label=catalogue.class_name(int(columns["label"][row])) or NO_LABEL,
                split=SPLITS[columns["split"][row]] or None,
                group=candidate.group,
                sha256=catalogue.digest(row),
                width=int(columns["width"][row]),
                height=int(columns["height"][row]),
                channels=catalogue.channels,
            )
        )
    return tuple(images)


def find_by_row(catalogue: Catalogue, n_last: int, preprocess: Preprocess, progress: Progress = silent) -> FindingsByRow:
    """What the checks find among the rows that are read and not excluded; features count up to the `n_last` first.

    `preprocess` is that with which they were read.
    """
    rows = np.flatnonzero(catalogue.readable() & (catalogue.columns["excluded"] == 0))
    images = _images_of(catalogue, rows)
    vectors = comparable(SomeFeatures(catalogue.vectors, rows, n_last))
    facts = catalogue.facts(rows)
    twins = find_twins(images, facts, vectors, miniatures=Miniatures.stored(images, preprocess))
    of_rows, _ = groups_by_looks(images, twins.pairs())
    groups = np.arange(len(catalogue))
    groups[rows] = len(catalogue) + of_rows
    labelled = np.array([image.label != NO_LABEL for image in images], bool)  # as they were read: people go on labelling
    classes = tuple(catalogue.classes)
    if not labelled.all():  # most checks compare images of one class: those without one are a class of their own
        classes = (NO_LABEL, *classes)
    evidence = Evidence(Dataset("", images, classes, ()), facts, vectors, _without_labels(twins, labelled), None)
    row_of: dict[str, int] = {image.path: row for image, row in zip(images, rows.tolist(), strict=True)}
    checked = run_checks(evidence, OF_IMAGES, progress)
    findings = [finding for one in checked for finding in one.findings if finding.path in row_of]
    return FindingsByRow(tuple(_of_row(finding, row_of) for finding in findings), groups)


def _of_row(finding: Finding, row_of: dict[str, int]) -> FoundOfRow:
    other = row_of.get(finding.other_path)
    return FoundOfRow(finding.check, row_of[finding.path], other, finding.score, finding.sentence)


def _without_labels(twins: Twins, labelled: np.ndarray) -> Twins:
    """The pairs of which both images have a label: an image without one contradicts none."""
    both = labelled[twins.first] & labelled[twins.second]
    chosen = {name: getattr(twins, name)[both] for name in ("first", "second", "bits", "similarity", "same_pixels")}
    return twins if both.all() else replace(twins, **chosen)
