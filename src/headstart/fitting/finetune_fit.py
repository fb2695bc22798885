"""Fits with gradient steps: fine-tuning from the fitted head, and the classic tutorial procedure."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from headstart.data.dataset import LabelledImage
from headstart.data.splits import Split
from headstart.deadline import NEVER, Deadline, OutOfTimeError
from headstart.errors import DataError
from headstart.fitting.answers import SplitAnswers
from headstart.fitting.cluster_training import fine_tune_on_cluster
from headstart.fitting.costs import FINETUNED_REFERENCES, WRITING, ImagesAfter, SecondsPerImage
from headstart.fitting.fitted import Fitted
from headstart.fitting.head_fitters import AnyProbe
from headstart.fitting.pixels_read_later import PixelsReadLater, ViewsReadLater
from headstart.fitting.probe_fit import epoch_zero
from headstart.fitting.scanned import Scanned
from headstart.fitting.training_pixels import KeptPixels, keep_pixels, keep_views, open_again, read_anew
from headstart.fitting.val_answers import answers_of_val
from headstart.model.backbones import Network, pretrained_network
from headstart.model.batches import TrainingImages
from headstart.model.checkpoint_state import RUN, plan_begun
from headstart.model.familiarity import Familiarity, familiarity_of
from headstart.model.finetune import HeldOutImages, Start, TrainedEpochs, fine_tune
from headstart.model.hardware import find_hardware
from headstart.model.head import Head
from headstart.model.history import EpochEnded, unheard
from headstart.model.pace import UNLIMITED, TimeLimit
from headstart.model.pipeline import Pipeline, features_of
from headstart.progress import Progress
from headstart.recipes import CarriedOutPlan, RunFacts, TrainingPlan, plan_for
from headstart.settings import TrainSettings
from headstart.threads import map_in_threads
from headstart.workplace import workplace_of

FAMILIAR = "measuring familiarity"


@dataclass(frozen=True, slots=True)
class FinetuneJob:
    """The inputs of a run with gradient steps."""

    scanned: Scanned
    split: Split
    probe: AnyProbe | None  # fitted on train; None for a random head
    head: Head | None  # what training starts from: the probe's, or one fitted on the last layer alone
    plan: TrainingPlan
    network: Network  # the pretrained network, to be trained
    new_network: Callable[[], Network]  # builds it again, for a second training run
    checkpoints: Path | None = None
    ended: EpochEnded = unheard  # called with each epoch of the run itself
    cluster: str | None = None  # the address of the Ray cluster that trains, "" for the usual one; None: this process does

    @property
    def labels(self) -> np.ndarray:
        """(n_images,) int64: the labels of the whole data set."""
        return self.scanned.dataset.labels

    def fitted_on(self, rows: np.ndarray, progress: Progress) -> "FinetuneJob":
        """The same job with probe and head fitted on some rows; unchanged if training starts with a random head."""
        if self.probe is None:
            return self
        probe = self.scanned.table().fit(rows, self.plan.seed, progress)
        return replace(self, probe=probe, head=_head_to_train(self.scanned, rows, probe, self.plan, progress))

    def network_of(self, probe: AnyProbe) -> Network:
        """The pretrained network with a probe's head, which takes all features."""
        network = _network(self.scanned, with_stages=True)
        network.set_head(probe.head)
        return network

    def images(self, rows: np.ndarray) -> list[LabelledImage]:
        """The images of some rows."""
        return [self.scanned.dataset.images[i] for i in rows]

    def pixels(self, rows: np.ndarray, progress: Progress) -> KeptPixels | PixelsReadLater:
        """The pixels from which training crops of some rows are cut."""
        if self.cluster is not None:
            return PixelsReadLater(self.images(rows), self.network.preprocess, rows)
        reads_anew = self.plan.network.start == "random head"  # the classic procedure crops from the full picture
        keep = read_anew if reads_anew else keep_pixels
        return KeptPixels(keep(self.images(rows), self.network.preprocess, self.plan.workers, progress), rows)

    def held_out(self, progress: Progress) -> HeldOutImages:
        """The val images, preprocessed as for prediction."""
        rows, preprocess = self.split.val, self.network.preprocess
        if self.cluster is not None:
            return HeldOutImages(ViewsReadLater(self.images(rows), preprocess, self.plan.workers), self.labels[rows])
        views = keep_views(self.images(rows), preprocess, self.plan.workers, progress)
        return HeldOutImages(views, self.labels[rows])


