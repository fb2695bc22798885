"""The training loop: gradient steps on a pretrained network, validation after each epoch; the best epoch is kept."""

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from headstart.errors import SettingsError, TrainingError
from headstart.model.backbones import Network
from headstart.model.batches import Batches, Share, TrainingImages
from headstart.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from headstart.model.checkpoint_state import PROCESSES
from headstart.model.distributed import World, joined_world
from headstart.model.epoch_sums import EpochSums
from headstart.model.folding import Folded, plain_state, unfold
from headstart.model.history import Cut, Epoch, EpochEnded, unheard
from headstart.model.losses import training_loss
from headstart.model.optimizer import frozen_parameters, make_optimizer, make_scheduler
from headstart.model.pace import UNLIMITED, Pace, TimeLimit
from headstart.model.precision import full_float32, repeatable
from headstart.model.probe import log_shares
from headstart.progress import Progress, silent
from headstart.recipes import TrainingPlan, channels_last_pays
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask

CHECK_STEPS = 20  # number of steps between checks that the loss is finite


class ViewSource(Protocol):
    """Gives validation the views of some images in a row; an array does."""

    def __getitem__(self, part: slice, /) -> np.ndarray:
        """(n, n_views, size, size, n_channels) uint8."""


@dataclass(frozen=True, slots=True)
class HeldOutImages:
    """The images for validation, preprocessed as for prediction."""

    views: ViewSource  # (n, n_views, size, size, n_channels) uint8
    labels: np.ndarray  # (n,) int64, or as the task has them


@dataclass(frozen=True, slots=True)
class Start:
    """Epoch 0: the fitted head before the first step. It may take more features than the head that is trained."""

    epoch: Epoch
    logits: np.ndarray  # (n_val, n_classes) float32: its answers for val


@dataclass(frozen=True, slots=True)
class TrainedEpochs:
    """The result of training. The network that was passed in now has the weights of `best_epoch`; for 0 those it came with."""

    history: tuple[Epoch, ...]
    best_epoch: int
    probabilities: np.ndarray  # (n_val, n_classes) float64 of the best epoch; n_val is 0 without val
    predicted: np.ndarray  # (n_epochs, n_val) int64: answers of each epoch in `history`; of several labels (…, n_labels) bool
    interrupted: bool
    cut: Cut | None = None  # set if the time was over before the last epoch was finished


def fine_tune(
    network: Network,
    train: TrainingImages,
    val: HeldOutImages | None,
    plan: TrainingPlan,
    *,
    task: LearningTask = SINGLE_LABEL,
    start: Start | None = None,
    checkpoints: Path | None = None,
    stop_after: int | None = None,
    limit: TimeLimit = UNLIMITED,
    progress: Progress = silent,
    ended: EpochEnded = unheard,
) -> TrainedEpochs:
    """Trains `network` in place as `plan` says and leaves it with the weights of the best validation epoch.

    `start` can be the best epoch. Without `val` the last epoch is the best. `stop_after` ends training earlier than the plan's
    schedule. With `checkpoints`, every finished epoch is saved there, and training resumes from what is saved there. Ctrl-C
    ends training with the best epoch so far and sets `interrupted`; if there is no finished epoch, KeyboardInterrupt is raised.
    Raises TrainingError if the loss is not finite.

    Steps that do not fit into `limit` are not made, and `cut` says where training ended. If the limit `shortens` training, the
    schedule is spread over the steps that fit, by what steps took so far, and an epoch cut short is validated like the others.
    There is always a result: the fitted head, or what a single step makes of a random one. A cut is final: it is saved with the
    state, and a resumed run makes no more steps.

    Under torchrun, every process calls it with the same arguments, computes its share of each batch and gets the same result.
    Only the first reads and writes `checkpoints`. It calls `ended` with each epoch before that is saved; it may repeat one.
    """
    if network.device.type == "cuda":
        torch.cuda.set_device(network.device)
    with joined_world() as world, repeatable(network.device), full_float32():
        return _fine_tune(_Loop(network, train, val, plan, task, world, limit, stop_after, progress), start, checkpoints, ended)


