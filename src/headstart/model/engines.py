"""Runs a compiled network without torch: with ONNX Runtime, or with OpenVINO on request.

Measured on two busy cores (EfficientNet-Lite0, fp32, milliseconds per image): ONNX Runtime with two threads per call takes 3.1
at batch 1 and 2.6 at batch 8; two threads that each call it with one image take 2.2; OpenVINO used the same way takes 2.1. So
each decoding thread runs the network on its own image: no thread waits for another, and the data stays in the cache.
"""

import atexit
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

import numpy as np

from headstart.errors import SettingsError, first_line
from headstart.forks import forks, lock_free_at_forks
from headstart.model.extractor import Engine
from headstart.settings import Precision, TrainSettings

Compute = Callable[[np.ndarray], np.ndarray]  # (n, size, size, n_channels) uint8 -> (n, n_features) float32
INPUT, OUTPUT = "views", "features"
PROBABILITIES, NUMBERS = "probabilities", "numbers"  # only exported models have one of these
OPENING = lock_free_at_forks()  # held while a session is opened


class InEachProcess:
    """A session that is opened again in a process that was forked since: its threads and locks have stayed behind."""

    left_behind: ClassVar[list[Compute]] = []  # never freed, because a session that is freed waits for its threads
    living: ClassVar["WeakSet[InEachProcess]"] = WeakSet()

    def __init__(self, open_session: Callable[[], Compute]) -> None:
        self._open = open_session
        self._opened = (forks(), open_session())
        self.living.add(self)

    def __call__(self, views: np.ndarray) -> np.ndarray:
        """What the session computes. Raises SettingsError if it cannot be opened again."""
        fork, compute = self._opened
        return compute(views) if fork == forks() else self._again()(views)

    def end(self) -> None:
        """Frees the session, if it was opened in this process."""
        fork, _ = self._opened
        if fork == forks():
            self._opened = (fork, _ended)

    def _again(self) -> Compute:
        with OPENING:
            fork, compute = self._opened
            if fork != forks():
                self.left_behind.append(compute)
                try:
                    self._opened = (forks(), self._open())
                except Exception as error:  # engines raise all kinds of errors where the file is gone
                    reason = first_line(error)
                    raise SettingsError(
                        f"the network cannot be opened again in a forked process: {reason}",
                        hint="load the model after the fork, in the new process",
                    ) from error
            return self._opened[1]


def _ended(views: np.ndarray) -> np.ndarray:
    raise SettingsError("the network was freed, because the process ends", hint="ask it before the last line of the program")


@atexit.register
def _end_all() -> None:
    """Frees all sessions while the interpreter is alive: later, nobody waits for their threads, and the process may abort."""
    for engine in list(InEachProcess.living):
        engine.end()


def onnxruntime_engine(graph: Path, output: str = OUTPUT) -> Compute:
    """ONNX Runtime with one thread per call; calls from several threads run in parallel."""
    return InEachProcess(partial(_onnxruntime_session, graph, output))


def _inference_session(graph: str | bytes) -> Any:
    """The graph in a file or in memory, with one thread per call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _onnxruntime_session(graph: Path, output: str) -> Compute:
    session = _inference_session(str(graph))

    def compute(views: np.ndarray) -> np.ndarray:
        outputs: list[np.ndarray] = session.run([output], {INPUT: views})
        return outputs[0]

    return compute


def onnxruntime_outputs(graph: bytes, outputs: Sequence[str]) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A graph in memory, run by ONNX Runtime: (n, size, size, n_channels) uint8 -> several outputs, in their order."""
    session = _inference_session(graph)

    def compute(views: np.ndarray) -> list[np.ndarray]:
        found: list[np.ndarray] = session.run(list(outputs), {INPUT: views})
        return found

    return compute


def optimised_graph(graph: bytes, file: Path) -> None:
    """Writes a graph after ONNX Runtime has computed what is constant; its operators remain ONNX's own."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(file)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def litert_engine(file: Path, output: str) -> Compute:
    """LiteRT's interpreter of a classifier for one image, with one thread per call."""
    return InEachProcess(partial(_litert_session, file, output))


def _litert_session(file: Path, output: str) -> Compute:
    from ai_edge_litert.interpreter import Interpreter

    content = file.read_bytes()
    own = threading.local()  # an interpreter handles one call at a time

    def runner() -> Any:
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
        return interpreter.get_signature_runner()

    with _silent_stderr():  # the first interpreter of a process says there how it computes
        own.runner = runner()

    def compute(views: np.ndarray) -> np.ndarray:
        if not hasattr(own, "runner"):
            own.runner = runner()
        return np.concatenate([own.runner(**{INPUT: view[None]})[output] for view in views])

    return compute


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Nothing that a library writes past Python is shown, for a moment."""
    with Path(os.devnull).open("wb") as nowhere:
        try:
            kept = os.dup(2)
        except OSError:  # there is no stderr
            yield
            return
        try:
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def openvino_engine(graph: Path, precision: Precision, threads: int, output: str = OUTPUT, *, keep: bool = True) -> Compute:
    """OpenVINO with one stream per thread; if `keep`, its compiled form is cached next to the graph."""
    return InEachProcess(partial(_openvino_session, graph, precision, threads, output, keep=keep))


def _openvino_session(graph: Path, precision: Precision, threads: int, output: str, *, keep: bool) -> Compute:
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
    # OpenVINO's bindings initialise their access to NumPy on first use. If two threads do this at the same time, they deadlock,
    # one of them holding Python's lock. So it is first used here, in one thread.
    _ = openvino.Tensor(np.empty(1, np.uint8)).data
    own = threading.local()  # a request handles one call at a time

    def compute(views: np.ndarray) -> np.ndarray:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        outputs: Any = own.request.infer({INPUT: views})
        return np.array(outputs[output])

    return compute


def load_engine(engine: Engine, graph: Path, threads: int) -> Compute:
    """The engine loaded with a graph. Raises SettingsError if it is not installed or cannot run a graph."""
    if engine.name == "onnxruntime" and engine.precision == "fp32":
        return onnxruntime_engine(graph)
    if engine.name == "openvino" and not is_installed(engine.name):
        raise SettingsError("OpenVINO is needed but not installed", hint="pip install 'headstart[openvino]'")
    if engine.name == "openvino":
        return openvino_engine(graph, engine.precision, threads)
    raise SettingsError(f"there is no engine {engine.name!r} with precision {engine.precision}", hint="onnxruntime, openvino")


def is_installed(name: str) -> bool:
    """Whether the package of an engine is installed."""
    return find_spec(name) is not None


def engine_for(settings: TrainSettings) -> Engine:
    """The engine that the settings name; the default is ONNX Runtime.

    It is never chosen by speed: two installations would then give different features, and so different models. Raises
    SettingsError for a precision that the engine does not support.
    """
    if settings.engine == "onnxruntime" and settings.precision != "fp32":
        raise SettingsError(
            f"--engine onnxruntime does not support --precision {settings.precision}",
            hint="leave out --engine, or use --engine openvino",
        )
    name = settings.engine or ("onnxruntime" if settings.precision == "fp32" else "openvino")
    return Engine(name=name, precision=settings.precision)
