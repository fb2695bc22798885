"""The engines that run compiled networks."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import PATIENCE_SECONDS
from onnx import TensorProto, helper
from pydantic import ValidationError

from headstart.errors import SettingsError
from headstart.model.engines import INPUT, OUTPUT, InEachProcess, engine_for, load_engine
from headstart.model.extractor import ONNX_RUNTIME, Engine
from headstart.settings import TrainSettings

ATTEMPTS = 2  # without the precaution seven of ten hang

FIRST_CALLS = """
import sys, threading
from pathlib import Path
import numpy as np
from headstart.model.engines import load_engine
from headstart.model.extractor import Engine

compute = load_engine(Engine(name=sys.argv[1]), Path(sys.argv[2]), 2)
sys.setswitchinterval(1e-6)
together, means = threading.Barrier(2), []

def call(value):
    views = np.full((1, 4, 4, 3), value, np.uint8)
    together.wait()
    means.append(compute(views).tolist())

threads = [threading.Thread(target=call, args=(value,)) for value in (7, 9)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(means))
"""


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that gives the mean of each channel."""
    views = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["n", 4, 4, 3])
    features = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", 3])
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    nodes = [
        helper.make_node("Cast", [INPUT], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], [OUTPUT], keepdims=0),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "means", [views], [features], [axes]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    file = tmp_path_factory.mktemp("graph") / "means.onnx"
    onnx.save(model, file)
    return file


@pytest.mark.process
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_first_calls_from_two_threads(engine: str, graph: Path) -> None:
    """Two threads may make the first two calls at the same moment: none waits for the other, and each gets its own answer."""
    for _ in range(ATTEMPTS):
        command = [sys.executable, "-c", FIRST_CALLS, engine, str(graph)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
        assert done.stdout == "[[[7.0, 7.0, 7.0]], [[9.0, 9.0, 9.0]]]\n"


@pytest.mark.parametrize(
    ("settings", "engine"),
    [
        ({}, ONNX_RUNTIME),
        ({"engine": "onnxruntime"}, Engine(name="onnxruntime", precision="fp32")),
        ({"engine": "openvino"}, Engine(name="openvino", precision="fp32")),
        ({"precision": "bf16"}, Engine(name="openvino", precision="bf16")),
        ({"precision": "bf16", "engine": "openvino"}, Engine(name="openvino", precision="bf16")),
    ],
)
def test_the_engine_is_named_never_picked(settings: dict[str, str], engine: Engine) -> None:
    """ONNX Runtime, unless the settings name another engine or a precision that only another one has."""
    assert engine_for(TrainSettings.of(**settings)) == engine


def test_a_precision_that_the_named_engine_lacks() -> None:
    """Two settings that exclude each other are an error, not a choice of one of them."""
    with pytest.raises(SettingsError, match="--engine onnxruntime does not support --precision bf16") as caught:
        engine_for(TrainSettings.of(engine="onnxruntime", precision="bf16"))
    assert caught.value.hint == "leave out --engine, or use --engine openvino"


@pytest.mark.parametrize("engine", [Engine(name="torch-cuda"), Engine(precision="bf16")])
def test_an_engine_that_runs_no_graph(engine: Engine, graph: Path) -> None:
    """A name of which no engine is known to run graphs is an error, as is a precision that one lacks."""
    with pytest.raises(SettingsError, match=f"no engine '{engine.name}' with precision {engine.precision}"):
        load_engine(engine, graph, 1)


@pytest.mark.parametrize("values", [{"name": "tensorrt"}, {"name": "torch-"}, {"name": "../x"}, {"precision": "int8"}])
def test_an_engine_that_is_not_known(values: dict[str, str]) -> None:
    """A file cannot name an engine that does not exist."""
    with pytest.raises(ValueError, match=next(iter(values))):
        Engine.from_json(values)
    with pytest.raises(ValidationError):
        Engine(**values)  # type: ignore[arg-type]


def test_openvino_that_is_not_installed(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that was asked for by name and is missing is an error with what to install: nothing takes its place."""
    monkeypatch.setattr("headstart.model.engines.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="OpenVINO is needed but not installed") as caught:
        load_engine(Engine(name="openvino"), graph, 1)
    assert caught.value.hint == "pip install 'headstart[openvino]'"


@pytest.mark.process
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_sessions_are_freed_while_the_interpreter_is_alive(name: str, graph: Path) -> None:
    """At its end a program still gets answers; then the session is freed, before the interpreter is."""
    pytest.importorskip(name)
    program = """
import atexit, sys, weakref
from pathlib import Path
import numpy as np
import headstart.model.engines as engines
from headstart.model.extractor import Engine

atexit._run_exitfuncs()  # those of the imports
def freed():
    print("freed" if session() is None else "held")
atexit.register(freed)  # called last
atexit.register(engines._end_all)
engine = engines.load_engine(Engine(name=sys.argv[1]), Path(sys.argv[2]), 2)
session = weakref.ref(engine._opened[1])
atexit.register(lambda: print(engine(np.full((1, 4, 4, 3), 7, np.uint8)).tolist()))
"""
    command = [sys.executable, "-c", program, name, str(graph)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (done.returncode, done.stdout.split("\n")[:2]) == (0, ["[[7.0, 7.0, 7.0]]", "freed"]), done.stderr


def test_an_ended_session_says_so(graph: Path) -> None:
    """What is asked after the end is an error with a hint, not an abort."""
    engine = load_engine(ONNX_RUNTIME, graph, 1)
    assert isinstance(engine, InEachProcess)
    engine.end()
    with pytest.raises(SettingsError, match="the process ends"):
        engine(np.zeros((1, 4, 4, 3), np.uint8))
