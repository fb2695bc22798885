"""A finished run as its folder has it: what is needed to add to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.addresses.address import address_in, shown_place
from headstart.artifact.bundle import WEIGHTS, read_bundle
from headstart.artifact.manifest import MANIFEST, Manifest, SplitName, digest_of_manifest
from headstart.artifact.run_images import (
    METRICS,
    WORKING_FOLDER,
    archives_of,
    class_roots,
    evaluated_images,
    predicted_rows,
)
from headstart.data.split_names import splits_of
from headstart.errors import BundleError, SettingsError
from headstart.evaluation.metrics import Evaluation
from headstart.evaluation.number_evaluation import NumberEvaluation
from headstart.fitting.earlier import DataPlace, Earlier, EarlierAnswer
from headstart.recipes import ProbePlan
from headstart.record.places import STATE
from headstart.schema import parse_json
from headstart.storage import sha256_of_bytes


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run whose files were read and checked."""

    named: str  # as the user gave it
    folder: Path  # of an address, a copy
    manifest: Manifest
    manifest_sha256: str
    working_folder: Path | None  # that its relative paths start from; None if that is not recorded
    places: tuple[DataPlace, ...]  # where its images were

    def resolved(self, path: Path) -> Path:
        """A path among its settings, from the current folder; where it was, or else what has this name here."""
        if address_in(path) or self.working_folder in (None, Path.cwd()) or path.is_absolute():
            return path
        assert self.working_folder is not None
        there = self.working_folder / path
        return there if there.exists() or not path.exists() else path

    def as_earlier(self, *, to_finetune: bool) -> Earlier:
        """What a run that adds to it has to know. Raises SettingsError if it has no answers to compare with."""
        manifest, evaluation, notes = self.manifest, self._evaluation, []
        tuned = None
        if to_finetune and manifest.strategy == "finetune":
            if manifest.refit:
                notes.append("the extended run was refitted on val, so fine-tuning starts from the pretrained network")
            else:
                tuned = self.folder / "model" / WEIGHTS
        splits: dict[str, tuple[str, ...]] = {}
        labels: dict[str, str] = {}
        for name, digests in manifest.images.items():
            for sha256 in digests:
                splits[sha256] = (*splits.get(sha256, ()), name)
            labels |= zip(digests, self._labels_of(name), strict=False)
        if evaluation is None or evaluation.split == "all":
            what = "error" if manifest.numbers else "accuracy"
            raise SettingsError(f"{self.named} reports no {what} to compare with", hint="start a new run")
        if not labels:
            labels = {answer.sha256: label for answer, label in self._answers()}
        return Earlier(
            run=self.named,
            manifest_sha256=self.manifest_sha256,
            weights_sha256=manifest.weights_sha256,
            places=self.places,
            classes=manifest.classes,
            splits=splits,
            labels=labels,
            split=evaluation.split,
            answers=tuple(answer for answer, _ in self._answers()),
            tuned=tuned,
            stage_scale=self._stage_scale,
            notes=tuple(notes),
            unsaid=frozenset(manifest.extends.added_labels) if manifest.extends else frozenset(),
        )

    @property
    def _evaluation(self) -> Evaluation | NumberEvaluation | None:
        return self.manifest.numbers.evaluation if self.manifest.numbers else self.manifest.evaluation

    def _labels_of(self, split: SplitName) -> Sequence[str]:
        """The label of each image of a split, as text; none in models of earlier versions."""
        manifest = self.manifest
        return manifest.image_labels.get(split) or [manifest.classes[i] for i in manifest.image_classes.get(split, ())]

    @property
    def _stage_scale(self) -> float | None:
        plan, has_stages = self.manifest.plan, bool(self.manifest.backbone.stages)
        return plan.stage_scale if isinstance(plan, ProbePlan) and has_stages else None

    def _answers(self) -> list[tuple[EarlierAnswer, str]]:
        """The answers of predictions.csv, with the labels that the images had; of unchanged images alone.

        Its rows are those of the evaluated images in the manifest, in order; where they are not, the files say which these are.
        """
        evaluation, rows = self._evaluation, predicted_rows(self.folder)
        assert evaluation is not None and evaluation.split != "all"
        split: SplitName = "train" if evaluation.split == "cv" else evaluation.split
        digests = self.manifest.images.get(split, ())
        known = self._labels_of(split)
        is_in_order = len(rows) == len(digests) and all(
            label == row.get("label") for label, row in zip(known, rows, strict=False)
        )
        if is_in_order:
            return [(self._answer(sha256, row), row["label"]) for sha256, row in zip(digests, rows, strict=True)]
        by_path = {row.get("path"): row for row in rows}
        return [
            (self._answer(sha256_of_bytes(image.data), by_path[image.path]), image.label)
            for image in evaluated_images(self.folder, set(digests))
        ]

    def _answer(self, sha256: str, row: dict[str, str]) -> EarlierAnswer:
        """The answer in a row of predictions.csv. Raises BundleError."""
        manifest = self.manifest
        try:
            if manifest.numbers:
                return EarlierAnswer(sha256, row["predicted"], 1.0, (float(row["predicted"]),))
            of_labels = tuple(float(row[f"p:{name}"]) for name in manifest.classes) if manifest.task == "multi-label" else ()
            return EarlierAnswer(sha256, row["predicted"], float(row["probability"]), of_labels)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{self.folder / 'predictions.csv'} is damaged: {error}", hint="is the copy complete?") from error


