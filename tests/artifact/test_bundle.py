"""The bundle: all that a prediction needs, checked before it is used."""

import json
import shutil
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from conftest import SavedRun

from artifact.conftest import edit
from headstart.artifact.bundle import CARD, FAMILIARITY, WEIGHTS, find_bundle, read_bundle
from headstart.artifact.manifest import MANIFEST
from headstart.artifact.predictor import Predictor
from headstart.errors import BundleError
from headstart.storage import sha256_of_file


def write_weights(model: Path, tensors: dict[str, np.ndarray]) -> None:
    """Puts other weights into a bundle whose manifest agrees with them."""
    safetensors.numpy.save_file(tensors, model / WEIGHTS)
    edit(model, lambda values: values.update(weights_sha256=sha256_of_file(model / WEIGHTS)))


@pytest.mark.parametrize("given", ["run", "model"])
def test_run_or_bundle(saved_run: SavedRun, given: str) -> None:
    """MODEL may be the run folder or the bundle in it."""
    assert find_bundle(getattr(saved_run, given)) == saved_run.model


def test_a_bundle_is_four_files(saved_run: SavedRun) -> None:
    """A bundle is manifest.json, weights.safetensors, what unfamiliar images are told by, and its card; nothing else."""
    assert sorted(path.name for path in saved_run.model.iterdir()) == sorted([CARD, FAMILIARITY, MANIFEST, WEIGHTS])


def test_paths_in_a_bundle(saved_run: SavedRun) -> None:
    """A bundle is not bound to where it was made: no path of the run or the data is in it but what the user set."""
    values = json.loads((saved_run.model / MANIFEST).read_text(encoding="utf-8"))
    values.pop("settings")
    card = (saved_run.model / CARD).read_text(encoding="utf-8")
    assert str(saved_run.run.parent) not in json.dumps(values, ensure_ascii=False) + card


def test_a_moved_bundle_loads(saved_run: SavedRun, tmp_path: Path) -> None:
    """A copy of the bundle alone, at a place with spaces and accents, answers as the original does."""
    moved = Path(shutil.copytree(saved_run.model, tmp_path / "an öther place" / "m"))
    files = list(saved_run.labels)[:3]
    there, here = Predictor.load(moved).predict(files), Predictor.load(saved_run.run).predict(files)
    for a, b in zip(there, here, strict=True):
        np.testing.assert_array_equal(a.probabilities, b.probabilities)


@pytest.mark.parametrize(
    ("name", "word"),
    [("resnet19", "resnet19"), ("timm/no_such_net", "no_such_net"), ("", "backbone.name"), ("timm/", "timm/")],
)
def test_unknown_backbone(model: Path, name: str, word: str) -> None:
    """A backbone that this version does not know is refused by its name."""
    edit(model, lambda values: values["backbone"].update(name=name))
    with pytest.raises(BundleError, match=word) as caught:
        Predictor.load(model)
    assert caught.value.hint


def test_another_backbone(model: Path) -> None:
    """A manifest that names another backbone than the weights belong to is refused: nothing is loaded by halves."""
    edit(model, lambda values: values["backbone"].update(name="resnet18", timm_name="resnet18.tv_in1k"))
    with pytest.raises(BundleError, match="does not fit the network"):
        Predictor.load(model)


@pytest.mark.parametrize("classes", [["circles", "squares"], ["circles", "ovals", "squares", "triangles"]])
def test_classes_edited(model: Path, classes: list[str]) -> None:
    """A list of classes that the last layer was not made for is refused."""
    edit(model, lambda values: values.update(classes=classes))
    with pytest.raises(BundleError, match="damaged at"):  # for the rest of the manifest is of other classes
        Predictor.load(model)
    edit(model, lambda values: values.update(data={}, evaluation={}, image_classes={}))
    with pytest.raises(BundleError, match="does not fit the manifest"):
        Predictor.load(model)


