"""Facts in, numbers out: the recipes as tables."""

from dataclasses import replace
from typing import Any

import pytest

from headstart.recipes import (
    RunFacts,
    TrainingPlan,
    channels_last_pays,
    default_batch_size,
    default_epochs,
    default_freeze,
    default_precision,
    default_workers,
    finetune_plan,
    grouped,
    plan_for,
    tutorial_plan,
)
from headstart.settings import TrainSettings

LAPTOP = RunFacts(n_train=244, n_classes=2, image_size=224, device="cpu", bf16=False, cores=2)
SERVER = replace(LAPTOP, device="cuda:0", bf16=True, cores=64)


@pytest.mark.parametrize(
    ("n_train", "device", "left_open", "epochs"),
    [
        (2, "cpu", 0.1, 3),
        (599, "cpu", 0.3, 3),
        (599, "cpu", 0.4, 5),
        (600, "cpu", 0.1, 4),
        (2_999, "cpu", 0.5, 7),
        (3_000, "cpu", 0.1, 3),
        (1_999, "cuda:0", 0.1, 12),
        (2_000, "cuda:0", 0.9, 8),
    ],
)
def test_epochs(n_train: int, device: str, left_open: float, epochs: int) -> None:
    """A CPU makes few passes over train, nearly twice as many where the probe leaves much open; a GPU more."""
    assert default_epochs(replace(LAPTOP, n_train=n_train, device=device, left_open=left_open)) == epochs


@pytest.mark.parametrize(
    ("n_train", "device", "batch_size"),
    [(20_000, "cpu", 16), (999, "cuda:0", 16), (1_000, "cuda:0", 32), (4_999, "mps", 32), (5_000, "cuda:0", 64)],
)
def test_batch_size(n_train: int, device: str, batch_size: int) -> None:
    """A CPU takes 16 images a step, a GPU more where there are enough."""
    assert default_batch_size(replace(LAPTOP, n_train=n_train, device=device)) == batch_size


@pytest.mark.parametrize(
    ("device", "bf16", "precision"),
    [("cpu", False, "fp32"), ("cpu", True, "bf16"), ("cuda:1", True, "bf16"), ("cuda", False, "fp16"), ("mps", False, "fp32")],
)
def test_precision(device: str, bf16: bool, precision: str) -> None:
    """bfloat16 where it is fast, float16 on older NVIDIA GPUs, else float32."""
    assert default_precision(replace(LAPTOP, device=device, bf16=bf16)) == precision


@pytest.mark.parametrize(("n_blocks", "device", "freeze"), [(8, "cpu", 3), (4, "cpu", 1), (1, "cpu", 0), (8, "cuda:0", 0)])
def test_freeze(n_blocks: int, device: str, freeze: int) -> None:
    """A CPU leaves the first two fifths of the blocks as they are, a GPU none; what the user says counts, 0 too."""
    facts = replace(LAPTOP, n_blocks=n_blocks, device=device)
    assert default_freeze(facts) == freeze
    assert finetune_plan(TrainSettings(), facts).network.freeze == freeze
    assert finetune_plan(TrainSettings(freeze=0), facts).network.freeze == 0


@pytest.mark.parametrize(("device", "n_views", "pays"), [("cpu", 0, True), ("cuda:0", 99_999, False), ("cuda", 100_000, True)])
def test_channels_last(device: str, n_views: int, pays: bool) -> None:
    """A CPU has channels last always, CUDA only where many views repay the kernels it plans first."""
    assert channels_last_pays(device, n_views=n_views) is pays


@pytest.mark.parametrize(("cores", "workers"), [(0, 1), (1, 1), (2, 2), (16, 16), (128, 16)])
def test_workers(cores: int, workers: int) -> None:
    """One decoding thread a core, at least one, at most sixteen."""
    assert default_workers(cores) == workers


