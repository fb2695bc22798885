"""Fine-tuning in the processes of a Ray cluster: what each of them needs, and what comes of it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from headstart.data.preprocess import Preprocess
from headstart.jobs.scanning import JOBS
from headstart.model.backbones import Network, bundled_network
from headstart.model.batches import TrainingImages
from headstart.model.checkpoint import read_checkpoint
from headstart.model.checkpoint_state import processes_begun, saved_state
from headstart.model.finetune import HeldOutImages, Start, TrainedEpochs, fine_tune, trained_epochs
from headstart.model.hardware import find_hardware
from headstart.model.specs import BackboneSpec
from headstart.progress import Progress
from headstart.recipes import TrainingPlan
from headstart.storage import home
from headstart.tasks.task import LearningTask

NETWORK = Path("cluster", "network.safetensors")  # below the checkpoints, while workers train: what they begin with


@dataclass(frozen=True, slots=True)
class TrainingProcess:
    """What every process does; it can be sent to one."""

    spec: BackboneSpec
    preprocess: Preprocess
    weights: Path  # with the head that training starts from
    n_classes: int
    device: str  # its kind
    train: TrainingImages
    val: HeldOutImages | None
    plan: TrainingPlan
    task: LearningTask
    start: Start | None
    checkpoints: Path
    stop_after: int | None

    def __call__(self, progress: Progress) -> None:
        """Trains, from the last saved state on; the first process saves it. Raises HeadstartError."""
        device = find_hardware(self.device).device
        fine_tune(
            bundled_network(self.spec, self.preprocess, self.n_classes, self.weights, device),
            self.train,
            self.val,
            self.plan,
            task=self.task,
            start=self.start,
            checkpoints=self.checkpoints,
            stop_after=self.stop_after,
            progress=progress,
        )


def fine_tune_on_cluster(
    address: str,
    network: Network,
    train: TrainingImages,
    val: HeldOutImages | None,
    plan: TrainingPlan,
    *,
    task: LearningTask,
    start: Start | None,
    checkpoints: Path | None,
    stop_after: int | None,
    progress: Progress,
) -> TrainedEpochs:
    """What `fine_tune` returns, trained by a worker for each core or GPU of a Ray cluster. Raises HeadstartError.

    It has the bits of as many processes under torchrun. A run that was begun goes on with as many workers as it had. Ctrl-C
    ends training with the best epoch so far.
    """
    last_epoch = plan.steps.epochs if stop_after is None else stop_after
    with _place_of(checkpoints) as place:
        interrupted, kept = False, read_checkpoint(place)
        if last_epoch and (kept is None or (kept.history[-1].epoch < last_epoch and kept.cut is None)):
            try:
                _train(address, network, train, val, plan, task, start, place.absolute(), stop_after, progress)
            except KeyboardInterrupt:
                interrupted = True
            kept = read_checkpoint(place)
        if kept is not None:
            return trained_epochs(network, kept, interrupted=interrupted)
    if start is None:
        raise KeyboardInterrupt
    return replace(fine_tune(network, train, val, plan, task=task, start=start, stop_after=0), interrupted=interrupted)


@contextmanager
def _place_of(checkpoints: Path | None) -> Iterator[Path]:
    """Where the workers keep what they have: where the run does, or a folder below home() that is removed."""
    if checkpoints is not None:
        yield checkpoints
        return
    (home() / JOBS).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home() / JOBS) as folder:
        yield Path(folder)


def _train(
    address: str,
    network: Network,
    train: TrainingImages,
    val: HeldOutImages | None,
    plan: TrainingPlan,
    task: LearningTask,
    start: Start | None,
    checkpoints: Path,
    stop_after: int | None,
    progress: Progress,
) -> None:
    from headstart.jobs.ray_training import ClusterTraining, train_on_ray

    kind, n_classes, weights = network.device.type, network.last_layer.out_features, checkpoints / NETWORK
    process = TrainingProcess(
        network.spec, network.preprocess, weights, n_classes, kind, train, val, plan, task, start, checkpoints, stop_after
    )
    training = ClusterTraining(
        process,
        needed=weights,
        saved=partial(saved_state, checkpoints),
        on_gpu=kind == "cuda",
        begun_with=processes_begun(checkpoints),
        most=min(plan.steps.batch_size, len(train.labels)),
    )
    network.save(weights)
    try:
        train_on_ray(training, address, progress)
    finally:
        shutil.rmtree(weights.parent, ignore_errors=True)
