"""The training loop on a tiny network: what moves, what stays, what is kept, and that a resumed run is the same run."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clocks import WorkClock
from conftest import COLOURS, TINY, draw_shape

from headstart.deadline import Deadline
from headstart.errors import SettingsError, TrainingError
from headstart.model.backbones import Network, pretrained_network
from headstart.model.batches import TrainingImages
from headstart.model.finetune import HeldOutImages, Start, TrainedEpochs, fine_tune
from headstart.model.history import Cut, Epoch
from headstart.model.optimizer import frozen_parameters
from headstart.model.pace import TimeLimit
from headstart.model.probe import fit_probe
from headstart.model.specs import find_backbone
from headstart.model.weights import WeightsFile
from headstart.progress import silent
from headstart.recipes import RunFacts, TrainingPlan, finetune_plan, tutorial_plan
from headstart.settings import TrainSettings
from headstart.tasks.probabilities import cross_entropy, softmax

SIZE, N_TRAIN, N_VAL, BATCH = 48, 24, 12, 8
N_STEPS = N_TRAIN // BATCH
FACTS = RunFacts(n_train=N_TRAIN, n_classes=2, image_size=SIZE, device="cpu", bf16=False, cores=2)


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    names = sorted(COLOURS)[:2]
    pixels = np.stack([np.asarray(draw_shape(names[i % 2], rng, (SIZE, SIZE))) for i in range(n)])
    return pixels, np.arange(n) % 2


TRAIN = TrainingImages(*drawn(N_TRAIN, 1))
VAL_PIXELS, VAL_LABELS = drawn(N_VAL, 2)
VAL = HeldOutImages(VAL_PIXELS[:, None], VAL_LABELS)  # one view of each


def default_plan(**settings: Any) -> TrainingPlan:
    chosen = {"epochs": 2, "batch_size": BATCH, "image_size": SIZE, "strategy": "finetune", "workers": 2} | settings
    return finetune_plan(TrainSettings.of(**chosen), FACTS)


def classic_plan(**settings: Any) -> TrainingPlan:
    chosen = {"epochs": 2, "batch_size": BATCH, "image_size": SIZE, "strategy": "finetune", "workers": 2} | settings
    return tutorial_plan(TrainSettings.of(**chosen), FACTS)


def with_steps(plan: TrainingPlan, **changes: Any) -> TrainingPlan:
    return plan.model_copy(update={"steps": plan.steps.model_copy(update=changes)})


@pytest.fixture
def new_network(tiny_weights: Path) -> Callable[[], Network]:
    def make() -> Network:
        network = pretrained_network(find_backbone(TINY), WeightsFile(tiny_weights, "0" * 64, "test"))
        network.preprocess = network.preprocess.at_size(SIZE)
        network.set_random_head(2, seed=0)
        return network

    return make


def fit_start(network: Network) -> Start:
    """Puts a fitted head in and returns what is known of it."""
    views = np.stack([network.preprocess.view_of_pixels(TRAIN.pixels[i]) for i in range(N_TRAIN)])
    vectors = network.features(views)
    head = fit_probe(vectors, TRAIN.labels, np.arange(N_TRAIN), 2).head
    network.set_head(head)
    train, val = head.logits(vectors), network.logits(VAL_PIXELS)

    def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
        return float((logits.argmax(axis=1) == labels).mean())

    losses = cross_entropy(train, TRAIN.labels), cross_entropy(val, VAL.labels)
    row = Epoch(
        epoch=0,
        lr=0.0,
        train_loss=losses[0],
        train_accuracy=accuracy(train, TRAIN.labels),
        val_loss=losses[1],
        val_accuracy=accuracy(val, VAL.labels),
        seconds=0.0,
    )
    return Start(row, val)


def changed(before: dict[str, torch.Tensor], network: Network) -> set[str]:
    after = network.state()
    return {name for name in before if not torch.equal(before[name], after[name])}


def norm_weights(network: Network) -> set[str]:
    """The weights of batch norms that are folded into their convolution, whose weight is trained for both."""
    norms = {n: part for n, part in network.module.named_modules() if isinstance(part, torch.nn.BatchNorm2d)}
    # Not folded are the one behind a stem of several parts, and those that begin at zero.
    return {f"{n}.weight" for n, part in norms.items() if n != "bn1" and part.weight.abs().min() > 0}


def same_weights(a: Network, b: Network) -> bool:
    one, other = a.state(), b.state()
    return all(torch.equal(one[name], other[name]) for name in one)


def without_seconds(history: tuple[Epoch, ...]) -> list[Epoch]:
    return [row.model_copy(update={"seconds": 0.0}) for row in history]


# What moves and what stays


def test_default_recipe_trains_all_but_batch_statistics(new_network: Callable[[], Network]) -> None:
    """By default every parameter is trained and no running statistic moves; a norm's weight is trained in its convolution."""
    network = new_network()
    before, folded = network.state(), norm_weights(network)
    fine_tune(network, TRAIN, None, default_plan())
    assert folded
    assert changed(before, network) == set(dict(network.module.named_parameters())) - folded
    assert not network.module.training


