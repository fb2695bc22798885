"""Folds frozen batch norms into the preceding convolutions while a network is trained.

With frozen statistics, a batch norm is a factor and a shift per channel. Multiplied into the weights of the convolution, it
costs nothing: on two cores a step of EfficientNet-Lite0 takes 11.9 ms per image instead of 14.7, and validation 5.6 instead of
7.7. Afterwards each batch norm is restored with its statistics and weight, so a saved network has timm's architecture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

SMALLEST_FACTOR = 1e-6
TOLERANCE = 1e-3  # of the outputs' spread; a wrong fold changes the outputs completely


@dataclass(frozen=True, slots=True)
class Folded:
    """A batch norm that is temporarily folded into its convolution."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d
    parent: nn.Module
    child: str  # the norm's name in `parent`
    conv_name: str  # names in the whole network, as in a state dict
    norm_name: str
    weight: torch.Tensor  # of the convolution before folding
    factor: torch.Tensor  # (out_channels,): by which the weight was multiplied


def fold_batch_norms(module: nn.Module, compute: Callable[[], torch.Tensor]) -> list[Folded]:
    """Folds each batch norm that follows a convolution among its parent's children; returns them for `unfold`.

    `compute` gives outputs of the network for an example, and is called before and after. If the outputs differ, the order of
    definition is not the order of computation, and everything is restored. The network must be in eval mode.
    """
    with torch.inference_mode():
        before = compute().float()
    folded = [_fold(*place) for place in _places(module)]
    with torch.inference_mode():
        after = compute().float()
    if not (after - before).abs().max() <= TOLERANCE * before.std().clamp(min=1e-6):
        unfold(folded)
        return []
    return folded


def unfold(folded: list[Folded]) -> None:
    """Restores the batch norms without changing what the network computes."""
    for pair in folded:
        with torch.no_grad():
            for owner, tensors in ((pair.conv, _plain_conv(pair)), (pair.norm, _plain_norm(pair))):
                for name, tensor in tensors.items():
                    getattr(owner, name).copy_(tensor)
        pair.conv.bias = None
        setattr(pair.parent, pair.child, pair.norm)


def plain_state(state: dict[str, torch.Tensor], folded: list[Folded]) -> dict[str, torch.Tensor]:
    """The state of a folded network as it will be once its batch norms are restored, on the CPU."""
    plain = dict(state)
    for pair in folded:
        del plain[f"{pair.conv_name}.bias"]
        norm = pair.norm.state_dict() | _plain_norm(pair)
        for name, tensors in ((pair.conv_name, _plain_conv(pair)), (pair.norm_name, norm)):
            for part, tensor in tensors.items():
                plain[f"{name}.{part}"] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return plain


def _plain_conv(pair: Folded) -> dict[str, torch.Tensor]:
    """The convolution's weight without the factor; bit-identical to the original if it was not trained."""
    weight = pair.conv.weight.detach()
    return {"weight": weight / pair.factor.view(-1, 1, 1, 1) if pair.conv.weight.requires_grad else pair.weight}


def _plain_norm(pair: Folded) -> dict[str, torch.Tensor]:
    """The batch norm's bias without the statistics; the statistics and the weight are unchanged."""
    bias = pair.conv.bias
    assert bias is not None  # set by folding
    if not bias.requires_grad:
        return {}
    mean = pair.norm.running_mean
    assert mean is not None  # norms without statistics are not folded
    return {"bias": bias.detach() + mean * pair.factor}


def _places(module: nn.Module) -> list[tuple[nn.Module, str, str, str, str]]:
    """(parent, convolution, batch norm, their names in the whole network)."""
    found = []
    for path, parent in module.named_modules():
        children = list(parent.named_children())
        prefix = f"{path}." if path else ""
        for (conv_child, conv), (child, norm) in pairwise(children):
            fits = isinstance(conv, nn.Conv2d) and conv.bias is None and isinstance(norm, nn.BatchNorm2d)
            if fits and norm.affine and norm.track_running_stats and norm.num_features == conv.out_channels:
                if (norm.weight.abs() < SMALLEST_FACTOR).any():  # a channel with a zero weight could not be restored
                    continue
                found.append((parent, conv_child, child, prefix + conv_child, prefix + child))
    return found


def _fold(parent: nn.Module, conv_child: str, child: str, conv_name: str, norm_name: str) -> Folded:
    conv, norm = getattr(parent, conv_child), getattr(parent, child)
    with torch.no_grad():
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        channels_last = conv.weight.is_contiguous(memory_format=torch.channels_last)
        in_memory = torch.channels_last if channels_last else torch.contiguous_format
        weight = (conv.weight * factor.view(-1, 1, 1, 1)).contiguous(memory_format=in_memory)
        bias = norm.bias - norm.running_mean * factor
    before = conv.weight.detach()
    conv.weight = nn.Parameter(weight, requires_grad=conv.weight.requires_grad)
    conv.bias = nn.Parameter(bias, requires_grad=norm.bias.requires_grad)
    rest = [getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)]  # timm's norms also contain these
    setattr(parent, child, nn.Sequential(*rest) if rest else nn.Identity())
    return Folded(conv, norm, parent, child, conv_name, norm_name, before, factor)
