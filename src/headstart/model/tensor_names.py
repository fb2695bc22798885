"""The names of tensors in files of weights: what wraps a state dict is taken off, and other names become timm's. No torch."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from headstart.errors import BackboneError
from headstart.model.weights import check_shapes

T = TypeVar("T")

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


def state_in(content: object, tensor: type[T], file: Path) -> dict[str, T]:
    """The state dict in a file's content, where training scripts may have wrapped it. Raises BackboneError if there is none.

    `tensor` is the type of its values.
    """
    for key in ("state_dict", "model", "state_dict_ema"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, tensor) for name, value in content.items()
    ):
        raise BackboneError(f"{file} contains no state dict", hint="save the model's state_dict()")
    return {name.removeprefix("module."): value for name, value in content.items()}


def damaged(file: Path) -> BackboneError:
    """The error for a torch file that is damaged or holds Python objects.

    It never has torch's own message, which suggests loading the file without the check.
    """
    return BackboneError(
        f"{file} is damaged, or contains more than plain tensors: Python objects are never loaded",
        hint="save the model's state_dict(), not the model itself; .safetensors is best",
    )


def to_timm_names(state: dict[str, T], wanted: Iterable[str]) -> dict[str, T]:
    """The same tensors by timm's names; a state that does not use efficientnet_pytorch's names is returned unchanged.

    `wanted` are the names of the tensors of timm's network, in its order.
    """
    if "_conv_stem.weight" not in state:
        return state
    blocks = re.compile(r"blocks\.(\d+)\.(\d+)\.conv_dw\.weight")
    places = [f"blocks.{m[1]}.{m[2]}" for name in wanted if (m := blocks.fullmatch(name))]
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


def check_tensors(
    found: Mapping[str, tuple[int, ...]],
    wanted: Mapping[str, tuple[int, ...]],
    head: str,
    file: Path,
    *,
    head_must_fit: bool = False,
) -> None:
    """Raises BackboneError unless the tensors found are exactly those of the network, with the right shapes.

    Both map names to shapes. Unless `head_must_fit`, the last layer may be missing or different, because it is replaced. Batch
    counters may also be missing, as in old files.
    """

    def body(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        return {name: shape for name, shape in shapes.items() if head_must_fit or not name.startswith(f"{head}.")}

    needed = {name: shape for name, shape in body(wanted).items() if name in found or not name.endswith("num_batches_tracked")}
    check_shapes(body(found), needed, file)
