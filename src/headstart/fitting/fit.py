"""From sources and settings to a fitted network: scan, split, then a probe or gradient steps."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from headstart.audit.checks import CHEAP_CHECKS, run_checks
from headstart.audit.evidence import Evidence
from headstart.audit.twins import find_twins
from headstart.data.catalog import open_data
from headstart.data.dataset import Dataset, training_dataset
from headstart.data.exclusions import without_excluded
from headstart.data.sources import Sources, with_split
from headstart.data.splits import Split, groups_of, split_dataset
from headstart.errors import DataError
from headstart.fitting.choice import Choice
from headstart.fitting.feature_table import FeatureTable
from headstart.fitting.fitted import Fit, Fitted
from headstart.fitting.strategy import choose_strategy
from headstart.model.feature_store import FeatureStore
from headstart.model.features import Scan, scan
from headstart.model.pretrained import Backbone, open_backbone
from headstart.progress import Progress, silent
from headstart.settings import TrainSettings
from headstart.threads import preloading


def open_splits(stack: ExitStack, data: str | Path, settings: TrainSettings, progress: Progress) -> list[Sources]:
    """DATA and what --val and --test name, opened until `stack` closes. Raises DataError where a split is given twice."""
    main = stack.enter_context(open_data(data, offline=settings.offline, progress=progress))
    sources = [main]
    for split, given in (("val", settings.val), ("test", settings.test)):
        if given is None:
            continue
        if any(candidate.split == split for candidate in main.candidates):
            raise DataError(f"{data} has a {split} split, and --{split} gives another", hint=f"leave out --{split}")
        extra = stack.enter_context(open_data(given, offline=settings.offline, progress=progress))
        sources.append(with_split(extra, split))
    if len(sources) > 1:
        unsplit = [replace(c, split=c.split or "train") for c in main.candidates]
        sources[0] = replace(main, candidates=tuple(unsplit))
    return without_excluded(sources, settings.exclude) if settings.exclude else sources


def fit_sources(
    sources: Sequence[Sources],
    settings: TrainSettings,
    *,
    needs_answers: bool = True,
    checkpoints: Path | None = None,
    on_dataset: Callable[[Dataset], None] = lambda dataset: None,
    chosen: Choice | None = None,
    on_choice: Callable[[Choice], Path | None] = lambda choice: None,
    beside_the_scan: Sequence[str] = (),
    progress: Progress = silent,
) -> Fit:
    """Scans, splits and fits; `beside_the_scan` names modules to be imported meanwhile.

    `needs_answers` False: a probe without val or test uses every image and reports nothing. `chosen` is what an earlier call
    chose for --strategy auto; `on_choice` hears of it and says where checkpoints go from then on.
    """
    began = time.perf_counter()
    backbone = open_backbone(settings, progress)
    loaded = time.perf_counter()
    # The scan itself imports nothing of these: two threads in one package's imports can see it half made.
    with preloading(*beside_the_scan, *(["headstart.model.finetune"] if settings.takes_steps else [])):
        dataset, found = scan_sources(sources, backbone, settings, progress)
    twins = find_twins(dataset.images, found.facts, found.vectors)
    groups = groups_of(dataset.images, twins.pairs())
    table = FeatureTable(found.vectors, dataset.labels, groups, len(dataset.classes), settings.balance)
    on_dataset(dataset)
    scanned = time.perf_counter()
    requested = settings.strategy
    if requested == "auto":
        chosen = chosen or choose_strategy(dataset, table, backbone, settings, began, progress)
        checkpoints = on_choice(chosen)
        settings = chosen.resolve(settings)
    fitted, split = _fit(dataset, table, backbone, settings, needs_answers, checkpoints, progress)
    ended = time.perf_counter()
    return Fit(
        fitted=fitted,
        dataset=dataset,
        split=split,
        groups=groups,
        twins=twins,
        checked=run_checks(Evidence(dataset, found.facts, found.vectors, twins, None), CHEAP_CHECKS),
        weights=backbone.weights,
        seconds={"load": loaded - began, "scan": scanned - loaded, "fit": ended - scanned},
        work=found.work,
        settings=settings,
        requested=requested,
        choice=chosen,
    )


def scan_sources(
    sources: Sequence[Sources], backbone: Backbone, settings: TrainSettings, progress: Progress
) -> tuple[Dataset, Scan]:
    """One pass over all candidates, and the data set that it makes. Raises DataError."""
    found = scan(
        [candidate for source in sources for candidate in source.candidates],
        backbone.preprocess,
        backbone.frozen.extractor if backbone.frozen else None,
        store=FeatureStore(),
        workers=settings.workers,
        progress=progress,
    )
    skipped = (*(entry for source in sources for entry in source.skipped), *found.skipped)
    return training_dataset(sources[0].name, found.images, skipped, sources), found


def _fit(
    dataset: Dataset,
    table: FeatureTable,
    backbone: Backbone,
    settings: TrainSettings,
    needs_answers: bool,
    checkpoints: Path | None,
    progress: Progress,
) -> tuple[Fitted, Split]:
    """Fits what the settings name, "auto" no longer among it, on the split that this needs."""
    split = split_dataset(
        dataset,
        table.groups,
        val_fraction=0.0 if not settings.takes_steps and (settings.cv or not needs_answers) else settings.val_fraction,
        needs_val=settings.takes_steps,
        seed=settings.seed,
    )
    if settings.takes_steps:
        from headstart.fitting.finetune_fit import finetune_job, run_finetune

        return run_finetune(
            finetune_job(dataset, split, table, backbone, settings, checkpoints, progress), settings, progress
        ), split
    from headstart.fitting.probe_fit import run_probe

    assert backbone.frozen is not None  # only the tutorial has no features
    return run_probe(backbone.frozen, dataset, split, table, settings, needs_answers=needs_answers, progress=progress), split