def _fine_tune(loop: "_Loop", start: Start | None, checkpoints: Path | None, ended: EpochEnded) -> TrainedEpochs:
    network = loop.network
    kept = loop.load(checkpoints) if checkpoints else None
    if kept is None and start is not None:
        kept = loop.before(start)
    is_first, interrupted = loop.world.rank == 0, False
    try:
        if kept is not None and is_first:
            ended(kept.history[-1])
        next_epoch = kept.history[-1].epoch + 1 if kept else 1
        for epoch in range(next_epoch, loop.last_epoch + 1):
            if kept is not None and kept.cut:
                break
            kept = replace(_with_epoch(kept, epoch, loop), cut=loop.cut)
            if is_first:
                ended(kept.history[-1])
            if checkpoints and is_first:
                loop.save(checkpoints, kept)
    except KeyboardInterrupt:
        if kept is None:
            raise
        interrupted = True
    if kept is None:
        raise SettingsError("there is nothing to train: no epochs and no fitted head", hint="give --epochs 1 or more")
    unfold(loop.folded)
    return trained_epochs(network, kept, interrupted=interrupted)


def trained_epochs(network: Network, kept: Checkpoint, *, interrupted: bool = False) -> TrainedEpochs:
    """What was trained, with its best epoch's weights in the network."""
    network.module.load_state_dict(kept.best_state)
    network.module.requires_grad_(True).eval()
    of_val, predicted = kept.best_probabilities.numpy(), kept.predicted.numpy()
    return TrainedEpochs(kept.history, kept.best_epoch, of_val, predicted, interrupted, kept.cut)


def _with_epoch(kept: Checkpoint | None, epoch: int, loop: "_Loop") -> Checkpoint:
    """What is kept after an epoch; unchanged if there was no time for a step of it."""
    found = loop.run_epoch(epoch, must_begin=kept is None)
    if found is None:
        assert kept is not None
        return kept
    row, probabilities = found
    predicted = loop.decided(probabilities)
    if kept is None:
        return Checkpoint((row,), epoch, loop.state(), probabilities, predicted)
    history, predicted = (*kept.history, row), torch.cat([kept.predicted, predicted])
    if _is_better(row, kept.best, loop.plan):
        return Checkpoint(history, epoch, loop.state(), probabilities, predicted)
    return replace(kept, history=history, predicted=predicted)


