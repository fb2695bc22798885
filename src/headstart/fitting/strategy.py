"""--strategy auto: the probe, or fine-tuning if there is time and a trial shows that it is better."""

import math
from dataclasses import dataclass, replace

import numpy as np

from headstart.data.splits import Split, fold_count, folds, spread_order
from headstart.deadline import NEVER, Deadline, OutOfTimeError
from headstart.errors import DataError
from headstart.evaluation.paired import Difference, paired_difference, smallest_gain_shown
from headstart.fitting.choice import Choice, keep_probe
from headstart.fitting.costs import WRITING, Costs
from headstart.fitting.fit import split_for
from headstart.fitting.scanned import Scanned
from headstart.model.pace import TimeLimit
from headstart.progress import Progress, silent

TRIAL_FOLDS = 3  # one of them is held out
MAX_FIT, MAX_HELD = 600, 400  # images of a trial, so that large data sets take no longer ...
FIT_OF_CLASS, HELD_OF_CLASS = 20, 10  # ... unless that would leave each class with fewer images than these
# Images per step of a trial: half of a run's, which doubles the steps at no cost. On hand signs (600 training images, two
# epochs) the accuracy was 0.963 with 16, 0.990 with 8, and 0.865 with smaller images of 160 px; the probe reaches 0.938.
TRIAL_BATCH = 8
TRIAL_SHARE = 0.35  # of the remaining time, for the trial
RESERVE = 0.9  # share of the remaining time that may be planned for
# Seconds without which fine-tuning is not even measured: importing torch and building the network took 4 s on two free cores
# and 11 s on cores with three times the work they can do.
STARTING = 20.0
# Standard errors by which fine-tuning must be better in the trial. It need not be shown to be: the trial has fewer images
# than the run, which fine-tuning feels more than the probe, and in the run the probe is still a candidate, as epoch 0. On 400
# solar cells fine-tuning was better by 2.8 points [-0.9, 6.3], and in three runs on all images by 0.8 to 3.8.
NOISE = 0.5
# Of the remaining time, for measuring a few steps. Torch's threads wait for each other, so that on busy cores a step of
# training can take fifty times as long as on free ones, and these steps a minute.
MEASURING_SHARE = 0.2
PROBE_RUN = 5  # how long a probe's run takes, learning curve and checks included, as a multiple of the trial's fit


def choose(scanned: Scanned, deadline: Deadline = NEVER, progress: Progress = silent) -> Choice:
    """The strategy that the settings name or, for --strategy auto, the one chosen by a trial.

    A third of train is held out, at most 400 images. If the probe makes so few mistakes on them that even a perfect network
    could not be shown to be better, the probe is kept without a trial. Otherwise both are trained on the other two thirds, at
    most 600 images, and fine-tuning is chosen if it promises to be better on the held-out images and if an epoch of it fits
    before the deadline. A trial that takes too long is ended, and the probe is kept.
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
    trial = _Trial.of(finetuning, split, deadline, progress)
    if trial is None:
        return keep_probe("a class is too small to hold out images for a comparison")
    n = len(trial.held)
    n_wrong = int((~trial.probe_right).sum())
    if n_wrong < smallest_gain_shown(n):
        return keep_probe(f"it is right on {n - n_wrong} of {n} held-out images; with so few mistakes no gain can be shown")
    return _try_finetuning(trial, deadline, progress)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A trial: train with a part held out, and the probe's results on that part."""

    scanned: Scanned  # with fine-tuning as its strategy
    split: Split  # the split that the run itself would use
    fit: np.ndarray  # (n_fit,) int64
    held: np.ndarray  # (n_held,) int64
    probe_right: np.ndarray  # (n_held,) bool
    probe_seconds: float  # that fitting the probe took

    @classmethod
    def of(cls, scanned: Scanned, split: Split, deadline: Deadline, progress: Progress) -> "_Trial | None":
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
        began = deadline.spent()
        head = table.fit(fit, seed, progress).head
        right = head.logits(table.vectors[held]).argmax(axis=1) == table.labels[held]
        return cls(scanned, split, fit, held, right, deadline.spent() - began)


