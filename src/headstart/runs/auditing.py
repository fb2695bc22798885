"""`audit`: what is wrong with a data set, from one pass over its images."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.artifact.audit_report import findings_json, write_audit
from headstart.audit.checks import run_checks
from headstart.audit.evidence import Evidence
from headstart.audit.findings import Checked, Finding
from headstart.audit.twins import find_twins
from headstart.data.dataset import Dataset, training_dataset
from headstart.data.sources import Candidate, Skipped, Sources, natural_order
from headstart.data.splits import fold_count, groups_of
from headstart.errors import DataError, explains_missing_packages
from headstart.evaluation.probabilities import softmax
from headstart.fitting.fit import open_splits
from headstart.machine import peak_rss_mb, seconds_since_start
from headstart.model.feature_store import FeatureStore
from headstart.model.features import Scan, Work, scan
from headstart.model.pretrained import open_backbone
from headstart.model.probe import fit_probe
from headstart.progress import Progress, silent
from headstart.record.run_folder import check_output
from headstart.settings import TrainSettings
from headstart.storage import atomic_folder


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit found."""

    dataset: Dataset
    checked: tuple[Checked, ...]  # in the order of checks.CHECKS
    notes: tuple[str, ...]
    output: Path | None
    work: Work  # what the pass over the files had to do

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, check by check."""
        return tuple(finding for result in self.checked for finding in result.findings)

    def as_json(self) -> dict[str, Any]:
        """What findings.json holds, with what the audit took."""
        took = {"seconds": {"total": round(seconds_since_start(), 3)}, "peak_rss_mb": round(peak_rss_mb(), 1)}
        return findings_json(self.dataset, self.checked, self.notes) | took


@explains_missing_packages("an audit")
def audit_images(
    data: str | Path,
    output: Path | None = None,
    settings: TrainSettings | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Audited:
    """Checks the images of DATA, and those that `settings` name for val and test; `output` is where to write tables and a page.

    Of the settings those count that name data, backbone, weights, image size, device, workers, seed and what is excluded.
    Nothing is changed about the images. Raises HeadstartError.
    """
    settings = settings or TrainSettings()
    if output is not None:
        check_output(output, overwrite=overwrite)
    backbone = open_backbone(settings, progress)
    assert backbone.frozen is not None  # only the tutorial's recipe has none, and it is no setting of this
    with ExitStack() as stack:
        sources = open_splits(stack, data, settings, progress)
        candidates: list[Candidate] = [candidate for source in sources for candidate in source.candidates]
        found = scan(
            candidates,
            backbone.preprocess,
            backbone.frozen.extractor,
            store=FeatureStore(),
            workers=settings.workers,
            progress=progress,
        )
        dataset, refusals = _dataset(found, sources)
        checked = run_checks(gather_evidence(dataset, found, settings.seed, progress), progress=progress)
        notes = (*refusals, *dataset.notes)
        if output is not None:
            with atomic_folder(output) as folder:
                write_audit(folder, dataset, checked, notes)
    return Audited(dataset, checked, notes, output, found.work)


def gather_evidence(dataset: Dataset, found: Scan, seed: int, progress: Progress = silent) -> Evidence:
    """What all checks look at, label errors included: twins first, so that no image is judged by a fit that saw its twin."""
    twins = find_twins(dataset.images, found.facts, found.vectors)
    labels, groups = dataset.labels, groups_of(dataset.images, twins.pairs())
    out_of_fold = None
    if len(dataset.classes) > 1 and fold_count(labels, groups) > 1:
        probe = fit_probe(found.vectors, labels, groups, len(dataset.classes), seed=seed, progress=progress)
        out_of_fold = None if probe.held_out is None else softmax(probe.held_out)
    return Evidence(dataset, found.facts, found.vectors, twins, out_of_fold)


def _dataset(found: Scan, sources: Sequence[Sources]) -> tuple[Dataset, tuple[str, ...]]:
    """The images as they are, and why `train` would refuse them: what an audit is for."""
    skipped: tuple[Skipped, ...] = (*(entry for source in sources for entry in source.skipped), *found.skipped)
    name = sources[0].name
    try:
        return training_dataset(name, found.images, skipped, sources), ()
    except DataError as refusal:
        if not found.images:
            raise
        classes = tuple(sorted({image.label for image in found.images}, key=natural_order))
        hint = f" ({refusal.hint})" if refusal.hint else ""
        return Dataset(name, found.images, classes, skipped), (f"train would refuse this: {refusal.message}{hint}",)
