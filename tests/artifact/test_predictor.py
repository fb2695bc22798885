"""A saved model answers the same wherever, whenever and in whatever order it is asked."""

import csv
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import SavedRun
from PIL import Image

from headstart.artifact.bundle import read_bundle
from headstart.artifact.bundled_network import engine_here
from headstart.artifact.predictor import Prediction, Predictor
from headstart.errors import BundleError, HeadstartWarning, SettingsError
from headstart.model.extractor import ONNX_RUNTIME, TORCH_BATCH, Engine

TOLERANCE = 1e-4  # design.md section 3: one answer


def read_table(text: str) -> dict[str, dict[str, str]]:
    """The rows of a CSV by their path."""
    return {row["path"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}


def predictions_of(run: SavedRun) -> dict[str, dict[str, str]]:
    """The rows of the run's predictions.csv by their path."""
    return read_table((run.run / "predictions.csv").read_text(encoding="utf-8"))


def assert_same(row: dict[str, str], wanted: dict[str, str], classes: tuple[str, ...]) -> None:
    """The same class, and each probability within the tolerance."""
    assert row["predicted"] == wanted["predicted"]
    for column in ("probability", *(f"p:{name}" for name in classes)):
        assert float(row[column]) == pytest.approx(float(wanted[column]), abs=TOLERANCE)


@pytest.fixture
def predictor(saved_run: SavedRun) -> Predictor:
    """The predictor of a saved run."""
    return Predictor.load(saved_run.run)


def test_the_run_is_a_fair_test(saved_run: SavedRun) -> None:
    """The model of these tests is neither sure of all nor right on all, so that a difference would show."""
    rows = predictions_of(saved_run).values()
    assert {row["path"] for row in rows} == set(saved_run.labels)
    assert any(0.34 < float(row["probability"]) < 0.97 for row in rows)
    assert 0 < sum(row["predicted"] != row["label"] for row in rows) < len(saved_run.labels)


@pytest.mark.parametrize("moved", [False, True], ids=["in place", "moved"])
@pytest.mark.slow
def test_a_fresh_process_gives_predictions_csv(saved_run: SavedRun, tmp_path: Path, moved: bool) -> None:
    """A new process answers what training wrote to predictions.csv, also after the run was moved."""
    run = Path(shutil.copytree(saved_run.run, tmp_path / "moved ü run")) if moved else saved_run.run
    command = [sys.executable, "-m", "headstart", "predict", str(run), str(saved_run.data / "val"), "--format", "csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows, wanted = read_table(done.stdout), predictions_of(saved_run)
    assert rows.keys() == wanted.keys()
    for path, row in rows.items():
        assert_same(row, wanted[path], ("circles", "squares", "triangles"))


def test_answers_come_in_the_order_of_the_files(saved_run: SavedRun, predictor: Predictor) -> None:
    """Whatever the order and number of files, each gets its own answer, in that order."""
    wanted = predictions_of(saved_run)
    rng = np.random.default_rng(1)
    files = [str(file) for file in rng.permutation(list(saved_run.labels) * 3)]
    assert len(files) > 3 * TORCH_BATCH
    answers = list(predictor.predict(files, workers=4))
    assert [answer.path for answer in answers] == files
    for answer in answers:
        row = wanted[answer.path]
        assert answer.probabilities is not None
        assert answer.predicted == row["predicted"]
        expected = [float(row[f"p:{name}"]) for name in predictor.classes]
        np.testing.assert_allclose(answer.probabilities, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("count", [1, TORCH_BATCH - 1, TORCH_BATCH, TORCH_BATCH + 1])
def test_no_file_is_lost_at_the_edge_of_a_batch(saved_run: SavedRun, predictor: Predictor, count: int) -> None:
    """As many answers come as files were given."""
    files = list(saved_run.labels)[:count]
    assert [answer.path for answer in predictor.predict(files)] == files


def test_no_files(predictor: Predictor) -> None:
    """No files: no answers, and no error."""
    assert list(predictor.predict([])) == []


def test_probabilities(saved_run: SavedRun, predictor: Predictor) -> None:
    """Probabilities are a share for each class; predicted and probability are those of the largest."""
    for answer in predictor.predict(list(saved_run.labels)):
        shares = answer.probabilities
        assert shares is not None
        assert shares.shape == (3,)
        assert shares.sum() == pytest.approx(1)
        assert (shares >= 0).all()
        assert answer.predicted == answer.classes[int(np.argmax(shares))]
        assert answer.probability == shares.max()


def test_unreadable_files_between_others(saved_run: SavedRun, predictor: Predictor, tmp_path: Path) -> None:
    """A file that cannot be read gets its reason, and the answers of its neighbours are not shifted."""
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").touch()
    whole = Path(next(iter(saved_run.labels))).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    good = list(saved_run.labels)[:6]
    reasons = {"text.jpg": "text", "empty.png": "empty", "cut.png": "damaged", "none.png": "no such file", "": "not a file"}
    bad = {str(tmp_path / name): word for name, word in reasons.items()}
    files = [file for pair in zip(good, bad, strict=False) for file in pair] + good[5:]
    answers = list(predictor.predict(files))
    wanted = predictions_of(saved_run)
    assert [answer.path for answer in answers] == files
    for answer in answers:
        if answer.path in wanted:
            assert answer.error == ""
            assert answer.predicted == wanted[answer.path]["predicted"]
            assert answer.probability == pytest.approx(float(wanted[answer.path]["probability"]), abs=TOLERANCE)
        else:
            assert bad[answer.path] in answer.error
            assert answer.probabilities is None
            assert (answer.predicted, answer.probability) == ("", 0.0)


def test_a_whole_batch_unreadable(predictor: Predictor, tmp_path: Path) -> None:
    """Where no file of a batch can be read the network is not asked, and each file has its reason."""
    files = [tmp_path / f"{i}.png" for i in range(TORCH_BATCH + 2)]
    answers = list(predictor.predict(files))
    assert len(answers) == len(files)
    assert all("no such file" in answer.error for answer in answers)


def test_the_same_pixels_in_another_file(saved_run: SavedRun, predictor: Predictor, tmp_path: Path) -> None:
    """The answer is of the pixels, not of the file: as BMP, or with a wrong ending, an image gets the very same one."""
    file = next(iter(saved_run.labels))
    with Image.open(file) as image:
        image.save(tmp_path / "a.bmp")
        image.save(tmp_path / "a.jpg", format="PNG")
    first, *others = predictor.predict([file, tmp_path / "a.bmp", tmp_path / "a.jpg"])
    for other in others:
        np.testing.assert_allclose(other.probabilities, first.probabilities, rtol=0, atol=1e-6)


def test_a_predictor_is_lazy(saved_run: SavedRun, predictor: Predictor) -> None:
    """Answers come while files are still being named: memory holds a few batches, not the whole list."""
    asked = 0

    def endless() -> object:
        nonlocal asked
        file = next(iter(saved_run.labels))
        while True:
            asked += 1
            yield file

    answers = predictor.predict(endless(), workers=2)
    assert isinstance(next(answers), Prediction)
    assert asked < 4 * TORCH_BATCH
    answers.close()


def test_it_knows_its_manifest(saved_run: SavedRun, predictor: Predictor) -> None:
    """A loaded predictor has the classes, pixels and manifest of its bundle."""
    manifest = read_bundle(saved_run.run).manifest
    assert predictor.manifest == manifest
    assert predictor.classes == manifest.classes
    assert predictor.preprocess == manifest.preprocess


def test_a_device_that_is_not_there(saved_run: SavedRun) -> None:
    """A device that the machine lacks is an error that says which works."""
    with pytest.raises((BundleError, SettingsError), match="device 'cuda:77' is not available") as caught:
        Predictor.load(saved_run.run, device="cuda:77")
    assert "--device cpu" in caught.value.hint


@pytest.mark.parametrize("engine", [ONNX_RUNTIME, Engine(name="openvino"), Engine(name="openvino", precision="bf16")])
def test_what_a_model_was_made_with_answers(engine: Engine) -> None:
    """Where the engine of a model is installed it is what answers."""
    pytest.importorskip("openvino")
    assert engine_here(engine) == engine


def test_elsewhere_onnx_runtime_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO that is missing is replaced with a word, torch without one; reduced precision is never replaced."""
    monkeypatch.setattr("headstart.artifact.bundled_network.is_installed", lambda name: False)
    with pytest.warns(HeadstartWarning, match="made with OpenVINO, which is not installed"):
        assert engine_here(Engine(name="openvino")) == ONNX_RUNTIME
    assert engine_here(Engine(name="torch-cuda")) == ONNX_RUNTIME
    half = Engine(name="openvino", precision="bf16")
    assert engine_here(half) == half
