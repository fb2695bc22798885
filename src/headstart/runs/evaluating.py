"""`evaluate`: measures a saved model on labelled images."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from headstart.addresses.address import shown_place
from headstart.artifact.manifest import Manifest
from headstart.artifact.predictor import Predictor
from headstart.data.catalog import open_data
from headstart.data.dataset import Dataset, labelled_dataset
from headstart.data.facts import notes_on
from headstart.data.given import check_columns
from headstart.data.number_sources import with_numbers
from headstart.data.patients import by_patient
from headstart.data.reading import AS_IT_IS, Reading
from headstart.data.relabelling import relabelled
from headstart.data.shown_paths import common_folder
from headstart.data.sources import Candidate, LabelsUsed, Sources, digest_of
from headstart.data.spellings import spelled_as
from headstart.data.splits import groups_of
from headstart.data.true_labels import read_true_labels
from headstart.data.videos import with_frames
from headstart.errors import BundleError, DataError, SettingsError, explains_missing_packages
from headstart.evaluation.judging import evaluate_answers
from headstart.evaluation.metrics import Evaluation
from headstart.evaluation.number_evaluation import NumberEvaluation, evaluate_numbers
from headstart.evaluation.reviewed import Reviewed, correct_accuracy
from headstart.evaluation.thresholds import promises_kept
from headstart.machine import peak_rss_mb, seconds_since_start
from headstart.model.feature_store import FeatureStore
from headstart.model.features import scan
from headstart.model.features_on_disk import Features, some_rows
from headstart.progress import Progress, silent
from headstart.record.run_metrics import BackboneName, EvaluationMetrics, KeptPromises, NumberEvaluationMetrics
from headstart.storage import AnyPath
from headstart.tasks.one_number import Numbers
from headstart.tasks.task import LearningTask

MANY_UNFAMILIAR = 0.1  # share of the images above which a note is given; for images like those of training it is 0.01
STAGE = "evaluating"
EvaluatedSplit = Literal["val", "test", "all"]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The result of an evaluation."""

    evaluation: Evaluation | NumberEvaluation
    dataset: Dataset
    probabilities: np.ndarray  # (n_images, n_classes) float64
    metrics: dict[str, Any]  # in the format of metrics.json
    notes: tuple[str, ...]
    reviewed: Reviewed | None = None  # the accuracy with wrong labels taken out, if a review was given


@dataclass(frozen=True, slots=True)
class Answered:
    """Labelled images and a model's predictions for them."""

    dataset: Dataset  # the images with a label that the model knows
    vectors: Features  # (n_images, n_features) float32
    probabilities: np.ndarray  # (n_images, n_classes) float64


def answer_labelled(
    predictor: Predictor,
    sources: Sources,
    candidates: Sequence[Candidate],
    workers: int | None = None,
    progress: Progress = silent,
    workplace: str | None = None,
) -> Answered:
    """A model's predictions for labelled images, made here or elsewhere; stored features are reused. Raises HeadstartError."""
    if workplace is not None:
        from headstart.artifact.model_scan_task import scan_with_model_at

        found = scan_with_model_at(workplace, predictor, candidates, progress, STAGE)
    else:
        found = scan(
            candidates,
            predictor.preprocess,
            predictor.extractor,
            store=FeatureStore(),
            workers=workers,
            progress=progress,
            stage=STAGE,
        )
    patients = by_patient(found.images)
    several = not predictor.task.has_one_answer
    number = predictor.classes[0] if isinstance(predictor.task, Numbers) else ""
    skipped = (*sources.skipped, *found.skipped)
    dataset = labelled_dataset(sources.name, patients.images, skipped, predictor.classes, several=several, number=number)
    dataset = replace(dataset, notes=(*sources.notes, *dataset.notes, *patients.notes, *notes_on(found.facts)))
    classes = set(predictor.classes)
    rows = np.array([i for i, image in enumerate(found.images) if several or number or image.label in classes], np.int64)
    probabilities = predictor.task.probabilities(predictor.head.logits_of(found.vectors, rows))
    return Answered(dataset, some_rows(found.vectors, rows), probabilities)


