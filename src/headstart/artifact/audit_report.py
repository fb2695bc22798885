"""The files of an audit: findings and scores as tables, a proposal of what to leave out, and a page with the pictures."""

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headstart.artifact.page import render_page
from headstart.audit.checks import check_named
from headstart.audit.findings import Checked, Finding, Severity
from headstart.data.dataset import Dataset, LabelledImage
from headstart.data.encoding import encode_thumbnail
from headstart.data.images import UnreadableImage, decode, read_bytes
from headstart.data.shown_paths import folder_of
from headstart.schema import Count, Name, Schema
from headstart.storage import write_csv, write_json, write_text
from headstart.threads import map_in_threads

SHOWN_FINDINGS = 24  # per check, on the page; the tables have all
THUMBNAIL_PX = 160


class AuditFindings(Schema):
    """findings.json: what an audit found."""

    format: Literal[1] = 1
    data: str
    images: Count
    classes: tuple[Name, ...]
    notes: tuple[str, ...]
    counts: dict[Name, dict[Severity, Count]]  # check -> severity -> number of findings
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A finding as the page shows it: paths within the data set, and pictures."""

    finding: Finding
    path: str
    other_path: str
    picture: str  # a data URI; "" if there is none
    other_picture: str


def write_audit(folder: Path, dataset: Dataset, checked: Sequence[Checked], notes: Sequence[str]) -> None:
    """findings.csv, findings.json, scores.csv, exclude.csv and audit.html in `folder`."""
    findings = [finding for result in checked for finding in result.findings]
    write_csv(folder / "findings.csv", list(Finding.model_fields), ([value for _, value in finding] for finding in findings))
    scored = [result for result in checked if not all(math.isnan(score) for score in result.scores)]
    rows = ([image.path, image.label, *(result.scores[i] for result in scored)] for i, image in enumerate(dataset.images))
    write_csv(folder / "scores.csv", ("path", "label", *(result.check for result in scored)), rows)
    write_csv(folder / "exclude.csv", ("path", "reason"), left_out(findings))
    write_json(folder / "findings.json", findings_of(dataset, checked, notes).as_json())
    write_text(folder / "audit.html", _page(dataset, checked, notes))


def left_out(findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """(path, reason) of what exclude.csv proposes to leave out, each path once. Of a leak that is the twin in train."""
    done: set[str] = set()
    for finding in findings:
        which = check_named(finding.check).leave_out
        if which is None or not finding.is_grave:
            continue
        path = finding.other_path if which == "other_path" else finding.path
        if path not in done:
            done.add(path)
            yield path, f"{finding.check}: {finding.sentence}"


def findings_of(dataset: Dataset, checked: Sequence[Checked], notes: Sequence[str]) -> AuditFindings:
    """Counts and findings of a data set, as in findings.json and `audit --json`."""
    return AuditFindings(
        data=dataset.name,
        images=len(dataset.images),
        classes=dataset.classes,
        notes=tuple(notes),
        counts={result.check: result.counts() for result in checked},
        findings=tuple(finding for result in checked for finding in result.findings),
    )


def _page(dataset: Dataset, checked: Sequence[Checked], notes: Sequence[str]) -> str:
    folder = folder_of(dataset)
    images = {image.path: image for image in dataset.images}
    wanted = {
        path: images[path]
        for result in checked
        for finding in result.findings[:SHOWN_FINDINGS]
        for path in (finding.path, finding.other_path)
        if path in images
    }
    pictures = dict(zip(wanted, map_in_threads(_data_uri, wanted.values()), strict=True))
    return render_page(
        "audit.html.j2",
        name=dataset.name,
        n_images=len(dataset.images),
        classes=dataset.classes,
        notes=notes,
        n_shown=SHOWN_FINDINGS,
        checks=[
            {
                "about": check_named(result.check),
                "counts": result.counts(),
                "n": len(result.findings),
                "shown": [
                    Shown(
                        finding,
                        finding.path.removeprefix(folder),
                        finding.other_path.removeprefix(folder),
                        pictures.get(finding.path, ""),
                        pictures.get(finding.other_path, ""),
                    )
                    for finding in result.findings[:SHOWN_FINDINGS]
                ],
            }
            for result in checked
        ],
    )


def _data_uri(image: LabelledImage) -> str:
    try:
        thumbnail = encode_thumbnail(decode(read_bytes(image.file), channels=image.channels).rgb, THUMBNAIL_PX)
    except UnreadableImage:  # gone since the scan: its path is still shown
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail).decode("ascii")