def finetune_job(scanned: Scanned, split: Split, checkpoints: Path | None, progress: Progress) -> FinetuneJob:
    """The job for the settings of `scanned` on this machine, or as it was begun if there are checkpoints of it."""
    settings, backbone, table = scanned.settings, scanned.backbone, scanned.table()
    probe = table.fit(split.train, settings.seed, progress) if table.vectors.shape[1] else None
    hardware, n_classes = find_hardware(settings.device), len(scanned.dataset.classes)
    network = _network(scanned, with_stages=False)
    facts = RunFacts(
        n_train=len(split.train),
        n_classes=n_classes,
        image_size=backbone.preprocess.size_px,
        device=hardware.device,
        bf16=hardware.bf16,
        cores=hardware.cores,
        n_blocks=len(network.blocks()) - 1,
        left_open=probe.left_open(n_classes) if probe else 0.0,
    )
    begun = plan_begun(checkpoints / RUN) if checkpoints else None
    plan = begun or plan_for(settings, facts)
    new_network = partial(_network, scanned, with_stages=plan.network.head_on == "all features")
    if plan.network.head_on == "all features":
        network = new_network()
    head = _head_to_train(scanned, split.train, probe, plan, progress) if probe else None
    return FinetuneJob(scanned, split, probe, head, plan, network, new_network, checkpoints)


def _head_to_train(scanned: Scanned, rows: np.ndarray, probe: AnyProbe, plan: TrainingPlan, progress: Progress) -> Head:
    """The fitted head that training on some rows starts from; the probe's if that takes the same features."""
    table = scanned.table()
    if plan.network.head_on == "all features" or not table.n_stage_features:
        return probe.head
    return table.of_last_layer().fit(rows, plan.seed, progress).head


def _network(scanned: Scanned, *, with_stages: bool) -> Network:
    """The pretrained network, for the views of the run."""
    backbone = scanned.backbone
    spec = backbone.spec if with_stages else backbone.spec.model_copy(update={"stages": ()})
    network = pretrained_network(spec, backbone.weights, find_hardware(scanned.settings.device).device)
    network.preprocess = backbone.preprocess
    return network


def fit_finetuned(
    scanned: Scanned,
    split: Split,
    checkpoints: Path | None,
    progress: Progress,
    deadline: Deadline = NEVER,
    ended: EpochEnded = unheard,
) -> Fitted:
    """Trains, keeps the best validation epoch and predicts test and val. Raises DataError.

    Training is shortened to what fits before the deadline; refitting is done in full or not at all.
    """
    if not split.val.size:
        raise DataError(
            "fine-tuning chooses its best epoch on val images, but there are none",
            hint="leave --val-fraction above 0, or use --strategy probe",
        )
    job = finetune_job(scanned, split, checkpoints, progress)
    job = replace(job, cluster=_cluster(scanned.settings, job.plan, deadline), ended=ended)
    both = np.sort(np.concatenate([split.train, split.val]))
    pixels = job.pixels(both if scanned.settings.refit else split.train, progress)
    began = deadline.spent()
    held_out = job.held_out(progress)
    limit = _limit(split, deadline, decoding=(deadline.spent() - began) / len(split.val), refit=scanned.settings.refit)
    tuned = _train(job, job.network, pixels, split.train, held_out, progress, RUN, limit=limit)
    if tuned.best_epoch == 0 and job.probe is not None:  # its head takes features that the trained one does without
        job = replace(job, network=job.network_of(job.probe))
    final, notes, interrupted = job.network, _notes_on(tuned, job, deadline), tuned.interrupted
    job = _as_carried_out(job, tuned)
    if scanned.settings.refit and not interrupted:
        refitted, second = _refit(job, pixels, both, progress, tuned.best_epoch, replace(limit, shortens=False))
        interrupted = second.interrupted
        if interrupted or second.cut:
            how = "interrupted while" if interrupted else f"--time-budget {deadline.seconds:g} ended the"
            notes.append(f"{how} refitting: the saved model is the one trained on train only")
        else:
            final = refitted
    answers, thresholds = answers_of_val(scanned, split, tuned, job.plan)
    final.set_head(final.head().at_temperature(answers.temperature))
    familiarity = _familiarity(job, pixels, progress)
    if final is not job.network:  # the refitted network has seen val, so the threshold measured before is kept
        familiarity = familiarity.of_references(_features(final, pixels, _known(job), job, progress))
    return Fitted(
        scanned,
        split,
        final.model(),
        tuned.history,
        tuned.best_epoch,
        CarriedOutPlan(**dict(job.plan), best_epoch=tuned.best_epoch, temperature=answers.temperature),
        (*_answers_of_test(job, final, answers, progress), answers),
        answers,
        familiarity,
        answers.temperature,
        interrupted=interrupted,
        refit=final is not job.network,
        notes=tuple(notes),
        thresholds=thresholds,
    )