@explains_missing_packages("evaluating")
def evaluate_model(
    model: AnyPath,
    data: AnyPath,
    reading: Reading = AS_IT_IS,
    *,
    split: str | None = None,
    labels: AnyPath | None = None,
    review: AnyPath | None = None,
    device: str = "cpu",
    workplace: str | None = None,
    progress: Progress = silent,
) -> Evaluated:
    """Evaluates MODEL on a split of DATA ("val", "test" or "all"); the default is the first available of test, val and all.

    Labels are matched by name; in whatever letter case if `reading` says so, or if the model was trained so. Those of the
    project `labels` count before those of DATA. If the model was trained on some of the images, a note says how many. `review`
    is a table of the true labels of some of the images: of all or some of the model's mistakes, and of a random sample of its
    right answers. `workplace` is where the images are read, as --engine names it. Raises HeadstartError.
    """
    predictor = Predictor.load(model, device, progress)
    manifest = predictor.manifest
    if manifest is None:
        raise BundleError(f"{model} has no manifest", hint="give the folder of a run")
    _check_about_classes(manifest, labels, review)
    reading = replace(reading.for_task(manifest.task), with_unlabelled=labels is not None)
    every = manifest.settings.every  # what the images of the model are of videos, those of DATA are too
    with open_data(os.fspath(data), reading, progress=progress) as given, with_frames([given], every, progress) as (sources,):
        sources = _of_task(sources, reading)
        if labels is not None:
            (sources,) = relabelled([sources], Path(labels))
        folder = common_folder([*(c.path for c in sources.candidates), *(entry.path for entry in sources.skipped)])
        join_case = reading.join_case or manifest.settings.join_case
        if join_case:
            sources = spelled_as(sources, predictor.classes)
        chosen, candidates = choose_split(sources, split, manifest)
        answered = answer_labelled(predictor, sources, candidates, progress=progress, workplace=workplace)
    dataset = answered.dataset
    if manifest.numbers is not None:
        return _of_numbers(predictor, manifest, answered, chosen, Path(model))
    reviewed, of_review = _reviewed(review, answered, folder, predictor.task, join_case=join_case)
    val_digests = set(manifest.images.get("val", ()))
    train_digests = set(manifest.images.get("train", ())) | (val_digests if manifest.refit else set())
    evaluation = evaluate_answers(
        answered.probabilities,
        dataset.labels,
        dataset.classes,
        split=chosen,
        groups=groups_of(dataset.images),
        selected_on=manifest.selected_on_val and any(image.sha256 in val_digests for image in dataset.images),
        task=predictor.task,
    )
    trained_on = sum(image.sha256 in train_digests for image in dataset.images)
    n_held_out = sum(image.sha256 in val_digests - train_digests for image in dataset.images)
    decisions = _decisions(predictor, answered)
    of_training = _trained_on_note(trained_on, n_held_out, len(dataset.images), chosen)
    notes = (*of_training, *dataset.notes, *_doubts(decisions.unfamiliar), *of_review)
    images = {"train": 0, "val": 0, "test": 0, "skipped": len(dataset.skipped), "trained_on": trained_on}
    images[chosen] = len(dataset.images)
    metrics = _metrics(manifest, evaluation, reviewed, decisions, images, notes, Path(model), sources.labels_used)
    return Evaluated(evaluation, dataset, answered.probabilities, metrics.as_json(), notes, reviewed)


def _check_about_classes(manifest: Manifest, *given: AnyPath | None) -> None:
    """Raises SettingsError if something is `given` that is about classes, but answers are numbers."""
    if manifest.numbers is not None and any(one is not None for one in given):
        raise SettingsError(
            "--labels and --review are about classes, but the model answers with numbers", hint="leave them out"
        )


def _of_task(sources: Sources, reading: Reading) -> Sources:
    """The sources with the labels that are asked for. Raises SettingsError and DataError."""
    check_columns(reading, [sources])
    return with_numbers(sources) if reading.numbers else sources


def _of_numbers(predictor: Predictor, manifest: Manifest, answered: Answered, chosen: EvaluatedSplit, model: Path) -> Evaluated:
    """The same where answers are numbers."""
    dataset, numbers = answered.dataset, manifest.numbers
    assert numbers is not None
    digests = {image.sha256 for image in dataset.images}
    val = set(manifest.images.get("val", ()))
    train = set(manifest.images.get("train", ())) | (val if manifest.refit else set())
    trained_on = sum(image.sha256 in train for image in dataset.images)
    evaluation = evaluate_numbers(
        answered.probabilities[:, 0],
        dataset.labels,
        numbers.seen,
        split=chosen,
        groups=groups_of(dataset.images),
        selected_on=manifest.selected_on_val and bool(digests & val),
        intervals=numbers.intervals,
    )
    n_held_out = sum(image.sha256 in val - train for image in dataset.images)
    unfamiliar = _unfamiliar(predictor, answered)
    notes = (*_trained_on_note(trained_on, n_held_out, len(dataset.images), chosen), *dataset.notes, *_doubts(unfamiliar))
    metrics = NumberEvaluationMetrics(
        **_frame(manifest, notes, model),
        number=predictor.classes[0],
        images={
            "train": 0,
            "val": 0,
            "test": 0,
            "skipped": len(dataset.skipped),
            "trained_on": trained_on,
            chosen: len(dataset.images),
        },
        evaluation=evaluation,
        unfamiliar=unfamiliar,
    )
    return Evaluated(evaluation, dataset, answered.probabilities, metrics.as_json(), notes)


