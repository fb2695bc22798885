"""Runs with gradient steps: fine-tuning from the fitted head, and the classic tutorial procedure."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.pixels import CachedPixels, DecodedPixels, PixelSource, allocate, decode_again
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate
from headstart.data.splits import Split, spread_order
from headstart.errors import DataError
from headstart.evaluation.calibration import cross_fitted, fit_temperature
from headstart.evaluation.probabilities import as_logits, softmax
from headstart.fitting.feature_table import FeatureTable
from headstart.fitting.fitted import Fitted, SplitAnswers
from headstart.fitting.probe_fit import epoch_zero
from headstart.model.familiarity import Familiarity, familiarity_of
from headstart.model.features import scan
from headstart.model.pretrained import Backbone
from headstart.model.probe import Probe
from headstart.progress import Progress, silent
from headstart.recipes import RunFacts, TrainingPlan, plan_for
from headstart.settings import TrainSettings
from headstart.threads import map_in_threads

FINETUNED_REFERENCES = 500  # images, each passed through the trained network once more, to compare later ones with

if TYPE_CHECKING:
    from headstart.model.backbones import Network
    from headstart.model.finetune import FineTuned, HeldOutImages


@dataclass(frozen=True, slots=True)
class FinetuneJob:
    """What a run with gradient steps needs to know."""

    dataset: Dataset
    split: Split
    table: FeatureTable  # without features for a random head
    probe: Probe | None  # of train; None for a random head
    plan: TrainingPlan
    network: "Network"  # the pretrained network, to be trained
    new_network: Callable[[], "Network"]  # the same anew, for a second training
    checkpoints: Path | None = None


def finetune_job(
    dataset: Dataset,
    split: Split,
    table: FeatureTable,
    backbone: Backbone,
    settings: TrainSettings,
    checkpoints: Path | None,
    progress: Progress,
) -> FinetuneJob:
    """The job that the settings ask for on this machine."""
    from headstart.model.backbones import find_hardware, pretrained_network
    from headstart.model.distributed import current_world

    probe = table.fit(split.train, settings.seed, progress) if table.vectors.shape[1] else None
    hardware = find_hardware(settings.device)
    if settings.device == "auto" and hardware.device.startswith("cuda"):
        hardware = find_hardware(f"cuda:{current_world().local_rank}")  # one GPU a process under torchrun

    def new_network() -> "Network":
        network = pretrained_network(backbone.spec, backbone.weights, hardware.device)
        network.preprocess = backbone.preprocess
        return network

    network = new_network()
    facts = RunFacts(
        n_train=len(split.train),
        n_classes=len(dataset.classes),
        image_size=backbone.preprocess.size_px,
        device=hardware.device,
        bf16=hardware.bf16,
        cores=hardware.cores,
        n_blocks=len(network.blocks()) - 1,
        left_open=probe.left_open(len(dataset.classes)) if probe else 0.0,
    )
    return FinetuneJob(dataset, split, table, probe, plan_for(settings, facts), network, new_network, checkpoints)


def run_finetune(job: FinetuneJob, settings: TrainSettings, progress: Progress) -> Fitted:
    """Trains, keeps the best validation epoch, answers test and val."""
    split, plan = job.split, job.plan
    if not split.val.size:
        raise DataError(
            "fine-tuning chooses its best epoch on val images, and there are none",
            hint="leave --val-fraction above 0, or use --strategy probe",
        )
    network = job.network
    both = np.sort(np.concatenate([split.train, split.val]))
    pixels = _pixels_of(job, both if settings.refit else split.train, network.preprocess, progress)
    tuned = _train(job, network, pixels, split.train, _held_out(job, network, progress), progress, "run")
    final, refit, interrupted = network, False, tuned.interrupted
    notes: list[str] = []
    if settings.refit and not interrupted:
        refitted = job.new_network()
        again = _train(job, refitted, pixels, both, None, progress, "refit", stop_after=tuned.best_epoch)
        interrupted, refit = again.interrupted, not again.interrupted
        if refit:
            final = refitted
        else:
            notes.append("interrupted while refitting: the saved model is the one trained on train alone")
    answers, temperature = [_answers_of_val(job, tuned)], 1.0
    # The classic procedure has no temperature; a balanced model's probabilities are of a world with even classes, val is not.
    if plan.start == "fitted head" and not plan.balance:
        answers[0], temperature = _calibrated(answers[0], job)
        final.set_head(final.head().at_temperature(temperature))
    familiarity = _familiarity(job, network, pixels, progress)
    if refit:  # it has seen val: how far unseen images lie is known from before
        familiarity = familiarity.of_references(_features(final, pixels.only(_known(job)), len(_known(job)), job, progress))
    if split.test.size:
        logits = _logits_of(job, final, split.test, progress, "answering test")  # at the temperature already
        uncalibrated = softmax(logits, 1 / temperature) if answers[0].uncalibrated is not None else None
        answers.insert(0, SplitAnswers("test", split.test, softmax(logits), False, None, uncalibrated, temperature=temperature))
    if tuned.best_epoch == 0 and not tuned.interrupted:
        notes.append("no epoch of fine-tuning did better on val than the fitted head: the saved model is the probe")
    plan_values = asdict(plan) | {"best_epoch": tuned.best_epoch, "temperature": temperature}
    return Fitted(
        final.model(),
        tuned.history,
        tuned.best_epoch,
        plan_values,
        tuple(answers),
        answers[-1],
        familiarity,
        temperature,
        interrupted=interrupted,
        refit=refit,
        notes=tuple(notes),
    )


def answers_of_trial(job: FinetuneJob, rows: np.ndarray, progress: Progress) -> np.ndarray:
    """(n, n_classes) float64: what a network says of `rows` that was trained on the job's train split and is not kept.

    The best epoch is chosen on val where the split has one, else it is the last.
    """
    train, network = job.split.train, job.network
    pixels = _pixels_of(job, train, network.preprocess, progress)
    val = _held_out(job, network, progress) if job.split.val.size else None
    if _train(job, network, pixels, train, val, progress, "trial").interrupted:
        raise KeyboardInterrupt  # a trial that did not end says nothing
    return softmax(_logits_of(job, network, rows, progress, "answering the held-out part"))


def seconds_per_image(job: FinetuneJob) -> tuple[float, float]:
    """How long reading an image and training a step on it take on this machine; measured, at the cost of a few steps."""
    rows = job.split.train[: 3 * job.plan.batch_size]
    began = time.perf_counter()
    pixels = _pixels_of(job, rows, job.network.preprocess, silent)
    decoding = (time.perf_counter() - began) / len(rows)
    seconds = {}
    for n in (1, 1, 3):  # batches; the first time warms up
        part = rows[: n * job.plan.batch_size]
        began = time.perf_counter()
        if _train(job, job.new_network(), pixels, part, None, silent, "timing", stop_after=1).interrupted:
            raise KeyboardInterrupt
        seconds[n] = time.perf_counter() - began
    return decoding, max(seconds[3] - seconds[1], 1e-3) / max(len(rows) - job.plan.batch_size, 1)


def _answers_of_val(job: FinetuneJob, tuned: "FineTuned") -> SplitAnswers:
    by_epoch = None if job.plan.balance else tuned.predicted  # the choice was not by what these say, the plain accuracy
    return SplitAnswers("val", job.split.val, tuned.probabilities, selected_on=True, by_epoch=by_epoch)


def _calibrated(answers: SplitAnswers, job: FinetuneJob) -> tuple[SplitAnswers, float]:
    """The answers at the temperature that they give, with those at temperatures that others of them gave; and the first."""
    logits, labels = as_logits(answers.probabilities), job.dataset.labels[answers.indices]
    temperature = fit_temperature(logits, labels)
    return replace(
        answers,
        probabilities=softmax(logits, temperature),
        uncalibrated=answers.probabilities,
        temperature=temperature,
        calibrated_apart=cross_fitted(logits, labels, job.table.groups[answers.indices], job.plan.seed),
    ), temperature


def _familiarity(job: FinetuneJob, network: "Network", pixels: "_DatasetPixels", progress: Progress) -> Familiarity:
    """From features of the trained network: of images it was trained on, and of val, which sets the threshold."""
    known = _known(job)
    unseen = job.split.val[spread_order(job.dataset.labels[job.split.val], job.plan.seed)[:FINETUNED_REFERENCES]]
    of_val = DecodedPixels([job.dataset.images[i] for i in unseen], network.preprocess)
    return familiarity_of(
        _features(network, pixels.only(known), len(known), job, progress),
        job.dataset.labels[known],
        job.table.groups[known],
        _features(network, of_val, len(unseen), job, progress),
        seed=job.plan.seed,
    )


def _known(job: FinetuneJob) -> np.ndarray:
    """Sorted rows of train, every class among them, that later images are compared with."""
    train = job.split.train
    return np.sort(train[spread_order(job.dataset.labels[train], job.plan.seed)[:FINETUNED_REFERENCES]])


def _features(network: "Network", source: PixelSource, n: int, job: FinetuneJob, progress: Progress) -> np.ndarray:
    """(n, n_features) float32 of images as prediction sees them."""

    def view(i: int) -> np.ndarray:
        return network.preprocess.view_of_pixels(source[i])

    found = np.empty((n, network.n_features), np.float32)
    for i, one in enumerate(map_in_threads(view, range(n), job.plan.workers)):
        found[i] = network.features(np.stack([one]))[0]
        progress("learning what is familiar", i + 1, n)
    return found


def _train(
    job: FinetuneJob,
    network: "Network",
    pixels: "_DatasetPixels",
    rows: np.ndarray,
    val: "HeldOutImages | None",
    progress: Progress,
    stage: str,
    stop_after: int | None = None,
) -> "FineTuned":
    from headstart.model.finetune import TrainingImages, fine_tune

    start = None
    if job.probe is not None:
        table = job.table
        probe = table.fit(rows, job.plan.seed, progress) if stage == "refit" else job.probe
        head = probe.head
        network.set_head(head)
        held = job.split.val if val is not None else np.empty(0, np.int64)
        start = epoch_zero(table, Split(rows, held, held, "none"), head)
    else:
        network.set_random_head(len(job.dataset.classes), job.plan.seed)
    return fine_tune(
        network,
        TrainingImages(pixels.only(rows), job.dataset.labels[rows]),
        val,
        job.plan,
        start=start,
        checkpoints=job.checkpoints / stage if job.checkpoints else None,
        stop_after=stop_after,
        progress=progress,
    )


@dataclass(frozen=True, slots=True)
class _DatasetPixels:
    """Pixels of some images of the data set."""

    source: PixelSource  # numbered as `rows` is
    rows: np.ndarray  # (n,) int64, sorted, into Dataset.images

    def only(self, rows: np.ndarray) -> PixelSource:
        """The pixels of fewer images, numbered from 0."""
        return _Renumbered(self.source, np.searchsorted(self.rows, rows))


@dataclass(frozen=True, slots=True)
class _Renumbered:
    source: PixelSource
    places: np.ndarray  # (n,) int64

    def __getitem__(self, i: int) -> np.ndarray:
        return self.source[int(self.places[i])]


def _pixels_of(job: FinetuneJob, rows: np.ndarray, preprocess: Preprocess, progress: Progress) -> _DatasetPixels:
    """The classic procedure crops from the full picture, read anew each epoch; ours from pixels kept at the right size."""
    images = [job.dataset.images[i] for i in rows]
    if job.plan.start == "random head":
        return _DatasetPixels(DecodedPixels(images, preprocess), rows)
    cached = CachedPixels(images, preprocess)

    def keep(i: int) -> None:
        cached.put(i, decode_again(images[i], preprocess))

    for done, _ in enumerate(map_in_threads(keep, range(len(images)), job.plan.workers), start=1):
        progress("decoding train", done, len(images))
    return _DatasetPixels(cached, rows)


def _held_out(job: FinetuneJob, network: "Network", progress: Progress) -> "HeldOutImages":
    from headstart.model.finetune import HeldOutImages

    rows, preprocess = job.split.val, network.preprocess
    views = allocate((len(rows), preprocess.size_px, preprocess.size_px, 3))

    def keep(i: int) -> None:
        views[i] = preprocess.view(decode_again(job.dataset.images[rows[i]], preprocess))

    for done, _ in enumerate(map_in_threads(keep, range(len(rows)), job.plan.workers), start=1):
        progress("decoding val", done, len(rows))
    return HeldOutImages(views, job.dataset.labels[rows])


def _logits_of(job: FinetuneJob, network: "Network", rows: np.ndarray, progress: Progress, stage: str) -> np.ndarray:
    """(n, n_classes) logits of images that are read anew."""
    images = [job.dataset.images[i] for i in rows]
    found = scan(
        [Candidate(image.path, image.file) for image in images],
        network.preprocess,
        network.extractor(),
        workers=job.plan.workers,
        progress=progress,
        stage=stage,
    )
    if found.skipped:
        raise DataError(
            f"{found.skipped[0].path} could be read at first and now cannot: {found.skipped[0].reason}",
            hint="do not change the images while training runs",
        )
    return network.head().logits(found.vectors)
