"""What a plan trains, with which steps: the frozen parameters, the optimizer and the learning-rate schedule."""

import torch
from torch.optim import lr_scheduler

from headstart.errors import SettingsError
from headstart.model.backbones import Network
from headstart.recipes import TrainingPlan


def frozen_parameters(network: Network, plan: TrainingPlan) -> list[str]:
    """Names of the parameters that are not trained. Raises SettingsError if `freeze` would leave nothing to train."""
    blocks = network.blocks()
    if plan.strategy == "probe":
        return [name for names in blocks for name in names]
    if plan.network.freeze >= len(blocks) - 1:
        raise SettingsError(
            f"--freeze {plan.network.freeze} leaves nothing to train: {network.spec.name} has {len(blocks) - 1} blocks",
            hint=f"freeze at most {len(blocks) - 2}, or use --strategy probe",
        )
    return [name for names in blocks[: plan.network.freeze + 1] for name in names] if plan.network.freeze else []


def make_optimizer(network: Network, plan: TrainingPlan) -> torch.optim.Optimizer:
    """The plan's optimizer for the trained parameters: the body first, then the last layer with its own learning rate."""
    steps = plan.steps
    head = list(network.last_layer.parameters())
    own = {id(parameter) for parameter in head}
    body = [p for p in network.module.parameters() if p.requires_grad and id(p) not in own]
    # No weight decay for biases and normalisation weights, as usual.
    groups = [
        {"params": [p for p in body if p.ndim > 1], "lr": steps.learning_rate, "weight_decay": steps.weight_decay},
        {"params": [p for p in body if p.ndim <= 1], "lr": steps.learning_rate, "weight_decay": 0.0},
        {"params": head, "lr": steps.head_learning_rate, "weight_decay": steps.weight_decay},
    ]
    groups = [group for group in groups if group["params"]]
    if steps.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=steps.learning_rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=steps.learning_rate)


def make_scheduler(optimizer: torch.optim.Optimizer, plan: TrainingPlan, n_steps: int) -> lr_scheduler.LRScheduler:
    """The plan's schedule, to be advanced after each of the `n_steps` steps of an epoch."""
    steps, total = plan.steps, plan.steps.epochs * n_steps
    if steps.schedule == "one-cycle":
        highest = [group["lr"] for group in optimizer.param_groups]
        return lr_scheduler.OneCycleLR(optimizer, max_lr=highest, total_steps=total + 1, cycle_momentum=False)
    if steps.schedule == "step":
        return lr_scheduler.StepLR(optimizer, step_size=steps.step_epochs * n_steps, gamma=0.1)
    warmup = max(1, round(steps.warmup_share * total))
    rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    rest: lr_scheduler.LRScheduler
    if steps.schedule == "cosine":
        rest = lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, total - warmup))
    else:
        rest = lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=1)
    return lr_scheduler.SequentialLR(optimizer, [rise, rest], milestones=[warmup])