@pytest.mark.parametrize("name", [WEIGHTS, FAMILIARITY])
@pytest.mark.parametrize("share", [0, 0.5, 0.999])
def test_a_truncated_file(model: Path, name: str, share: float) -> None:
    """A file that was cut off, as a full disk does it, is refused by its name."""
    content = (model / name).read_bytes()
    (model / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(BundleError, match=f"{name} is not the file"):
        read_bundle(model)


@pytest.mark.parametrize("name", [WEIGHTS, FAMILIARITY])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_flipped_bit(model: Path, name: str, place: str) -> None:
    """One flipped bit anywhere in a file is found before it is used."""
    content = bytearray((model / name).read_bytes())
    content[{"first": 0, "middle": len(content) // 2, "last": -1}[place]] ^= 1
    (model / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} is not the file the manifest was written for") as caught:
        read_bundle(model)
    assert "copy" in caught.value.hint


@pytest.mark.parametrize("name", [WEIGHTS, FAMILIARITY])
def test_a_missing_file(model: Path, name: str) -> None:
    """A bundle that lacks a file is refused with the name of that file."""
    (model / name).unlink()
    with pytest.raises(BundleError, match=f"no {name}"):
        read_bundle(model)


def test_weights_of_another_shape(model: Path) -> None:
    """Weights whose shapes do not fit are refused even where digest and manifest agree; the tensor is named."""
    tensors = safetensors.numpy.load_file(model / WEIGHTS)
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 4)
    tensors[name] = tensors[name][1:]
    write_weights(model, tensors)
    with pytest.raises(BundleError, match="have the wrong shape") as caught:
        Predictor.load(model)
    assert name in caught.value.message


def test_weights_with_a_tensor_missing(model: Path) -> None:
    """Weights that lack a tensor are refused: no layer is left at random values."""
    tensors = safetensors.numpy.load_file(model / WEIGHTS)
    name = next(name for name in tensors if name.endswith("bn1.weight"))
    del tensors[name]
    write_weights(model, tensors)
    with pytest.raises(BundleError, match=r"1 tensors? (is|are) missing") as caught:
        Predictor.load(model)
    assert name in caught.value.message


def test_weights_with_a_tensor_too_many(model: Path) -> None:
    """Weights with a tensor that the network has no place for are refused."""
    tensors = safetensors.numpy.load_file(model / WEIGHTS)
    write_weights(model, tensors | {"extra.weight": np.zeros(3, np.float32)})
    with pytest.raises(BundleError, match=r"unknown.*extra\.weight"):
        Predictor.load(model)


def test_weights_that_are_no_safetensors(model: Path) -> None:
    """A file of other bytes under the name of the weights is refused with a sentence."""
    (model / WEIGHTS).write_bytes(b"\x80\x04K\x01.")  # the number 1, pickled
    edit(model, lambda values: values.update(weights_sha256=sha256_of_file(model / WEIGHTS)))
    with pytest.raises(BundleError, match="cannot be read"):
        Predictor.load(model)


@pytest.mark.parametrize(
    ("name", "word", "hint"),
    [
        ("nowhere", "there is no", "run"),
        ("folder", "contains no model", "run"),
        ("killed.partial", "contains no model", "--resume"),
        ("file.txt", "contains no model", "run"),
    ],
)
def test_not_a_model(tmp_path: Path, name: str, word: str, hint: str) -> None:
    """What is no model is refused by its path; for a killed run the hint is to resume it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "killed.partial").mkdir()
    (tmp_path / "file.txt").touch()
    with pytest.raises(BundleError, match=word) as caught:
        find_bundle(tmp_path / name)
    assert str(tmp_path / name) in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_service_of_another_user_may_read_a_model(saved_run: SavedRun) -> None:
    """Every file of a bundle has the permissions that a new file has, safetensors among them."""
    mode = (saved_run.run / "metrics.json").stat().st_mode
    assert {file.name: file.stat().st_mode for file in saved_run.model.iterdir()} == dict.fromkeys(
        (CARD, FAMILIARITY, MANIFEST, WEIGHTS), mode
    )
    assert mode & stat.S_IRUSR
