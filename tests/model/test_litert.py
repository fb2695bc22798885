"""Networks are the same in LiteRT as in ONNX, operator by operator, or are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper, save

from headstart.errors import SettingsError
from headstart.model.engines import litert_engine, onnxruntime_engine
from headstart.model.litert_file import ALIGNMENT_BYTES
from headstart.model.litert_operators import write_litert

SIDES = (13, 10)
RNG = np.random.default_rng(0)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(scale=0.3, size=shape).astype(np.float32)


def node(kind: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def write_onnx(file: Path, nodes: list[NodeProto], constants: Mapping[str, np.ndarray]) -> Path:
    """A graph from `views` by way of `x` (n, 3, 13, 10), of about 0 to 1, to `y`."""
    before = [
        node("Transpose", "views", "first", perm=[0, 3, 1, 2]),
        node("Cast", "first", "float", to=TensorProto.FLOAT),
        node("Mul", "float share", "x"),
    ]
    values = {"share": np.array(1 / 255, np.float32), **constants}
    graph = helper.make_graph(
        [*before, *nodes],
        "graph",
        [helper.make_tensor_value_info("views", TensorProto.UINT8, ["n", *SIDES, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save(model, str(file))
    return file


CONV = {"w": weights(8, 3, 3, 3), "b": weights(8)}
CASES: dict[str, tuple[list[NodeProto], dict[str, np.ndarray]]] = {
    "convolution": ([node("Conv", "x w b", "y")], CONV),
    "same padding, odd below": ([node("Conv", "x w b", "y", auto_pad="SAME_UPPER", strides=[2, 2])], CONV),
    "even padding with steps": ([node("Conv", "x w b", "y", pads=[1, 1, 1, 1], strides=[2, 2])], CONV),
    "uneven padding": ([node("Conv", "x w b", "y", pads=[0, 2, 1, 0])], CONV),
    "dilation": ([node("Conv", "x w b", "y", pads=[2, 2, 2, 2], dilations=[2, 2])], CONV),
    "no bias": ([node("Conv", "x w", "y", pads=[1, 1, 1, 1])], {"w": CONV["w"]}),
    "each channel by itself": ([node("Conv", "x w b", "y", group=3)], {"w": weights(6, 1, 3, 3), "b": weights(6)}),
    "each channel, dilated": (
        [node("Conv", "x w b", "y", group=3, dilations=[2, 2], pads=[2, 2, 2, 2])],
        {"w": weights(3, 1, 3, 3), "b": weights(3)},
    ),
    "groups of channels": (
        [node("Conv", "x w b", "z"), node("Conv", "z v", "y", group=4, pads=[1, 1, 1, 1])],
        {**CONV, "v": weights(12, 2, 3, 3)},
    ),
    "largest, padded": ([node("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])], {}),
    "largest, beyond the edge": ([node("MaxPool", "x", "y", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)], {}),
    "means": ([node("AveragePool", "x", "y", kernel_shape=[2, 2], strides=[2, 2])], {}),
    "means beyond the edge": ([node("AveragePool", "x", "y", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)], {}),
    "means of what is there": ([node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1])], {}),
    "means with edges": (
        [node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)],
        {},
    ),
    "pooled": ([node("GlobalAveragePool", "x", "z"), node("Flatten", "z", "y", axis=1)], {}),
    "flat in the order of ONNX": ([node("Flatten", "x", "y", axis=1)], {}),
    "mean over places": ([node("ReduceMean", "x axes", "y", keepdims=0)], {"axes": np.array([2, 3])}),
    "mean over channels": ([node("ReduceMean", "x axes", "y", keepdims=0)], {"axes": np.array([1])}),
    "one weight for each channel": ([node("Mul", "x w", "y")], {"w": weights(3, 1, 1)}),
    "all with each other": (
        [node("Sub", "x w", "a"), node("Div", "a d", "b"), node("Add", "b x", "y")],
        {"w": weights(1, 3, 13, 10), "d": np.array(3, np.float32)},
    ),
    "squeezed and excited": (
        [
            node("GlobalAveragePool", "x", "a"),
            node("Conv", "a w", "b"),
            node("Sigmoid", "b", "c"),
            node("Mul", "x c", "y"),
        ],
        {"w": weights(3, 3, 1, 1)},
    ),
    "clipped": (
        [node("Clip", "x low high", "a"), node("Clip", "a low", "b"), node("Relu", "b", "c"), node("Tanh", "c", "y")],
        {"low": np.array(0.2, np.float32), "high": np.array(0.7, np.float32)},
    ),
    "clipped as is usual": (
        [node("Mul", "x ten", "a"), node("Clip", "a low high", "y")],
        {"ten": np.array(10, np.float32), "low": np.array(0, np.float32), "high": np.array(6, np.float32)},
    ),
    "hard functions": (
        [node("Conv", "x w b", "a"), node("HardSwish", "a", "b2"), node("HardSigmoid", "b2", "y", alpha=1 / 6, beta=0.5)],
        CONV,
    ),
    "channels behind each other": (
        [node("Conv", "x w b", "a"), node("Relu", "a", "b2"), node("Concat", "a b2", "y", axis=1)],
        CONV,
    ),
    "behind a constant": (
        [node("Flatten", "x", "a", axis=1), node("Concat", "token a", "y", axis=1)],
        {"token": weights(1, 5)},
    ),
    "turned back": ([node("Transpose", "x", "a", perm=[0, 2, 3, 1]), node("Transpose", "a", "y", perm=[0, 2, 1, 3])], {}),
    "classified": (
        [
            node("GlobalAveragePool", "x", "a"),
            node("Flatten", "a", "b", axis=1),
            node("Gather", "b places", "c", axis=1),
            node("Gemm", "c w bias", "d", transB=1),
            node("MatMul", "d v", "e"),
            node("Softmax", "e", "y", axis=-1),
        ],
        {"w": weights(5, 3), "bias": weights(5), "v": weights(5, 4), "places": np.array([2, 0, 1])},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_operators_compute_the_same(tmp_path: Path, case: str) -> None:
    """Within rounding, on noise; several images are answered one after the other."""
    nodes, constants = CASES[case]
    file = write_onnx(tmp_path / "model.onnx", nodes, constants)
    write_litert(file, tmp_path / "model.tflite", ["y"], half=False)
    views = np.random.default_rng(1).integers(0, 256, (2, *SIDES, 3), dtype=np.uint8)
    compute = onnxruntime_engine(file, "y")
    wanted = np.concatenate([compute(view[None]) for view in views])
    found = litert_engine(tmp_path / "model.tflite", "y")(views)
    assert found.shape == wanted.shape and np.ptp(wanted) > 0.01
    assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ([node("Erf", "x", "y")], "has the operator Erf"),
        ([node("MaxPool", "x", "y", kernel_shape=[2, 2], dilations=[2, 2])], "pools in a way"),
        ([node("Conv", "x w", "y", auto_pad="SAME_LOWER", strides=[2, 2])], "pads in a way"),
        ([node("Conv", "x x", "y")], "to be constant"),
    ],
)
def test_what_is_not_converted_is_refused(tmp_path: Path, nodes: list[NodeProto], says: str) -> None:
    """In one sentence with what to do, and no file is left."""
    file = write_onnx(tmp_path / "model.onnx", nodes, {"w": weights(4, 3, 2, 2)})
    with pytest.raises(SettingsError, match=says) as refused:
        write_litert(file, tmp_path / "model.tflite", ["y"], half=False)
    assert refused.value.hint == "use --format onnx"
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_half_precision_halves_the_weights(tmp_path: Path) -> None:
    """And computes nearly the same."""
    constants = {"w": weights(64, 3, 9, 9), "b": weights(64)}
    file = write_onnx(tmp_path / "model.onnx", [node("Conv", "x w b", "y")], constants)
    for name, half in (("whole", False), ("half", True)):
        write_litert(file, tmp_path / name, ["y"], half=half)
    assert (tmp_path / "half").stat().st_size < 0.6 * (tmp_path / "whole").stat().st_size
    views = np.random.default_rng(1).integers(0, 256, (1, *SIDES, 3), dtype=np.uint8)
    whole, half = (litert_engine(tmp_path / name, "y")(views) for name in ("whole", "half"))
    assert half == pytest.approx(whole, abs=0.02) and (half != whole).any()


def test_values_are_where_the_interpreter_can_use_them(tmp_path: Path) -> None:
    """The values of each tensor begin at a multiple of 16 bytes: some processors read them only there."""
    from ai_edge_litert.schema_py_generated import Model

    nodes, constants = CASES["groups of channels"]
    write_litert(write_onnx(tmp_path / "model.onnx", nodes, constants), tmp_path / "model.tflite", ["y"], half=False)
    content = np.frombuffer((tmp_path / "model.tflite").read_bytes(), np.uint8)
    assert Model.ModelBufferHasIdentifier(content.tobytes(), 0)
    model, begins = Model.GetRootAs(content, 0), []
    for i in range(model.BuffersLength()):
        values = model.Buffers(i).DataAsNumpy()
        if isinstance(values, np.ndarray) and len(values):
            begins.append(values.ctypes.data - content.ctypes.data)
    assert len(begins) >= 5 and all(begin % ALIGNMENT_BYTES == 0 for begin in begins)