def _try_finetuning(trial: _Trial, deadline: Deadline, progress: Progress) -> Choice:
    budget = f"--time-budget {deadline.seconds:g}"
    too_short = f"{budget} is too short to try fine-tuning"
    probe_run = PROBE_RUN * trial.probe_seconds + WRITING  # if the probe is kept in the end
    if deadline.left() < STARTING + probe_run:
        return keep_probe(too_short)
    from headstart.fitting.finetune_fit import answers_of_trial, finetune_job, seconds_per_image

    scanned, settings, n_held = trial.scanned, trial.scanned.settings, len(trial.held)
    small_steps = settings.model_copy(update={"batch_size": min(settings.batch_size or TRIAL_BATCH, TRIAL_BATCH)})
    n_epochs = finetune_job(scanned, trial.split, None, progress).plan.steps.epochs
    parts = Split(trial.fit, np.empty(0, np.int64), trial.held, "none")
    job = finetune_job(replace(scanned, settings=small_steps), parts, None, progress)
    try:
        kept_free = max(probe_run, (1 - MEASURING_SHARE) * deadline.left())
        speed = seconds_per_image(job, deadline.before(kept_free), progress)
    except OutOfTimeError:
        return keep_probe(too_short)
    costs = Costs.of(trial.split, len(trial.fit), n_held, speed, refit=settings.refit)
    left, needed = deadline.left(), costs.trial(1) + costs.run(1)
    if needed > RESERVE * left:
        return keep_probe(f"{too_short}; try {_rounded_up(deadline.spent() + needed / RESERVE)}")
    for_trial = min(TRIAL_SHARE * RESERVE * left, RESERVE * left - costs.run(1))
    trial_epochs = max(1, min(n_epochs, int((for_trial - costs.trial_once) / costs.trial_epoch)))
    job = replace(job, plan=job.plan.with_epochs(trial_epochs))
    began = deadline.spent()
    try:
        limit = TimeLimit(deadline.before(max(costs.run(1), probe_run) + n_held * speed.decoding), later=n_held)
        answers = answers_of_trial(job, trial.held, progress, limit)
    except OutOfTimeError:
        return keep_probe(
            f"{budget} ended the trial of fine-tuning, which took longer than planned; a longer one may do better"
        )
    costs = costs.scaled((deadline.spent() - began) / costs.trial(trial_epochs))
    finetuned_right = answers.argmax(axis=1) == scanned.dataset.labels[trial.held]
    difference = paired_difference(finetuned_right, trial.probe_right, scanned.groups[trial.held])
    if not promises(difference):
        verdict = "was worse" if difference.is_shown else "did not promise to be better"
        epochs = f"{trial_epochs} epoch{'s' * (trial_epochs > 1)}"
        by = f"{difference.signed()} on {difference.n} held-out images"
        return keep_probe(f"fine-tuning for {epochs} {verdict} ({by})", difference)
    return _finetuned(difference, costs, n_epochs, deadline)


def promises(difference: Difference) -> bool:
    """Whether a trial with this difference, fine-tuning minus probe, is a reason to fine-tune."""
    return difference.gain > NOISE * difference.standard_error


def _finetuned(difference: Difference, costs: Costs, n_epochs: int, deadline: Deadline) -> Choice:
    """Fine-tuning with as many epochs as fit, or the probe if none does."""
    budget = f"--time-budget {deadline.seconds:g}"
    of_images = f"by {difference.in_points()} on {difference.n} images that neither was trained on"
    if not difference.is_shown:
        of_images += ", which may be chance"
    affordable = costs.epochs_within(RESERVE * deadline.left())
    if affordable < 1:
        enough = _rounded_up(deadline.spent() + costs.run(1) / RESERVE)
        why = f"fine-tuning was better {of_images}, but no epoch of it fits into what is left of {budget}; try {enough}"
        return keep_probe(why, difference)
    why = f"fine-tuning: better than the probe {of_images}"
    if affordable >= n_epochs:
        return Choice(strategy="finetune", why=why, difference=difference)
    why += f"; {affordable} of {n_epochs} epochs fit into {budget}; a longer one may do better"
    return Choice(strategy="finetune", epochs=affordable, why=why, difference=difference)


def _rounded_up(seconds: float) -> int:
    return math.ceil(seconds / 10) * 10
