"""`compare_models`: compares strategies and backbones on the same folds of the same images."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import Field, computed_field

from headstart.data.class_counts import classes_found
from headstart.data.dataset import Dataset
from headstart.data.given import open_given
from headstart.data.sources import Skipped
from headstart.data.splits import Split, fold_count, folds, hold_out
from headstart.errors import DataError, SettingsError, explains_missing_packages
from headstart.evaluation.intervals import share_interval
from headstart.evaluation.paired import Difference, paired_difference
from headstart.fitting.scanned import Scanned, scan_given
from headstart.machine import peak_rss_mb, seconds_since_start
from headstart.model.pretrained import weights_for
from headstart.model.speed import speed_of
from headstart.progress import Progress, Tell, silent, untold
from headstart.schema import NotNegative, Positive, Schema, Share, ShareInterval
from headstart.settings import TrainSettings
from headstart.storage import AnyPath

STRATEGIES: tuple[Literal["probe", "finetune"], ...] = ("probe", "finetune")
STAGE = "comparing"


class Contender(Schema):
    """The result of one strategy on one backbone."""

    strategy: Literal["probe", "finetune"]
    backbone: str
    accuracy: Share
    accuracy_ci95: ShareInterval
    to_first: Difference | None = Field(exclude=True)  # None for the first contender itself
    seconds: NotNegative  # of one training run, with features already computed
    size_mb: NotNegative  # of the backbone's weights
    ms_per_image: NotNegative | None  # of the backbone on this machine; None on a GPU or for a named engine

    @computed_field  # type: ignore[prop-decorator]
    @property
    def difference(self) -> float | None:
        """Accuracy minus that of the first contender."""
        return None if self.to_first is None else self.to_first.gain

    @computed_field  # type: ignore[prop-decorator]
    @property
    def difference_ci95(self) -> tuple[float, float] | None:
        """The 95 % interval of that difference."""
        return None if self.to_first is None else self.to_first.ci95

    @property
    def name(self) -> str:
        """Strategy and backbone, such as "finetune efficientnet_lite0"."""
        return f"{self.strategy} {self.backbone}"

    def cost(self, first: "Contender") -> str:
        """What it costs next to the first, in words: milliseconds per image for another backbone, else seconds of training."""
        if self.backbone != first.backbone and self.ms_per_image and first.ms_per_image:
            return f"takes {self.ms_per_image:.1f} ms an image instead of {first.ms_per_image:.1f}"
        ratio = self.seconds / max(first.seconds, 1e-9)
        if ratio < 1.5:
            return f"takes {self.seconds:.1f} s instead of {first.seconds:.1f}"
        return f"takes {ratio:.0f} times as long"


class Comparison(Schema):
    """The result of a comparison."""

    format: Literal[1] = 1
    data: str
    n: Positive  # images, each predicted once by a model that never saw it
    n_groups: Positive = Field(exclude=True)  # unrelated groups among them
    n_folds: Positive = Field(alias="folds")
    contenders: tuple[Contender, ...]
    # The fastest of those that no other is shown to be better than; None for a single backbone, or if speeds are not known.
    pays: str | None
    skipped_files: tuple[Skipped, ...] = Field(exclude=True)  # files that were not used
    seconds: dict[str, NotNegative]
    peak_rss_mb: NotNegative

    @computed_field  # type: ignore[prop-decorator]
    @property
    def skipped(self) -> int:
        """How many files were not used."""
        return len(self.skipped_files)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sentences(self) -> list[str]:
        """For each contender after the first, a sentence that says whether it is better; then which backbone pays."""
        first, *others = self.contenders
        found = [_sentence(first, other, other.to_first) for other in others if other.to_first]
        if self.pays:
            found.append(f"{self.pays} pays: it is the fastest of those that no other is shown to be better than.")
        return found


def _sentence(first: Contender, other: Contender, difference: Difference) -> str:
    if not difference.is_shown:
        shown = f"can be shown with {difference.n} images ({difference.signed()})"
        cost = f"; {other.name} {other.cost(first)}" if other.backbone != first.backbone else ""
        return f"No difference between {other.name} and {first.name} {shown}{cost}."
    better = "better" if difference.gain > 0 else "worse"
    return f"{other.name} is {better} than {first.name} by {difference.in_points()} and {other.cost(first)}."


@dataclass(frozen=True, slots=True)
class _Measured:
    """The raw result of one contender."""

    strategy: Literal["probe", "finetune"]
    backbone: str
    right: np.ndarray  # (n,) bool, one for each compared row
    seconds: float
    size_mb: float
    ms_per_image: float | None


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

    Fine-tuning holds out a fifth of its images to choose its best epoch, as `train` does. `settings` provides everything else,
    including the backbone if `backbones` is empty. Raises HeadstartError.
    """
    settings = settings or TrainSettings()
    if settings.task == "regression":
        raise SettingsError(
            "compare counts right answers, and --task regression has none",
            hint="train --task regression twice, with --strategy probe and finetune, and compare the errors on one --test",
        )
    chosen = _chosen([strategies] if isinstance(strategies, str) else strategies, settings)
    names = tuple(dict.fromkeys([backbones] if isinstance(backbones, str) else backbones or (settings.backbone,)))
    found: list[_Measured] = []
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
    return Comparison(
        data=scanned.dataset.name,
        n=len(task.rows),
        n_groups=len(np.unique(groups)),
        n_folds=len(task.parts),
        contenders=_contenders(found, groups),
        pays=_what_pays(found, groups),
        skipped_files=scanned.dataset.skipped,
        seconds={"total": round(seconds_since_start(), 3)},
        peak_rss_mb=round(peak_rss_mb(), 1),
    )


