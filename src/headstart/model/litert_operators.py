"""An ONNX classifier as a LiteRT file (TensorFlow Lite), operator by operator.

The converters there are need TensorFlow or JAX, and other versions of NumPy than headstart, and the networks that headstart
compiles have few kinds of operators. The transposition from pixels to channels disappears, and filters and constants are turned
when they are written. What is padded evenly gets an operator of its own: LiteRT's "SAME" puts more below and to the right.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from headstart.errors import SettingsError
from headstart.model.engines import INPUT, optimised_graph
from headstart.model.litert_file import LitertFile
from headstart.model.litert_graph import LAST, GraphNode, LitertGraph, Placed

LOWEST = np.finfo(np.float32).min  # what a maximum ignores
SAME, VALID = 0, 1  # paddings of LiteRT
IN_MAP = (0, 3, 1, 2)  # where the axes of ONNX are once channels are last


def write_litert(onnx_file: Path, file: Path, outputs: Sequence[str], *, half: bool) -> None:
    """Converts a classifier for one image at a time, with float16 weights if `half`.

    The input is `views` (1, size, size, 3) uint8, or (1, n_views, size, size, 3); `outputs` are names of the ONNX file's.
    Raises SettingsError for networks with operators that are not converted.
    """
    nodes, constants, shapes = _simplified(onnx_file)
    graph = LitertGraph(LitertFile(half=half), constants, shapes)
    given = graph.given(INPUT)
    for node in nodes:
        if node.kind not in OPERATORS:
            raise SettingsError(
                f"the network has the operator {node.kind}, which is not converted for LiteRT", hint="use --format onnx"
            )
        if not all(graph.shapes.get(node.output, (0,))):
            raise SettingsError(
                "the network computes shapes as it runs, which is not converted for LiteRT", hint="use --format onnx"
            )
        OPERATORS[node.kind](graph, node)
    graph.file.save(file, {INPUT: given}, {name: graph.result(name) for name in outputs})


def _simplified(onnx_file: Path) -> tuple[list[GraphNode], dict[str, np.ndarray], dict[str, tuple[int, ...]]]:
    """The operators for one image after what is constant was computed, the constants, and the shape of each value."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(onnx_file))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")  # it follows from the input's
    with TemporaryDirectory() as folder:
        optimised_graph(model.SerializeToString(), Path(folder) / "simple.onnx")
        graph = onnx.shape_inference.infer_shapes(onnx.load(str(Path(folder) / "simple.onnx")), data_prop=True).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    nodes = []
    for node in graph.node:
        values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        nodes.append(GraphNode(node.op_type, tuple(node.input), node.output[0], values))
    return nodes, constants, shapes