def test_finetune_starts_from_the_fitted_head() -> None:
    """The default recipe is LP-FT with frozen batch norm, the best epoch by accuracy and then by loss."""
    plan = plan_for(TrainSettings.of(strategy="finetune"), LAPTOP)
    assert plan == finetune_plan(TrainSettings.of(strategy="finetune"), LAPTOP)
    assert (plan.network.start, plan.network.batch_norm, plan.best_by) == ("fitted head", "frozen", "accuracy, then loss")
    assert (plan.steps.optimizer, plan.steps.schedule, plan.views.augment, plan.views.image_size) == (
        "adamw",
        "cosine",
        "standard",
        224,
    )
    assert plan.steps.learning_rate == pytest.approx(2e-4)
    assert (plan.steps.head_learning_rate, plan.network.head_on) == (plan.steps.learning_rate, "last layer")


@pytest.mark.parametrize(("device", "batch_size", "micro_batch"), [("cpu", 16, 4), ("cpu", 3, 3), ("cuda:0", 16, 16)])
def test_micro_batch(device: str, batch_size: int, micro_batch: int) -> None:
    """A CPU computes four images at once, a GPU the whole batch; so does the tutorial, whose batch norm looks at all of it."""
    facts, settings = replace(LAPTOP, device=device), TrainSettings.of(batch_size=batch_size)
    assert finetune_plan(settings, facts).steps.micro_batch == micro_batch
    assert tutorial_plan(settings, facts).steps.micro_batch == batch_size


def test_learning_rate_grows_with_the_root_of_the_batch() -> None:
    """Four times the batch, twice the rate."""
    small, large = (finetune_plan(TrainSettings.of(batch_size=size), LAPTOP) for size in (16, 64))
    assert large.steps.learning_rate == pytest.approx(2 * small.steps.learning_rate)


@pytest.mark.parametrize("strategy", ["probe", "finetune"])
@pytest.mark.parametrize("facts", [LAPTOP, SERVER])
def test_tutorial_is_the_classic_procedure(strategy: str, facts: RunFacts) -> None:
    """The tutorial recipe has the tutorial's numbers whatever the strategy and the hardware."""
    plan = plan_for(TrainSettings.of(strategy=strategy, recipe="tutorial"), facts)
    assert plan.strategy == strategy
    assert (plan.steps.optimizer, plan.steps.learning_rate, plan.steps.head_learning_rate, plan.steps.weight_decay) == (
        "sgd",
        0.001,
        0.001,
        0,
    )
    assert (plan.steps.schedule, plan.steps.step_epochs, plan.steps.epochs, plan.steps.batch_size) == ("step", 7, 25, 4)
    assert (plan.network.start, plan.network.batch_norm, plan.best_by, plan.steps.precision) == (
        "random head",
        "train",
        "accuracy",
        "fp32",
    )
    assert (plan.views.image_size, plan.views.crop_scale, plan.views.augment) == (224, (0.08, 1.0), "standard")
    assert (plan.steps.warmup_share, plan.steps.label_smoothing, plan.steps.clip_norm) == (0, 0, None)


@pytest.mark.parametrize("make_plan", [finetune_plan, tutorial_plan])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schedule", "one-cycle"),
        ("epochs", 1),
        ("batch_size", 7),
        ("learning_rate", 0.02),
        ("augment", "no-flip"),
        ("image_size", 96),
        ("freeze", 3),
        ("workers", 5),
        ("seed", 9),
    ],
)
def test_what_is_set_wins(make_plan: Any, name: str, value: Any) -> None:
    """A setting that was given is never replaced by the recipe's choice."""
    assert make_plan(TrainSettings.of(**{name: value}), SERVER).as_json()[name] == value


@pytest.mark.parametrize("make_plan", [finetune_plan, tutorial_plan])
def test_a_plan_is_flat_in_files(make_plan: Any) -> None:
    """In files a plan is one table without its groups, and that is read as the same plan again."""
    plan = make_plan(TrainSettings.of(strategy="finetune"), LAPTOP)
    values = plan.as_json()
    assert not any(isinstance(value, dict) for value in values.values())
    assert len(values) == 25
    assert TrainingPlan.from_json(grouped(values)) == plan
    del values["head_on"]  # earlier versions trained a head on all features, and did not say so
    assert TrainingPlan.from_json(grouped(values)).network.head_on == "all features"
