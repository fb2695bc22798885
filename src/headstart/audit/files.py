"""Checks of the files themselves: whether they are readable, of the type their name says, of a usual size."""

from pathlib import PurePath

import numpy as np

from headstart.audit.evidence import Evidence
from headstart.audit.findings import Checked, Finding, Severity, strongest_first
from headstart.data.image_files import picture_shown

SUFFIXES = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "MPO": {".jpg", ".jpeg", ".mpo"},
    "PNG": {".png"},
    "WEBP": {".webp"},
    "BMP": {".bmp", ".dib"},
    "TIFF": {".tif", ".tiff"},
    "PPM": {".ppm", ".pgm", ".pbm", ".pnm"},
    "AVIF": {".avif", ".avifs"},
}
SMALL_PX, LARGE_PX, LONG_ASPECT = 48, 12_000, 4.0
FAR_BEYOND = 2.0  # times a limit


def unreadable(check: str, evidence: Evidence) -> Checked:
    """Files that are broken or not images; they are not used."""
    skipped = [entry for entry in evidence.dataset.skipped if entry.kind == "unusable"]
    findings = [
        Finding(check=check, severity="warning", path=entry.path, score=1.0, sentence=f"is not used: {entry.reason}")
        for entry in skipped
    ]
    return Checked(check, strongest_first(findings), np.full(len(evidence.facts), np.nan))


def type_mismatch(check: str, evidence: Evidence) -> Checked:
    """Files whose name says one type and whose content is another; headstart reads them, other tools may not."""
    scores = np.zeros(len(evidence.facts))
    findings = []
    for i, (image, fact) in enumerate(zip(evidence.dataset.images, evidence.facts, strict=True)):
        suffix = PurePath(picture_shown(image.path, image.file)).suffix.lower()
        if suffix in SUFFIXES.get(fact.format, {suffix}):
            continue
        scores[i] = 1.0
        says = f"is named {suffix} but is" if suffix else "has no extension; it is"
        findings.append(
            Finding(check=check, severity="info", path=image.path, score=1.0, sentence=f"{says} a {fact.format} file")
        )
    return Checked(check, strongest_first(findings), scores)


def odd_size(check: str, evidence: Evidence) -> Checked:
    """Very small, very large and very long images. The score is the multiple of the limit, 1 at the limit."""
    width = np.array([fact.width for fact in evidence.facts], np.float64)
    height = np.array([fact.height for fact in evidence.facts], np.float64)
    shorter, longer = np.minimum(width, height), np.maximum(width, height)
    beyond = np.stack([SMALL_PX / shorter, longer / LARGE_PX, longer / shorter / LONG_ASPECT])
    scores, kinds = beyond.max(axis=0), beyond.argmax(axis=0)
    sayings = ("is very small", "is very large", "is very long")
    findings = []
    for i in np.flatnonzero(scores > 1):
        severity: Severity = "warning" if scores[i] >= FAR_BEYOND else "info"
        sentence = f"{sayings[kinds[i]]}: {width[i]:.0f} x {height[i]:.0f} px"
        findings.append(
            Finding(
                check=check,
                severity=severity,
                path=evidence.dataset.images[i].path,
                score=float(scores[i]),
                sentence=sentence,
            )
        )
    return Checked(check, strongest_first(findings), scores)
