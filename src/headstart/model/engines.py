"""Runs a compiled network without torch: by ONNX Runtime, or by OpenVINO where that is asked for.

Measured on two cores (EfficientNet-Lite0, fp32, milliseconds an image, both cores at work): ONNX Runtime with two threads a
call 3.1 at batch 1 and 2.6 at batch 8; two threads that each call it with one image 2.2; OpenVINO the same way 2.1. So each
decoding thread runs the network on its own image: no thread waits for another, and no batch leaves the cache.
"""

import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import SettingsError
from headstart.model.extractor import Engine
from headstart.settings import Precision, TrainSettings

Compute = Callable[[np.ndarray], np.ndarray]  # (n, size, size, 3) uint8 -> (n, n_features) float32
INPUT, OUTPUT, PROBABILITIES = "views", "features", "probabilities"  # an exported model has the third, too


def onnxruntime_engine(graph: Path, output: str = OUTPUT) -> Compute:
    """ONNX Runtime, one thread a call; calls from several threads run side by side."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def compute(views: np.ndarray) -> np.ndarray:
        outputs: list[np.ndarray] = session.run([output], {INPUT: views})
        return outputs[0]

    return compute


def openvino_engine(graph: Path, precision: Precision, threads: int, output: str = OUTPUT, *, keep: bool = True) -> Compute:
    """OpenVINO, one stream a thread; `keep`: its compiled form is kept beside the graph."""
    import openvino

    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "PERFORMANCE_HINT": "THROUGHPUT",
        "NUM_STREAMS": threads,
        "INFERENCE_NUM_THREADS": threads,
    }
    if keep:
        options["CACHE_DIR"] = str(graph.parent / "openvino")
    compiled = openvino.Core().compile_model(str(graph), "CPU", options)
    # OpenVINO's bindings set up their access to NumPy at its first use. Two threads doing so at once wait for each other,
    # one with Python's lock in hand, for ever; so it is used here first, in one thread.
    _ = openvino.Tensor(np.empty(1, np.uint8)).data
    own = threading.local()  # a request answers one call at a time

    def compute(views: np.ndarray) -> np.ndarray:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        outputs: Any = own.request.infer({INPUT: views})
        return np.array(outputs[output])

    return compute


def load_engine(engine: Engine, graph: Path, threads: int) -> Compute:
    """The engine on a graph. Raises SettingsError where it is not installed, or is none that runs a graph."""
    if engine.name == "onnxruntime" and engine.precision == "fp32":
        return onnxruntime_engine(graph)
    if engine.name == "openvino" and not is_installed(engine.name):
        raise SettingsError("OpenVINO is needed and not installed", hint="pip install 'headstart[openvino]'")
    if engine.name == "openvino":
        return openvino_engine(graph, engine.precision, threads)
    raise SettingsError(f"there is no engine {engine.name!r} with precision {engine.precision}", hint="onnxruntime, openvino")


def is_installed(name: str) -> bool:
    """Whether the package of an engine is installed."""
    return find_spec(name) is not None


def engine_for(settings: TrainSettings) -> Engine:
    """The engine that the settings name; ONNX Runtime unless they say otherwise.

    It is never picked by its speed: two installations would then give different features, and so different models. Raises
    SettingsError for a precision that the engine lacks.
    """
    if settings.engine == "onnxruntime" and settings.precision != "fp32":
        raise SettingsError(
            f"--engine onnxruntime has no --precision {settings.precision}", hint="leave --engine out, or --engine openvino"
        )
    name = settings.engine or ("onnxruntime" if settings.precision == "fp32" else "openvino")
    return Engine(name=name, precision=settings.precision)