def _convolution(graph: LitertGraph, node: GraphNode) -> None:
    values, weight = graph.map(node.inputs[0]), graph.constant(node.inputs[1])
    if weight.ndim != 4:
        raise SettingsError("the network has convolutions of another kind than images need", hint="use --format onnx")
    strides, dilations = _pair(node, "strides"), _pair(node, "dilations")
    values, padding = _padded(graph, node, values, weight.shape[2:], strides, dilations)
    is_depthwise = weight.shape[1] == 1 and node.attributes.get("group", 1) == values.shape[1]
    filters = weight.transpose(1, 2, 3, 0) if is_depthwise else weight.transpose(0, 2, 3, 1)
    bias = graph.constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(len(weight), np.float32)
    more: dict[str, Any] = {"depthMultiplier": len(weight) // values.shape[1]} if is_depthwise else {}
    graph.add(
        node,
        "DEPTHWISE_CONV_2D" if is_depthwise else "CONV_2D",
        [values.tensor, graph.weight(node.inputs[1], filters), graph.file.constant(f"{node.output}, bias", bias)],
        channels_last=True,
        options="DepthwiseConv2DOptions" if is_depthwise else "Conv2DOptions",
        version=2 if is_depthwise and dilations != (1, 1) else 1,
        padding=padding,
        strideH=strides[0],
        strideW=strides[1],
        dilationHFactor=dilations[0],
        dilationWFactor=dilations[1],
        **more,
    )


def _pool(graph: LitertGraph, node: GraphNode, *, kind: str) -> None:
    kernel, strides = _pair(node, "kernel_shape"), _pair(node, "strides")
    if _pair(node, "dilations") != (1, 1):
        raise _not_there("pools")
    fill = 0.0 if kind == "AVERAGE_POOL_2D" else float(LOWEST)
    values, padding = _padded(graph, node, graph.map(node.inputs[0]), kernel, strides, (1, 1), fill)
    graph.add(
        node,
        kind,
        [values.tensor],
        channels_last=True,
        options="Pool2DOptions",
        padding=padding,
        strideH=strides[0],
        strideW=strides[1],
        filterHeight=kernel[0],
        filterWidth=kernel[1],
    )


def _pair(node: GraphNode, name: str) -> tuple[int, int]:
    down, across = node.attributes.get(name, (1, 1))
    return int(down), int(across)


def _padded(
    graph: LitertGraph,
    node: GraphNode,
    values: Placed,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    fill: float = 0.0,
) -> tuple[Placed, int]:
    """A feature map with what is padded around it, and the padding that is left to the operator."""
    automatic = node.attributes.get("auto_pad", b"NOTSET")
    if automatic == b"SAME_UPPER":
        return values, SAME
    if automatic not in (b"NOTSET", b"VALID"):
        raise _not_there("pads")
    top, left, bottom, right = node.attributes.get("pads") or (0, 0, 0, 0)
    same, asked = [], []
    for size, length, found, stride, dilation, before, after in zip(
        kernel, values.shape[2:], graph.shapes[node.output][2:], strides, dilations, (top, left), (bottom, right), strict=True
    ):
        reach = (size - 1) * dilation + 1
        total = max(0, (-(-length // stride) - 1) * stride + reach - length)
        same.append((total // 2, total - total // 2))
        beyond = (found - 1) * stride + reach - length - before - after  # where the last step may reach over the edge
        asked.append((before, after + max(0, beyond)))
    counts_edges = node.kind != "AveragePool" or node.attributes.get("count_include_pad")
    if same == asked and (node.kind != "AveragePool" or not counts_edges):  # LiteRT's means are of what is there
        return values, SAME if any(map(any, same)) else VALID
    (top, bottom), (left, right) = asked
    if not (top or bottom or left or right):
        return values, VALID
    if not counts_edges or (node.kind == "AveragePool" and node.attributes.get("ceil_mode")):
        raise _not_there("pools")
    n, channels, height, width = values.shape
    shape = (n, channels, height + top + bottom, width + left + right)
    around = graph.file.constant(f"{node.output}, around", np.array([(0, 0), (top, bottom), (left, right), (0, 0)], np.int32))
    inputs = [values.tensor, around]
    if fill:
        inputs.append(graph.file.constant(f"{node.output}, fill", np.array([fill], np.float32)))
    kind, options = ("PADV2", "PadV2Options") if fill else ("PAD", "PadOptions")
    return graph.add(node, kind, inputs, channels_last=True, shape=shape, is_last_step=False, options=options), VALID


def _binary(graph: LitertGraph, node: GraphNode, *, kind: str) -> None:
    computed = [graph.value(name) for name in node.inputs if name not in graph.constants]
    in_map, rank = any(one.channels_last for one in computed), len(graph.shapes[node.output])
    inputs = []
    for name in node.inputs:
        if name not in graph.constants:
            inputs.append((graph.map(name) if in_map else graph.plain(name)).tensor)
            continue
        values = graph.constant(name)
        if in_map and values.ndim:
            values = values.reshape((1,) * (rank - values.ndim) + values.shape).transpose(LAST)
        inputs.append(graph.file.constant(name, values.astype(np.float32)))
    options = f"{kind.title()}Options"
    graph.add(node, kind, inputs, channels_last=in_map, options=options)


def _unary(graph: LitertGraph, node: GraphNode, *, kind: str) -> None:
    value = graph.value(node.inputs[0])
    graph.add(node, kind, [value.tensor], channels_last=value.channels_last)


def _clip(graph: LitertGraph, node: GraphNode) -> None:
    value = graph.value(node.inputs[0])
    low, high = (graph.number(name) for name in (*node.inputs[1:], "", "")[:2])
    if low == 0 and high in (6, None):
        graph.add(node, "RELU6" if high else "RELU", [value.tensor], channels_last=value.channels_last)
        return
    limits = [(kind, limit) for kind, limit in (("MAXIMUM", low), ("MINIMUM", high)) if limit is not None]
    for step, (kind, limit) in enumerate(limits, start=1):
        value = _with_number(graph, node, value, kind, "MaximumMinimumOptions", limit, is_last_step=step == len(limits))


def _with_number(
    graph: LitertGraph, node: GraphNode, value: Placed, kind: str, options: str, number: float, *, is_last_step: bool = False
) -> Placed:
    """One step with a number on the way to a node's output, or the last one."""
    inputs = [value.tensor, graph.file.constant(f"{node.output}, {kind.lower()} by", np.array(number, np.float32))]
    return graph.add(
        node, kind, inputs, channels_last=value.channels_last, shape=value.shape, is_last_step=is_last_step, options=options
    )


def _hard_sigmoid(graph: LitertGraph, node: GraphNode) -> None:
    value = graph.value(node.inputs[0])
    value = _with_number(graph, node, value, "MUL", "MulOptions", node.attributes.get("alpha", 0.2))
    value = _with_number(graph, node, value, "ADD", "AddOptions", node.attributes.get("beta", 0.5))
    value = _with_number(graph, node, value, "MAXIMUM", "MaximumMinimumOptions", 0)
    _with_number(graph, node, value, "MINIMUM", "MaximumMinimumOptions", 1, is_last_step=True)


def _cast(graph: LitertGraph, node: GraphNode) -> None:
    if node.attributes["to"] != 1:
        raise SettingsError("the network computes with other numbers than float32", hint="use --format onnx")
    _unary(graph, node, kind="CAST")


def _transpose(graph: LitertGraph, node: GraphNode) -> None:
    order, value = tuple(node.attributes.get("perm", (1, 0))), graph.value(node.inputs[0])
    if order == IN_MAP and not value.channels_last:  # to channels first: the tensor stays as it is
        graph.placed[node.output] = Placed(value.tensor, graph.shapes[node.output], True, value.dtype)
    elif order == LAST and value.channels_last:
        graph.placed[node.output] = Placed(value.tensor, graph.shapes[node.output], False, value.dtype)
    else:
        value = graph.plain(node.inputs[0])
        graph.add(node, "TRANSPOSE", [value.tensor, graph.integers(order, f"{node.output}, order")], dtype=value.dtype)


def _reshape(graph: LitertGraph, node: GraphNode) -> None:
    value = graph.plain(node.inputs[0])
    shape = graph.integers(graph.shapes[node.output], f"{node.output}, shape")
    graph.add(node, "RESHAPE", [value.tensor, shape], dtype=value.dtype)


def _gather(graph: LitertGraph, node: GraphNode) -> None:
    places, axis = graph.constant(node.inputs[1]), node.attributes.get("axis", 0)
    value = graph.plain(node.inputs[0])
    if np.array_equal(places.ravel(), np.arange(value.shape[axis])):  # as torch's exporter writes the pooling of some networks
        _reshape(graph, node)
        return
    taken = graph.integers(places, f"{node.output}, places")
    graph.add(node, "GATHER", [value.tensor, taken], options="GatherOptions", axis=axis % len(value.shape))


def _mean(graph: LitertGraph, node: GraphNode) -> None:
    value, keeps = graph.value(node.inputs[0]), bool(node.attributes.get("keepdims", 1))
    if node.kind == "GlobalAveragePool":
        axes: Sequence[int] = (2, 3)
    else:
        axes = node.attributes.get("axes") or graph.constant(node.inputs[1]).tolist()
    axes = [axis % len(value.shape) for axis in axes]
    in_map = value.channels_last and (keeps or set(axes) == {2, 3})
    value = value if in_map else graph.plain(node.inputs[0])
    where = graph.integers([LAST.index(axis) for axis in axes] if in_map else axes, f"{node.output}, axes")
    inputs = [value.tensor, where]
    graph.add(node, "MEAN", inputs, channels_last=in_map and keeps, options="ReducerOptions", keepDims=keeps)


def _concat(graph: LitertGraph, node: GraphNode) -> None:
    in_map, axis = all(graph.value(name).channels_last for name in node.inputs), node.attributes["axis"]
    axis %= len(graph.shapes[node.output])
    inputs = [(graph.map(name) if in_map else graph.plain(name)).tensor for name in node.inputs]
    along = LAST.index(axis) if in_map else axis
    graph.add(node, "CONCATENATION", inputs, channels_last=in_map, options="ConcatenationOptions", axis=along)


def _dense(graph: LitertGraph, node: GraphNode) -> None:
    values, weight = graph.plain(node.inputs[0]), graph.constant(node.inputs[1])
    factors = [node.attributes.get(name, 1.0) for name in ("alpha", "beta")]
    if factors != [1.0, 1.0] or node.attributes.get("transA") or weight.ndim != 2 or len(values.shape) != 2:
        raise _not_there("multiplies matrices")
    filters = weight if node.attributes.get("transB") else weight.T
    bias = graph.constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(len(filters), np.float32)
    inputs = [values.tensor, graph.weight(node.inputs[1], filters), graph.file.constant(f"{node.output}, bias", bias)]
    graph.add(node, "FULLY_CONNECTED", inputs, options="FullyConnectedOptions")


def _softmax(graph: LitertGraph, node: GraphNode) -> None:
    value = graph.plain(node.inputs[0])
    if node.attributes.get("axis", -1) % len(value.shape) != len(value.shape) - 1:
        raise SettingsError("the network has a softmax along another axis than the last", hint="use --format onnx")
    graph.add(node, "SOFTMAX", [value.tensor], options="SoftmaxOptions", beta=1.0)


def _not_there(does: str) -> SettingsError:
    return SettingsError(f"the network {does} in a way that LiteRT does not have", hint="use --format onnx")


OPERATORS: dict[str, Callable[[LitertGraph, GraphNode], None]] = {
    "Conv": _convolution,
    "MaxPool": partial(_pool, kind="MAX_POOL_2D"),
    "AveragePool": partial(_pool, kind="AVERAGE_POOL_2D"),
    "Gather": _gather,
    "GlobalAveragePool": _mean,
    "ReduceMean": _mean,
    "Add": partial(_binary, kind="ADD"),
    "Sub": partial(_binary, kind="SUB"),
    "Mul": partial(_binary, kind="MUL"),
    "Div": partial(_binary, kind="DIV"),
    "Relu": partial(_unary, kind="RELU"),
    "Sigmoid": partial(_unary, kind="LOGISTIC"),
    "Tanh": partial(_unary, kind="TANH"),
    "HardSwish": partial(_unary, kind="HARD_SWISH"),
    "HardSigmoid": _hard_sigmoid,
    "Clip": _clip,
    "Cast": _cast,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Concat": _concat,
    "Gemm": _dense,
    "MatMul": _dense,
    "Softmax": _softmax,
}
