"""Fits a probe: a head on features of the frozen backbone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headstart.data.splits import Split, fold_count, parted
from headstart.errors import DataError
from headstart.fitting.answers import SplitAnswers
from headstart.fitting.feature_table import FeatureTable
from headstart.fitting.fitted import Fitted
from headstart.fitting.head_fitters import AnyProbe
from headstart.fitting.repeated_fits import RepeatedCrossValidation, cross_validate_repeatedly, measure_learning_curve
from headstart.fitting.scanned import Scanned
from headstart.model.familiarity import familiarity_of
from headstart.model.features_on_disk import some_rows
from headstart.model.head import Head
from headstart.model.history import Epoch
from headstart.progress import Progress
from headstart.recipes import LabelPlan, ProbePlan
from headstart.settings import TrainSettings

NEEDS_STEPS = ("epochs", "learning_rate", "schedule", "batch_size", "augment", "freeze")


def fit_probe_run(scanned: Scanned, split: Split, *, needs_answers: bool = True, progress: Progress) -> Fitted:
    """Fits the head on train, predicts test and val (or train by cross-validation) and puts the head on the backbone."""
    settings, table, frozen = scanned.settings, scanned.table(), scanned.backbone.frozen
    assert frozen is not None  # only the tutorial recipe has no features
    known_scale = scanned.extended.earlier.stage_scale if scanned.extended else None
    probe = table.fit(split.train, settings.seed, progress, known_scale=known_scale)
    val_answers = table.answer(probe, split.val, "val") if split.val.size else None
    table = table.deciding_as(probe)
    start = epoch_zero(table, split, probe.head)
    repeated = _repeated(scanned, split.train, progress) if settings.cv else None
    refit = settings.refit and bool(split.val.size)
    rows = np.sort(np.concatenate([split.train, split.val])) if refit else split.train
    if refit:
        probe = table.fit(rows, settings.seed, progress)
    answers = [table.answer(probe, split.test, "test")] if split.test.size else []
    answers += [val_answers] if val_answers else []
    if needs_answers and not answers:
        repeated = repeated or _repeated(scanned, split.train, progress)
        answers = [repeated.answers]
    curve, seen = None, some_rows(table.vectors, rows)
    if (
        answers and not scanned.extended and not scanned.dataset.number
    ):  # what more images bring is then said by the comparison with the run before
        of_train = None if refit else probe.uncalibrated
        curve = measure_learning_curve(table, split.train, answers[0], probe, settings, progress, head_of_all=of_train)
    held_out = None
    if probe.held_out is not None:
        held_out = SplitAnswers("cv", rows[probe.held], scanned.task.probabilities(probe.held_out), selected_on=False)
    return Fitted(
        scanned,
        split,
        frozen.with_head(probe.head),
        (start,),
        0,
        _plan_of(probe, scanned, frozen.preprocess.size_px),
        tuple(answers),
        held_out,
        familiarity_of(seen, scanned.dataset.strata[rows], table.groups[rows], seed=settings.seed, n_last=frozen.n_last),
        probe.temperature,
        curve,
        repeated.summary if repeated and settings.cv else None,
        refit=refit,
        notes=_notes(settings, probe, split),
        thresholds=probe.thresholds,
    )


def _plan_of(probe: AnyProbe, scanned: Scanned, size_px: int) -> ProbePlan:
    """Every number of a fitted probe."""
    return ProbePlan(
        strength=probe.strength,
        stage_scale=probe.stage_scale,
        folds=probe.n_folds,
        held_out_log_loss=probe.log_losses,
        temperature=probe.temperature,
        of_labels=_label_plans(probe, scanned.dataset.classes),
        balance=scanned.settings.balance,
        image_size=size_px,
        seed=scanned.settings.seed,
    )


def _label_plans(probe: AnyProbe, names: Sequence[str]) -> tuple[LabelPlan, ...]:
    """What was chosen for each of several labels; nothing for one class an image."""
    if not probe.of_labels:
        return ()
    return tuple(
        LabelPlan(name=name, strength=one.strength, temperature=one.temperature, stage_scale=one.stage_scale)
        for name, one in zip(names, probe.of_labels, strict=True)
    )


def epoch_zero(table: FeatureTable, split: Split, head: Head) -> Epoch:
    """The history row of a fitted head: loss and accuracy on train and val without augmentation."""

    def score(rows: np.ndarray) -> tuple[float, float]:
        logits = head.logits_of(table.vectors, rows)
        return table.loss(logits, rows), float(table.right(logits, rows).mean())

    train_loss, train_accuracy = score(split.train)
    val_loss, val_accuracy = score(split.val) if split.val.size else (None, None)
    return Epoch(
        epoch=0,
        lr=0.0,
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        val_loss=val_loss,
        val_accuracy=val_accuracy,
        seconds=0.0,
    )


def _repeated(scanned: Scanned, rows: np.ndarray, progress: Progress) -> RepeatedCrossValidation:
    table, settings = scanned.table(), scanned.settings
    labels, groups = table.labels[rows], table.groups.copy()
    groups[rows] = parted(labels, groups[rows])
    if fold_count(labels, groups[rows]) < 2:
        counts = np.bincount(labels, minlength=table.n_classes)
        raise DataError(
            f"class {scanned.dataset.classes[int(counts.argmin())]!r} is too small to report an accuracy by cross-validation",
            hint="add images (each class needs at least two unrelated ones), or give --val or --test",
        )
    return cross_validate_repeatedly(replace(table, groups=groups), rows, *settings.folds_and_repeats, settings.seed, progress)


def _notes(settings: TrainSettings, probe: AnyProbe, split: Split) -> tuple[str, ...]:
    default = TrainSettings()
    idle = [name for name in NEEDS_STEPS if getattr(settings, name) != getattr(default, name)]
    notes = [f"a probe takes no gradient steps: --{name.replace('_', '-')} has no effect" for name in idle]
    if probe.n_folds == 0:
        notes.append("a class is too small for cross-validation: the probe uses the default strength")
    if settings.refit and not split.val.size:
        notes.append("--refit has no effect: no val images were held out")
    return tuple(notes)