def test_tutorial_moves_batch_statistics(new_network: Callable[[], Network]) -> None:
    """The classic procedure trains every parameter and its running statistics move."""
    network = new_network()
    before = network.state()
    fine_tune(network, TRAIN, None, classic_plan(learning_rate=0.05))  # at 0.001 some weights of 1.0 move by less than 1e-7
    assert changed(before, network) == set(before)


def test_frozen_tutorial_trains_the_last_layer_alone(new_network: Callable[[], Network]) -> None:
    """As a fixed feature extractor only the last layer is trained; running statistics move, as in the classic procedure."""
    network = new_network()
    before = network.state()
    fine_tune(network, TRAIN, None, classic_plan(strategy="probe"))
    moved = changed(before, network)
    assert moved & set(dict(network.module.named_parameters())) == {"fc.weight", "fc.bias"}
    assert "layer1.0.bn1.running_mean" in moved


@pytest.mark.parametrize("freeze", [1, 3])
def test_frozen_blocks_stay(freeze: int, new_network: Callable[[], Network]) -> None:
    """--freeze N keeps stem and first N blocks to the bit and trains all that follows; afterwards nothing is marked frozen."""
    network = new_network()
    before, folded = network.state(), norm_weights(network)
    fine_tune(network, TRAIN, None, default_plan(freeze=freeze))
    frozen = {name for block in network.blocks()[: freeze + 1] for name in block}
    assert changed(before, network) == set(dict(network.module.named_parameters())) - frozen - folded
    assert all(parameter.requires_grad for parameter in network.module.parameters())


@pytest.mark.parametrize("freeze", [4, 5, 1000])
def test_freezing_everything_is_refused(freeze: int, new_network: Callable[[], Network]) -> None:
    """--freeze that leaves no block to train says how many blocks there are and how many can be frozen."""
    with pytest.raises(SettingsError, match=f"--freeze {freeze} leaves nothing to train: .* has 4 blocks") as caught:
        frozen_parameters(new_network(), default_plan(freeze=freeze))
    assert caught.value.hint.startswith("freeze at most 3")


def test_nothing_is_frozen_by_default(new_network: Callable[[], Network]) -> None:
    """Without --freeze the stem is trained too."""
    assert frozen_parameters(new_network(), default_plan()) == []


# Schedules

