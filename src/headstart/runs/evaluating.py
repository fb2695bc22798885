"""`evaluate`: how good a saved model is on labelled images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.artifact.bundle import Manifest
from headstart.artifact.predictor import Predictor
from headstart.data.catalog import open_data
from headstart.data.dataset import Dataset, labelled_dataset
from headstart.data.sources import Candidate, Sources
from headstart.data.splits import groups_of
from headstart.errors import BundleError, DataError, explains_missing_packages
from headstart.evaluation.metrics import Evaluation, evaluate_predictions
from headstart.evaluation.probabilities import softmax
from headstart.evaluation.thresholds import promises_kept
from headstart.machine import peak_rss_mb, seconds_since_start
from headstart.model.feature_store import FeatureStore
from headstart.model.features import digest_of, scan
from headstart.progress import Progress, silent

MANY_UNFAMILIAR = 0.1  # share of the images from which it is worth a word; of images like those of training it is 0.01


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an evaluation found."""

    evaluation: Evaluation
    dataset: Dataset
    probabilities: np.ndarray  # (n_images, n_classes) float64
    metrics: dict[str, Any]  # in the frame of metrics.json
    notes: tuple[str, ...]


@explains_missing_packages("evaluating")
def evaluate_model(
    model: str | Path, data: str | Path, *, split: str | None = None, device: str = "cpu", progress: Progress = silent
) -> Evaluated:
    """Evaluates MODEL on DATA: on `split` ("val", "test" or "all"), else on test, val or all, whichever there is first.

    Labels are bound by name. Images the model was trained on are counted and told. Raises HeadstartError.
    """
    predictor = Predictor.load(model, device, progress)
    manifest = predictor.manifest
    if manifest is None:
        raise BundleError(f"{model} has no manifest", hint="give the folder of a run")
    with open_data(data, progress=progress) as sources:
        chosen, candidates = choose_split(sources, split, manifest)
        found = scan(
            candidates, predictor.preprocess, predictor.extractor, store=FeatureStore(), progress=progress, stage="evaluating"
        )
    dataset = labelled_dataset(sources.name, found.images, (*sources.skipped, *found.skipped), predictor.classes)
    known = [i for i, image in enumerate(found.images) if image.label in predictor.classes]
    probabilities = softmax(predictor.head.logits(found.vectors[known]))
    val_digests = set(manifest.images.get("val", ()))
    train_digests = set(manifest.images.get("train", ())) | (val_digests if manifest.refit else set())
    trained_on = sum(image.sha256 in train_digests for image in dataset.images)
    chose_epoch_on_val = "best_by" in manifest.plan
    evaluation = evaluate_predictions(
        probabilities,
        dataset.labels,
        dataset.classes,
        split=chosen,
        groups=groups_of(dataset.images),
        selected_on=chose_epoch_on_val and any(image.sha256 in val_digests for image in dataset.images),
    )
    notes = dataset.notes
    if trained_on:
        flattering = f"{trained_on} of these {len(dataset.images)} images were trained on: the numbers flatter the model"
        n_held_out = sum(image.sha256 in val_digests - train_digests for image in dataset.images)
        if chosen == "all" and n_held_out:
            flattering += f"; --split val takes the {n_held_out} that were held out"
        notes = (flattering, *notes)
    decisions, doubts = _decisions(predictor, found.vectors[known], probabilities, dataset.labels)
    notes = (*notes, *doubts)
    counts = {"train": 0, "val": 0, "test": 0, "skipped": len(dataset.skipped), "trained_on": trained_on}
    metrics = {
        "format": 1,
        "strategy": manifest.strategy,
        "requested": manifest.requested or manifest.strategy,
        "recipe": manifest.recipe,
        "backbone": {"name": manifest.backbone.name, "weights_sha256": manifest.backbone.weights_sha256},
        "classes": list(predictor.classes),
        "images": counts | {chosen: len(dataset.images)},
        "evaluation": evaluation.as_json(),
        "decisions": decisions,
        "notes": list(notes),
        "seconds": {"total": round(seconds_since_start(), 3)},
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "interrupted": False,
        "run": None,
        "model": Path(model).as_posix(),
    }
    return Evaluated(evaluation, dataset, probabilities, metrics, notes)


def _decisions(
    predictor: Predictor, vectors: np.ndarray, probabilities: np.ndarray, labels: np.ndarray
) -> tuple[dict[str, float | None], tuple[str, ...]]:
    """Whether the model's thresholds keep their promises here, how many images are unlike those of training; a note on that."""
    doubts = predictor.doubts
    kept = promises_kept(probabilities, labels, doubts.min_confidence, doubts.min_probability).as_json()
    if doubts.familiarity is None:
        return kept | {"unfamiliar": None}, ()
    unfamiliar = float((doubts.familiarity.distances(vectors) > doubts.familiarity.threshold).mean())
    says = f"{unfamiliar:.0%} of these images are unlike those the model was trained on"
    return kept | {"unfamiliar": unfamiliar}, (says,) if unfamiliar > MANY_UNFAMILIAR else ()


def choose_split(sources: Sources, split: str | None, manifest: Manifest) -> tuple[str, list[Candidate]]:
    """The name of what is evaluated and its candidates. Raises DataError where the data lacks the split.

    Data that is not split itself may hold the images that were split off for this very model: their digests tell.
    """
    said = {candidate.split for candidate in sources.candidates if candidate.split}
    if split is None:
        split = next((name for name in ("test", "val") if name in said), "all")
    if split == "all":
        return "all", list(sources.candidates)
    if split in said:
        return split, [candidate for candidate in sources.candidates if candidate.split == split]
    held_out = set() if said else set(manifest.images.get(split, ()))
    chosen = [candidate for candidate in sources.candidates if digest_of(candidate) in held_out] if held_out else []
    if not chosen:
        raise DataError(
            f"{sources.name} has no {split} split", hint=f"it has {', '.join(sorted(said))}" if said else "use --split all"
        )
    return split, chosen
