"""What timm's networks do each in its own way, made one: the last layer, the size of the input, names in weights files."""

import sys
from typing import Any

import torch

from headstart.channels import COLOURS
from headstart.errors import BackboneError, SettingsError
from headstart.model.wide_input import widened

State = dict[str, torch.Tensor]
LEAST_PX = 32  # of --image-size


class _WithLinearHead(torch.nn.Module):
    """Mixed into a network of timm: one linear layer on its pooled features instead of its own classifier."""

    linear_head: torch.nn.Linear
    own_classifier: frozenset[str]  # the names of the tensors that its own classifier had

    def get_classifier(self) -> torch.nn.Linear:
        """The linear layer."""
        return self.linear_head

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, 3, size, size) float32 -> (n, n_classes) logits."""
        network: Any = self  # timm's own methods
        return self.linear_head(network.forward_head(network.forward_features(inputs), pre_logits=True))


def give_linear_head(module: torch.nn.Module, name: str) -> None:
    """Makes the last layer of a network one linear layer on what `forward_head(..., pre_logits=True)` returns.

    Most have one. A network without a classifier, such as DINOv2, gets one where timm would put it. A classifier of another
    kind (LeViT's two with batch norms, a convolution, a distilled transformer's two) is removed: a new head is fitted anyway,
    and `head_dist` and the like could not take it. Raises BackboneError if timm does not say how long features are.
    """
    network: Any = module  # timm's own methods
    width = getattr(module, "head_hidden_size", None)
    layer = network.get_classifier()
    if isinstance(layer, torch.nn.Linear) and layer.in_features == (width or layer.in_features):
        return
    if not isinstance(width, int):
        raise BackboneError(f"{name} has a head that is not a single linear layer", hint="use another backbone")
    if isinstance(layer, torch.nn.Identity):
        network.reset_classifier(1)
        layer = network.get_classifier()
        if isinstance(layer, torch.nn.Linear) and layer.in_features == width:
            return
    before = set(module.state_dict())
    network.reset_classifier(0)
    body = type(module)
    module.__class__ = type(f"{body.__name__}WithLinearHead", (_WithLinearHead, body), {})
    network.own_classifier = frozenset(before - set(module.state_dict()))
    network.linear_head = torch.nn.Linear(width, 1)


def fit_input_size(module: torch.nn.Module, size_px: int, name: str) -> None:
    """Makes a transformer whose position embeddings belong to one size take images of another, by resampling them as timm does.

    Networks that take every size, or only one, stay as they are. Resampling loses detail, so each size begins from pretrained
    weights. Raises SettingsError for a size that patches do not fill.
    """
    network: Any = module  # timm's own methods
    embed = getattr(module, "patch_embed", None)
    size, patch = getattr(embed, "img_size", None), getattr(embed, "patch_size", None)
    if size is None or patch is None or not hasattr(module, "set_input_size") or tuple(size) == (size_px, size_px):
        return
    if size_px % patch[0]:
        fits = max(round(size_px / patch[0]), -(-LEAST_PX // patch[0])) * patch[0]
        raise SettingsError(
            f"{name} cannot take images of {size_px} px: it cuts them into patches of {patch[0]} px",
            hint=f"--image-size {fits}",
        )
    try:
        network.set_input_size((size_px, size_px))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise SettingsError(f"{name} cannot take images of {size_px} px: {error}", hint="leave out --image-size") from error


def widen_input(module: torch.nn.Module, n_channels: int, name: str) -> None:
    """Makes a network for red, green and blue take images of more channels: its first convolutions are widened.

    Raises BackboneError for a network whose first layer is of another kind, or which timm does not name.
    """
    if n_channels == COLOURS:
        return
    first = getattr(module, "default_cfg", {}).get("first_conv") or ()
    parts = dict(module.named_modules())
    layers = [parts.get(layer) for layer in ((first,) if isinstance(first, str) else first)]
    if not layers or not all(
        isinstance(one, torch.nn.Conv2d) and (one.in_channels, one.groups) == (COLOURS, 1) for one in layers
    ):
        raise BackboneError(
            f"{name} has no convolution over red, green and blue as its first layer, so it does not take {n_channels} channels",
            hint="use another backbone, or choose up to three channels",
        )
    for layer in layers:
        assert isinstance(layer, torch.nn.Conv2d)
        wide = torch.from_numpy(widened(layer.weight.detach().cpu().numpy(), n_channels))
        layer.weight, layer.in_channels = torch.nn.Parameter(wide), n_channels


def as_timm_loads(state: State, module: torch.nn.Module, head: str) -> State:
    """The tensors of a file as timm would load them into the network: without its own classifier if that was replaced.

    A file that timm has a conversion for, such as one in the layout of the network's authors, is converted by it. What does not
    fit afterwards is returned as it was, so that errors speak of the file's own names. `head` is the last layer's prefix.
    """
    wanted = _shapes(module.state_dict(), head)
    own: frozenset[str] = getattr(module, "own_classifier", frozenset())
    if _shapes(state, head) == wanted:
        return state
    kept = {name: tensor for name, tensor in state.items() if name not in own}
    if _shapes(kept, head) == wanted:
        return kept
    for timms in type(module).__mro__:
        convert = getattr(sys.modules[timms.__module__], "checkpoint_filter_fn", None)
        if convert is not None and timms.__module__.startswith("timm.models."):
            try:
                converted = convert(dict(state), module)
            except Exception:  # any error, on a file of another network: the check of names then says what does not fit
                return kept
            converted = {name: tensor for name, tensor in converted.items() if name not in own}
            return converted if _shapes(converted, head) == wanted else kept
    return kept


def _shapes(state: State, head: str) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(tensor.shape)
        for name, tensor in state.items()
        if not name.startswith(f"{head}.") and not name.endswith("num_batches_tracked")
    }
