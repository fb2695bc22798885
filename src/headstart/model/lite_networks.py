"""The EfficientNet-Lite family: its architecture as data, and its tensors by timm's names. No torch.

Tan and Le 2019, EfficientNet; the Lite variants have no squeeze-and-excitation, ReLU6 in place of swish, and a stem, first and
last stage that do not grow. The names, shapes and paddings are those of timm's tf_efficientnet_lite0, 1 and 2.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart.channels import COLOURS
from headstart.model.tensor_names import check_tensors, to_timm_names
from headstart.model.torch_files import read_arrays
from headstart.model.wide_input import widened

STEM, LAST_LAYER = "conv_stem", "classifier"
STEM_CHANNELS, N_FEATURES, IMAGENET_CLASSES = 32, 1280, 1000
EXPANSION = 6  # of every stage but the first
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the first block of each stage; the stem's is 2
KERNELS = (3, 3, 5, 3, 5, 5, 3)
EPSILON = 1e-3  # of the batch norms


@dataclass(frozen=True, slots=True)
class Lite:
    """The stages of a network of the family, from input to output."""

    blocks: tuple[int, ...]  # in each stage
    channels: tuple[int, ...]  # of each stage's output
    n_channels: int = COLOURS  # of its images

    def with_channels(self, n_channels: int) -> "Lite":
        """The network for images of this many channels."""
        return replace(self, n_channels=n_channels)


LITES = {  # the name of a backbone in specs.py -> its network
    "efficientnet_lite0": Lite((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
    "efficientnet_lite1": Lite((1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 80, 112, 192, 320)),
    "efficientnet_lite2": Lite((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352)),
}


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution without bias and the batch norm behind it."""

    name: str  # in timm
    norm: str
    shape: tuple[int, int, int, int]  # output channels, input channels of a group, kernel, kernel
    stride: int = 1
    clipped: bool = True  # whether ReLU6 follows

    @property
    def groups(self) -> int:
        """The number of groups: all channels in one, or each its own."""
        return self.shape[0] if self.shape[1] == 1 else 1


@dataclass(frozen=True, slots=True)
class Block:
    """Convolutions in a row; with `residual`, their input is added to their output."""

    name: str
    convolutions: tuple[Convolution, ...]
    residual: bool = False


def blocks_of(lite: Lite) -> list[Block]:
    """The network from its stem to its head, which is the last block."""
    stem = Convolution(STEM, "bn1", (STEM_CHANNELS, lite.n_channels, 3, 3), stride=2)
    found, before = [Block(STEM, (stem,))], STEM_CHANNELS
    for stage, (n_blocks, after) in enumerate(zip(lite.blocks, lite.channels, strict=True)):
        for number in range(n_blocks):
            stride = STRIDES[stage] if number == 0 else 1
            name, kernel, wide = f"blocks.{stage}.{number}", KERNELS[stage], before * (EXPANSION if stage else 1)
            depthwise = (wide, 1, kernel, kernel)
            parts: tuple[Convolution, ...]
            if stage:
                parts = (
                    Convolution(f"{name}.conv_pw", f"{name}.bn1", (wide, before, 1, 1)),
                    Convolution(f"{name}.conv_dw", f"{name}.bn2", depthwise, stride),
                    Convolution(f"{name}.conv_pwl", f"{name}.bn3", (after, wide, 1, 1), clipped=False),
                )
            else:
                parts = (
                    Convolution(f"{name}.conv_dw", f"{name}.bn1", depthwise, stride),
                    Convolution(f"{name}.conv_pw", f"{name}.bn2", (after, wide, 1, 1), clipped=False),
                )
            found.append(Block(name, parts, residual=stride == 1 and before == after))
            before = after
    return [*found, Block("conv_head", (Convolution("conv_head", "bn2", (N_FEATURES, before, 1, 1)),))]


def tensor_shapes(lite: Lite) -> dict[str, tuple[int, ...]]:
    """Every tensor's name and shape, with the ImageNet head, in timm's order."""
    shapes: dict[str, tuple[int, ...]] = {}
    for block in blocks_of(lite):
        for part in block.convolutions:
            shapes[f"{part.name}.weight"] = part.shape
            shapes |= {f"{part.norm}.{name}": part.shape[:1] for name in ("weight", "bias", "running_mean", "running_var")}
            shapes[f"{part.norm}.num_batches_tracked"] = ()
    return shapes | {f"{LAST_LAYER}.weight": (IMAGENET_CLASSES, N_FEATURES), f"{LAST_LAYER}.bias": (IMAGENET_CLASSES,)}


def read_lite_state(file: Path, lite: Lite) -> dict[str, np.ndarray]:
    """The network's tensors in a weights file, by timm's names: float32, batch counters int64, 0 where an old file has none.

    The last layer is left out if it is not ImageNet's: it is replaced. Raises BackboneError.
    """
    wanted = tensor_shapes(lite)
    state = to_timm_names(read_arrays(file), wanted)
    check_tensors({name: array.shape for name, array in state.items()}, wanted, LAST_LAYER, file)
    tensors = {}
    for name, shape in wanted.items():
        dtype = np.int64 if name.endswith("num_batches_tracked") else np.float32
        if name in state and state[name].shape == shape:
            tensors[name] = np.array(state[name], dtype, order="C")
        elif not name.startswith(f"{LAST_LAYER}."):
            tensors[name] = np.zeros(shape, dtype)  # only counters may be missing
    return tensors


def read_pretrained_state(file: Path, lite: Lite) -> dict[str, np.ndarray]:
    """The same of pretrained weights, which are for red, green and blue, with the first layer as wide as the network's."""
    state = read_lite_state(file, lite.with_channels(COLOURS))
    if lite.n_channels > COLOURS:
        state[f"{STEM}.weight"] = widened(state[f"{STEM}.weight"], lite.n_channels)
    return state