def finished_run(run: str) -> FinishedRun:
    """The run in a folder or, as a copy, at an address. Raises SettingsError or BundleError if it is none, or unfinished."""
    address, named = address_in(run), shown_place(run)
    folder = Path(run)
    if address is not None and not folder.exists():
        from headstart.addresses.fetched_folders import copied_folder

        folder = copied_folder(address)
    if not (folder / METRICS).is_file() and not (folder / "model" / MANIFEST).is_file():
        if (folder / MANIFEST).is_file():
            raise SettingsError(f"{named} is a model, not a run", hint="--extend takes the folder of the run that it is in")
        is_partial = folder.is_dir() and (folder.name.endswith(".partial") or (folder / STATE).is_file())
        hint = f"finish it first: headstart train --resume {named}" if is_partial else "give the folder of a finished run"
        raise SettingsError(f"there is no finished run {named}", hint=hint)
    manifest = read_bundle(folder).manifest
    if manifest.interrupted or (folder / STATE).exists():
        raise SettingsError(f"{named} was interrupted", hint=f"finish it first: headstart train --resume {named}")
    if manifest.recipe == "tutorial":
        raise SettingsError(f"{named} was made by --recipe tutorial, which cannot be extended", hint="start a new run")
    values = parse_json((folder / "model" / MANIFEST).read_text(encoding="utf-8"))
    metrics = _metrics_in(folder)
    started_in = metrics.get(WORKING_FOLDER)
    return FinishedRun(
        named=named,
        folder=folder,
        manifest=manifest,
        manifest_sha256=digest_of_manifest(values),
        working_folder=Path(started_in) if isinstance(started_in, str) else None,
        places=_places_in(metrics, folder, manifest),
    )


def _metrics_in(folder: Path) -> dict[str, Any]:
    try:
        values = parse_json((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder / METRICS} cannot be read: {error}", hint="is the copy complete?") from error
    return values if isinstance(values, dict) else {}


def _places_in(metrics: dict[str, Any], folder: Path, manifest: Manifest) -> tuple[DataPlace, ...]:
    """Where a run's images were, as it has recorded it; for one of an earlier version, as its predictions.csv suggests."""
    if "data" in metrics:
        try:
            return tuple(DataPlace.from_json(place) for place in metrics["data"])
        except (ValueError, TypeError) as error:
            raise BundleError(f"{folder / METRICS} is damaged at data: {error}", hint="is the copy complete?") from error
    settings, found = manifest.settings, []
    for root in sorted(class_roots(folder)):
        found += [root.parent] if splits_of([root.name]) else []
        found.append(root)
    found += sorted(archives_of(folder))
    return tuple(
        DataPlace(place=place, path_column=settings.path_column, label_column=settings.label_column)
        for place in dict.fromkeys(path.resolve().as_posix() for path in found)
    )