TOTAL = 4 * N_STEPS
HIGHEST = 0.01
SCHEDULES: dict[str, Callable[[int], float]] = {
    # The rate at step s = 1, 2 ... The warm-up is a tenth of all 12 steps, rounded: step 1, at half the rate.
    "cosine": lambda s: HIGHEST / 2 if s == 1 else HIGHEST / 2 * (1 + math.cos(math.pi * (s - 2) / (TOTAL - 1))),
    "constant": lambda s: HIGHEST / 2 if s == 1 else HIGHEST,
    "step": lambda s: HIGHEST * 0.1 ** ((s - 1) // N_STEPS),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedule(schedule: str, new_network: Callable[[], Network]) -> None:
    """The learning rate recorded for an epoch is that of its last step, by the schedule's formula."""
    plan = default_plan(schedule=schedule, learning_rate=HIGHEST, epochs=4)
    tuned = fine_tune(new_network(), TRAIN, None, plan)
    expected = [SCHEDULES[schedule](epoch * N_STEPS) for epoch in range(1, 5)]
    assert [row.lr for row in tuned.history] == pytest.approx(expected)


def test_one_cycle(new_network: Callable[[], Network]) -> None:
    """One-cycle rises to the highest rate at three tenths of the steps and falls to almost nothing."""
    tuned = fine_tune(new_network(), TRAIN, None, default_plan(schedule="one-cycle", learning_rate=HIGHEST, epochs=10))
    rates = [row.lr for row in tuned.history]
    assert rates.index(max(rates)) == 2
    assert max(rates) == pytest.approx(HIGHEST, rel=0.02)
    assert rates[0] < HIGHEST / 2
    assert rates[-1] < HIGHEST / 50


def test_tutorials_rates(new_network: Callable[[], Network]) -> None:
    """The classic rates: 0.001, a tenth of it after each seven epochs."""
    tuned = fine_tune(new_network(), TRAIN, None, classic_plan(epochs=15))
    assert [row.lr for row in tuned.history] == pytest.approx([1e-3] * 7 + [1e-4] * 7 + [1e-5])


# What is recorded and kept


@pytest.fixture
def noisy(new_network: Callable[[], Network]) -> tuple[Network, TrainedEpochs]:
    """A run whose rate is so high that its best epoch is not its last."""
    network = new_network()
    plan = classic_plan(epochs=6, learning_rate=0.05, schedule="constant", seed=0)
    return network, fine_tune(network, TRAIN, VAL, plan)


def test_each_epoch_is_recorded(noisy: tuple[Network, TrainedEpochs]) -> None:
    """The history has a row an epoch with finite loss and accuracy of both phases, and the time it took."""
    _, tuned = noisy
    assert [row.epoch for row in tuned.history] == list(range(1, 7))
    for row in tuned.history:
        assert row.val_loss is not None
        assert row.val_accuracy is not None
        assert np.isfinite([row.train_loss, row.val_loss]).all()
        assert (row.train_accuracy * N_TRAIN) == pytest.approx(round(row.train_accuracy * N_TRAIN))
        assert (row.val_accuracy * N_VAL) == pytest.approx(round(row.val_accuracy * N_VAL))
        assert row.seconds > 0
    assert not tuned.interrupted


def test_best_epoch_is_kept_and_restored(noisy: tuple[Network, TrainedEpochs]) -> None:
    """The network ends with the weights of the best epoch: what it answers now is what was recorded then."""
    network, tuned = noisy
    accuracies = [row.val_accuracy for row in tuned.history]
    assert tuned.best_epoch == 1 + accuracies.index(max(a for a in accuracies if a is not None))  # the first of equals
    assert tuned.best_epoch != 6, "choose another seed: this run does not tell the best epoch from the last"
    logits = network.logits(VAL_PIXELS)
    np.testing.assert_allclose(softmax(logits), tuned.probabilities, atol=1e-6)
    best = tuned.history[tuned.best_epoch - 1]
    assert cross_entropy(logits, VAL.labels) == pytest.approx(best.val_loss, rel=1e-5)
    assert (logits.argmax(axis=1) == VAL.labels).mean() == best.val_accuracy


def test_val_is_judged_by_all_its_views(new_network: Callable[[], Network]) -> None:
    """Where an image has several views its answer is the mean of their logits, as in prediction."""
    mirrored = np.stack([VAL_PIXELS, VAL_PIXELS[:, :, ::-1]], axis=1)
    network = new_network()
    tuned = fine_tune(network, TRAIN, HeldOutImages(mirrored, VAL_LABELS), default_plan())
    logits = (network.logits(VAL_PIXELS) + network.logits(mirrored[:, 1])) / 2
    np.testing.assert_allclose(softmax(logits), tuned.probabilities, atol=1e-5)
    assert cross_entropy(logits, VAL_LABELS) == pytest.approx(tuned.history[tuned.best_epoch - 1].val_loss, rel=1e-4)


def test_ties_go_to_the_lower_loss(new_network: Callable[[], Network]) -> None:
    """By default, among epochs of equal accuracy the one of the lowest validation loss is the best; the head is epoch 0."""
    network = new_network()
    start = fit_start(network)
    tuned = fine_tune(network, TRAIN, VAL, default_plan(epochs=4), start=start)
    assert tuned.history[0] == start.epoch
    highest = max(row.val_accuracy or 0 for row in tuned.history)
    among = [row for row in tuned.history if row.val_accuracy == highest]
    assert tuned.best_epoch == min(among, key=lambda row: row.val_loss or 0).epoch


def test_a_fitted_head_that_is_never_beaten_stays(new_network: Callable[[], Network]) -> None:
    """Where every epoch makes it worse, the fitted head is what is kept, to the bit."""
    network = new_network()
    perfect = 100 * np.eye(2, dtype=np.float32)[VAL_LABELS]
    start = replace(fit_start(network), logits=perfect)  # of a head that takes more features than the one to be trained
    before = network.state()
    tuned = fine_tune(network, TRAIN, VAL, default_plan(), start=start)
    assert tuned.best_epoch == 0
    assert len(tuned.history) == 3
    assert (tuned.history[0].val_accuracy, tuned.history[0].val_loss) == (1.0, 0.0)
    assert (tuned.probabilities.argmax(axis=1) == VAL_LABELS).all()
    assert changed(before, network) == set()


def test_without_val_the_last_epoch_counts(new_network: Callable[[], Network]) -> None:
    """Without val nothing is selected: the last epoch is the result, and there are no probabilities."""
    tuned = fine_tune(new_network(), TRAIN, None, default_plan(epochs=3))
    assert tuned.best_epoch == 3
    assert [(row.val_loss, row.val_accuracy) for row in tuned.history] == [(None, None)] * 3
    assert tuned.probabilities.shape == (0, 2)


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_stop_after(stop_after: int, new_network: Callable[[], Network]) -> None:
    """A refit ends after the epochs that were best before, on the schedule of the whole plan; none at all is possible."""
    network = new_network()
    row = fit_start(network).epoch.model_copy(update={"val_loss": None, "val_accuracy": None})
    start = Start(row, np.empty((0, 2), np.float32))
    before = network.state()
    tuned = fine_tune(network, TRAIN, None, default_plan(epochs=5), start=start, stop_after=stop_after)
    assert (tuned.best_epoch, len(tuned.history)) == (stop_after, stop_after + 1)
    assert (changed(before, network) == set()) == (stop_after == 0)
    if stop_after:
        assert tuned.history[-1].lr > 0.4 * default_plan().steps.learning_rate  # cosine over 5 epochs is not at its end


def test_training_teaches(new_network: Callable[[], Network]) -> None:
    """Fine-tuning from a random head learns two colours: the loss on train falls."""
    tuned = fine_tune(new_network(), TRAIN, VAL, default_plan(epochs=8, learning_rate=1e-3, augment="none"))
    assert tuned.history[-1].train_loss < tuned.history[0].train_loss / 2
    assert max(row.val_accuracy or 0 for row in tuned.history) > 0.8


# Repeatable, resumable, interruptible


@pytest.mark.parametrize("make_plan", [default_plan, classic_plan])
def test_same_seed_same_weights(make_plan: Callable[..., TrainingPlan], new_network: Callable[[], Network]) -> None:
    """The same seed gives the same bits, whatever the number of threads that fetch pixels; another seed others."""
    networks = []
    for seed, workers in ((0, 1), (0, 4), (1, 1)):
        networks.append(new_network())
        fine_tune(networks[-1], TRAIN, VAL, make_plan(seed=seed, workers=workers, epochs=1))
        torch.rand(3)  # torch's global random numbers do not matter
    assert same_weights(networks[0], networks[1])
    assert not same_weights(networks[0], networks[2])


@pytest.mark.parametrize("micro_batch", [1, 3, 4])
def test_micro_batches_change_nothing_but_memory(micro_batch: int, new_network: Callable[[], Network]) -> None:
    """A batch in pieces, the last one smaller or not, gives the losses and the weights of the whole batch."""
    whole, pieces = new_network(), new_network()
    plan = with_steps(default_plan(batch_size=8, epochs=1), optimizer="sgd")  # Adam's steps show the sign of rounding alone
    expected = fine_tune(whole, TRAIN, VAL, with_steps(plan, micro_batch=8)).history
    found = fine_tune(pieces, TRAIN, VAL, with_steps(plan, micro_batch=micro_batch)).history
    assert found[-1].train_loss == pytest.approx(expected[-1].train_loss, abs=1e-5)
    assert found[-1].train_accuracy == expected[-1].train_accuracy
    for name, tensor in whole.state().items():
        torch.testing.assert_close(pieces.state()[name], tensor, atol=1e-6, rtol=1e-4)


class Stop(Exception):  # noqa: N818 - no failure of the program
    """Stands for a process that is killed."""


def stop_at(stage: str, step: int, error: type[BaseException]) -> Callable[[str, int, int], None]:
    def progress(now: str, done: int, total: int) -> None:
        if (now, done) == (stage, step):
            raise error

    return progress


@pytest.mark.parametrize(
    ("make_plan", "killed_in"),
    [(default_plan, ("epoch 2 of 3", 2)), (default_plan, ("epoch 3 of 3", 3)), (classic_plan, ("epoch 3 of 3", 1))],
)
def test_a_resumed_run_is_the_same_run(
    make_plan: Callable[..., TrainingPlan], killed_in: tuple[str, int], new_network: Callable[[], Network], tmp_path: Path
) -> None:
    """A run that was killed in the middle of an epoch and resumed ends with the same bits, history and answers."""
    plan = make_plan(epochs=3)
    whole, resumed = new_network(), new_network()
    expected = fine_tune(whole, TRAIN, VAL, plan)
    with pytest.raises(Stop):
        fine_tune(new_network(), TRAIN, VAL, plan, checkpoints=tmp_path, progress=stop_at(*killed_in, Stop))
    seen: list[str] = []
    found = fine_tune(resumed, TRAIN, VAL, plan, checkpoints=tmp_path, progress=lambda stage, *_: seen.append(stage))
    assert "epoch 1 of 3" not in seen
    assert same_weights(whole, resumed)
    assert without_seconds(found.history) == without_seconds(expected.history)
    assert found.best_epoch == expected.best_epoch
    assert np.array_equal(found.probabilities, expected.probabilities)


def test_a_finished_run_is_not_trained_again(new_network: Callable[[], Network], tmp_path: Path) -> None:
    """Resuming after the last epoch trains nothing and gives the same result."""
    first, second = new_network(), new_network()
    expected = fine_tune(first, TRAIN, VAL, default_plan(), checkpoints=tmp_path)
    seen: list[str] = []
    found = fine_tune(second, TRAIN, VAL, default_plan(), checkpoints=tmp_path, progress=lambda s, *_: seen.append(s))
    assert seen == []
    assert found.history == expected.history
    assert same_weights(first, second)


def test_checkpoints_of_another_plan_are_refused(new_network: Callable[[], Network], tmp_path: Path) -> None:
    """A checkpoint written with other settings is never gone on from."""
    fine_tune(new_network(), TRAIN, VAL, default_plan(), checkpoints=tmp_path)
    with pytest.raises(TrainingError, match="changed since it started: learning_rate"):
        fine_tune(new_network(), TRAIN, VAL, with_steps(default_plan(), learning_rate=0.5), checkpoints=tmp_path)


def test_interrupt_keeps_the_best_so_far(new_network: Callable[[], Network]) -> None:
    """Ctrl-C in epoch 3 ends training with the best of the first two, marked as interrupted."""
    network = new_network()
    tuned = fine_tune(network, TRAIN, VAL, default_plan(epochs=5), progress=stop_at("epoch 3 of 5", 2, KeyboardInterrupt))
    assert tuned.interrupted
    assert len(tuned.history) == 2
    assert tuned.best_epoch in (1, 2)
    np.testing.assert_allclose(softmax(network.logits(VAL_PIXELS)), tuned.probabilities, atol=1e-6)


def test_interrupt_before_any_epoch(new_network: Callable[[], Network]) -> None:
    """Ctrl-C in the first epoch leaves the fitted head where there is one, and is raised where there is nothing to keep."""
    interrupt = stop_at("epoch 1 of 2", 1, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(new_network(), TRAIN, VAL, classic_plan(), progress=interrupt)
    network = new_network()
    start = fit_start(network)
    before = network.state()
    tuned = fine_tune(network, TRAIN, VAL, default_plan(), start=start, progress=interrupt)
    assert (tuned.interrupted, tuned.best_epoch, tuned.history) == (True, 0, (start.epoch,))
    assert changed(before, network) == set()


def test_loss_that_is_not_finite(new_network: Callable[[], Network]) -> None:
    """A diverging run stops with epoch and step in the sentence, and the hint is a lower rate."""
    plan = with_steps(default_plan(), learning_rate=1e30, head_learning_rate=1e30)
    with pytest.raises(TrainingError, match="the loss is no longer finite in epoch 1, step 2") as caught:
        fine_tune(new_network(), TRAIN, None, plan)
    assert caught.value.hint == "try a lower --learning-rate than 1e+30"


def test_answers_that_are_not_finite(new_network: Callable[[], Network]) -> None:
    """A last step that breaks the network is told by the validation after it; no NaN gets into the history."""
    plan = with_steps(default_plan(batch_size=N_TRAIN), learning_rate=1e30, head_learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"outputs on val are no longer finite after epoch 1, step 1") as caught:
        fine_tune(new_network(), TRAIN, VAL, plan)
    assert caught.value.hint == "try a lower --learning-rate than 1e+30"


def test_progress_tells_of_both_phases(new_network: Callable[[], Network]) -> None:
    """Progress counts the steps of each epoch and the images of each validation, a micro-batch at a time."""
    steps: list[tuple[str, int, int]] = []
    fine_tune(new_network(), TRAIN, VAL, default_plan(epochs=2), progress=lambda *step: steps.append(step))
    training = [("epoch {} of 2", step, N_STEPS) for step in (1, 2, 3)]
    validating = [("validating", done, 12) for done in (4, 8, 12)]
    expected = [(stage.format(epoch), *rest) for epoch in (1, 2) for stage, *rest in [*training, *validating]]
    assert [tuple(step) for step in expected] == steps


def test_every_image_once_an_epoch(new_network: Callable[[], Network]) -> None:
    """Each epoch takes every image exactly once, in another order than the epoch before."""
    asked: list[int] = []

    class Recorded:
        def __getitem__(self, i: int) -> np.ndarray:
            asked.append(i)
            return TRAIN.pixels[i]

    fine_tune(new_network(), TrainingImages(Recorded(), TRAIN.labels), None, default_plan(workers=1), progress=silent)
    first, second = asked[:N_TRAIN], asked[N_TRAIN:]
    assert sorted(first) == sorted(second) == list(range(N_TRAIN))
    assert first != second


# Limited time: a step takes a second, a validation of two batches two, or as long as is usual


USUAL = 0.25  # seconds for a batch of val, where a training step takes one


def limited(seconds: float, validating: float = 1.0, **more: Any) -> tuple[WorkClock, dict[str, Any]]:
    clock = WorkClock({"epoch ": 1.0, "validating": validating})
    return clock, {"limit": TimeLimit(Deadline(seconds, 0.0, clock), **more), "progress": clock.progress}


def test_a_limit_that_does_not_bind_changes_nothing(new_network: Callable[[], Network]) -> None:
    """With just enough time the weights and the history are those of a run without a limit."""
    free, bound = new_network(), new_network()
    expected = fine_tune(free, TRAIN, VAL, default_plan(epochs=3))
    clock, given = limited(18.5, shortens=True)
    found = fine_tune(bound, TRAIN, VAL, default_plan(epochs=3), **given)
    assert (found.cut, clock.now) == (None, 18.0)
    assert same_weights(free, bound)
    assert without_seconds(found.history) == without_seconds(expected.history)


@pytest.mark.parametrize("schedule", [*SCHEDULES, "one-cycle"])
@pytest.mark.parametrize("seconds", [9, 10.5, 14.5, 17, 26])
def test_training_is_shortened_to_what_fits(seconds: float, schedule: str, new_network: Callable[[], Network]) -> None:
    """A run that has time for fewer steps makes these, ends with the schedule's last rate, validates, and is in time."""
    plan, network = default_plan(schedule=schedule, learning_rate=HIGHEST, epochs=10), new_network()
    clock, given = limited(seconds, validating=USUAL, shortens=True)
    tuned = fine_tune(network, TRAIN, VAL, plan, start=fit_start(network), **given)
    assert clock.now <= seconds and seconds - clock.now < 2  # another step and its validation would not have fitted
    assert tuned.cut is not None and tuned.cut.of == N_STEPS
    assert [row.epoch for row in tuned.history] == list(range(tuned.cut.epoch + (tuned.cut.steps > 0)))
    assert clock.stages[-1] == "validating"
    whole = fine_tune(new_network(), TRAIN, None, plan).history[-1].lr
    n_made = (tuned.cut.epoch - 1) * N_STEPS + tuned.cut.steps
    # The last step begins that much before the schedule ends: the fewer steps there are, the more.
    assert tuned.history[-1].lr == pytest.approx(whole, abs=HIGHEST * min(1, 7 / (n_made - 1) ** 2))
    n_seen = (tuned.cut.steps or N_STEPS) * BATCH
    assert tuned.history[-1].train_accuracy * n_seen == pytest.approx(round(tuned.history[-1].train_accuracy * n_seen))


def test_a_slower_machine(new_network: Callable[[], Network]) -> None:
    """A load that sets in later is seen: training is at most a tenth late, and the best epoch is kept."""
    network = new_network()
    clock = WorkClock({"epoch ": 1.0, "validating": 1.0})

    def progress(stage: str, done: int, total: int) -> None:
        clock.progress(stage, done, total)
        clock.seconds["epoch "] = 5.0 if stage.startswith("epoch 3") else clock.seconds["epoch "]

    limit = TimeLimit(Deadline(42.0, 0.0, clock), shortens=True)
    tuned = fine_tune(network, TRAIN, VAL, default_plan(epochs=7), limit=limit, progress=progress)
    assert clock.now <= 1.1 * 42.0
    assert tuned.cut is not None and 3 <= tuned.cut.epoch < 7
    np.testing.assert_allclose(softmax(network.logits(VAL.views[:, 0])), tuned.probabilities, atol=1e-6)


def test_time_for_what_follows_is_left(new_network: Callable[[], Network]) -> None:
    """Images predicted after training take what val's took; a second training takes a multiple of the first."""
    clock, given = limited(40, shortens=True, later=4 * N_VAL)
    fine_tune(new_network(), TRAIN, VAL, default_plan(epochs=10), **given)
    assert 40 - 12 - 4 < clock.now <= 40 - 12
    clock, given = limited(40, shortens=True, again=1.5)
    tuned = fine_tune(new_network(), TRAIN, VAL, default_plan(epochs=10), **given)
    n_steps = clock.now - 3 * len(tuned.history)
    assert 40 - 5.5 < clock.now + 1.5 * n_steps <= 40


def test_no_time_at_all(new_network: Callable[[], Network]) -> None:
    """The fitted head stays as it was; a random one gets a single step, because there must be something to keep."""
    network = new_network()
    start = fit_start(network)
    before = network.state()
    _, given = limited(-1.0, shortens=True)  # it is over already
    tuned = fine_tune(network, TRAIN, VAL, default_plan(), start=start, **given)
    assert (tuned.best_epoch, tuned.history, tuned.interrupted) == (0, (start.epoch,), False)
    assert tuned.cut == Cut(epoch=1, steps=0, of=N_STEPS)
    assert changed(before, network) == set()
    _, given = limited(0.0, shortens=True)
    tuned = fine_tune(new_network(), TRAIN, VAL, classic_plan(), **given)
    assert ([row.epoch for row in tuned.history], tuned.cut) == ([1], Cut(epoch=1, steps=1, of=N_STEPS))


def test_all_or_nothing(new_network: Callable[[], Network]) -> None:
    """Training that is not to be shortened keeps its schedule and is ended by the deadline."""
    rates = [row.lr for row in fine_tune(new_network(), TRAIN, None, default_plan(epochs=4)).history]
    _, given = limited(7.5)
    tuned = fine_tune(new_network(), TRAIN, None, default_plan(epochs=4), **given)
    assert tuned.cut == Cut(epoch=3, steps=2, of=N_STEPS)
    assert [row.lr for row in tuned.history][:2] == rates[:2]


def test_a_cut_is_final(new_network: Callable[[], Network], tmp_path: Path) -> None:
    """A run that was killed after its time was over makes no more steps when it is resumed, and ends with the same bits."""
    first, second = new_network(), new_network()
    _, given = limited(11, shortens=True)
    expected = fine_tune(first, TRAIN, VAL, default_plan(epochs=9), checkpoints=tmp_path, **given)
    assert expected.cut is not None
    seen: list[str] = []
    plan = default_plan(epochs=9)
    found = fine_tune(second, TRAIN, VAL, plan, checkpoints=tmp_path, progress=lambda stage, *_: seen.append(stage))
    assert seen == []
    assert (found.history, found.best_epoch, found.cut) == (expected.history, expected.best_epoch, expected.cut)
    assert same_weights(first, second)
