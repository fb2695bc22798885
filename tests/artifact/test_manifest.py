"""manifest.json: what is written is read, and nothing else."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY, SavedRun

from artifact.conftest import Change, edit, edit_by_hand
from headstart.artifact.bundle import WEIGHTS, read_bundle
from headstart.artifact.manifest import (
    DIGEST,
    FORMAT,
    MANIFEST,
    Manifest,
    installed_versions,
    new_manifest,
    read_manifest,
    save_manifest,
)
from headstart.errors import BundleError
from headstart.model.extractor import ONNX_RUNTIME, Engine
from headstart.recipes import ProbePlan
from headstart.storage import sha256_of_file

KEPT_RUN = Path(__file__).parents[1] / "kept" / "format-1" / "run" / "model"  # fine-tuned by an earlier version


def test_what_is_written_is_read(saved_run: SavedRun) -> None:
    """The manifest says which classes, backbone, preprocessing, settings, seed and versions a model was made with."""
    manifest = read_bundle(saved_run.run).manifest
    assert manifest.format == FORMAT == 4
    assert manifest.classes == ("circles", "squares", "triangles")
    assert (manifest.strategy, manifest.recipe, manifest.seed) == ("probe", "default", 0)
    assert (manifest.backbone.name, manifest.backbone.timm_name) == (TINY, TINY.removeprefix("timm/"))
    assert manifest.settings.backbone == TINY
    assert isinstance(manifest.plan, ProbePlan) and manifest.plan.strength > 0
    assert manifest.plan.image_size == manifest.preprocess.size_px
    assert manifest.engine == ONNX_RUNTIME
    assert manifest.versions == installed_versions()
    assert (manifest.refit, manifest.interrupted) == (False, False)
    assert manifest.created.endswith("+00:00")
    metrics = json.loads((saved_run.run / "metrics.json").read_text(encoding="utf-8"))
    assert manifest.evaluation is not None and manifest.evaluation.as_json() == metrics["evaluation"]
    assert manifest.selected_on_val is False
    assert manifest.backbone.weights_sha256 == metrics["backbone"]["weights_sha256"]


def test_a_manifest_survives_a_second_writing(model: Path) -> None:
    """Written again from what was read, a manifest says the same but for its time."""
    manifest = read_bundle(model).manifest
    times = {"created", "manifest_sha256"}
    written_by_us = {"format", "versions", *times}
    again = save_manifest(model, new_manifest(**{name: value for name, value in manifest if name not in written_by_us}))
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


@pytest.mark.parametrize(("crop", "view"), [("center", "crop"), ("squash", "whole")])
def test_format_1(crop: str, view: str, tmp_path: Path) -> None:
    """A manifest of format 1 has one view of each image, by the name that it had then; a view that never was is refused."""
    model = Path(shutil.copytree(KEPT_RUN, tmp_path / "model"))
    edit(model, lambda values: values["preprocess"].update(crop=crop))
    manifest = read_bundle(model).manifest
    assert (manifest.preprocess.cuts, manifest.preprocess.mirrored, manifest.backbone.stages) == ((view,), False, ())
    edit(model, lambda values: values["preprocess"].update(crop="random"))
    with pytest.raises(BundleError, match=r"damaged at preprocess\.cuts"):
        read_bundle(model)


@pytest.mark.parametrize("found", [FORMAT + 1, FORMAT + 2, 10**9])
def test_newer_format(model: Path, found: int) -> None:
    """A newer format is refused before anything else is looked at, and the hint is to upgrade."""

    def make_newer(values: dict[str, Any]) -> None:
        values.clear()
        values.update(format=found, something="else")

    edit(model, make_newer)
    with pytest.raises(BundleError, match=f"format {found}; this version of headstart reads up to {FORMAT}") as caught:
        read_bundle(model)
    assert "upgrade" in caught.value.hint


def thresholds_of(labels: Sequence[str]) -> list[dict[str, object]]:
    """Thresholds as a model of several labels has them."""
    of_each = {
        "threshold": 0.5,
        "aim": "f1",
        "target": None,
        "promised": False,
        "precision": 1,
        "recall": 1,
        "n": 9,
        "n_with": 3,
    }
    return [{"name": label} | of_each for label in labels]


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
        (lambda v: v.update(refit=1), "refit"),
        (lambda v: v.update(strategy="auto"), "strategy"),
        (lambda v: v.update(recipe="../x"), "recipe"),
        (lambda v: v.update(engine={"name": "tensorrt", "precision": "fp32"}), "engine.name"),
        (lambda v: v.update(engine="onnxruntime"), "engine"),
        (lambda v: v.update(selected_on_val="no"), "selected_on_val"),
        (lambda v: v.update(evaluation={"accuracy": "good"}), "evaluation"),
        (lambda v: v["evaluation"].update(accuracy=1.5), "evaluation.accuracy"),
        (lambda v: v["evaluation"].update(log_loss=float("inf")), "cannot be read: Infinity is not valid JSON"),
        (lambda v: v["evaluation"]["per_class"].reverse(), "the top level: evaluation has other classes"),
        (lambda v: v["evaluation"].update(confusion=[]), "evaluation: confusion"),
        (lambda v: v["settings"].update(image_size="../../x"), "settings.image_size"),
        (lambda v: v["settings"].update(image_size=-5), "settings.image_size"),
        (lambda v: v["settings"].update(weights=["a"]), "settings.weights"),
        (lambda v: v.update(settings=[]), "settings"),
        (lambda v: v.update(plan={}), "plan"),
        (lambda v: v["plan"].update(strength="strong"), "plan.probe.strength: input should be a valid number"),
        (lambda v: v["data"]["counts"].update(train=[1]), "the top level: data.counts does not have one number per class"),
        (lambda v: v["data"]["counts"].update(train=[1, -1, 1]), "data.counts.train.1"),
        (lambda v: v["data"]["counts"].update(elsewhere=[1, 1, 1]), "data.counts.elsewhere"),
        (lambda v: v["images"].update(train=["x"]), "images.train.0"),
        (lambda v: v["images"].update(train=["A" * 64]), "images.train.0"),
        (lambda v: v.update(created="yesterday"), "created"),
        (lambda v: v.update(versions={"torch": 2}), "versions.torch"),
        (lambda v: v["decisions"].update(temperature=0), "decisions.temperature"),
        (
            lambda v: v["decisions"].update(labels=thresholds_of(v["classes"])),
            "the top level: decisions.labels must be there for",
        ),
        (lambda v: v["decisions"]["familiarity"].update(threshold=-1), "decisions.familiarity.threshold"),
        (lambda v: v["decisions"]["familiarity"].update(sha256="../x"), "decisions.familiarity.sha256"),
        (lambda v: v.update(weights_sha256="f" * 63), "weights_sha256"),
        (lambda v: v["backbone"].update(weights_sha256="f" * 65), "backbone.weights_sha256"),
        (lambda v: v.pop("weights_sha256"), "weights_sha256"),
        (lambda v: v.pop("classes"), "classes"),
        (lambda v: v.pop("preprocess"), "preprocess"),
        (lambda v: v["backbone"].pop("name"), "backbone.name"),
        (lambda v: v.update(backbone="resnet18"), "backbone"),
        (lambda v: v["preprocess"].update(size_px=0), "preprocess.size_px"),
        (lambda v: v["preprocess"].update(size_px=10**9), "preprocess.size_px"),
        (lambda v: v["preprocess"].update(interpolation="lanczos"), "preprocess.interpolation"),
        (lambda v: v["preprocess"].update(cuts=["random"]), "preprocess.cuts"),
        (lambda v: v["preprocess"].update(cuts=[]), "preprocess.cuts"),
        (lambda v: v["preprocess"].update(cuts=["crop", "crop"]), "preprocess.cuts"),
        (lambda v: v["preprocess"].update(cuts="crop"), "preprocess.cuts"),
        (lambda v: v["preprocess"].update(mirrored=1), "preprocess.mirrored"),
        (lambda v: v["backbone"].update(stages="layer1"), "backbone.stages"),
        (lambda v: v["backbone"].update(stages=[3]), "backbone.stages"),
        (lambda v: v["preprocess"].update(mean=[0.5, 0.5]), "preprocess.mean"),
        (lambda v: v["preprocess"].update(mean=[0.5, 0.5, float("nan")]), "cannot be read: NaN is not valid JSON"),
        (lambda v: v["preprocess"].update(std=[0.5, 0.5, 0]), "preprocess.std"),
        (lambda v: v["preprocess"].update(decode_margin=-1), "preprocess.decode_margin"),
        (lambda v: v["preprocess"].update(letterbox=True), "preprocess.letterbox"),
    ],
)
def test_wrong_values(model: Path, change: Change, place: str) -> None:
    """A manifest with a missing, wrong or impossible value is refused, and the sentence names the place."""
    edit(model, change)
    with pytest.raises(BundleError) as caught:
        read_bundle(model)
    assert (place if " read" in place else f"is damaged at {place}") in caught.value.message
    assert "\n" not in caught.value.message


def swap_two_classes(values: dict[str, Any]) -> None:
    """In every place that names them, so that the manifest agrees with itself."""
    for names in (values["classes"], values["evaluation"]["per_class"]):
        names[0], names[1] = names[1], names[0]


@pytest.mark.parametrize(
    "change",
    [
        swap_two_classes,
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


def test_what_models_of_the_first_days_do_not_say(model: Path) -> None:
    """Keys that came later have the value that was the only one then; whether val was selected on, the plan tells."""

    def first_days(values: dict[str, Any]) -> None:
        for name in ("requested", "engine", "data", "selected_on_val", "notes", "decisions", "export"):
            values.pop(name)
        for name in ("n_groups", "selection_corrected", "macro_f1_ci95", "log_loss_ci95", "top5_accuracy"):
            values["evaluation"].pop(name)

    edit(model, first_days)
    manifest = read_manifest(model)
    assert (manifest.requested, manifest.engine, manifest.selected_on_val) == ("", ONNX_RUNTIME, False)
    assert manifest.evaluation is not None
    assert (manifest.evaluation.n_groups, manifest.evaluation.macro_f1_ci95) == (manifest.evaluation.n, None)
    edit(model, lambda values: values.update(evaluation={}))
    assert read_manifest(model).evaluation is None


@pytest.mark.parametrize(
    ("strategy", "precision", "engine"),
    [
        ("probe", "bf16", Engine(name="openvino", precision="bf16")),
        ("probe", "fp32", ONNX_RUNTIME),
        ("finetune", "bf16", ONNX_RUNTIME),
    ],
)
def test_the_engine_of_older_models(model: Path, strategy: str, precision: str, engine: Engine) -> None:
    """A manifest that names no engine: a probe of bf16 features was OpenVINO's, all else is answered in full precision."""

    def older(values: dict[str, Any]) -> None:
        values.pop("engine")
        values["strategy"] = strategy
        values["settings"]["precision"] = precision

    edit(model, older)
    assert read_manifest(model).engine == engine


