"""The bundle: all that a prediction needs, checked before it is used."""

import json
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from conftest import TINY, SavedRun

from headstart.artifact.bundle import (
    CARD,
    DIGEST,
    FAMILIARITY,
    FORMAT,
    MANIFEST,
    WEIGHTS,
    digest_of_manifest,
    find_bundle,
    installed_versions,
    read_bundle,
    write_manifest,
)
from headstart.artifact.predictor import Predictor
from headstart.errors import BundleError
from headstart.storage import sha256_of_file

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def model(saved_run: SavedRun, tmp_path: Path) -> Path:
    """A copy of a bundle, to be changed."""
    return Path(shutil.copytree(saved_run.model, tmp_path / "model"))


def edit(model: Path, change: Change) -> None:
    """Changes the manifest as if it had been written so: its own digest is right."""
    values = json.loads((model / MANIFEST).read_text(encoding="utf-8"))
    change(values)
    values[DIGEST] = digest_of_manifest(values)
    (model / MANIFEST).write_text(json.dumps(values), encoding="utf-8")


def edit_by_hand(model: Path, change: Change) -> None:
    """Changes the manifest as a person with an editor would: its own digest stays."""
    values = json.loads((model / MANIFEST).read_text(encoding="utf-8"))
    change(values)
    (model / MANIFEST).write_text(json.dumps(values), encoding="utf-8")


def write_weights(model: Path, tensors: dict[str, np.ndarray]) -> None:
    """Puts other weights into a bundle whose manifest agrees with them."""
    safetensors.numpy.save_file(tensors, model / WEIGHTS)
    edit(model, lambda values: values.update(weights_sha256=sha256_of_file(model / WEIGHTS)))


def test_what_is_written_is_read(saved_run: SavedRun) -> None:
    """The manifest says which classes, backbone, preprocessing, settings, seed and versions a model was made with."""
    manifest = read_bundle(saved_run.run).manifest
    assert manifest.format == FORMAT == 1
    assert manifest.classes == ("circles", "squares", "triangles")
    assert (manifest.strategy, manifest.recipe, manifest.seed) == ("probe", "default", 0)
    assert (manifest.backbone.name, manifest.backbone.timm_name) == (TINY, TINY.removeprefix("timm/"))
    assert manifest.settings["backbone"] == TINY
    assert manifest.plan["strength"] > 0
    assert manifest.preprocessing().size_px == manifest.preprocess.size_px
    assert manifest.versions == installed_versions()
    assert (manifest.refit, manifest.interrupted) == (False, False)
    assert manifest.created.endswith("+00:00")
    metrics = json.loads((saved_run.run / "metrics.json").read_text(encoding="utf-8"))
    assert manifest.evaluation == metrics["evaluation"]
    assert manifest.backbone.weights_sha256 == metrics["backbone"]["weights_sha256"]


def test_a_manifest_survives_a_second_writing(model: Path) -> None:
    """Written again from what was read, a manifest says the same but for its time."""
    manifest = read_bundle(model).manifest
    times = {"created", "manifest_sha256"}
    written_by_us = {"format", "weights_sha256", "versions", *times}
    again = write_manifest(model, manifest.model_dump(exclude=written_by_us))
    assert again.model_dump(exclude=times) == manifest.model_dump(exclude=times)
    assert read_bundle(model).manifest == again


def test_digests_of_every_image_by_split(saved_run: SavedRun) -> None:
    """The manifest names each image by its digest under the split it was used for; unreadable files are not among them."""
    manifest = read_bundle(saved_run.run).manifest
    broken = {"notes.jpg", "empty.png"}
    for split in ("train", "val"):
        files = [file for file in (saved_run.data / split).glob("*/*") if file.name not in broken]
        assert sorted(manifest.images[split]) == sorted(sha256_of_file(file) for file in files)
    assert set(manifest.images) == {"train", "val"}


def test_the_weights_digest_is_of_the_file(saved_run: SavedRun) -> None:
    """The digest in the manifest is that of weights.safetensors, so anyone can check it with sha256sum."""
    assert read_bundle(saved_run.model).manifest.weights_sha256 == sha256_of_file(saved_run.model / WEIGHTS)


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


