"""What a run reports: its numbers, their reliability, and what the owner should know."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.audit.checks import check_named
from headstart.audit.findings import Checked
from headstart.data.dataset import Dataset
from headstart.data.shown_paths import folder_of
from headstart.data.wording import counted
from headstart.evaluation.calibration import Calibration
from headstart.evaluation.intervals import in_words
from headstart.evaluation.judging import AnyEvaluation
from headstart.evaluation.metrics import Evaluation
from headstart.fitting.answers import SplitAnswers
from headstart.fitting.fitted import Fitted
from headstart.record.decisions import Decisions, calibration_of, decide
from headstart.tasks.task import LearningTask

IMAGES_OF = {"cv": "cross-validated", "val": "val", "test": "test", "all": "given"}  # a split -> its images


@dataclass(frozen=True, slots=True)
class Account:
    """The numbers and remarks of a run, before anything is written."""

    evaluations: tuple[Evaluation, ...]  # the reported one first; empty if nothing was held out
    # On the reported images without a twin in train, if some have one; None also if fewer than two classes are left.
    without_leaks: Evaluation | None
    calibration: Calibration | None
    decisions: Decisions
    doubts: tuple[str, ...]  # what could be wrong with the numbers
    remarks: tuple[str, ...]  # what else the owner should know
    limits: tuple[str, ...]  # the same for recipients of the model, without names of images

    @property
    def reported(self) -> Evaluation:
        """The evaluation that is reported first; every run has one."""
        return self.evaluations[0]


def account_of(fitted: Fitted) -> Account:
    """The account of a fit, which may have no answers."""
    evaluations = tuple(fitted.evaluate(answers) for answers in fitted.answers)
    reported = evaluations[0] if evaluations else None
    without_leaks = _without_leaks(fitted) if reported else None
    decisions = decide(fitted)
    first = _first_notes(fitted, reported, without_leaks) if reported else ()
    remarks = remarks_on(fitted, reported, "stratified by class", "accuracy")
    return Account(
        evaluations,
        without_leaks,
        _calibration(fitted, decisions) if reported else None,
        decisions,
        doubts=first + audit_notes(fitted.checked, folder_of(fitted.dataset)),
        remarks=remarks + decisions.notes(fitted.settings),
        limits=first + counted_findings(fitted.checked) + remarks + decisions.caveats(),
    )


def _calibration(fitted: Fitted, decisions: Decisions) -> Calibration | None:
    fitted_on = decisions.set_on or "no images: too few"
    return calibration_of(fitted.answers[0], fitted.dataset.labels, fitted_on, fitted.task)


def _without_leaks(fitted: Fitted) -> Evaluation | None:
    clean = fitted.without_leaks(fitted.answers[0])
    return fitted.evaluate(clean) if clean else None


def remarks_on(fitted: Fitted, reported: AnyEvaluation | None, divided: str, measure: str) -> tuple[str, ...]:
    """What the owner should know of any run; `divided` is how val was split off, `measure` what is told of the model."""
    held_out = _held_out_notes(fitted, reported, divided, measure)
    return choice_notes(fitted) + view_notes(fitted) + fitted.dataset.notes + fitted.notes + held_out


def _first_notes(fitted: Fitted, reported: Evaluation, clean: Evaluation | None) -> tuple[str, ...]:
    """What has to be known before any number is believed."""
    return _leak_notes(fitted, reported, clean) + _unjudged_notes(fitted, reported)


def _leak_notes(fitted: Fitted, reported: Evaluation, clean: Evaluation | None) -> tuple[str, ...]:
    if not reported.leaked and not reported.unclear:
        return ()
    has_groups = any(image.group for image in fitted.dataset.images)
    twin = "a twin, or another image of their group, in train" if has_groups else "a twin in train"
    of_all, says = f" of the {reported.n} {IMAGES_OF[reported.split]} images", ""
    if reported.leaked:
        says = f"{reported.leaked}{of_all} have {twin}, which makes the accuracy too high"
        if _was_split_here(fitted, reported):
            says += " (classes that are all one picture, scene or group had to be divided)"
    if reported.unclear:
        says += f"; {reported.unclear} more" if says else f"{reported.unclear}{of_all}"
        says += " are so much like images of train that they may be the same scene or only alike, which cannot be told"
    if clean:
        certain = in_words(clean.accuracy_ci95, clean.n, clean.n_groups)
        right = "are right" if fitted.task.has_one_answer else "have all their labels right"
        return (f"{says}; without them {clean.accuracy:.1%} of {clean.n} {right} ({certain})",)
    left = "only one class is left" if reported.leaked + reported.unclear < reported.n else "no image is left"
    return (f"{says}; without them {left}, so how well the model does on new images is not known",)


def _unjudged_notes(fitted: Fitted, reported: Evaluation) -> tuple[str, ...]:
    """A note on classes that nothing could be held out of."""
    if not _was_split_here(fitted, reported):
        return ()
    if not fitted.task.has_one_answer:
        return ()
    counts = fitted.dataset.class_counts(fitted.split.train)
    return tuple(
        f"the class {c.name!r} cannot be judged: its {count} images are all one picture, scene or group, so none could be "
        "held out; the numbers and thresholds are those of the other classes"
        for c, count in zip(reported.per_class, counts, strict=True)
        if not c.n
    )


def _was_split_here(fitted: Fitted, reported: Evaluation) -> bool:
    return reported.split == "cv" or (reported.split == "val" and fitted.split.val_from == "train")


def audit_notes(checked: Sequence[Checked], folder: str) -> tuple[str, ...]:
    """A line for each check with a finding above info."""
    notes = []
    for result in checked:
        grave = [finding for finding in result.findings if finding.is_grave]
        if grave:
            more = f", and {len(grave) - 1} more" if len(grave) > 1 else ""
            notes.append(f"{result.check}: {grave[0].in_words(folder)}{more}; headstart audit lists all")
    return tuple(notes)


def counted_findings(checked: Sequence[Checked]) -> tuple[str, ...]:
    """For each check the number of images with a finding above info, plus its findings about the whole set."""
    notes = []
    for result in checked:
        grave = [finding for finding in result.findings if finding.is_grave]
        notes += [finding.sentence for finding in grave if not finding.path]
        n = sum(bool(finding.path) for finding in grave)
        if n:
            notes.append(f"images that {check_named(result.check).images_that}: {n}; headstart audit lists them")
    return tuple(notes)


def _held_out_notes(fitted: Fitted, reported: AnyEvaluation | None, divided: str, measure: str) -> tuple[str, ...]:
    notes = []
    if fitted.split.val_from == "train" and fitted.split.val.size:
        notes.append(f"val is {counted(len(fitted.split.val), 'image')} split off from train, {divided}")
    if fitted.interrupted:
        notes.append(f"interrupted: epoch {fitted.best_epoch}, the best so far, is kept")
    if fitted.refit and reported and reported.split != "test":
        before = f"the {measure} is that of the model before refitting"
        notes.append(f"refit: the saved model was trained on train and val; {before}")
    return tuple(notes)


def view_notes(fitted: Fitted) -> tuple[str, ...]:
    """What the network sees of each image, what that costs, and whether held-out images had a part in the choice."""
    views, n_views = fitted.scanned.views, fitted.model.preprocess.n_views
    notes = []
    if views.trials:
        notes.append(f"views: {views.view}, by the answers on {views.n_images} training images ({views.why})")
    if n_views > 1:
        notes.append(f"each image passes through the network {n_views} times, in training and in every prediction")
    backbone = fitted.scanned.backbone
    if fitted.settings.stages and backbone.frozen is not None and not backbone.spec.known_stages:
        notes.append(f"{backbone.spec.name} does not report its stages: the features are those of its last layer")
    for answers in fitted.answers:
        looked_at = int(fitted.scanned.compared_on[answers.indices].sum())
        if looked_at:
            of_all = f"of the {len(answers.indices)} {IMAGES_OF[answers.split]} images"
            notes.append(f"{looked_at} {of_all} had a part in the choice of the views")
    return tuple(notes)


def choice_notes(fitted: Fitted) -> tuple[str, ...]:
    """What was chosen by itself, and what has no effect."""
    chose = (f"auto chose {fitted.choice.why}",) if fitted.choice else ()
    idle = ("--cv applies only to probes: it has no effect here",) if fitted.settings.cv and fitted.settings.takes_steps else ()
    return chose + idle


def surest_mistakes(answers: SplitAnswers, dataset: Dataset, task: LearningTask) -> list[int]:
    """The indices of the wrong answers, most confident first."""
    confidence = task.confidence(answers.probabilities)
    right = task.are_right(answers.decisions(task), dataset.labels[answers.indices])
    return [i for i in np.argsort(-confidence, kind="stable").tolist() if not right[i]]
