"""--strategy auto: the probe, or fine-tuning where val may show that it is better and there is time."""

import math
from dataclasses import replace

import numpy as np

from headstart.data.splits import Split
from headstart.deadline import NEVER, Deadline, OutOfTimeError
from headstart.errors import DataError
from headstart.evaluation.paired import smallest_gain_shown
from headstart.fitting.choice import Choice, keep_probe
from headstart.fitting.costs import WRITING, Costs
from headstart.fitting.fit import split_for
from headstart.fitting.scanned import Scanned
from headstart.progress import Progress, silent

# Train images by which the probe is judged, so that large data sets take no longer, unless that would leave each class with
# fewer than OF_CLASS.
MOST_JUDGED, OF_CLASS = 2000, 30
REACH = 0.8  # share of the probe's mistakes that fine-tuning can be expected to take away at best; on hand signs it was 0.85
# Epochs without which fine-tuning is not begun, unless it has fewer in full. Solar cells: after three of three epochs it was
# better than the probe by 1.5 points, after six of seven by 3.1; with one or two it still makes up for what it forgot at first.
FEWEST_EPOCHS = 3
RESERVE = 0.95  # share of the remaining time that may be planned for
# Seconds without which fine-tuning is not even measured: importing torch and building the network took 4 s on two free cores
# and 11 s on cores with three times the work they can do.
STARTING = 20.0
# Of the remaining time, for measuring a few steps. Torch's threads wait for each other, so that on busy cores a step of
# training can take fifty times as long as on free ones, and these steps a minute.
MEASURING_SHARE = 0.2
PROBE_RUN = 5  # how long a probe's run takes, learning curve and checks included, as a multiple of fitting one


def choose(scanned: Scanned, deadline: Deadline = NEVER, progress: Progress = silent) -> Choice:
    """The strategy that the settings name or, for --strategy auto, the one that can be expected to be better in time.

    A probe is judged on train, by cross-validation. If it makes so few mistakes that a network without most of them could not
    be shown to be better on val, the probe is kept. Otherwise the network is fine-tuned if enough epochs fit before the
    deadline, by the speed of a few steps. The probe stays a candidate, as epoch 0 of that run: val decides.

    Fine-tuning a part of train first, to see whether it pays, was worse: of nine such trials with 600 solar cells (two to five
    epochs, 27 to 65 s) four spoke against fine-tuning, which gains 2 to 4 points there with all images.
    """
    settings = scanned.settings
    if settings.strategy != "auto":
        return Choice(strategy=settings.strategy, why="it was asked for", is_users=True)
    if settings.recipe == "tutorial":
        return keep_probe("--recipe tutorial cannot compare strategies; --strategy finetune trains all layers")
    if settings.task == "regression":
        return keep_probe("numbers are learnt by ridge regression; --strategy finetune trains the network too")
    if settings.cv:
        return keep_probe("--cv applies only to probes")
    finetuning = replace(scanned, settings=settings.model_copy(update={"strategy": "finetune"}))
    try:
        split = split_for(finetuning)
        if not split.val.size:
            return keep_probe("fine-tuning chooses its best epoch on val images, but there are none")
    except DataError as refusal:
        return keep_probe(f"fine-tuning needs val images, but {refusal.message}")
    began = deadline.spent()
    right = _probe_right(finetuning, split, progress)
    if right is None:
        return keep_probe("a class is too small to hold out images for a comparison")
    n, n_wrong, n_val = len(right), int((~right).sum()), len(split.val)
    if REACH * n_wrong / n * n_val < smallest_gain_shown(n_val):
        few = f"with so few mistakes no gain could be shown on {n_val} val images"
        return keep_probe(f"it is right on {n - n_wrong} of {n} train images that it was not fitted on; {few}")
    probe_run = PROBE_RUN * (deadline.spent() - began) + WRITING
    return _finetune_in_time(finetuning, split, f"{n_wrong} of {n}", probe_run, deadline, progress)


def _probe_right(scanned: Scanned, split: Split, progress: Progress) -> np.ndarray | None:
    """(n,) bool: whether probes are right on train images, each by one that was not fitted on it.

    None if a class has too few groups for that.
    """
    table, seed = scanned.table(), scanned.settings.seed
    most = max(MOST_JUDGED, OF_CLASS * table.n_classes)
    rows = np.sort(table.drawn(split.train, seed)[:most])
    probe = table.fit(rows, seed, progress)
    if probe.held_out is None:
        return None
    return table.deciding_as(probe).right(probe.held_out, rows[probe.held])


def _finetune_in_time(
    scanned: Scanned, split: Split, wrong: str, probe_run: float, deadline: Deadline, progress: Progress
) -> Choice:
    """Fine-tuning with as many epochs as fit before the deadline, or the probe if these are too few.

    `probe_run` is the number of seconds that the run of a probe takes, if that is kept in the end.
    """
    budget = f"--time-budget {deadline.seconds:g}"
    if deadline.left() < STARTING + probe_run:
        return keep_probe(f"{budget} is too short to fine-tune")
    from headstart.fitting.finetune_fit import finetune_job, seconds_per_image

    job = finetune_job(scanned, split, None, progress)
    try:
        kept_free = max(probe_run, (1 - MEASURING_SHARE) * deadline.left())
        speed = seconds_per_image(job, deadline.before(kept_free), progress)
    except OutOfTimeError:
        return keep_probe(f"{budget} is too short to fine-tune")
    costs, wanted = Costs.of(split, speed, refit=scanned.settings.refit), job.plan.steps.epochs
    fewest = min(FEWEST_EPOCHS, wanted)
    fitting = costs.epochs_within(RESERVE * deadline.left())
    if fitting < fewest:
        enough = _rounded_up(deadline.spent() + costs.run(fewest) / RESERVE)
        duration = f"{fewest} epoch{'s' * (fewest > 1)}"
        return keep_probe(f"{budget} is too short to fine-tune for {duration}; try {enough}")
    why = f"fine-tuning: the probe is wrong on {wrong} train images that it was not fitted on"
    if fitting >= wanted:
        return Choice(strategy="finetune", why=why)
    epochs = round(fitting)  # the learning rate falls faster where the last one does not fit as a whole
    why += f"; about {epochs} of {wanted} epochs fit into {budget}; a longer one may do better"
    return Choice(strategy="finetune", epochs=epochs, why=why)


def _rounded_up(seconds: float) -> int:
    return math.ceil(seconds / 10) * 10