def _reviewed(
    review: AnyPath | None, answered: Answered, folder: str, task: LearningTask, *, join_case: bool
) -> tuple[Reviewed | None, tuple[str, ...]]:
    """The accuracy with wrong labels taken out, if a review is given, and what is to be said of the table."""
    if review is None:
        return None, ()
    if not task.has_one_answer:
        raise SettingsError("--review is for one class an image", hint="leave it out")
    dataset = answered.dataset
    true = read_true_labels(Path(review), dataset, folder, join_case=join_case)
    predicted = task.decide(answered.probabilities)
    return correct_accuracy(predicted, dataset.labels, true.rows, true.labels, groups_of(dataset.images)), true.notes


def _metrics(
    manifest: Manifest,
    evaluation: Evaluation,
    reviewed: Reviewed | None,
    decisions: KeptPromises,
    images: dict[str, int],
    notes: tuple[str, ...],
    model: Path,
    labels: LabelsUsed | None,
) -> EvaluationMetrics:
    """What `evaluate --json` prints."""
    return EvaluationMetrics(
        **_frame(manifest, notes, model),
        images=images,
        labels=labels,
        evaluation=evaluation,
        reviewed=reviewed,
        decisions=decisions,
    )


def _frame(manifest: Manifest, notes: tuple[str, ...], model: Path) -> dict[str, Any]:
    """What every evaluation says of the model."""
    return {
        "strategy": manifest.strategy,
        "requested": manifest.requested or manifest.strategy,
        "recipe": manifest.recipe,
        "backbone": BackboneName(name=manifest.backbone.name, weights_sha256=manifest.backbone.weights_sha256),
        "classes": manifest.classes,
        "notes": notes,
        "seconds": {"total": round(seconds_since_start(), 3)},
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "interrupted": False,
        "run": None,
        "model": shown_place(model),
    }


def _trained_on_note(trained_on: int, n_held_out: int, n: int, chosen: EvaluatedSplit) -> tuple[str, ...]:
    if not trained_on:
        return ()
    were_used = "this image was" if n == 1 else f"{trained_on} of these {n} images {'was' if trained_on == 1 else 'were'}"
    flattering = f"{were_used} used for training, so the numbers are too optimistic"
    if chosen == "all" and n_held_out:
        flattering += f"; --split val evaluates only the {n_held_out} images that were held out"
    return (flattering,)


def _decisions(predictor: Predictor, answered: Answered) -> KeptPromises:
    """Whether the model's thresholds keep their promises here, and the share of images unlike those of training."""
    doubts = predictor.doubts
    known = answered.dataset.labels
    kept = promises_kept(answered.probabilities, known, doubts.min_confidence, doubts.min_probability, predictor.task)
    return KeptPromises(**dict(kept), unfamiliar=_unfamiliar(predictor, answered))


def _unfamiliar(predictor: Predictor, answered: Answered) -> float | None:
    """The share of images unlike those of training; None if the model did not record these."""
    familiarity = predictor.doubts.familiarity
    return None if familiarity is None else float((familiarity.distances(answered.vectors) > familiarity.threshold).mean())


def _doubts(unfamiliar: float | None) -> tuple[str, ...]:
    if unfamiliar is None or unfamiliar <= MANY_UNFAMILIAR:
        return ()
    return (f"{unfamiliar:.0%} of these images are unlike those the model was trained on",)


def choose_split(sources: Sources, split: str | None, manifest: Manifest) -> tuple[EvaluatedSplit, list[Candidate]]:
    """The name of the evaluated split and its candidates. Raises DataError if the data does not have the split.

    If the data has no splits, the images that were held out when this model was trained are found by their digests.
    """
    said = {candidate.split for candidate in sources.candidates if candidate.split}
    if split is None:
        split = next((name for name in ("test", "val") if name in said), "all")
    if split == "all":
        return "all", list(sources.candidates)
    wanted: Literal["val", "test"] = "test" if split == "test" else "val"
    if split in said:
        return wanted, [candidate for candidate in sources.candidates if candidate.split == split]
    held_out = set() if said else set(manifest.images.get(wanted, ()))
    chosen = [candidate for candidate in sources.candidates if digest_of(candidate) in held_out] if held_out else []
    if not chosen:
        raise DataError(
            f"{sources.name} has no {split} split", hint=f"it has {', '.join(sorted(said))}" if said else "use --split all"
        )
    return wanted, chosen
