"""A probe: the head is fitted on features of the frozen backbone."""

from dataclasses import dataclass, replace

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.splits import Split, fold_count
from headstart.errors import DataError
from headstart.model.extractor import Frozen
from headstart.model.head import Head, cross_entropy, softmax
from headstart.model.history import Epoch
from headstart.model.probe import Probe, cross_validated_probabilities, fit_probe
from headstart.progress import Progress
from headstart.settings import TrainSettings
from headstart.training.fitted import Answers, Fitted

NEEDS_STEPS = ("epochs", "learning_rate", "schedule", "batch_size", "augment", "freeze")


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features of a data set's images, row by row, with what folds need."""

    vectors: np.ndarray  # (n_images, n_features) float32
    labels: np.ndarray  # (n_images,) int64
    groups: np.ndarray  # (n_images,) int64
    n_classes: int

    def fit(self, rows: np.ndarray, seed: int, progress: Progress) -> Probe:
        """The probe of some rows."""
        return fit_probe(self.vectors[rows], self.labels[rows], self.groups[rows], self.n_classes, seed=seed, progress=progress)

    def answer(self, head: Head, rows: np.ndarray, split: str) -> Answers:
        """What a head says of some rows."""
        return Answers(split, rows, softmax(head.logits(self.vectors[rows])), selected_on=False)


def run_probe(
    frozen: Frozen,
    dataset: Dataset,
    split: Split,
    table: FeatureTable,
    settings: TrainSettings,
    *,
    needs_answers: bool = True,
    progress: Progress,
) -> Fitted:
    """Fits the head on train, answers test and val (or train by cross-validation), and puts the head on the backbone."""
    probe = table.fit(split.train, settings.seed, progress)
    val_answers = table.answer(probe.head, split.val, "val") if split.val.size else None
    start = epoch_zero(table, split, probe.head)
    refit = settings.refit and bool(split.val.size)
    if refit:
        probe = table.fit(np.sort(np.concatenate([split.train, split.val])), settings.seed, progress)
    answers = [table.answer(probe.head, split.test, "test")] if split.test.size else []
    answers += [val_answers] if val_answers else []
    if not answers and needs_answers:
        answers = [_cross_validated(table, split.train, settings.seed, dataset, progress)]
    plan = {
        "strategy": "probe",
        "strength": probe.strength,
        "folds": probe.n_folds,
        "held_out_log_loss": [list(pair) for pair in probe.log_losses],
        "image_size": frozen.preprocess.size_px,
        "seed": settings.seed,
    }
    return Fitted(
        frozen.with_head(probe.head), (start,), 0, plan, tuple(answers), refit=refit, notes=_notes(settings, probe, split)
    )


def epoch_zero(table: FeatureTable, split: Split, head: Head) -> Epoch:
    """The history's row of a fitted head: loss and accuracy on train and val without augmentation."""

    def score(rows: np.ndarray) -> tuple[float, float]:
        logits = head.logits(table.vectors[rows])
        return cross_entropy(logits, table.labels[rows]), float((logits.argmax(axis=1) == table.labels[rows]).mean())

    train_loss, train_accuracy = score(split.train)
    row = Epoch(0, 0.0, train_loss, train_accuracy, None, None, 0.0)
    if not split.val.size:
        return row
    val_loss, val_accuracy = score(split.val)
    return replace(row, val_loss=val_loss, val_accuracy=val_accuracy)


def _cross_validated(table: FeatureTable, rows: np.ndarray, seed: int, dataset: Dataset, progress: Progress) -> Answers:
    labels, groups = table.labels[rows], table.groups[rows]
    if fold_count(labels, groups) < 2:
        counts = np.bincount(labels, minlength=table.n_classes)
        raise DataError(
            f"class {dataset.classes[int(counts.argmin())]!r} is too small to report an accuracy by cross-validation",
            hint="add images (two unrelated ones a class at least), or give --val or --test",
        )
    probabilities = cross_validated_probabilities(
        table.vectors[rows], labels, groups, table.n_classes, seed=seed, progress=progress
    )
    return Answers("cv", rows, probabilities, selected_on=False)


def _notes(settings: TrainSettings, probe: Probe, split: Split) -> tuple[str, ...]:
    default = TrainSettings()
    idle = [name for name in NEEDS_STEPS if getattr(settings, name) != getattr(default, name)]
    notes = [f"a probe takes no gradient steps: --{name.replace('_', '-')} has no effect" for name in idle]
    if probe.n_folds == 0:
        notes.append("a class is too small for cross-validation: the probe's strength is the default one, not chosen")
    if settings.refit and not split.val.size:
        notes.append("--refit has no effect: no val images were held out")
    return tuple(notes)