def _as_carried_out(job: FinetuneJob, tuned: TrainedEpochs) -> FinetuneJob:
    """The job with the epochs that were made, if not all of its plan were: the schedule was carried out in these."""
    return replace(job, plan=job.plan.with_epochs(max(1, tuned.history[-1].epoch))) if tuned.cut else job


def _cluster(settings: TrainSettings, plan: TrainingPlan, deadline: Deadline) -> str | None:
    """The address of the Ray cluster that trains; None where this process does.

    The classic procedure needs a single one, and the processes of a cluster have no common clock.
    """
    place = workplace_of(settings.workplace) if settings.workplace else None
    one_alone = plan.network.batch_norm == "train" or math.isfinite(deadline.seconds)
    return place.address if place and place.kind == "ray" and not one_alone else None


def _limit(split: Split, deadline: Deadline, *, decoding: float, refit: bool) -> TimeLimit:
    """The time for training, if an image is decoded in `decoding` seconds."""
    after = ImagesAfter.of(split, refit=refit)
    again = 1 + len(split.val) / len(split.train) if refit else 0.0
    return TimeLimit(deadline.before(after.read * decoding + WRITING), later=after.answered, again=again, shortens=True)


def _refit(
    job: FinetuneJob,
    pixels: KeptPixels | PixelsReadLater,
    rows: np.ndarray,
    progress: Progress,
    n_epochs: int,
    limit: TimeLimit,
) -> tuple[Network, TrainedEpochs]:
    """A new network, trained on the rows for so many epochs of the plan; for none of them the probe fitted on the rows."""
    network, anew = job.new_network(), job.fitted_on(rows, progress)
    tuned = _train(anew, network, pixels, rows, None, progress, "refit", stop_after=n_epochs, limit=limit)
    return anew.network_of(anew.probe) if n_epochs == 0 and anew.probe is not None else network, tuned


def _notes_on(tuned: TrainedEpochs, job: FinetuneJob, deadline: Deadline) -> list[str]:
    """Sentences on training that ended early or was in vain."""
    notes = []
    if tuned.cut:
        of = f"epoch {tuned.cut.epoch} of {job.plan.steps.epochs}"
        where = f"in {of}, after {tuned.cut.steps} of its {tuned.cut.of} steps" if tuned.cut.steps else f"before {of}"
        notes.append(f"--time-budget {deadline.seconds:g} ended fine-tuning {where}; the best so far is kept")
    if tuned.best_epoch == 0 and not tuned.interrupted:
        better = "no epoch of fine-tuning did better on val than the fitted head"
        notes.append(f"{better if len(tuned.history) > 1 else 'no epoch was carried out'}: the saved model is the probe")
    return notes


def answers_of_trial(job: FinetuneJob, rows: np.ndarray, progress: Progress) -> np.ndarray:
    """(n, n_classes) float64: probabilities for `rows` by a network trained on the job's train split, which is then discarded.

    The best epoch is chosen on val if the split has one; otherwise the last epoch is used.
    """
    pixels = job.pixels(job.split.train, progress)
    val = job.held_out(progress) if job.split.val.size else None
    _check_whole(_train(job, job.network, pixels, job.split.train, val, progress, "trial"))
    return job.scanned.task.probabilities(
        job.network.head().logits(_vectors_of(job, job.network, rows, progress, "predicting the held-out part"))
    )


def _check_whole(tuned: TrainedEpochs) -> None:
    """Raises KeyboardInterrupt or OutOfTimeError if training ended early, where unfinished training says nothing."""
    if tuned.interrupted:
        raise KeyboardInterrupt
    if tuned.cut:
        raise OutOfTimeError("the time was over before training was", hint="give more time")


