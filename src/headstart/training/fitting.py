"""From sources and settings to a fitted network: scan, split, then a probe or gradient steps."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.data.catalog import open_data
from headstart.data.dataset import Dataset, training_dataset
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate, Sources, with_split
from headstart.data.splits import Split, split_dataset
from headstart.errors import BackboneError, DataError, SettingsError
from headstart.model.catalog import find_backbone
from headstart.model.features import scan
from headstart.model.weights import locate_weights
from headstart.progress import Progress, silent
from headstart.recipes import Facts, plan_for
from headstart.settings import TrainSettings
from headstart.training.fitted import Fit

if TYPE_CHECKING:
    from headstart.model.backbones import Hardware, Network

TUTORIAL_RESIZE_PX, TUTORIAL_SIZE_PX = 256, 224


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
    return sources


def fit_sources(
    sources: Sequence[Sources],
    settings: TrainSettings,
    *,
    needs_answers: bool = True,
    checkpoints: Path | None = None,
    on_dataset: Callable[[Dataset], None] = lambda dataset: None,
    progress: Progress = silent,
) -> Fit:
    """Scans, splits and fits. `needs_answers` False: a probe without val or test uses every image and reports nothing."""
    from headstart.model.backbones import complete_spec, find_hardware, pretrained_network

    began = time.perf_counter()
    hardware = find_hardware(settings.device)
    spec = complete_spec(find_backbone(settings.backbone))
    weights = locate_weights(spec, given=settings.weights, offline=settings.offline, progress=progress)

    def new_network() -> "Network":
        network = pretrained_network(spec, weights, hardware.device)
        network.preprocess = preprocess_for(settings, network.preprocess)
        return network

    network = new_network()
    check_image_size(network, settings)
    loaded = time.perf_counter()
    candidates: list[Candidate] = [candidate for source in sources for candidate in source.candidates]
    found = scan(
        candidates,
        network.preprocess,
        None if settings.recipe == "tutorial" else network.features,
        workers=settings.workers,
        progress=progress,
    )
    skipped = (*(entry for source in sources for entry in source.skipped), *found.skipped)
    dataset = training_dataset(sources[0].name, found.images, skipped, sources)
    gradient_steps = settings.strategy == "finetune" or settings.recipe == "tutorial"
    split = split_dataset(
        dataset,
        val_fraction=settings.val_fraction if needs_answers or gradient_steps else 0.0,
        needs_val=gradient_steps,
        seed=settings.seed,
    )
    on_dataset(dataset)
    scanned = time.perf_counter()
    if gradient_steps:
        from headstart.training.finetune_run import FinetuneJob, run_finetune

        facts = facts_of(dataset, split, network, hardware)
        job = FinetuneJob(dataset, split, found.vectors, plan_for(settings, facts), new_network, checkpoints)
        fitted = run_finetune(job, settings, progress)
    else:
        from headstart.training.probe_run import run_probe

        fitted = run_probe(network, dataset, split, found.vectors, settings, needs_answers=needs_answers, progress=progress)
    ended = time.perf_counter()
    seconds = {"load": loaded - began, "scan": scanned - loaded, "fit": ended - scanned}
    return Fit(fitted, dataset, split, weights, seconds)


def facts_of(dataset: Dataset, split: Split, network: "Network", hardware: "Hardware") -> Facts:
    """What the recipe may look at."""
    return Facts(
        n_train=len(split.train),
        n_classes=len(dataset.classes),
        image_size=network.preprocess.size_px,
        device=hardware.device,
        bf16=hardware.bf16,
        cores=hardware.cores,
    )


def preprocess_for(settings: TrainSettings, own: Preprocess) -> Preprocess:
    """The preprocessing of a run: the backbone's own, at another size if asked for; the tutorial's for its recipe."""
    if settings.recipe == "tutorial":
        own = replace(
            own,
            size_px=TUTORIAL_SIZE_PX,
            resize_px=TUTORIAL_RESIZE_PX,
            interpolation="bilinear",
            crop="center",
            decode_margin=0.0,
        )
    return own if settings.image_size is None else own.at_size(settings.image_size)


def check_image_size(network: "Network", settings: TrainSettings) -> None:
    """Raises SettingsError where the backbone cannot take images of the size that was asked for."""
    if settings.image_size is None and settings.recipe == "default":
        return
    size = network.preprocess.size_px
    try:
        network.features(np.zeros((1, size, size, 3), np.uint8))
    except (AssertionError, RuntimeError, ValueError, BackboneError) as error:
        raise SettingsError(
            f"{network.spec.name} cannot take images of {size} px: {error}", hint="leave out --image-size"
        ) from error
