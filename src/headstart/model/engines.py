"""Runs a compiled network without torch: ONNX Runtime, or OpenVINO where it is installed and faster.

Measured on two cores (EfficientNet-Lite0, fp32, milliseconds an image, both cores at work): ONNX Runtime with two threads a
call 3.1 at batch 1 and 2.6 at batch 8; two threads that each call it with one image 2.2; OpenVINO the same way 2.1. So each
decoding thread runs the network on its own image: no thread waits for another, and no batch leaves the cache.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import SettingsError
from headstart.settings import Precision

Compute = Callable[[np.ndarray], np.ndarray]  # (n, size, size, 3) uint8 -> (n, n_features) float32
WORTH_IT = 1.1  # OpenVINO is taken from this many times ONNX Runtime's speed on: below it, noise would decide
TRIAL_IMAGES, TRIAL_ROUNDS = 16, 3
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


def load_engine(name: str, graph: Path, precision: Precision, threads: int) -> Compute:
    """The engine of this name on a graph. Raises SettingsError where it is not installed."""
    if name == "onnxruntime" and precision == "fp32":
        return onnxruntime_engine(graph)
    if name == "openvino" and find_spec("openvino") is None:
        raise SettingsError("OpenVINO is needed and not installed", hint="pip install 'headstart[openvino]'")
    if name == "openvino":
        return openvino_engine(graph, precision, threads)
    raise SettingsError(f"there is no engine {name!r} with precision {precision}", hint="onnxruntime, openvino")


def fastest_engine(graph: Path, size_px: int, threads: int) -> tuple[str, dict[str, float]]:
    """The engine for full precision on this machine, and what was measured: engine -> milliseconds an image."""
    views = np.random.default_rng(0).integers(0, 256, (TRIAL_IMAGES, 1, size_px, size_px, 3), dtype=np.uint8)
    measured = {"onnxruntime": _milliseconds(onnxruntime_engine(graph), views, threads)}
    if find_spec("openvino") is not None:
        measured["openvino"] = _milliseconds(openvino_engine(graph, "fp32", threads), views, threads)
    faster = measured.get("openvino", float("inf")) * WORTH_IT < measured["onnxruntime"]
    return "openvino" if faster else "onnxruntime", measured


def _milliseconds(compute: Compute, views: Sequence[np.ndarray] | np.ndarray, threads: int) -> float:
    """The best of a few rounds, an image: the least disturbed one."""
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(compute, views))
        for _ in range(TRIAL_ROUNDS):
            began = time.perf_counter()
            list(pool.map(compute, views))
            seconds.append(time.perf_counter() - began)
    return round(1000 * min(seconds) / len(views), 3)