class _Loop:
    """The state that is kept between epochs."""

    def __init__(
        self,
        network: Network,
        train: TrainingImages,
        val: HeldOutImages | None,
        plan: TrainingPlan,
        task: LearningTask,
        world: World,
        limit: TimeLimit,
        stop_after: int | None,
        progress: Progress,
    ) -> None:
        if world.size > 1 and plan.network.batch_norm == "train":
            raise SettingsError("the tutorial's batch norm needs a single process", hint="run it without torchrun")
        self.network, self.train, self.val, self.plan, self.progress = network, train, val, plan, progress
        self.world, self.task, self.loss = world, task, training_loss(task)
        network.set_channels_last(channels_last_pays(network.device.type, n_views=len(train.labels) * plan.steps.epochs))
        self.batches = Batches(train, plan, network.preprocess, world, ahead=network.device.type != "cpu")
        for name in frozen_parameters(network, plan):
            network.module.get_parameter(name).requires_grad_(False)
        self.start_state = network.state()
        self.folded: list[Folded] = []
        if plan.network.batch_norm == "frozen":
            self.folded = network.fold()
        self.parallel: torch.nn.Module = network.classifier  # as it is called in training
        n_classes = network.last_layer.out_features
        # Balanced: training adds the classes' log shares to the logits, so the network does not learn them (logit adjustment,
        # Menon et al. 2021); val weights all classes equally.
        shares = log_shares(train.labels, n_classes) if plan.balance else np.zeros(n_classes, np.float32)
        self.log_shares = torch.from_numpy(shares).to(network.device)
        self.n_steps = -(-len(train.labels) // plan.steps.batch_size)
        self.optimizer = make_optimizer(network, plan)
        self.scheduler = make_scheduler(self.optimizer, plan, self.n_steps)
        self.scaler = torch.amp.GradScaler(network.device.type, enabled=plan.steps.precision == "fp16")
        self.last_epoch = plan.steps.epochs if stop_after is None else stop_after
        n_val = len(val.labels) if val else 0
        self.pace = Pace(limit, n_steps=self.n_steps, batch_size=plan.steps.batch_size, n_val=n_val)
        self.cut: Cut | None = None
        self.signature = plan.as_json() | {
            "n_train": len(train.labels),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "device": network.device.type,
            PROCESSES: world.size,
        }

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of every tensor as in the finished network."""
        return plain_state(self.network.state(), self.folded)

    def load(self, folder: Path) -> Checkpoint | None:
        parts = (self.network.module, self.optimizer, self.scheduler, self.scaler)
        return load_checkpoint(folder, *parts, signature=self.signature, world=self.world)

    def save(self, folder: Path, checkpoint: Checkpoint) -> None:
        module = self.network.module
        save_checkpoint(folder, module, self.optimizer, self.scheduler, self.scaler, checkpoint, signature=self.signature)

    def before(self, start: Start) -> Checkpoint:
        """The state before the first step."""
        row, probabilities = start.epoch, torch.from_numpy(self.task.probabilities(start.logits))
        if self.val is not None:  # it is compared with epochs whose metrics may weight all classes equally
            val_loss, val_accuracy = self._scores(start.logits, self.val.labels)
            row = row.model_copy(update={"val_loss": val_loss, "val_accuracy": val_accuracy})
        return Checkpoint((row,), 0, self.start_state, probabilities, self.decided(probabilities))

    def decided(self, probabilities: torch.Tensor) -> torch.Tensor:
        """(1, n_val) int64: the answers that probabilities give; of several labels (1, n_val, n_labels) bool."""
        return torch.from_numpy(self.task.decide(probabilities.numpy()))[None]

    def run_epoch(self, epoch: int, *, must_begin: bool) -> tuple[Epoch, torch.Tensor] | None:
        """Runs one training and one validation phase; returns the history row and the probabilities for val.

        None if there was no time for a single step, which is made nevertheless if the epoch `must_begin`.
        """
        began = time.perf_counter()
        if self.world.size > 1:
            # It sums gradients up in parts, which it cuts anew after its first step, and in another order for each part. Made
            # anew for each epoch it does the same in a run that was interrupted before this epoch.
            del self.parallel  # and its hooks with it
            self.parallel = DistributedDataParallel(self.network.classifier)
        lr, train_loss, train_accuracy = self._train_phase(epoch, must_begin=must_begin)
        if self.cut and not self.cut.steps:
            return None
        probabilities, val_loss, val_accuracy = self.validate(epoch)
        row = Epoch(
            epoch=epoch,
            lr=lr,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=round(time.perf_counter() - began, 3),
        )
        return row, torch.from_numpy(probabilities)

    def validate(self, epoch: int) -> tuple[np.ndarray, float | None, float | None]:
        """Probabilities (n_val, n_classes) float64 in full precision, mean cross-entropy, accuracy. Raises TrainingError.

        If the plan balances classes, both are means over classes, so the accuracy is the balanced accuracy.
        """
        if self.val is None:
            return np.empty((0, self.network.last_layer.out_features)), None, None
        views, labels, size, world = self.val.views, self.val.labels, self.plan.steps.micro_batch, self.world
        self.pace.start()
        answered = {}
        for begin in range(world.rank * size, len(labels), world.size * size):  # each process answers for some images
            part = views[begin : begin + size]
            logits_of_views = self.network.forward(part.reshape(-1, *part.shape[2:]))
            answered[begin] = logits_of_views.view(len(part), part.shape[1], -1).mean(dim=1)
            self.progress("validating", min(begin + world.size * size, len(labels)), len(labels))
        logits = np.zeros((len(labels), self.network.last_layer.out_features), np.float32)
        for begin, answers in answered.items():
            logits[begin : begin + size] = answers.cpu().numpy()
        world.add_up(logits)
        self.pace.validated()
        if not np.isfinite(logits).all():
            raise TrainingError(
                f"the network's outputs on val are no longer finite after epoch {epoch}, step {self.n_steps}",
                hint=f"try a lower --learning-rate than {self.plan.steps.learning_rate:g}",
            )
        return self.task.probabilities(logits), *self._scores(logits, labels)

    def _scores(self, logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        """Mean cross-entropy and accuracy; means over classes if the plan balances them."""
        counted = np.bincount(labels)[labels] if self.plan.balance else np.ones(len(labels))
        right = np.average(self.task.right(self.task.probabilities(logits), labels), weights=1 / counted)
        return float(np.average(self.task.losses(logits, labels), weights=1 / counted)), float(right)

    def _train_phase(self, epoch: int, *, must_begin: bool) -> tuple[float, float, float]:
        """Runs one pass over train; returns the last learning rate, and mean loss and accuracy on the augmented images.

        Sets `cut` if the time is over before the pass is.
        """
        module, plan, n = self.network.module, self.plan, len(self.train.labels)
        torch.manual_seed(plan.seed * 100_003 + epoch)  # for dropout; views have their own generators
        module.train()
        if plan.network.batch_norm == "frozen":
            for part in module.modules():
                if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
                    part.eval()
        sums, lr = EpochSums(self.network.device), 0.0
        self.pace.start()
        for step, share in enumerate(self.batches.of_epoch(epoch), start=1):
            ticks = self._ticks(epoch, step, must_fit=must_begin and step == 1)
            if ticks is None:
                self.cut = Cut(epoch=epoch, steps=step - 1, of=self.n_steps)
                self._check(sums, epoch)
                n = min(self.cut.steps * plan.steps.batch_size, n)
                break
            lr = self.optimizer.param_groups[0]["lr"]
            self.optimizer.zero_grad(set_to_none=True)
            self._add_gradients(share, step, sums)
            self._step(ticks)
            if step % CHECK_STEPS == 0 or step == self.n_steps:
                self._check(sums, epoch)
            self.progress(f"epoch {epoch} of {plan.steps.epochs}", step, self.n_steps)
            self.pace.stepped()
        total_loss, n_right = self.world.total(*sums.read())
        return lr, total_loss / max(n, 1), n_right / max(n, 1)

    def _ticks(self, epoch: int, step: int, *, must_fit: bool) -> int | None:
        """How far the schedule advances with a step: by one, or by more if not all steps fit. None: no step fits."""
        steps_made = (epoch - 1) * self.n_steps + step - 1
        planned = self.last_epoch * self.n_steps
        steps_left, ticks_left = planned - steps_made, planned - int(self.scheduler.last_epoch)
        fitting = self.pace.fitting(steps_left, steps_made) or int(must_fit)
        return round(ticks_left / fitting) if fitting and ticks_left > 0 else None

    def _add_gradients(self, share: Share, step: int, sums: EpochSums) -> None:
        """Forward and backward passes by micro-batch; adds the losses and right answers to `sums`."""
        n, size, smoothing = len(share.labels), self.plan.steps.micro_batch, self.plan.steps.label_smoothing
        for begin in range(0, n, size):
            views = share.views[begin : begin + size]
            targets = self.network.on_device(share.labels[begin : begin + size])
            parallel, more_follow = self.parallel, begin + size < n
            # The processes average their gradients once per step.
            with parallel.no_sync() if more_follow and isinstance(parallel, DistributedDataParallel) else nullcontext():
                logits = self._logits(views) + self.log_shares
                plain = self.loss.of(logits, targets)  # the reported loss, comparable with val's
                loss = self.loss.of(logits, targets, smoothing)
                # The micro-batches add up to the share's mean; the mean over processes is that of the whole batch.
                part = len(targets) / n * (share.weight if self.world.size > 1 else 1.0)
                self.scaler.scale(loss * part).backward()
            sums.add(step, loss, plain, self.loss.right(logits.detach(), targets), counts=share.weight > 0)

    def _check(self, sums: EpochSums, epoch: int) -> None:
        """Raises TrainingError if the loss was not finite in a step since the last check."""
        step = sums.first_broken_step()
        if step is not None:
            raise TrainingError(
                f"the loss is no longer finite in epoch {epoch}, step {step}",
                hint=f"try a lower --learning-rate than {self.plan.steps.learning_rate:g}",
            )

    def _logits(self, views: np.ndarray) -> torch.Tensor:
        """(n, n_classes) float32, computed in the plan's precision. Raises SettingsError."""
        precision = self.plan.steps.precision
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        with torch.autocast(self.network.device.type, dtype=dtype, enabled=precision != "fp32"):
            try:
                return self.parallel(self.network.to_input(views)).float()
            except ValueError as error:  # batch norm with one value per channel
                raise SettingsError(
                    f"{len(views)} image(s) of {self.plan.views.image_size} px are too few for batch norm: {error}",
                    hint="use a larger --batch-size or --image-size",
                ) from error

    def _step(self, ticks: int) -> None:
        """Updates the weights, and the learning rate by so many ticks of the schedule."""
        if self.plan.steps.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.module.parameters(), self.plan.steps.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        for _ in range(ticks):
            self.scheduler.step()


def _is_better(row: Epoch, best: Epoch, plan: TrainingPlan) -> bool:
    if row.val_accuracy is None or best.val_accuracy is None:
        return True  # without val nothing is selected: the last epoch is used
    if plan.best_by != "loss" and (row.val_accuracy != best.val_accuracy or plan.best_by == "accuracy"):
        return row.val_accuracy > best.val_accuracy
    return (row.val_loss or 0.0) < (best.val_loss or 0.0)
