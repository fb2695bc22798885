"""From a scanned data set and a choice to a fitted model."""

import time
from dataclasses import replace
from pathlib import Path

from headstart.audit.checks import CHEAP_CHECKS, run_checks
from headstart.audit.evidence import Evidence
from headstart.data.splits import Split, split_dataset
from headstart.deadline import NEVER, Deadline
from headstart.evaluation.paired import paired_difference
from headstart.fitting.choice import Choice
from headstart.fitting.fitted import Fitted
from headstart.fitting.probe_fit import fit_probe_run
from headstart.fitting.scanned import Scanned
from headstart.model.history import EpochEnded, unheard
from headstart.progress import Progress, silent


def fit(
    scanned: Scanned,
    choice: Choice,
    progress: Progress = silent,
    *,
    checkpoints: Path | None = None,
    needs_answers: bool = True,
    deadline: Deadline = NEVER,
    ended: EpochEnded = unheard,
) -> Fitted:
    """Fits the chosen strategy. Fine-tuning saves its state after each epoch in `checkpoints` and resumes from there.

    If `needs_answers` is False, a probe without val or test uses every image and reports nothing. Fine-tuning is shortened to
    what fits before the deadline. A probe is always finished; a run that takes longer says so. `ended` is called with each
    epoch of fine-tuning on this machine. Raises HeadstartError.
    """
    began = time.perf_counter()
    resolved = replace(scanned, settings=choice.resolve(scanned.settings))
    fitted = _fit(resolved, progress, checkpoints, needs_answers, deadline, ended)
    evidence = Evidence(scanned.dataset, scanned.facts, scanned.vectors, scanned.twins, None)
    checked = run_checks(evidence, CHEAP_CHECKS)
    return replace(
        fitted,
        scanned=scanned,
        choice=None if choice.is_users else _with_result(choice, fitted),
        checked=checked,
        notes=(*fitted.notes, *_late(deadline)),
        seconds=time.perf_counter() - began,
    )


def _with_result(choice: Choice, fitted: Fitted) -> Choice:
    """The choice with the difference that fine-tuning made on val; unchanged for a probe, and where classes are balanced."""
    answers = fitted.held_out
    if choice.strategy == "probe" or answers is None or answers.by_epoch is None:
        return choice
    right = fitted.task.are_right(answers.by_epoch, fitted.dataset.labels[answers.indices])
    best = [row.epoch for row in fitted.history].index(fitted.best_epoch)
    return choice.with_result(paired_difference(right[best], right[0], fitted.scanned.groups[answers.indices]))


def _late(deadline: Deadline) -> tuple[str, ...]:
    if deadline.left() >= 0:
        return ()
    return (f"the run took longer than --time-budget {deadline.seconds:g}: fitting ended after {deadline.spent():.0f} s",)


def _fit(
    scanned: Scanned,
    progress: Progress,
    checkpoints: Path | None,
    needs_answers: bool,
    deadline: Deadline,
    ended: EpochEnded,
) -> Fitted:
    settings = scanned.settings
    if not settings.takes_steps:
        uses_all = bool(settings.cv) or not needs_answers
        split = split_for(scanned, val_fraction=0.0 if uses_all else settings.val_fraction)
        return fit_probe_run(scanned, split, needs_answers=needs_answers, progress=progress)
    from headstart.fitting.finetune_fit import fit_finetuned  # this imports torch

    if scanned.extended is not None and scanned.extended.earlier.tuned is not None:
        from headstart.fitting.tuned_start import from_tuned

        scanned = from_tuned(scanned, scanned.extended.earlier.tuned, progress)
    return fit_finetuned(scanned, split_for(scanned), checkpoints, progress, deadline, ended)


def split_for(scanned: Scanned, *, val_fraction: float | None = None) -> Split:
    """The split of a run. Fine-tuning selects on val, so a test split cannot replace it. Raises DataError."""
    settings = scanned.settings
    return split_dataset(
        scanned.dataset,
        scanned.groups,
        val_fraction=settings.val_fraction if val_fraction is None else val_fraction,
        needs_val=settings.takes_steps,
        seed=settings.seed,
        looked_at=scanned.compared_on,
    )
