"""A predictor can be copied into other processes and answers the same there."""

import copy
import json
import multiprocessing
import pickle
import shutil
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import SavedRun

from headstart.artifact import predictor as predictor_module
from headstart.artifact.bundle import read_bundle
from headstart.artifact.export import export_model
from headstart.artifact.predictor import Prediction, Predictor
from headstart.errors import BundleError, HeadstartWarning


@pytest.fixture
def moved(saved_run: SavedRun, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    return Path(shutil.copytree(saved_run.run, tmp_path / "moved"))


def answers(predictor: Predictor, run: SavedRun) -> list[Prediction]:
    return list(predictor.predict(list(run.labels)[:4]))


def assert_same(found: list[Prediction], wanted: list[Prediction]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert (one.path, one.predicted, one.unfamiliar) == (other.path, other.predicted, other.unfamiliar)
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)


def ask(predictor: Predictor, path: str) -> Prediction:
    """What a worker process is asked."""
    return next(predictor.predict(path))


def test_a_pickle_answers_the_same(saved_run: SavedRun, moved: Path) -> None:
    """A pickle holds all that it needs: it answers alike when the folder is gone, also a pickle of what was unpickled."""
    predictor = Predictor.load(moved)
    wanted, dumped = answers(predictor, saved_run), pickle.dumps(predictor)
    shutil.rmtree(moved)
    loaded = pickle.loads(dumped)
    again = pickle.loads(pickle.dumps(loaded))
    for one in (loaded, again):
        assert one.manifest == predictor.manifest
        assert_same(answers(one, saved_run), wanted)


def test_copies_share_the_network(saved_run: SavedRun) -> None:
    """copy and deepcopy are other objects with the same answers, and read nothing again."""
    predictor = Predictor.load(saved_run.run)
    for copied in (copy.copy(predictor), copy.deepcopy(predictor), copy.deepcopy([predictor])[0]):
        assert copied is not predictor
        assert copied.extractor is predictor.extractor
        assert_same(answers(copied, saved_run), answers(predictor, saved_run))


def test_an_export_can_be_pickled(saved_run: SavedRun, tmp_path: Path) -> None:
    """So can a predictor of an exported file."""
    export_model(saved_run.run, tmp_path / "export")
    predictor = Predictor.load(tmp_path / "export")
    wanted, dumped = answers(predictor, saved_run), pickle.dumps(predictor)
    shutil.rmtree(tmp_path / "export")
    assert_same(answers(pickle.loads(dumped), saved_run), wanted)


def test_a_folder_that_changed_is_told(moved: Path) -> None:
    """The files are read when it is pickled: a folder that is gone, damaged or holds another model by then is told."""
    predictor = Predictor.load(moved)
    manifest = moved / "model" / "manifest.json"
    values = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps(values | {"seed": 7, "manifest_sha256": ""}), encoding="utf-8")
    with pytest.raises(BundleError, match="holds another model than the one that was loaded"):
        pickle.dumps(predictor)
    (moved / "model" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match="is not the file the manifest was written for"):
        pickle.dumps(predictor)
    shutil.rmtree(moved)
    with pytest.raises(BundleError, match="from which the model was loaded, is gone"):
        pickle.dumps(predictor)


def test_a_pickle_is_checked_like_a_folder(saved_run: SavedRun) -> None:
    """Unpickling makes the checks of a bundle: damaged weights, missing files and names that lead elsewhere are refused."""
    files = dict(Predictor.load(saved_run.run).files())
    assert set(files) == {"manifest.json", "weights.safetensors", "familiarity.safetensors", "README.md"}
    wrong = {
        "is not the file the manifest": files | {"weights.safetensors": files["weights.safetensors"][:-1] + b"\1"},
        "has no weights.safetensors": {name: content for name, content in files.items() if name != "weights.safetensors"},
        "a model has no file '../outside'": files | {"../outside": b""},
    }
    for sentence, changed in wrong.items():
        with pytest.raises(BundleError, match=sentence):
            predictor_module._unpickled(changed, "cpu")


def test_without_its_gpu(saved_run: SavedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle from a machine with a GPU runs on the CPU where there is none, and says so."""
    monkeypatch.setattr(predictor_module, "has_cuda", lambda: False)
    predictor = Predictor.load(saved_run.run)
    with pytest.warns(HeadstartWarning, match="the model ran on cuda:1, which is not here: it runs on the CPU"):
        loaded = predictor_module._unpickled(predictor.files(), "cuda:1")
    assert_same(answers(loaded, saved_run), answers(predictor, saved_run))


def test_the_size_of_a_pickle(saved_run: SavedRun) -> None:
    """A pickle is as large as the bundle's files."""
    folder = read_bundle(saved_run.run).folder
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert size < len(pickle.dumps(Predictor.load(saved_run.run))) < size + 2000


def test_threads_share_a_predictor(saved_run: SavedRun) -> None:
    """Many threads may ask one predictor at once, also for its first answer, and each gets its own."""
    wanted = {path: next(Predictor.load(saved_run.run).predict(path)) for path in saved_run.labels}
    predictor = Predictor.load(saved_run.run)
    paths = list(saved_run.labels) * 4
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda path: next(predictor.predict(path)), paths))
    assert_same(found, [wanted[path] for path in paths])


@pytest.mark.process
def test_spawned_processes_answer(saved_run: SavedRun) -> None:
    """A predictor can be sent to processes that are started afresh, and their answers come back."""
    predictor = Predictor.load(saved_run.run)
    paths = list(saved_run.labels)[:2]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(ask, [predictor] * 2, paths))
    assert_same(found, [next(predictor.predict(path)) for path in paths])


def test_nothing_warns(saved_run: SavedRun) -> None:
    """Copies of a model that is in order say nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(copy.deepcopy(Predictor.load(saved_run.run))))
