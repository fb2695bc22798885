"""The ONNX graph of an EfficientNet-Lite, written from its tensors: a second where torch's exporter takes half a minute.

Every batch norm is folded into its convolution. Padding is TensorFlow's "SAME" as timm's Conv2dSame computes it: what is odd
goes below and to the right.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data.preprocess import Preprocess
from headstart.errors import BackboneError
from headstart.model.engines import INPUT, OUTPUT
from headstart.model.lite_networks import EPSILON, N_FEATURES, Block, Convolution, Lite, blocks_of

if TYPE_CHECKING:
    from onnx import NodeProto

OPSET, IR_VERSION = 18, 10  # as torch's exporter writes them
LOWEST, HIGHEST = "0", "6"  # the names of ReLU6's limits


def n_features(lite: Lite, stages: Sequence[str] = ()) -> int:
    """Length of the graph's feature vector: the last pooled layer, then the channels of each stage."""
    return N_FEATURES + sum(lite.channels[_stage_number(lite, stage)] for stage in stages)


def write_lite_graph(
    lite: Lite,
    tensors: Mapping[str, np.ndarray],
    preprocess: Preprocess,
    file: Path,
    stages: Sequence[str] = (),
    *,
    any_size: bool = False,
) -> None:
    """Writes the network without its last layer: `views` (n, size, size, n_channels) uint8 -> `features`
    (n, n_features) float32.

    `tensors` have timm's names. The features are the last pooled layer (1280), then the spatial mean of the output of each of
    timm's modules named in `stages`, such as "blocks.3", in that order. The size is the preprocessing's; with `any_size` the
    graph takes views of any height and width, at no cost: measured on ONNX Runtime and OpenVINO, 4.8 and 5.2 ms per image on
    one core either way. Raises BackboneError for a stage that is none, and for weights that are not finite.
    """
    import onnx
    from onnx import TensorProto, helper

    writer = _Writer(tensors, preprocess)
    last_blocks = [f"{stage}.{lite.blocks[_stage_number(lite, stage)] - 1}" for stage in stages]
    outputs, flowing = {}, writer.normalised()
    for block in blocks_of(lite):
        flowing = outputs[block.name] = writer.block(block, flowing)
    writer.pool([flowing, *(outputs[name] for name in last_blocks)])
    size: list[int | str] = ["height", "width"] if any_size else [preprocess.size_px] * 2
    graph = helper.make_graph(
        writer.nodes,
        "features",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["n", *size, lite.n_channels])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", n_features(lite, stages)])],
        writer.initialisers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.save(model, str(file))


def _stage_number(lite: Lite, stage: str) -> int:
    names = [f"blocks.{number}" for number in range(len(lite.blocks))]
    if stage not in names:
        raise BackboneError(f"the network has no stage {stage!r}", hint=f"one of: {', '.join(names)}")
    return names.index(stage)


class _Writer:
    """Collects the nodes and initialisers of a graph; each method returns the name of its output."""

    def __init__(self, tensors: Mapping[str, np.ndarray], preprocess: Preprocess) -> None:
        from onnx import numpy_helper

        self.nodes: list[NodeProto] = []
        self._tensors = tensors
        scale, shift = (part.reshape(1, -1, 1, 1) for part in preprocess.scale_and_shift())
        self._from_array = numpy_helper.from_array
        self.initialisers = [
            self._from_array(array, name)
            for name, array in (
                ("scale", scale),
                ("shift", shift),
                (LOWEST, np.zeros((), np.float32)),
                (HIGHEST, np.full((), 6, np.float32)),
            )
        ]

    def normalised(self) -> str:
        """The input as (n, n_channels, size, size) float32, scaled and shifted."""
        self._node("Transpose", [INPUT], "channels first", perm=[0, 3, 1, 2])
        self._node("Cast", ["channels first"], "pixels", to=1)  # float32
        self._node("Mul", ["pixels", "scale"], "scaled")
        return self._node("Add", ["scaled", "shift"], "normalised")

    def block(self, block: Block, before: str) -> str:
        """A block's output."""
        after = before
        for part in block.convolutions:
            after = self._convolution(part, after)
        return self._node("Add", [after, before], block.name) if block.residual else after

    def pool(self, maps: Sequence[str]) -> None:
        """The graph's output: the spatial means of feature maps, one behind the other.

        GlobalAveragePool, not ReduceMean: ONNX Runtime would first turn each map from its blocked layout into the plain one.
        """
        means = [self._node("GlobalAveragePool", [name], f"mean of {name}") for name in maps]
        pooled = means[0] if len(means) == 1 else self._node("Concat", means, "means", axis=1)
        self._node("Flatten", [pooled], OUTPUT, axis=1)

    def _convolution(self, part: Convolution, before: str) -> str:
        """A convolution with its batch norm and ReLU6. The factors are computed in float64: each rounding is the result's."""
        norm = {
            name: self._tensors[f"{part.norm}.{name}"].astype(np.float64)
            for name in ("weight", "bias", "running_mean", "running_var")
        }
        with np.errstate(all="ignore"):
            factor = norm["weight"] / np.sqrt(norm["running_var"] + EPSILON)
            weight = (self._tensors[f"{part.name}.weight"] * factor.reshape(-1, 1, 1, 1)).astype(np.float32)
            bias = (norm["bias"] - norm["running_mean"] * factor).astype(np.float32)
        for name, array in (("weight", weight), ("bias", bias)):
            if not np.isfinite(array).all():  # ReLU6 would make numbers of them
                raise BackboneError(f"{part.name} has values that are not finite", hint="is the weights file complete?")
            self.initialisers.append(self._from_array(array, f"{part.name}.{name}"))
        kernel = part.shape[-1]
        output = self._node(
            "Conv",
            [before, f"{part.name}.weight", f"{part.name}.bias"],
            part.name,
            kernel_shape=[kernel, kernel],
            strides=[part.stride, part.stride],
            group=part.groups,
            auto_pad="SAME_UPPER",
        )
        return self._node("Clip", [output, LOWEST, HIGHEST], f"{part.name}.relu6") if part.clipped else output

    def _node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output
