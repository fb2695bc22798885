"""`headstart verify` finds what is wrong with a model before it is put to use."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from conftest import SavedRun

from headstart.artifact.bundle import CARD, FAMILIARITY, WEIGHTS
from headstart.artifact.export import export_model
from headstart.artifact.manifest import MANIFEST, read_manifest, save_manifest
from headstart.artifact.verification import are_answers, extra_files, verify_model
from headstart.errors import BundleError
from headstart.model.exported import HEAD, ExportFormat
from headstart.storage import sha256_of_file
from headstart.tasks.one_number import Numbers
from headstart.tasks.several_labels import SeveralLabels
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask


@pytest.fixture
def model(saved_run: SavedRun, tmp_path: Path) -> Path:
    """A copy of a bundle, to be changed."""
    return Path(shutil.copytree(saved_run.model, tmp_path / "mödel 🙂"))


def own_files(model: Path) -> tuple[str, ...]:
    """The names that the check of the files names."""
    return next(check.files for check in verify_model(model) if check.files)


def test_a_whole_bundle_passes_each_check(saved_run: SavedRun) -> None:
    """Manifest, files, tensors, engine and answers, in this order, given the run or the bundle in it."""
    for place in (saved_run.run, saved_run.model):
        passed = {check.check: check.found for check in verify_model(place)}
        assert list(passed) == ["manifest", "files", "tensors", "engine", "answers"]
        assert "unchanged since" in passed["manifest"]
        assert WEIGHTS in passed["files"] and FAMILIARITY in passed["files"]
        assert "3 classes" in passed["tensors"] and "sum to 1" in passed["answers"]
        assert extra_files(place, (WEIGHTS, FAMILIARITY)) == ()


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_whole_export_passes(saved_run: SavedRun, tmp_path: Path, format: ExportFormat) -> None:
    """An export is checked as a bundle is, its file from pixels to probabilities."""
    export_model(saved_run.run, tmp_path / "out ö", format=format)
    assert [check.check for check in verify_model(tmp_path / "out ö")] == ["manifest", "files", "tensors", "engine", "answers"]
    assert extra_files(tmp_path / "out ö", own_files(tmp_path / "out ö")) == ()


def test_what_is_no_part_of_the_model_is_named(model: Path) -> None:
    """Files and folders that lie beside a model's own are named, and no error; its card is its own."""
    (model / "notes of mine.txt").touch()
    (model / "old").mkdir()
    assert extra_files(model, own_files(model)) == ("notes of mine.txt", "old")
    assert len(list(verify_model(model))) == 5
    (model / CARD).unlink()
    assert len(list(verify_model(model))) == 5


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS, FAMILIARITY])
@pytest.mark.parametrize("damage", ["flipped", "cut off", "gone"])
def test_damage_is_found(model: Path, name: str, damage: str) -> None:
    """A flipped bit, a file cut off or gone: one sentence and a hint."""
    file = model / name
    content = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    with pytest.raises(BundleError) as caught:
        list(verify_model(model))
    assert caught.value.hint and "\n" not in caught.value.message


Tensors = dict[str, np.ndarray]


def without_the_first(tensors: Tensors) -> Tensors:
    """One tensor is missing."""
    return dict(list(tensors.items())[1:])


def cut(tensors: Tensors) -> Tensors:
    """A convolution has another shape."""
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 4)
    return tensors | {name: tensors[name][:-1]}


def not_finite(tensors: Tensors) -> Tensors:
    """The last layer holds what is no number."""
    name = next(name for name in tensors if name.startswith("fc."))
    return tensors | {name: np.full_like(tensors[name], np.nan)}


@pytest.mark.parametrize("change", [without_the_first, cut, not_finite])
def test_wrong_tensors_with_a_right_digest(model: Path, change: Callable[[Tensors], Tensors]) -> None:
    """Weights that do not fit the network, or answer with no numbers, are found though every digest is right."""
    tensors = change(safetensors.numpy.load_file(model / WEIGHTS))
    safetensors.numpy.save_file(tensors, model / WEIGHTS)
    manifest = read_manifest(model).model_copy(update={"weights_sha256": sha256_of_file(model / WEIGHTS)})
    save_manifest(model, manifest)
    passed = []
    with pytest.raises(BundleError) as caught:
        for check in verify_model(model):
            passed.append(check.check)
    assert passed == ["manifest", "files"]
    assert caught.value.hint


@pytest.mark.parametrize(
    ("task", "good", "bad"),
    [
        (SINGLE_LABEL, (0.2, 0.8), (0.7, 0.8)),
        (SeveralLabels(), (0.7, 0.8), (0.7, 1.2)),
        (SeveralLabels(), (0.0, 0.0), (-0.1, 0.5)),
        (Numbers(2000.0, 30.0), (2160.5,), (np.inf,)),
    ],
)
def test_what_answers_can_be(task: LearningTask, good: tuple[float, ...], bad: tuple[float, ...]) -> None:
    """It depends on the kind of answer, which what the task makes of any outputs always is."""
    assert are_answers(np.array([good]), task.link) and not are_answers(np.array([bad]), task.link)
    assert not are_answers(np.full((1, len(good)), np.nan), task.link)
    outputs = np.random.default_rng(0).normal(0, 5, (50, len(good)))
    assert all(are_answers(task.probabilities(row[None]), task.link) for row in outputs)


def test_an_exported_file_that_is_another_models(saved_run: SavedRun, tmp_path: Path) -> None:
    """A file that is no network is found though its digest is right, and said in a sentence."""
    export_model(saved_run.run, tmp_path / "out")
    file = tmp_path / "out" / "model.onnx"
    file.write_bytes(b"no network")
    manifest = read_manifest(tmp_path / "out")
    assert manifest.export is not None and HEAD in manifest.export.sha256
    export = manifest.export.model_copy(update={"sha256": manifest.export.sha256 | {file.name: sha256_of_file(file)}})
    save_manifest(tmp_path / "out", manifest.model_copy(update={"export": export}))
    with pytest.raises(BundleError, match=r"model\.onnx"):
        list(verify_model(tmp_path / "out"))


def test_the_digest_is_what_the_manifest_says_of_itself(model: Path) -> None:
    """Anyone can check it: SHA-256 of the other keys as JSON, sorted, without spaces, in UTF-8."""
    import hashlib

    values = json.loads((model / MANIFEST).read_text(encoding="utf-8"))
    digest = values.pop("manifest_sha256")
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode("utf-8")).hexdigest() == digest