def test_settings_of_other_versions_are_left_out(model: Path) -> None:
    """A setting that this version does not know says nothing about how the model answers."""
    edit(model, lambda values: values["settings"].update(small_size=160))
    assert read_manifest(model).settings.backbone == TINY


def test_a_plan_is_flat_in_the_file(model: Path) -> None:
    """The plan of gradient steps is one table in the file, as every version wrote it, and is read into its groups."""
    plan = json.loads((KEPT_RUN / MANIFEST).read_text(encoding="utf-8"))["plan"]
    assert not any(isinstance(value, dict) for value in plan.values())
    manifest = read_manifest(KEPT_RUN)
    written = Manifest.model_validate(manifest.model_dump() | {"plan": manifest.plan}).as_json()["plan"]
    assert {key: value for key, value in plan.items() if key in written} | {"head_on": "all features"} == written


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("epochs", -1, "plan.finetune.steps.epochs: input should be greater than or equal to 1"),
        ("crop_scale", [2, 3], "plan.finetune.views.crop_scale.0: input should be less than or equal to 1"),
        ("best_epoch", None, "plan.finetune.best_epoch: input should be a valid integer"),
    ],
)
def test_a_wrong_plan(tmp_path: Path, key: str, value: object, problem: str) -> None:
    """What is wrong with a plan of gradient steps is said of it, not of the plan that it is not."""
    shutil.copytree(KEPT_RUN, tmp_path / "model")
    edit(tmp_path / "model", lambda values: values["plan"].update({key: value}))
    with pytest.raises(BundleError, match=f"is damaged at {problem}"):
        read_manifest(tmp_path / "model")
