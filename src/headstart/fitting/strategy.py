"""--strategy auto: the probe, or fine-tuning if there is time and a trial shows that it is better."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from headstart.data.splits import Split, fold_count, folds, spread_order
from headstart.errors import DataError
from headstart.evaluation.paired import paired_difference, smallest_gain_shown
from headstart.fitting.choice import Choice, keep_probe
from headstart.fitting.fit import split_for
from headstart.fitting.scanned import Scanned
from headstart.progress import Progress, silent

TRIAL_FOLDS = 3  # one of them is held out
MAX_FIT, MAX_HELD = 600, 400  # images of a trial, so that large data sets take no longer ...
FIT_OF_CLASS, HELD_OF_CLASS = 20, 10  # ... unless that would leave each class with fewer images than these
# Images per step of a trial: half of a run's, which doubles the steps at no cost. On hand signs (600 training images, two
# epochs) the accuracy was 0.963 with 16, 0.990 with 8, and 0.865 with smaller images of 160 px; the probe reaches 0.938.
TRIAL_BATCH = 8
TRIAL_SHARE = 0.35  # of the remaining time, for the trial
ANSWERING = 1 / 3  # time to predict an image, as a share of the time to train on it
RESERVE = 0.9  # share of the remaining time that may be planned for


def choose(scanned: Scanned, progress: Progress = silent, *, clock: Callable[[], float] = time.perf_counter) -> Choice:
    """The strategy that the settings name or, for --strategy auto, the one chosen by a trial.

    `time_budget` seconds of `clock` are available, counted from `scanned.began`. A third of train is held out, at most 400
    images. If the probe makes so few mistakes on them that even a perfect network could not be shown to be better, the probe is
    kept without a trial. Otherwise both are trained on the other two thirds, at most 600 images, and fine-tuning is chosen if
    it is better beyond chance on the held-out images.
    """
    settings = scanned.settings
    if settings.strategy != "auto":
        return Choice(strategy=settings.strategy, why="it was asked for", is_users=True)
    if settings.recipe == "tutorial":
        return keep_probe("--recipe tutorial cannot compare strategies; --strategy finetune trains all layers")
    if settings.cv:
        return keep_probe("--cv applies only to probes")
    finetuning = replace(scanned, settings=settings.model_copy(update={"strategy": "finetune"}))
    try:
        split = split_for(finetuning)
        if not split.val.size:
            return keep_probe("fine-tuning chooses its best epoch on val images, but there are none")
    except DataError as refusal:
        return keep_probe(f"fine-tuning needs val images, but {refusal.message}")
    trial = _Trial.of(finetuning, split, progress)
    if trial is None:
        return keep_probe("a class is too small to hold out images for a comparison")
    n = len(trial.held)
    n_wrong = int((~trial.probe_right).sum())
    if n_wrong < smallest_gain_shown(n):
        return keep_probe(f"it is right on {n - n_wrong} of {n} held-out images; with so few mistakes no gain can be shown")
    return _try_finetuning(trial, progress, clock)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A trial: train with a part held out, and the probe's results on that part."""

    scanned: Scanned  # with fine-tuning as its strategy
    split: Split  # the split that the run itself would use
    fit: np.ndarray  # (n_fit,) int64
    held: np.ndarray  # (n_held,) int64
    probe_right: np.ndarray  # (n_held,) bool

    @classmethod
    def of(cls, scanned: Scanned, split: Split, progress: Progress) -> "_Trial | None":
        """The trial that the split allows; None if a class has too few groups to hold any out."""
        table, seed = scanned.table(), scanned.settings.seed
        labels, groups = table.labels[split.train], table.groups[split.train]
        if fold_count(labels, groups, TRIAL_FOLDS) < TRIAL_FOLDS:
            return None
        parts = next(folds(labels, groups, TRIAL_FOLDS, seed))
        most_fit, most_held = max(MAX_FIT, FIT_OF_CLASS * table.n_classes), max(MAX_HELD, HELD_OF_CLASS * table.n_classes)
        fit, held = (
            np.sort(split.train[part[spread_order(labels[part], seed)[:most]]])
            for part, most in zip(parts, (most_fit, most_held), strict=True)
        )
        head = table.fit(fit, seed, progress).head
        right = head.logits(table.vectors[held]).argmax(axis=1) == table.labels[held]
        return cls(scanned, split, fit, held, right)


