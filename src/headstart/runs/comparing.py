"""`compare_models`: strategies and backbones on the same folds of the same images."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.audit.twins import find_twins
from headstart.data.dataset import Dataset
from headstart.data.sources import Skipped
from headstart.data.splits import Split, fold_count, folds, groups_of, hold_out
from headstart.errors import DataError, SettingsError, explains_missing_packages
from headstart.evaluation.intervals import share_interval
from headstart.evaluation.paired import Difference, paired_difference
from headstart.fitting.feature_table import FeatureTable
from headstart.fitting.fit import open_splits, scan_sources
from headstart.machine import peak_rss_mb, seconds_since_start
from headstart.model.pretrained import Backbone, open_backbone
from headstart.progress import Progress, silent
from headstart.settings import Strategy, TrainSettings

STRATEGIES: tuple[Strategy, ...] = ("probe", "finetune")


@dataclass(frozen=True, slots=True)
class Contender:
    """One of those compared, and how it did."""

    strategy: Strategy
    backbone: str
    accuracy: float
    accuracy_ci95: tuple[float, float]
    difference: Difference | None  # to the first contender; None for that one
    seconds: float  # of one training, features at hand
    size_mb: float  # of the backbone's weights

    @property
    def name(self) -> str:
        """Such as "finetune efficientnet_lite0"."""
        return f"{self.strategy} {self.backbone}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found."""

    data: str
    n: int  # images, each answered once by a model that never saw it
    n_folds: int
    contenders: tuple[Contender, ...]
    skipped: tuple[Skipped, ...]  # files that were not used

    def sentences(self) -> list[str]:
        """For each contender after the first whether it is better, in plain words."""
        first, *others = self.contenders
        return [self._sentence(first, other) for other in others]

    def _sentence(self, first: Contender, other: Contender) -> str:
        assert other.difference is not None
        if not other.difference.is_shown:
            shown = f"can be shown with {self.n} images ({other.difference.signed()})"
            return f"No difference between {other.name} and {first.name} {shown}."
        better = "better" if other.difference.gain > 0 else "worse"
        ratio = other.seconds / max(first.seconds, 1e-9)
        takes = f"takes {ratio:.0f} times as long"
        if ratio < 1.5:
            takes = f"takes {other.seconds:.1f} s in place of {first.seconds:.1f}"
        return f"{other.name} is {better} than {first.name} by {other.difference.in_points()} and {takes}."

    def as_json(self) -> dict[str, Any]:
        """What `compare --json` prints."""
        return {
            "format": 1,
            "data": self.data,
            "n": self.n,
            "folds": self.n_folds,
            "contenders": [
                {
                    "strategy": c.strategy,
                    "backbone": c.backbone,
                    "accuracy": c.accuracy,
                    "accuracy_ci95": list(c.accuracy_ci95),
                    "difference": c.difference and c.difference.gain,
                    "difference_ci95": c.difference and list(c.difference.ci95),
                    "seconds": round(c.seconds, 3),
                    "size_mb": round(c.size_mb, 1),
                }
                for c in self.contenders
            ],
            "sentences": self.sentences(),
            "skipped": len(self.skipped),
            "seconds": {"total": round(seconds_since_start(), 3)},
            "peak_rss_mb": round(peak_rss_mb(), 1),
        }


