"""`compare_models`: compares strategies and backbones on the same folds of the same images."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from headstart.data.class_counts import classes_found
from headstart.data.dataset import Dataset
from headstart.data.given import open_given
from headstart.data.splits import Split, are_numbers, fold_count, folds, hold_out
from headstart.errors import DataError, SettingsError, explains_missing_packages
from headstart.evaluation.intervals import share_interval
from headstart.evaluation.number_metrics import NumbersSeen, number_metrics
from headstart.evaluation.paired import Difference, paired_difference
from headstart.evaluation.paired_scores import ErrorChange, error_change
from headstart.fitting.scanned import Scanned, scan_given
from headstart.machine import peak_rss_mb, seconds_since_start
from headstart.model.pretrained import weights_for
from headstart.model.speed import speed_of
from headstart.progress import Progress, Tell, silent, untold
from headstart.runs.contenders import Comparison, Contender, NumberContender
from headstart.settings import TrainSettings
from headstart.storage import AnyPath

STRATEGIES: tuple[Literal["probe", "finetune"], ...] = ("probe", "finetune")
STAGE = "comparing"


@dataclass(frozen=True, slots=True)
class _Tried:
    """The raw result of one contender."""

    strategy: Literal["probe", "finetune"]
    backbone: str
    # One for each compared row: (n,) bool, whether it is right, or of numbers (n,) float64, answer - truth.
    marks: np.ndarray
    seconds: float
    size_mb: float
    ms_per_image: float | None

    def cost(self) -> dict[str, Any]:
        """What it is and what it costs, as a contender has it."""
        return {
            "strategy": self.strategy,
            "backbone": self.backbone,
            "seconds": round(self.seconds, 3),
            "size_mb": round(self.size_mb, 1),
            "ms_per_image": None if self.ms_per_image is None else round(self.ms_per_image, 2),
        }


@explains_missing_packages("a comparison")
def compare_models(
    data: AnyPath,
    settings: TrainSettings | None = None,
    *,
    strategies: str | Sequence[str] = STRATEGIES,
    backbones: str | Sequence[str] = (),
    n_folds: int = 3,
    progress: Progress = silent,
    tell: Tell = untold,
) -> Comparison:
    """Cross-validates every strategy on every backbone, on the same group-safe folds of all images except those of test.

    They are compared by accuracy, answers that are numbers by their mean absolute error.

    Fine-tuning holds out a fifth of its images to choose its best epoch, as `train` does. `settings` provides everything else,
    including the backbone if `backbones` is empty. Raises HeadstartError.
    """
    settings = settings or TrainSettings()
    chosen = _chosen([strategies] if isinstance(strategies, str) else strategies, settings)
    names = tuple(dict.fromkeys([backbones] if isinstance(backbones, str) else backbones or (settings.backbone,)))
    found: list[_Tried] = []
    for name in names:  # a name that does not exist, or weights that are not here, are said before anything is computed
        weights_for(_with_backbone(settings, name), progress)
    with open_given(os.fspath(data), settings, progress) as sources:
        tell(classes_found(sources))
        scanned = scan_given(sources, _with_backbone(settings, names[0]), progress)
        task = _Task.of(scanned, n_folds, chosen)  # from the first backbone: the folds must not depend on the others
        n_all = len(names) * len(chosen) * len(task.parts)
        for name in names:
            if name != names[0]:
                scanned = scan_given(sources, _with_backbone(settings, name), progress)
            same_groups = replace(scanned, groups=task.groups)
            for strategy in chosen:
                found.append(_measure(strategy, same_groups, task, progress, len(found) * len(task.parts), n_all))
    groups = task.groups[task.rows]
    dataset = scanned.dataset
    truth = dataset.labels[task.rows]
    return Comparison(
        data=dataset.name,
        n=len(task.rows),
        n_groups=len(np.unique(groups)),
        n_folds=len(task.parts),
        contenders=_number_contenders(found, truth, groups) if dataset.number else _contenders(found, groups),
        pays=_what_pays(found, groups),
        skipped_files=dataset.skipped,
        seconds={"total": round(seconds_since_start(), 3)},
        peak_rss_mb=round(peak_rss_mb(), 1),
    )


def _contenders(found: Sequence[_Tried], groups: np.ndarray) -> tuple[Contender, ...]:
    """What was measured, each beside the first; (n,) `groups` of the images."""
    return tuple(
        Contender(
            **one.cost(),
            accuracy=float(one.marks.mean()),
            accuracy_ci95=share_interval(one.marks, groups),
            to_first=paired_difference(one.marks, found[0].marks, groups) if i else None,
        )
        for i, one in enumerate(found)
    )


def _number_contenders(found: Sequence[_Tried], numbers: np.ndarray, groups: np.ndarray) -> tuple[NumberContender, ...]:
    """The same where answers are numbers, beside the (n,) true ones."""
    seen = NumbersSeen.of(numbers)
    return tuple(
        NumberContender(
            **one.cost(),
            numbers=number_metrics(numbers + one.marks, numbers, seen, groups),
            to_first=error_change(np.abs(one.marks), np.abs(found[0].marks), groups) if i else None,
        )
        for i, one in enumerate(found)
    )


def _what_pays(found: Sequence[_Tried], groups: np.ndarray) -> str | None:
    """The name of the fastest contender that no other is shown to be better than; None for one backbone or unknown speeds."""
    if len({one.backbone for one in found}) == 1 or any(one.ms_per_image is None for one in found):
        return None

    def is_beaten(one: _Tried) -> bool:
        differences = (_difference(other.marks, one.marks, groups) for other in found if other is not one)
        return any(difference.is_shown and difference.gain > 0 for difference in differences)

    best = min((one for one in found if not is_beaten(one)), key=lambda one: (one.ms_per_image, one.seconds))
    return f"{best.strategy} {best.backbone}"


def _difference(one: np.ndarray, other: np.ndarray, groups: np.ndarray) -> Difference | ErrorChange:
    if one.dtype == bool:
        return paired_difference(one, other, groups)
    return error_change(np.abs(one), np.abs(other), groups)


def _with_backbone(settings: TrainSettings, name: str) -> TrainSettings:
    return settings.model_copy(update={"backbone": name, "strategy": "probe"})


def _chosen(strategies: Sequence[str], settings: TrainSettings) -> list[Literal["probe", "finetune"]]:
    unknown = set(strategies) - set(STRATEGIES)
    if unknown or not strategies:
        raise SettingsError(f"there is no strategy {', '.join(map(repr, sorted(unknown))) or 'given'}", hint="probe, finetune")
    if settings.recipe == "tutorial":
        raise SettingsError("compare supports only the default recipe", hint="leave out --recipe")
    return sorted((strategy for strategy in STRATEGIES if strategy in strategies), key=list(strategies).index)


@dataclass(frozen=True, slots=True)
class _Task:
    """The images and folds that every contender is measured on."""

    groups: np.ndarray  # (n_images,) int64
    rows: np.ndarray  # (n,) int64, of the compared images: all except those of a test split and of classes that are one group
    parts: list[tuple[np.ndarray, np.ndarray]]  # (fit, held) rows of each fold

    @classmethod
    def of(cls, scanned: Scanned, n_folds: int, strategies: Sequence[str]) -> "_Task":
        """The task with as many folds as the data set allows. Raises DataError."""
        rows = np.setdiff1d(np.arange(len(scanned.dataset.images)), scanned.dataset.indices_of("test"))
        parts = _folds(scanned.dataset, scanned.groups, rows, n_folds, scanned.settings.seed)
        rows = np.sort(np.concatenate([held for _, held in parts]))
        if "finetune" in strategies:
            _check_val(scanned, parts)
        return cls(scanned.groups, rows, parts)


def _measure(
    strategy: Literal["probe", "finetune"],
    scanned: Scanned,
    task: _Task,
    progress: Progress,
    n_done: int,
    n_all: int,
) -> _Tried:
    marks = np.zeros(len(scanned.dataset.images), float if scanned.dataset.number else bool)
    began = time.perf_counter()
    for number, (fit, held) in enumerate(task.parts, start=1):
        marks[held] = _marks(strategy, scanned, fit, held, progress)
        progress(STAGE, n_done + number, n_all)
    seconds = (time.perf_counter() - began) / len(task.parts)
    size_mb = scanned.backbone.weights.path.stat().st_size / 1e6
    frozen = scanned.backbone.frozen
    speed = speed_of(frozen) if frozen else None
    return _Tried(strategy, scanned.settings.backbone, marks[task.rows], seconds, size_mb, speed)


def _folds(
    dataset: Dataset, groups: np.ndarray, rows: np.ndarray, n_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    labels = dataset.labels[rows]
    possible = fold_count(labels, groups[rows], n_folds)
    if possible < 2:
        if labels.ndim == 2 or are_numbers(labels):
            raise DataError(
                "all images are one group, which cannot be on both sides of a fold", hint="add images of other groups"
            )
        raise DataError(
            f"class {dataset.classes[int(np.bincount(labels).argmin())]!r} is too small for folds",
            hint="add images: each class needs at least two unrelated ones",
        )
    return [(rows[fit], rows[held]) for fit, held in folds(labels, groups[rows], possible, seed)]


def _check_val(scanned: Scanned, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Raises DataError if fine-tuning could not hold out val images; checked up front, before minutes of work."""
    for fit, _ in parts:
        try:
            _val_of(scanned, fit)
        except DataError as error:
            raise DataError(
                f"fine-tuning could not hold out val images in one of the folds: {error.message}",
                hint="add images, or compare --strategies probe",
            ) from error