def seconds_per_image(job: FinetuneJob, deadline: Deadline, progress: Progress) -> SecondsPerImage:
    """The speed of this machine, measured with a few training steps. Raises OutOfTimeError if they do not fit."""

    def timing(stage: str, done: int, total: int) -> None:
        progress("timing fine-tuning", done, total)

    size = job.plan.steps.batch_size
    rows = job.split.train[: 3 * size]
    began = deadline.spent()
    pixels = job.pixels(rows, timing)
    decoding = (deadline.spent() - began) / len(rows)
    seconds = {}
    for n in (1, 1, 3):  # batches; the first run is a warm-up
        began = deadline.spent()
        limit = TimeLimit(deadline)
        _check_whole(
            _train(job, job.new_network(), pixels, rows[: n * size], None, timing, "timing", stop_after=1, limit=limit)
        )
        seconds[n] = deadline.spent() - began
    return SecondsPerImage(decoding, max(seconds[3] - seconds[1], 1e-3) / max(len(rows) - size, 1))


def _answers_of_test(job: FinetuneJob, final: Network, of_val: SplitAnswers, progress: Progress) -> Iterator[SplitAnswers]:
    """The answers for test, if there is one; the network's head is already at the temperature."""
    rows, temperature = job.split.test, of_val.temperature
    if not rows.size:
        return
    logits = final.head().logits(_vectors_of(job, final, rows, progress, "predicting test"))
    task = job.scanned.task
    uncalibrated = task.probabilities(logits * temperature) if of_val.uncalibrated is not None else None
    yield SplitAnswers("test", rows, task.probabilities(logits), False, None, uncalibrated, temperature=temperature)


def _familiarity(job: FinetuneJob, pixels: KeptPixels | PixelsReadLater, progress: Progress) -> Familiarity:
    """The familiarity from the trained network's features of training images, and of val, which sets the threshold."""
    known, val, seed = _known(job), job.split.val, job.plan.seed
    unseen = job.scanned.table().drawn(val, seed)[:FINETUNED_REFERENCES]
    return familiarity_of(
        _features(job.network, pixels, known, job, progress),
        job.scanned.dataset.strata[known],
        job.scanned.groups[known],
        _vectors_of(job, job.network, unseen, progress, FAMILIAR),
        seed=seed,
        n_last=job.network.n_last,
    )


def _known(job: FinetuneJob) -> np.ndarray:
    """Sorted rows of train from all classes, with which later images are compared."""
    return np.sort(job.scanned.table().drawn(job.split.train, job.plan.seed)[:FINETUNED_REFERENCES])


def _features(
    network: Network, pixels: KeptPixels | PixelsReadLater, rows: np.ndarray, job: FinetuneJob, progress: Progress
) -> np.ndarray:
    """(n, n_features) float32: features of training images, preprocessed as for prediction from the kept pixels."""
    source = pixels.only(rows)
    views = map_in_threads(lambda i: network.preprocess.views_of_pixels(source[i]), range(len(rows)), job.plan.workers)
    found = np.empty((len(rows), network.n_features), np.float32)
    with network.folded():
        for i, vector in enumerate(features_of(network.extractor(), views)):
            found[i] = vector
            progress(FAMILIAR, i + 1, len(rows))
    return found


def _train(
    job: FinetuneJob,
    network: Network,
    pixels: KeptPixels | PixelsReadLater,
    rows: np.ndarray,
    val: HeldOutImages | None,
    progress: Progress,
    stage: str,
    stop_after: int | None = None,
    limit: TimeLimit = UNLIMITED,
) -> TrainedEpochs:
    start = None
    if job.probe is not None and job.head is not None:
        table, head, held = job.scanned.table(), job.probe.head, job.split.val if val is not None else np.empty(0, np.int64)
        start = Start(epoch_zero(table, Split(rows, held, held, "none"), head), head.logits_of(table.vectors, held))
        network.set_head(job.head)
    else:
        network.set_random_head(len(job.scanned.dataset.classes), job.plan.seed)
    ended = job.ended if stage == RUN else unheard
    here = partial(fine_tune, limit=limit, ended=ended)
    return (here if job.cluster is None else partial(fine_tune_on_cluster, job.cluster))(
        network,
        TrainingImages(pixels.only(rows), job.scanned.task.targets(job.labels[rows])),
        val,
        job.plan,
        task=job.scanned.task,
        start=start,
        checkpoints=job.checkpoints / stage if job.checkpoints else None,
        stop_after=stop_after,
        progress=progress,
    )


def _vectors_of(job: FinetuneJob, network: Network, rows: np.ndarray, progress: Progress, stage: str) -> np.ndarray:
    """(n, n_features) float32: features of images that are read again, preprocessed as for prediction."""
    pipeline = Pipeline(network.preprocess, network.extractor())
    with network.folded():
        opened = open_again(pipeline, job.images(rows), job.plan.workers, progress, stage)
        return np.stack([one.vector for one in opened if one.vector is not None])