@explains_missing_packages("a comparison")
def compare_models(
    data: str | Path,
    settings: TrainSettings | None = None,
    *,
    strategies: Sequence[str] = STRATEGIES,
    backbones: Sequence[str] = (),
    n_folds: int = 3,
    progress: Progress = silent,
) -> Comparison:
    """Cross-validates every strategy on every backbone, all on the same group-safe folds of all images but test's.

    Fine-tuning holds a fifth of what it is given out to choose its best epoch by, as `train` does. `settings` say the rest;
    without `backbones` theirs is the only one. Raises HeadstartError.
    """
    settings = settings or TrainSettings()
    unknown = set(strategies) - set(STRATEGIES)
    if unknown or not strategies:
        raise SettingsError(f"there is no strategy {', '.join(map(repr, sorted(unknown))) or 'given'}", hint="probe, finetune")
    if settings.recipe == "tutorial":
        raise SettingsError("compare is for the default recipe", hint="leave --recipe out")
    chosen = [strategy for strategy in STRATEGIES if strategy in strategies]
    chosen.sort(key=list(strategies).index)
    names = tuple(dict.fromkeys(backbones or (settings.backbone,)))
    found: list[tuple[Strategy, str, np.ndarray, float, float]] = []
    with ExitStack() as stack:
        sources = open_splits(stack, data, settings, progress)
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        groups = rows = np.empty(0, np.int64)
        for name in names:
            of_backbone = settings.model_copy(update={"backbone": name, "strategy": "probe"})
            backbone = open_backbone(of_backbone, progress)
            dataset, scanned = scan_sources(sources, backbone, of_backbone, progress)
            if not parts:  # of the first backbone: folds must not depend on who is compared next
                groups = groups_of(dataset.images, find_twins(dataset.images, scanned.facts, scanned.vectors).pairs())
                rows = np.setdiff1d(np.arange(len(dataset.images)), dataset.indices_of("test"))
                parts = _folds(dataset, groups, rows, n_folds, settings.seed)
                if "finetune" in chosen:
                    _check_val(dataset, groups, parts, settings)
            table = FeatureTable(scanned.vectors, dataset.labels, groups, len(dataset.classes), settings.balance)
            size_mb = backbone.weights.path.stat().st_size / 1e6
            for strategy in chosen:
                right = np.zeros(len(dataset.images), bool)
                began = time.perf_counter()
                for number, (fit, held) in enumerate(parts, start=1):
                    right[held] = _right(strategy, dataset, table, backbone, of_backbone, fit, held, progress)
                    progress("comparing", len(found) * len(parts) + number, len(names) * len(chosen) * len(parts))
                found.append((strategy, name, right[rows], (time.perf_counter() - began) / len(parts), size_mb))
    first = found[0][2]
    contenders = tuple(
        Contender(
            strategy,
            name,
            float(right.mean()),
            share_interval(right, groups[rows]),
            paired_difference(right, first, groups[rows]) if i else None,
            seconds,
            size_mb,
        )
        for i, (strategy, name, right, seconds, size_mb) in enumerate(found)
    )
    return Comparison(dataset.name, len(rows), len(parts), contenders, dataset.skipped)


def _folds(
    dataset: Dataset, groups: np.ndarray, rows: np.ndarray, n_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    labels = dataset.labels[rows]
    possible = fold_count(labels, groups[rows], n_folds)
    if possible < 2:
        raise DataError(
            f"class {dataset.classes[int(np.bincount(labels).argmin())]!r} is too small for folds",
            hint="add images: two unrelated ones a class at least",
        )
    return [(rows[fit], rows[held]) for fit, held in folds(labels, groups[rows], possible, seed)]


def _check_val(
    dataset: Dataset, groups: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]], settings: TrainSettings
) -> None:
    """Raises DataError where fine-tuning could not hold val images out: said before minutes have gone by."""
    for fit, _ in parts:
        try:
            _val_of(dataset, groups, fit, settings)
        except DataError as error:
            raise DataError(
                f"in a fold fine-tuning could hold no val images out: {error.message}",
                hint="add images, or compare --strategies probe",
            ) from error


def _val_of(dataset: Dataset, groups: np.ndarray, fit: np.ndarray, settings: TrainSettings) -> np.ndarray:
    """(n_fit,) bool: what fine-tuning chooses its best epoch by."""
    return hold_out(dataset.labels[fit], groups[fit], settings.val_fraction or 0.2, settings.seed, dataset.classes)


def _right(
    strategy: Strategy,
    dataset: Dataset,
    table: FeatureTable,
    backbone: Backbone,
    settings: TrainSettings,
    fit: np.ndarray,
    held: np.ndarray,
    progress: Progress,
) -> np.ndarray:
    """(n_held,) bool: whether a model of the `fit` rows is right about each of the `held` ones."""
    if strategy == "probe":
        answers = table.answer(table.fit(fit, settings.seed), held, "test").probabilities
    else:
        from headstart.fitting.finetune_fit import answers_of_trial, finetune_job

        for_val = _val_of(dataset, table.groups, fit, settings)
        split = Split(fit[~for_val], fit[for_val], held, "train")
        finetuning = settings.model_copy(update={"strategy": "finetune"})
        job = finetune_job(dataset, split, table, backbone, finetuning, None, progress)
        answers = answers_of_trial(job, held, progress)
    return answers.argmax(axis=1) == dataset.labels[held]
