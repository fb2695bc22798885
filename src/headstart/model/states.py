"""State dicts of torch networks: reads them, converts them to timm's names, and checks all names and shapes."""

import re
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from headstart.errors import BackboneError
from headstart.model.weights import check_shapes

# efficientnet_pytorch's names: in blocks without and with an expanding convolution, and outside blocks.
PLAIN_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
EXPANDING_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}


def read_state(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file, or of a torch file read with weights_only=True. Raises BackboneError."""
    try:
        if file.suffix == ".safetensors":
            return safetensors.torch.load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, safetensors.SafetensorError) as error:
        raise BackboneError(f"{file} cannot be read: {error}", hint="is the file complete?") from error
    except Exception as error:  # torch.load raises all kinds of errors on invalid files, and refuses pickled code
        # Not torch's own message: it suggests loading the file without the check.
        raise BackboneError(
            f"{file} is damaged, or contains more than plain tensors: Python objects are never loaded",
            hint="save the model's state_dict(), not the model itself; .safetensors is best",
        ) from error
    for key in ("state_dict", "model", "state_dict_ema"):  # what training scripts wrap a state dict in
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise BackboneError(f"{file} contains no state dict", hint="save the model's state_dict()")
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def to_timm_names(state: dict[str, torch.Tensor], module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The same tensors by timm's names; a state that does not use efficientnet_pytorch's names is returned unchanged."""
    if "_conv_stem.weight" not in state:
        return state
    blocks = re.compile(r"blocks\.(\d+)\.(\d+)\.conv_dw\.weight")
    places = [f"blocks.{m[1]}.{m[2]}" for name in module.state_dict() if (m := blocks.fullmatch(name))]
    named = {}
    for name, tensor in state.items():
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+?)\.(.+)", name):
            number, part, rest = int(match[1]), match[2], match[3]
            names = EXPANDING_BLOCK if f"_blocks.{number}._expand_conv.weight" in state else PLAIN_BLOCK
            if number < len(places) and part in names:
                named[f"{places[number]}.{names[part]}.{rest}"] = tensor
                continue
        part, _, rest = name.partition(".")
        named[f"{OUTSIDE_BLOCKS.get(part, part)}.{rest}"] = tensor
    return named


def check_state(
    module: torch.nn.Module, state: dict[str, torch.Tensor], head: str, file: Path, *, head_must_fit: bool = False
) -> None:
    """Raises BackboneError unless `state` has exactly the network's tensors with the right shapes.

    Unless `head_must_fit`, the last layer may be missing or different, because it is replaced. Batch counters may also be
    missing, as in old files.
    """

    def shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
        return {n: tuple(t.shape) for n, t in tensors.items() if head_must_fit or not n.startswith(f"{head}.")}

    wanted = shapes(module.state_dict())
    check_shapes(shapes(state), {n: s for n, s in wanted.items() if n in state or not n.endswith("num_batches_tracked")}, file)