def _contenders(found: Sequence[_Measured], groups: np.ndarray) -> tuple[Contender, ...]:
    """What was measured, each beside the first; (n,) `groups` of the images."""
    return tuple(
        Contender(
            strategy=one.strategy,
            backbone=one.backbone,
            accuracy=float(one.right.mean()),
            accuracy_ci95=share_interval(one.right, groups),
            to_first=paired_difference(one.right, found[0].right, groups) if i else None,
            seconds=round(one.seconds, 3),
            size_mb=round(one.size_mb, 1),
            ms_per_image=None if one.ms_per_image is None else round(one.ms_per_image, 2),
        )
        for i, one in enumerate(found)
    )


def _what_pays(found: Sequence[_Measured], groups: np.ndarray) -> str | None:
    """The name of the fastest contender that no other is shown to be better than; None for one backbone or unknown speeds."""
    if len({one.backbone for one in found}) == 1 or any(one.ms_per_image is None for one in found):
        return None

    def is_beaten(one: _Measured) -> bool:
        differences = (paired_difference(other.right, one.right, groups) for other in found if other is not one)
        return any(difference.is_shown and difference.gain > 0 for difference in differences)

    best = min((one for one in found if not is_beaten(one)), key=lambda one: (one.ms_per_image, one.seconds))
    return f"{best.strategy} {best.backbone}"


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
) -> _Measured:
    right = np.zeros(len(scanned.dataset.images), bool)
    began = time.perf_counter()
    for number, (fit, held) in enumerate(task.parts, start=1):
        right[held] = _right(strategy, scanned, fit, held, progress)
        progress(STAGE, n_done + number, n_all)
    seconds = (time.perf_counter() - began) / len(task.parts)
    size_mb = scanned.backbone.weights.path.stat().st_size / 1e6
    frozen = scanned.backbone.frozen
    speed = speed_of(frozen) if frozen else None
    return _Measured(strategy, scanned.settings.backbone, right[task.rows], seconds, size_mb, speed)


def _folds(
    dataset: Dataset, groups: np.ndarray, rows: np.ndarray, n_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    labels = dataset.labels[rows]
    possible = fold_count(labels, groups[rows], n_folds)
    if possible < 2:
        if labels.ndim == 2:
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


def _right(
    strategy: Literal["probe", "finetune"], scanned: Scanned, fit: np.ndarray, held: np.ndarray, progress: Progress
) -> np.ndarray:
    """(n_held,) bool: whether a model trained on the `fit` rows is right on each of the `held` rows."""
    if strategy == "probe":
        table = scanned.table()
        answers = table.answer(table.fit(fit, scanned.settings.seed), held, "test").probabilities
    else:
        from headstart.fitting.finetune_fit import answers_of_trial, finetune_job

        for_val = _val_of(scanned, fit)
        split = Split(fit[~for_val], fit[for_val], held, "train")
        finetuning = scanned.settings.model_copy(update={"strategy": "finetune"})
        answers = answers_of_trial(finetune_job(replace(scanned, settings=finetuning), split, None, progress), held, progress)
    return scanned.task.right(answers, scanned.dataset.labels[held])  # several labels: all at the same thresholds