def test_truncated_manifest(model: Path) -> None:
    """A manifest cut off anywhere is refused with its path and the question whether the copy is complete."""
    whole = (model / MANIFEST).read_bytes().rstrip()
    for share in (0, 0.01, 0.3, 0.9, 0.999):
        (model / MANIFEST).write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(BundleError, match="cannot be read") as caught:
            read_bundle(model)
        assert MANIFEST in caught.value.message
        assert "complete" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00{", b"[" * 100_000, b"\x00" * 100],
    ids=["not UTF-8", "nested too deep", "zeros"],
)
def test_a_manifest_of_other_bytes(model: Path, content: bytes) -> None:
    """Bytes that are no JSON are refused with a sentence."""
    (model / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(model)


@pytest.mark.parametrize(
    "content", ["[]", "{}", '"format"', "null", "7", '{"format": "1"}', '{"format": null}', '{"format": true}']
)
def test_json_that_is_no_manifest(model: Path, content: str) -> None:
    """JSON of something else is refused as not ours."""
    (model / MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(BundleError, match="not a headstart manifest"):
        read_bundle(model)


@pytest.mark.parametrize("found", [2, 3, 10**9])
def test_newer_format(model: Path, found: int) -> None:
    """A newer format is refused before anything else is looked at, and the hint is to upgrade."""

    def make_newer(values: dict[str, Any]) -> None:
        values.clear()
        values.update(format=found, something="else")

    edit(model, make_newer)
    with pytest.raises(BundleError, match=f"format {found}; this version of headstart reads up to 1") as caught:
        read_bundle(model)
    assert "upgrade" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda v: v.update(format=0), "format"),
        (lambda v: v.update(classes="ants"), "classes"),
        (lambda v: v.update(classes=["ants"]), "classes"),
        (lambda v: v.update(classes=["ants", "ants", "bees"]), "classes"),
        (lambda v: v.update(classes=[1, 2]), "classes.0"),
        (lambda v: v.update(seed="zero"), "seed"),
        (lambda v: v.update(images=["a"]), "images"),
        (lambda v: v.update(refit="perhaps"), "refit"),
        (lambda v: v.pop("weights_sha256"), "weights_sha256"),
        (lambda v: v.pop("classes"), "classes"),
        (lambda v: v.pop("preprocess"), "preprocess"),
        (lambda v: v["backbone"].pop("name"), "backbone.name"),
        (lambda v: v.update(backbone="resnet18"), "backbone"),
        (lambda v: v["preprocess"].update(size_px=0), "preprocess.size_px"),
        (lambda v: v["preprocess"].update(size_px=10**9), "preprocess.size_px"),
        (lambda v: v["preprocess"].update(interpolation="lanczos"), "preprocess.interpolation"),
        (lambda v: v["preprocess"].update(crop="random"), "preprocess.crop"),
        (lambda v: v["preprocess"].update(mean=[0.5, 0.5]), "preprocess.mean"),
        (lambda v: v["preprocess"].update(mean=[0.5, 0.5, float("nan")]), "preprocess.mean"),
        (lambda v: v["preprocess"].update(std=[0.5, 0.5, 0]), "preprocess.std"),
        (lambda v: v["preprocess"].update(decode_margin=-1), "preprocess.decode_margin"),
        (lambda v: v["preprocess"].update(letterbox=True), "preprocess.letterbox"),
    ],
)
def test_wrong_values(model: Path, change: Change, place: str) -> None:
    """A manifest with a missing, wrong or impossible value is refused, and the sentence names the place."""
    edit(model, change)
    with pytest.raises(BundleError, match="is damaged at") as caught:
        read_bundle(model)
    assert f"is damaged at {place}" in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "word"),
    [("resnet19", "resnet19"), ("timm/no_such_net", "no_such_net"), ("", "''"), ("timm/", "timm/")],
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
    with pytest.raises(BundleError, match="does not fit the manifest"):
        Predictor.load(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(classes=[v["classes"][1], v["classes"][0], *v["classes"][2:]]),
        lambda v: v["evaluation"].update(accuracy=0.999),
        lambda v: v["preprocess"].update(resize_px=v["preprocess"]["resize_px"] + 1),
        lambda v: v["decisions"].update(temperature=2.0),
        lambda v: v.update(author="somebody"),
        lambda v: v.update({DIGEST: "0" * 64}),
    ],
    ids=["two classes swapped", "a better accuracy", "another size", "another temperature", "a new key", "another digest"],
)
def test_a_manifest_edited_by_hand(model: Path, change: Change) -> None:
    """Whatever is changed in a manifest after it was written, it is noticed, though it is a good manifest otherwise."""
    edit_by_hand(model, change)
    with pytest.raises(BundleError, match=f"{MANIFEST} was changed after it was written") as caught:
        read_bundle(model)
    assert "copy" in caught.value.hint


def test_a_manifest_may_be_laid_out_anew(model: Path) -> None:
    """The digest is of what a manifest says: other spaces, another order of keys and escaped letters are no change."""
    values = json.loads((model / MANIFEST).read_text(encoding="utf-8"))
    (model / MANIFEST).write_text(json.dumps(dict(reversed(values.items())), indent=4), encoding="utf-8")
    assert read_bundle(model).manifest.manifest_sha256 == values[DIGEST]


def test_a_manifest_without_its_digest(model: Path) -> None:
    """Models of the first days have no digest of the manifest: they are read."""
    edit_by_hand(model, lambda values: values.pop(DIGEST))
    assert read_bundle(model).manifest.manifest_sha256 == ""


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda v: v.update(format=FORMAT + 1, classes=["one"]), "has format"),
        (lambda v: v.update(classes=["one"]), "is damaged at classes"),
        (lambda v: v.update(seed=1, weights_sha256="0" * 64), "was changed after it was written"),
    ],
)
def test_the_order_of_the_checks(model: Path, change: Change, word: str) -> None:
    """Of several faults the one is told that explains the others: the format, then the manifest's values, then its digest."""
    (model / WEIGHTS).unlink()
    edit_by_hand(model, change)
    with pytest.raises(BundleError, match=word):
        read_bundle(model)


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


def test_a_flipped_bit_in_the_manifest(model: Path) -> None:
    """Each bit of what a manifest says counts, but for the name of its digest, without which it is one of the first days."""
    whole = (model / MANIFEST).read_bytes().rstrip()
    for place in np.random.default_rng(0).choice(len(whole), 60, replace=False):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(place) % 8
        if _says(flipped) == _says(whole):
            continue  # a space of the layout became another
        (model / MANIFEST).write_bytes(flipped)
        with pytest.raises(BundleError):
            read_bundle(model)


def _says(content: bytes | bytearray) -> Any:
    try:
        return json.loads(content.decode("utf-8"))
    except ValueError:
        return None


def test_weights_of_another_shape(model: Path) -> None:
    """Weights whose shapes do not fit are refused even where digest and manifest agree; the tensor is named."""
    tensors = safetensors.numpy.load_file(model / WEIGHTS)
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 4)
    tensors[name] = tensors[name][1:]
    write_weights(model, tensors)
    with pytest.raises(BundleError, match="another shape") as caught:
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
