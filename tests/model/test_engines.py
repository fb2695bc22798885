"""The engines that run compiled networks."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from conftest import PATIENCE_SECONDS
from onnx import TensorProto, helper

from headstart.model.engines import INPUT, OUTPUT

ATTEMPTS = 2  # without the precaution seven of ten hang

FIRST_CALLS = """
import sys, threading
from pathlib import Path
import numpy as np
from headstart.model.engines import load_engine

compute = load_engine(sys.argv[1], Path(sys.argv[2]), "fp32", 2)
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
