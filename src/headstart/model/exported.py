"""A complete classifier in one ONNX, OpenVINO or LiteRT file: views in, features and probabilities out."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from headstart.data.preprocess import Preprocess
from headstart.errors import BundleError, first_line
from headstart.model.engines import (
    INPUT,
    NUMBERS,
    OUTPUT,
    PROBABILITIES,
    Compute,
    litert_engine,
    onnxruntime_engine,
    openvino_engine,
)
from headstart.model.extractor import as_input
from headstart.model.head import Head
from headstart.storage import atomic_write
from headstart.threads import cores

ExportFormat = Literal["onnx", "openvino", "litert"]
ExportPrecision = Literal["fp32", "fp16", "int8"]
# What makes answers of logits: probabilities of one class an image, or of each label; a number is one as it is.
Ending = Literal["Softmax", "Sigmoid", "Identity"]
FILES: dict[ExportFormat, str] = {"onnx": "model.onnx", "openvino": "model.xml", "litert": "model.tflite"}
HEAD = "head.safetensors"
FLOAT_CONVOLUTIONS = 8  # at the start of a quantised network: the stem and two blocks


def write_onnx(
    body: Path, head: Head, file: Path, facts: Mapping[str, str], preprocess: Preprocess, ending: Ending = "Softmax"
) -> None:
    """Writes the compiled network `body` followed by the last layer and its `ending`; `facts` become the file's metadata.

    The input is `views` (n, size, size, n_channels) uint8, or (n, n_views, size, size, n_channels) if the model sees several
    views of an image; the outputs are `features` (n, n_features) and `probabilities` (n, n_classes) or, of numbers, `numbers`
    (n, 1), all float32. The exporter's notes on nodes are left out: they name files on this machine.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(body))
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    for name, values in (("head.weight", head.weight), ("head.bias", head.bias)):
        graph.initializer.append(numpy_helper.from_array(values, name))
    if preprocess.n_views > 1:
        _join_views(graph, preprocess)
    graph.node.append(helper.make_node("Gemm", [OUTPUT, "head.weight", "head.bias"], ["logits"], transB=1))
    answers = answers_of(ending)
    last = helper.make_node(ending, ["logits"], [answers])
    if ending == "Softmax":
        last.attribute.append(helper.make_attribute("axis", -1))
    graph.node.append(last)
    n = graph.input[0].type.tensor_type.shape.dim[0].dim_param or "n"
    graph.output.append(helper.make_tensor_value_info(answers, TensorProto.FLOAT, [n, len(head.bias)]))
    helper.set_model_props(model, dict(facts))
    onnx.checker.check_model(model)
    with atomic_write(file) as aside:
        onnx.save(model, str(aside))


def answers_of(ending: Ending) -> str:
    """The name of the output with the answers."""
    return NUMBERS if ending == "Identity" else PROBABILITIES


def _join_views(graph: Any, preprocess: Preprocess) -> None:
    """Changes a graph for single views into one for (n, n_views, size, size, n_channels), whose features are the mean."""
    from onnx import TensorProto, helper, numpy_helper

    view, n_views = preprocess.view_shape, preprocess.n_views
    n_features = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    n = graph.input[0].type.tensor_type.shape.dim[0].dim_param or "n"
    for node in graph.node:
        for names, old, new in ((node.input, INPUT, "single_views"), (node.output, OUTPUT, "single_features")):
            names[:] = [new if name == old else name for name in names]
    for name, shape in (("single_shape", (-1, *view)), ("joint_shape", (-1, n_views, n_features))):
        graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
    graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "views_axis"))
    graph.node.insert(0, helper.make_node("Reshape", [INPUT, "single_shape"], ["single_views"]))
    graph.node.append(helper.make_node("Reshape", ["single_features", "joint_shape"], ["features_of_views"]))
    graph.node.append(helper.make_node("ReduceMean", ["features_of_views", "views_axis"], [OUTPUT], keepdims=0))
    graph.input[0].CopyFrom(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [n, n_views, *view]))


def as_half_precision(file: Path) -> None:
    """Converts the weights and computations of an ONNX file to float16; inputs and outputs keep their types."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(onnx.load(str(file)), keep_io_types=True)
    with atomic_write(file) as aside:
        onnx.save(model, str(aside))


def as_int8(file: Path, views: Sequence[np.ndarray]) -> None:
    """Quantises an ONNX file's convolutions to eight bits, with ranges measured on `views`, one input of the file each.

    The first convolutions and the last layer stay in float32: they are small, and their errors would affect everything that
    follows. Weights use seven of the eight bits: processors without VNNI add 8-bit products in 16 bits, which would overflow.
    Measured on solar cells with EfficientNet-Lite0, this reduces the error of the features from 1.9 to 0.2 of their spread.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._views: Iterator[np.ndarray] = iter(views)

        def get_next(self) -> dict[str, np.ndarray] | None:
            view = next(self._views, None)
            return None if view is None else {INPUT: view}

    model = onnx.load(str(file))
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    with atomic_write(file) as aside, _without_advice():
        quantize_static(
            model,
            str(aside),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Clip"],
            nodes_to_exclude=[node.name for node in convolutions[:FLOAT_CONVOLUTIONS]],
        )


@contextmanager
def _without_advice() -> Iterator[None]:
    """Suppresses the advice that ONNX Runtime's quantiser logs for developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def write_openvino(onnx_file: Path, file: Path, *, half: bool) -> None:
    """Converts an ONNX file to OpenVINO's format, with float16 weights if `half`."""
    import openvino

    model: Any = openvino.convert_model(str(onnx_file))
    try:
        openvino.save_model(model, str(file), compress_to_fp16=half)
    except RuntimeError as error:  # it does not say which error of the system
        raise OSError(f"{file.name} cannot be written ({error})") from error


def exported_engine(file: Path, output: str, preprocess: Preprocess, width: int) -> Compute:
    """A function that runs an exported file on what `as_input` returns: uint8 -> (n, width), the named output.

    It is tried on a blank view first, since a file need not be the one that its manifest describes. Raises BundleError.
    """
    try:
        if file.name == FILES["onnx"]:
            compute = onnxruntime_engine(file, output)
        elif file.name == FILES["litert"]:
            compute = litert_engine(file, output)
        else:
            compute = openvino_engine(file, "fp32", cores(), output, keep=False)
        found = compute(as_input(np.zeros((1, preprocess.n_views, *preprocess.view_shape), np.uint8))).shape
    except ModuleNotFoundError:  # reported as a missing package
        raise
    except Exception as error:  # engines raise all kinds of errors on an invalid file or view
        reason = first_line(error)
        raise BundleError(f"{file} cannot be run: {reason}", hint="export the model again") from error
    if found != (1, width):
        raise BundleError(f"{file} gives {output} of shape {found}, not {(1, width)}", hint="export the model again")
    return compute


def write_head(file: Path, head: Head) -> None:
    """Writes the last layer next to the exported file, for programs that use the features."""
    with atomic_write(file) as aside:
        save_file({"weight": head.weight, "bias": head.bias}, aside)


def read_exported_head(file: Path) -> Head:
    """The last layer that `write_head` wrote. Raises BundleError."""
    try:
        tensors = load_file(file)
        head = Head(tensors["weight"], tensors["bias"])
    except (OSError, SafetensorError, KeyError) as error:
        raise BundleError(f"{file} cannot be read: {error}", hint="is the copy complete?") from error
    if head.weight.ndim != 2 or head.bias.shape != (len(head.weight),):
        raise BundleError(f"{file} does not contain a last layer", hint="export the model again")
    return head
