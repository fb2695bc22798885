"""`audit`: finds problems in a data set in one pass over its images."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.addresses.address import address_in
from headstart.artifact.audit_report import findings_of, write_audit
from headstart.audit.checks import run_checks
from headstart.audit.evidence import Evidence
from headstart.audit.findings import Checked, Finding
from headstart.data.class_counts import classes_found
from headstart.data.dataset import Dataset, LabelledImage, training_dataset
from headstart.data.given import open_given
from headstart.data.label_sets import labels_in
from headstart.data.sources import Skipped, Sources, natural_order
from headstart.data.splits import fold_count
from headstart.errors import DataError, explains_missing_packages
from headstart.fitting.scanned import Scanned, scan_given
from headstart.jobs.parts import parts_at
from headstart.machine import peak_rss_mb, seconds_since_start
from headstart.model.features import Work
from headstart.progress import Progress, Tell, silent, untold
from headstart.record.places import AUDIT, check_output, check_outside, results_folder
from headstart.settings import TrainSettings
from headstart.storage import AnyPath, atomic_folder


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit found."""

    dataset: Dataset
    checked: tuple[Checked, ...]  # in the order of checks.CHECKS
    notes: tuple[str, ...]
    output: Path | None
    work: Work  # how much the pass had to compute

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, check by check."""
        return tuple(finding for result in self.checked for finding in result.findings)

    def as_json(self) -> dict[str, Any]:
        """The content of findings.json, plus the time and memory that the audit took."""
        took = {"seconds": {"total": round(seconds_since_start(), 3)}, "peak_rss_mb": round(peak_rss_mb(), 1)}
        return findings_of(self.dataset, self.checked, self.notes).as_json() | took


@explains_missing_packages("an audit")
def audit_images(
    data: AnyPath,
    output: AnyPath | None = None,
    settings: TrainSettings | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
    tell: Tell = untold,
) -> Audited:
    """Checks the images of DATA and of the val and test sets named in `settings`; writes tables and a page to `output`.

    Only the settings for data, backbone, weights, image size, device, workers, seed and exclusions are used. The images are
    not changed. Raises HeadstartError.
    """
    settings = settings or TrainSettings()
    check_outside(output, os.fspath(data), settings.val, settings.test)
    address = None if output is None else address_in(str(output))
    parts = parts_at(f"{address}.parts") if address else None
    with (
        results_folder(output, AUDIT, overwrite=overwrite) as place,
        open_given(os.fspath(data), settings, progress) as sources,
    ):
        if place is not None:
            check_output(place, overwrite=overwrite or address is not None, kind=AUDIT)
        tell(classes_found(sources))
        scanned = scan_given(sources, settings, progress, make_dataset=_dataset_as_it_is, compare_views=False, parts=parts)
        checked = run_checks(gather_evidence(scanned, progress), progress=progress)
        dataset = scanned.dataset
        if place is not None:
            with atomic_folder(place) as folder:
                write_audit(folder, dataset, checked, dataset.notes)
    return Audited(dataset, checked, dataset.notes, None if output is None else Path(output), scanned.work)


def gather_evidence(scanned: Scanned, progress: Progress = silent) -> Evidence:
    """The evidence for all checks, label errors included; no image is judged by a fit that saw its twin."""
    labels, groups, n_classes = scanned.dataset.labels, scanned.groups, len(scanned.dataset.classes)
    out_of_fold = None
    if (n_classes > 1 or scanned.dataset.number) and fold_count(labels, groups) > 1:
        probe = scanned.table().fit(np.arange(len(labels)), scanned.settings.seed, progress)
        if probe.held_out is not None:
            out_of_fold = np.full((len(labels), n_classes), np.nan)
            out_of_fold[probe.held] = scanned.task.probabilities(probe.held_out)
    return Evidence(scanned.dataset, scanned.facts, scanned.vectors, scanned.twins, out_of_fold)


def _dataset_as_it_is(
    name: str, images: Sequence[LabelledImage], skipped: Sequence[Skipped], sources: Sequence[Sources]
) -> Dataset:
    """The data set even if `train` would refuse it; the reason then becomes a note."""
    try:
        return training_dataset(name, images, skipped, sources)
    except DataError as refusal:
        if not images:
            raise
        several = any(source.several for source in sources)
        number = sources[0].number
        texts = [image.label for image in images]
        classes = (number,) if number else labels_in(texts) if several else tuple(sorted(set(texts), key=natural_order))
        hint = f" ({refusal.hint})" if refusal.hint else ""
        notes = (f"train would refuse this: {refusal.message}{hint}",)
        return Dataset(name, tuple(images), classes, tuple(skipped), notes, several=several, number=number)
