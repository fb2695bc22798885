"""A forked process answers, or says what to do: it never waits for threads that stayed behind in its parent."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import PATIENCE_SECONDS, TINY, SavedRun

from headstart.artifact.export import export_model
from headstart.errors import SettingsError

pytestmark = [pytest.mark.process, pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")]

# `in_child(function)`: what the function returns in a forked process. One that hangs is ended.
START = f"""
import multiprocessing, os, signal, sys, threading, traceback, warnings
warnings.simplefilter("ignore")
def in_child(function):
    ends = os.pipe()
    number = os.fork()
    if number == 0:
        signal.alarm({PATIENCE_SECONDS})
        try:
            os.write(ends[1], str(function()).encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(number, 0)[1]
    assert status == 0, f"the forked process ended with {{status}}"
    return os.read(ends[0], 1 << 16).decode()
"""

PREDICTOR = """
from headstart import HeadstartError, Predictor
model, *paths = sys.argv[1:]
predictor = Predictor.load(model)
def answers():
    return [(one.best, round(one.probability, 3)) for one in predictor.predict(paths)]
"""


def run(script: str, *arguments: object) -> str:
    """What a process prints that runs the script; its torch has threads to lose."""
    command = [sys.executable, "-c", START + script, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def paths(saved_run: SavedRun) -> list[str]:
    return list(saved_run.labels)[:3]


ASKED_BEFORE_AND_AFTER = (
    PREDICTOR
    + """
wanted = answers()
assert in_child(answers) == str(wanted)
assert in_child(lambda: in_child(answers)) == str(wanted)  # a fork of a fork
assert answers() == wanted
"""
)


@pytest.mark.parametrize("kind", ["bundle", "onnx", "openvino", "litert"])
def test_a_loaded_model_answers_after_a_fork(saved_run: SavedRun, paths: list[str], tmp_path: Path, kind: str) -> None:
    """Loaded and asked before a fork, a model gives the same answers in the new process, whatever runs it."""
    model = saved_run.run
    if kind != "bundle":
        model = export_model(saved_run.run, tmp_path / kind, format=kind).folder  # type: ignore[arg-type]
    run(ASKED_BEFORE_AND_AFTER, model, *paths)


def test_pools_and_data_loaders(saved_run: SavedRun, paths: list[str]) -> None:
    """multiprocessing's pool and torch's DataLoader fork processes that answer, also if nothing was asked before."""
    run(
        PREDICTOR
        + """
import torch
class Answers(torch.utils.data.Dataset):
    def __len__(self):
        return len(paths)
    def __getitem__(self, i):
        return next(predictor.predict(paths[i])).best
def best(path):
    return next(predictor.predict(path)).best
with multiprocessing.get_context("fork").Pool(2) as pool:
    found = pool.map(best, paths)
loader = torch.utils.data.DataLoader(Answers(), batch_size=None, num_workers=1, multiprocessing_context="fork")
assert found == list(loader) == [best(path) for path in paths]
""",
        saved_run.run,
        *paths,
    )


@pytest.mark.parametrize("values", [{"engine": "openvino"}, {"strategy": "finetune", "epochs": 1}], ids=["openvino", "torch"])
def test_an_estimator_works_after_a_fork(saved_run: SavedRun, tiny_weights: Path, values: dict[str, object]) -> None:
    """Fitted before a fork, an estimator predicts and scores in the new process, and can be fitted there."""
    pytest.importorskip("openvino")
    run(
        """
from sklearn.base import clone
from headstart import ImageClassifier
data, weights, backbone, values = sys.argv[1:]
settings = dict(strategy="probe", backbone=backbone, weights=weights, device="cpu") | eval(values)
classifier = ImageClassifier(**settings).fit(data)
answers = lambda: classifier.score(data)
assert in_child(answers) == str(answers())
assert in_child(lambda: clone(classifier).fit(data).score(data)) == str(answers())
""",
        saved_run.data / "val",
        tiny_weights,
        TINY,
        values,
    )


def test_a_fork_while_others_predict(saved_run: SavedRun, paths: list[str]) -> None:
    """A process that is forked while other threads predict answers."""
    run(
        PREDICTOR
        + """
wanted, busy = answers(), True
def ask():
    while busy:
        answers()
threads = [threading.Thread(target=ask) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(5):
    assert in_child(answers) == str(wanted)
busy = False
""",
        saved_run.run,
        *paths,
    )


def test_answers_that_were_begun_before_a_fork(saved_run: SavedRun, paths: list[str]) -> None:
    """An iterator whose threads are in the parent says so; the parent goes on with it."""
    run(
        PREDICTOR
        + """
begun = predictor.predict(paths * 20)
next(begun)
def go_on():
    try:
        next(begun)
    except HeadstartError as error:
        return error
assert in_child(go_on) == "this work was begun before the process forked (begin it in the new process)"
assert len(list(begun)) == 20 * len(paths) - 1
""",
        saved_run.run,
        *paths,
    )


def test_a_network_that_cannot_be_opened_again(saved_run: SavedRun, paths: list[str], tmp_path: Path) -> None:
    """Where the file of the network is gone after the fork, the error says to load the model in the new process."""
    export_model(saved_run.run, tmp_path / "export")
    run(
        PREDICTOR
        + """
answers()
os.remove(model + "/model.onnx")
def ask():
    try:
        answers()
    except HeadstartError as error:
        return error
said = in_child(ask)
assert "the network cannot be opened again in a forked process" in said and "load the model after the fork" in said, said
""",
        tmp_path / "export",
        *paths,
    )


def test_locks_are_free_after_a_fork() -> None:
    """A fork waits until other threads have released the lock, so that the new process can take it."""
    run("""
from headstart.forks import lock_free_at_forks
lock, held, fork_began = lock_free_at_forks(), threading.Event(), threading.Event()
def hold():
    with lock:
        held.set()
        fork_began.wait()
os.register_at_fork(before=fork_began.set)  # called before the lock's own, in reverse order
threading.Thread(target=hold).start()
held.wait()
def take():
    with lock:
        return "taken"
assert in_child(take) == "taken"
with lock:
    assert in_child(take) == "taken"  # the forking thread may hold it
""")


def test_a_gpu_needs_a_process_of_its_own(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network on a GPU says that a forked process cannot use it, and what can."""
    import torch

    from headstart.model import backbones
    from headstart.model.weights import WeightsFile
    from headstart.storage import sha256_of_file

    spec = backbones.named_or_timm(TINY)
    network = backbones.pretrained_network(spec, WeightsFile(tiny_weights, sha256_of_file(tiny_weights), "a test"))
    network.device = torch.device("cuda:1")
    monkeypatch.setattr(backbones, "forks", lambda: 1)
    with pytest.raises(SettingsError, match="a network on cuda:1 cannot be used in a forked process") as caught:
        network.features(np.zeros((1, 8, 8, 3), np.uint8))
    assert "spawn" in caught.value.hint
