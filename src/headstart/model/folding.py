"""Frozen batch norms, folded into the convolutions before them while a network is trained.

With its statistics frozen a batch norm is a factor and a shift a channel. Multiplied into the weights of the convolution it
costs nothing: on two cores a step of EfficientNet-Lite0 takes 11.9 ms an image in place of 14.7, validation 5.6 in place of
7.7. Afterwards each batch norm is put back with the statistics and the weight it had, so that a saved network is timm's own.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

SMALLEST_FACTOR = 1e-6
TOLERANCE = 1e-3  # of the outputs' spread; what is folded wrongly is off by its whole size


@dataclass(frozen=True, slots=True)
class Folded:
    """A batch norm that is in its convolution for now."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d
    parent: nn.Module
    child: str  # the norm's name in `parent`
    conv_name: str  # names in the whole network, as in a state dict
    norm_name: str
    weight: torch.Tensor  # of the convolution before
    factor: torch.Tensor  # (out_channels,): what it was multiplied by


def fold_batch_norms(module: nn.Module, example: torch.Tensor) -> list[Folded]:
    """Folds each batch norm that follows a convolution among its parent's children. Returns them for `unfold`.

    The network is called with `example` before and after; where its outputs differ, order of definition is not order of
    computing, and everything is put back. It has to be in eval mode.
    """
    with torch.inference_mode():
        before = module(example).float()
    folded = [_fold(*place) for place in _places(module)]
    with torch.inference_mode():
        after = module(example).float()
    if not (after - before).abs().max() <= TOLERANCE * before.std().clamp(min=1e-6):
        unfold(folded)
        return []
    return folded


def unfold(folded: list[Folded]) -> None:
    """Puts the batch norms back; the network computes what it computed."""
    for pair in folded:
        with torch.no_grad():
            for owner, tensors in ((pair.conv, _plain_conv(pair)), (pair.norm, _plain_norm(pair))):
                for name, tensor in tensors.items():
                    getattr(owner, name).copy_(tensor)
        pair.conv.bias = None
        setattr(pair.parent, pair.child, pair.norm)


def plain_state(state: dict[str, torch.Tensor], folded: list[Folded]) -> dict[str, torch.Tensor]:
    """The state of a network while batch norms are folded, as it will be when they are put back; on the CPU."""
    plain = dict(state)
    for pair in folded:
        del plain[f"{pair.conv_name}.bias"]
        norm = pair.norm.state_dict() | _plain_norm(pair)
        for name, tensors in ((pair.conv_name, _plain_conv(pair)), (pair.norm_name, norm)):
            for part, tensor in tensors.items():
                plain[f"{name}.{part}"] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return plain


def _plain_conv(pair: Folded) -> dict[str, torch.Tensor]:
    """The convolution's weight with the factor taken out; to the bit what it was where it was not trained."""
    weight = pair.conv.weight.detach()
    return {"weight": weight / pair.factor.view(-1, 1, 1, 1) if pair.conv.weight.requires_grad else pair.weight}


def _plain_norm(pair: Folded) -> dict[str, torch.Tensor]:
    """The batch norm's bias with its statistics taken out; these and its weight are what they were."""
    bias = pair.conv.bias
    assert bias is not None  # folding made it
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
                if (norm.weight.abs() < SMALLEST_FACTOR).any():  # a channel that is switched off could not be put back
                    continue
                found.append((parent, conv_child, child, prefix + conv_child, prefix + child))
    return found


def _fold(parent: nn.Module, conv_child: str, child: str, conv_name: str, norm_name: str) -> Folded:
    conv, norm = getattr(parent, conv_child), getattr(parent, child)
    with torch.no_grad():
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = (conv.weight * factor.view(-1, 1, 1, 1)).contiguous(memory_format=torch.channels_last)
        bias = norm.bias - norm.running_mean * factor
    before = conv.weight.detach()
    conv.weight = nn.Parameter(weight, requires_grad=conv.weight.requires_grad)
    conv.bias = nn.Parameter(bias, requires_grad=norm.bias.requires_grad)
    rest = [getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)]  # timm's norms hold these, too
    setattr(parent, child, nn.Sequential(*rest) if rest else nn.Identity())
    return Folded(conv, norm, parent, child, conv_name, norm_name, before, factor)