def _val_of(scanned: Scanned, fit: np.ndarray) -> np.ndarray:
    """(n_fit,) bool: the images on which fine-tuning chooses its best epoch."""
    dataset, settings = scanned.dataset, scanned.settings
    fraction = settings.val_fraction or 0.2
    return hold_out(dataset.labels[fit], scanned.groups[fit], fraction, settings.seed, dataset.classes)


def _marks(
    strategy: Literal["probe", "finetune"], scanned: Scanned, fit: np.ndarray, held: np.ndarray, progress: Progress
) -> np.ndarray:
    """(n_held,): how a model trained on the `fit` rows answers each of the `held` rows, as _Tried has it."""
    if strategy == "probe":
        table = scanned.table()
        answers = table.answer(table.fit(fit, scanned.settings.seed), held, "test").probabilities
    else:
        from headstart.fitting.finetune_fit import answers_of_trial, finetune_job

        for_val = _val_of(scanned, fit)
        split = Split(fit[~for_val], fit[for_val], held, "train")
        finetuning = scanned.settings.model_copy(update={"strategy": "finetune"})
        answers = answers_of_trial(finetune_job(replace(scanned, settings=finetuning), split, None, progress), held, progress)
    if scanned.dataset.number:
        return answers[:, 0] - scanned.dataset.labels[held]
    return scanned.task.right(answers, scanned.dataset.labels[held])  # several labels: all at the same thresholds