def _try_finetuning(trial: _Trial, progress: Progress, clock: Callable[[], float]) -> Choice:
    from headstart.fitting.finetune_fit import answers_of_trial, finetune_job, seconds_per_image

    scanned, settings = trial.scanned, trial.scanned.settings

    def left() -> float:
        return settings.time_budget - (clock() - scanned.began)

    nothing = np.empty(0, np.int64)
    small_steps = settings.model_copy(update={"batch_size": min(settings.batch_size or TRIAL_BATCH, TRIAL_BATCH)})
    n_epochs = finetune_job(scanned, trial.split, None, progress).plan.steps.epochs
    parts = Split(trial.fit, nothing, trial.held, "none")
    job = finetune_job(replace(scanned, settings=small_steps), parts, None, progress)
    costs = _Costs.of(trial, *seconds_per_image(job, clock), refit=settings.refit)
    needed = costs.once + costs.epoch + costs.trial_once + costs.trial_epoch
    if needed > RESERVE * left():
        enough = math.ceil((needed / RESERVE + settings.time_budget - left()) / 10) * 10
        return keep_probe(f"--time-budget {settings.time_budget:g} is too short to try fine-tuning; try {enough}")
    for_trial = TRIAL_SHARE * RESERVE * left() - costs.trial_once
    trial_epochs = max(1, min(n_epochs, int(for_trial / costs.trial_epoch)))
    steps = job.plan.steps.model_copy(update={"epochs": trial_epochs})
    answers = answers_of_trial(replace(job, plan=job.plan.model_copy(update={"steps": steps})), trial.held, progress)
    finetuned_right = answers.argmax(axis=1) == scanned.dataset.labels[trial.held]
    difference = paired_difference(finetuned_right, trial.probe_right, scanned.groups[trial.held])
    if not (difference.is_shown and difference.gain > 0):
        verdict = "was worse" if difference.is_shown else "was not better beyond chance"
        epochs = f"{trial_epochs} epoch{'s' * (trial_epochs > 1)}"
        by = f"{difference.signed()} on {difference.n} held-out images"
        return keep_probe(f"fine-tuning for {epochs} {verdict} ({by})", difference)
    why = f"fine-tuning: better than the probe by {difference.in_points()} on {difference.n} images that neither was trained on"
    affordable = max(1, int((RESERVE * left() - costs.once) / costs.epoch))
    if affordable >= n_epochs:
        return Choice(strategy="finetune", why=why, difference=difference)
    why += f"; {affordable} of {n_epochs} epochs fit into --time-budget {settings.time_budget:g}; a longer one may do better"
    return Choice(strategy="finetune", epochs=affordable, why=why, difference=difference)


@dataclass(frozen=True, slots=True)
class _Costs:
    """Estimated seconds of fine-tuning on this machine."""

    once: float  # of the run, besides its epochs
    epoch: float
    trial_once: float
    trial_epoch: float

    @classmethod
    def of(cls, trial: _Trial, decoding: float, step: float, *, refit: bool) -> "_Costs":
        """The costs from the seconds for decoding an image and for a training step on it."""
        from headstart.fitting.finetune_fit import FINETUNED_REFERENCES

        n_train, n_val, n_test = (len(rows) for rows in trial.split.as_dict().values())
        answer = ANSWERING * step
        once = (n_train + n_val) * decoding + n_test * (decoding + answer)
        once += (min(n_train, FINETUNED_REFERENCES) + min(n_val, FINETUNED_REFERENCES)) * answer
        epoch = n_train * step + n_val * answer
        if refit:  # everything once more, including val
            once, epoch = once + n_val * decoding, epoch + (n_train + n_val) * step
        held, fit = len(trial.held), len(trial.fit)
        return cls(once, epoch, fit * decoding + held * (decoding + answer), fit * step)
