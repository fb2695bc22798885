"""What an audit leaves behind: findings and scores as tables, a proposal of what to leave out, and a page with the pictures."""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from headstart.artifact.csv_files import write_csv
from headstart.artifact.page import render_page
from headstart.audit.findings import Checked, Finding
from headstart.data.dataset import Dataset
from headstart.data.images import UnreadableImage, decode, encode_thumbnail, read_bytes
from headstart.storage import write_json, write_text
from headstart.threads import map_in_threads

FORMAT = 1
SHOWN_FINDINGS = 24  # of a check, on the page; the tables have all
THUMBNAIL_PX = 160
# What each check is called on the page, and what its findings mean.
TITLES: Mapping[str, tuple[str, str]] = {
    "leak": ("Leaks", "Held-out pictures that train has, too. The accuracy on them is memory, not skill."),
    "conflict": ("Conflicts", "The same picture in two classes: one of the labels is wrong."),
    "unreadable": ("Unreadable", "Files that could not be read. They are left out of everything."),
    "foreign": ("Foreign", "Pictures unlike every other of their class: placeholders, screenshots, strays."),
    "label_error": (
        "Label errors",
        "Labels that a model contradicts which never saw the picture. Look at the first ones first.",
    ),
    "duplicate": ("Duplicates", "The same pixels again in the same class and split."),
    "near_duplicate": ("Near duplicates", "Nearly the same picture again in the same class and split."),
    "blank": ("Blank", "Pictures that show next to nothing."),
    "dark": ("Dark", "Pictures that are nearly black."),
    "blurred": ("Blurred", "Pictures without fine detail, where the others have it."),
    "odd_size": ("Odd sizes", "Very small, very large or very long pictures."),
    "type_mismatch": ("Names and contents", "Files named after another type than they are of."),
    "imbalance": ("Imbalance", "Classes with few images."),
    "shortcut": ("Shortcuts", "What tells the class without looking at what the picture shows."),
}
# Findings whose picture had better be left out, and why; a wrong label wants correcting, not leaving out.
LEFT_OUT = {"leak", "foreign", "blank", "duplicate"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A finding with its pictures, as the page shows it."""

    finding: Finding
    picture: str  # a data URI; "" where there is none
    other_picture: str


def write_audit(folder: Path, dataset: Dataset, checked: Sequence[Checked], notes: Sequence[str]) -> None:
    """findings.csv, findings.json, scores.csv, exclude.csv and audit.html in `folder`."""
    findings = [finding for result in checked for finding in result.findings]
    write_csv(folder / "findings.csv", [field.name for field in fields(Finding)], map(astuple, findings))
    scored = [result for result in checked if not all(math.isnan(score) for score in result.scores)]
    rows = ([image.path, image.label, *(result.scores[i] for result in scored)] for i, image in enumerate(dataset.images))
    write_csv(folder / "scores.csv", ("path", "label", *(result.check for result in scored)), rows)
    write_csv(folder / "exclude.csv", ("path", "reason"), left_out(findings))
    write_json(folder / "findings.json", findings_json(dataset, checked, notes))
    write_text(folder / "audit.html", _page(dataset, checked, notes))


def left_out(findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """(path, reason) of what `train --exclude` had better leave out, each path once. Of a leak the twin in train goes."""
    done: set[str] = set()
    for finding in findings:
        if finding.check not in LEFT_OUT or not finding.is_grave:
            continue
        path = finding.other_path if finding.check == "leak" else finding.path
        if path not in done:
            done.add(path)
            yield path, f"{finding.check}: {finding.sentence}"


def findings_json(dataset: Dataset, checked: Sequence[Checked], notes: Sequence[str]) -> dict[str, Any]:
    """Counts and findings, as findings.json and `audit --json` hold them."""
    return {
        "format": FORMAT,
        "data": dataset.name,
        "images": len(dataset.images),
        "classes": list(dataset.classes),
        "notes": list(notes),
        "counts": {result.check: result.counts() for result in checked},
        "findings": [asdict(finding) for result in checked for finding in result.findings],
    }


def _page(dataset: Dataset, checked: Sequence[Checked], notes: Sequence[str]) -> str:
    files = {image.path: image.file for image in dataset.images}
    wanted = {
        path: files[path]
        for result in checked
        for finding in result.findings[:SHOWN_FINDINGS]
        for path in (finding.path, finding.other_path)
        if path in files
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
                "title": TITLES[result.check][0],
                "meaning": TITLES[result.check][1],
                "check": result.check,
                "counts": result.counts(),
                "n": len(result.findings),
                "shown": [
                    Shown(finding, pictures.get(finding.path, ""), pictures.get(finding.other_path, ""))
                    for finding in result.findings[:SHOWN_FINDINGS]
                ],
            }
            for result in checked
        ],
    )


def _data_uri(file: Path) -> str:
    try:
        thumbnail = encode_thumbnail(decode(read_bytes(file)).rgb, THUMBNAIL_PX)
    except UnreadableImage:  # gone since the scan: its path still stands there
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail).decode("ascii")
