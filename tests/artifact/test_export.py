"""An exported model answers as the original, and is written whole or not at all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from conftest import TINY, SavedRun

from headstart.artifact import export as export_module
from headstart.artifact.bundle import CARD, FAMILIARITY, read_bundle
from headstart.artifact.export import export_model
from headstart.artifact.manifest import MANIFEST
from headstart.artifact.predictor import Predictor
from headstart.data.images import decode
from headstart.data.odd_images import odd_images
from headstart.errors import BundleError, SettingsError
from headstart.model.engines import onnxruntime_engine
from headstart.model.exported import FLOAT_CONVOLUTIONS, HEAD, ExportFormat, ExportPrecision, as_int8
from headstart.model.head import Head
from headstart.runs.training import train
from headstart.settings import TrainSettings


@pytest.mark.parametrize("format", get_args(ExportFormat))
def test_an_export_answers_as_the_original(saved_run: SavedRun, tmp_path: Path, format: ExportFormat) -> None:
    """Every val image has the same label and the same probabilities within 1e-4, and what the model doubts is the same."""
    exported = export_model(saved_run.run, tmp_path / "out", format=format)
    assert exported.parity.images == len(saved_run.labels) and exported.parity.odd_images == len(odd_images())
    assert exported.parity.same_label == 1 and exported.parity.max_difference <= 1e-4
    assert exported.parity.accuracy_before == exported.parity.accuracy_after
    original, copy = (Predictor.load(place) for place in (saved_run.run, tmp_path / "out"))
    for one, other in zip(original.predict(saved_run.labels), copy.predict(saved_run.labels), strict=True):
        assert one.predicted == other.predicted and one.unfamiliar == other.unfamiliar
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)


@pytest.mark.parametrize(("format", "precision"), [("onnx", "fp16"), ("onnx", "int8"), ("litert", "fp16")])
def test_less_precision_is_smaller_and_its_cost_is_told(
    saved_run: SavedRun, tmp_path: Path, format: ExportFormat, precision: ExportPrecision
) -> None:
    """The manifest has the accuracy before and after, and how far probabilities moved."""
    full = export_model(saved_run.run, tmp_path / "full", format=format)
    small = export_model(saved_run.run, tmp_path / "small", format=format, precision=precision)
    assert small.file.stat().st_size < full.file.stat().st_size
    entry = read_bundle(tmp_path / "small").manifest.export
    assert entry is not None and entry.precision == precision
    assert entry.parity.accuracy_before is not None and entry.parity.accuracy_after is not None
    assert 0 < entry.parity.max_difference < 1


def test_dead_channels_can_be_quantised(tmp_path: Path) -> None:
    """A channel of weights near zero and a bias, as pretraining leaves them, does not spoil the numbers of eight bits."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    convolutions, outputs = [], "x"
    initializers = [numpy_helper.from_array(np.array([3], np.int64), "axes")]
    for i in range(FLOAT_CONVOLUTIONS + 1):  # the first are left in float
        weights = rng.normal(scale=0.3, size=(3, 3, 1, 1)).astype(np.float32)  # so that no answer outgrows the bias
        weights[1] = 1e-9
        initializers += [
            numpy_helper.from_array(weights, f"w{i}"),
            numpy_helper.from_array(np.array([0.1, 5, -0.1], np.float32), f"b{i}"),
        ]
        convolutions.append(helper.make_node("Conv", [outputs, f"w{i}", f"b{i}"], [f"y{i}"], name=f"conv{i}"))
        outputs = f"y{i}"
    cast = helper.make_node("Cast", ["views"], ["float"], to=TensorProto.FLOAT)
    turned = helper.make_node("Transpose", ["float"], ["turned"], perm=[0, 3, 1, 2])
    small = helper.make_node("Mul", ["turned", "share"], ["x"])
    initializers[0] = numpy_helper.from_array(np.array(1 / 255, np.float32), "share")
    graph = helper.make_graph(
        [cast, turned, small, *convolutions],
        "graph",
        [helper.make_tensor_value_info("views", TensorProto.UINT8, ["n", 8, 8, 3])],
        [helper.make_tensor_value_info(outputs, TensorProto.FLOAT, ["n", 3, 8, 8])],
        initializers,
    )
    file = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(file))
    views = list(rng.integers(0, 256, (20, 1, 8, 8, 3), dtype=np.uint8))
    before = np.concatenate([onnxruntime_engine(file, outputs)(view) for view in views])
    as_int8(file, views)
    after = np.concatenate([onnxruntime_engine(file, outputs)(view) for view in views])
    assert np.abs(after - before).max() < 0.05 * np.ptp(before)
    assert before[:, 1] == pytest.approx(5, abs=0.01) and after[:, 1] == pytest.approx(5, abs=0.1)


@pytest.mark.slow
def test_eight_bits_cost_little(shared: Path, tmp_path: Path) -> None:
    """A probe of real photographs keeps nearly all of its accuracy; a few seconds."""
    run = train(shared / "hymenoptera_data", TrainSettings.of(strategy="probe"), output=tmp_path / "run").run
    parity = export_model(run, tmp_path / "out", precision="int8").parity
    assert parity.same_label > 0.95 and parity.accuracy_before is not None and parity.accuracy_after is not None
    assert parity.accuracy_after > parity.accuracy_before - 0.03


def test_the_onnx_file_tells_all_by_itself(saved_run: SavedRun, tmp_path: Path) -> None:
    """onnxruntime alone reads classes and preprocessing from it, and gets probabilities from pixels."""
    import onnxruntime

    exported = export_model(saved_run.run, tmp_path / "out")
    session = onnxruntime.InferenceSession(str(exported.file))
    facts = {name: json.loads(value) for name, value in session.get_modelmeta().custom_metadata_map.items()}
    manifest = read_bundle(tmp_path / "out").manifest
    assert facts["headstart.classes"] == list(manifest.classes)
    side = facts["headstart.preprocess"]["size_px"]
    (probabilities,) = session.run(["probabilities"], {"views": np.zeros((3, side, side, 3), np.uint8)})
    assert probabilities.shape == (3, len(manifest.classes))
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)


@pytest.mark.parametrize("format", get_args(ExportFormat))
def test_an_export_names_no_file_of_this_machine(saved_run: SavedRun, tmp_path: Path, format: ExportFormat) -> None:
    """What torch's exporter notes about each node, such as the source file and line, does not leave the machine."""
    export_model(saved_run.run, tmp_path / "out", format=format)
    package = str(Path(export_module.__file__).parents[1]).encode()
    kinds = (".onnx", ".xml", ".bin", ".tflite")
    content = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.suffix in kinds}
    assert content and not [name for name, data in content.items() if package in data or b"stack_trace" in data]


def test_an_export_that_parts_from_the_original_is_not_kept(
    saved_run: SavedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A last layer that was written wrong is noticed, the image is named, and no folder is left."""
    right = export_module.write_onnx

    def turned(body: Path, head: Head, *rest: Any) -> None:
        right(body, Head(head.weight[::-1].copy(), head.bias[::-1].copy()), *rest)

    monkeypatch.setattr(export_module, "write_onnx", turned)
    with pytest.raises(BundleError, match="gives another answer than the original for"):
        export_model(saved_run.run, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_replaced_only_on_request(saved_run: SavedRun, tmp_path: Path) -> None:
    """An export gives way to --overwrite, anything else to nothing; an export is not exported again."""
    export_model(saved_run.run, tmp_path / "out")
    with pytest.raises(SettingsError, match="exists"):
        export_model(saved_run.run, tmp_path / "out")
    export_model(saved_run.run, tmp_path / "out", overwrite=True)
    shutil.copytree(saved_run.model, tmp_path / "model")
    with pytest.raises(SettingsError, match="is not an export"):
        export_model(saved_run.run, tmp_path / "model", overwrite=True)
    with pytest.raises(BundleError, match="is an export already"):
        export_model(tmp_path / "out", tmp_path / "again")


def test_a_run_whose_images_are_gone_is_proven_on_odd_ones(saved_run: SavedRun, tmp_path: Path) -> None:
    """The model folder alone has no predictions.csv: the odd images remain."""
    shutil.copytree(saved_run.model, tmp_path / "model")
    parity = export_model(tmp_path / "model", tmp_path / "out").parity
    assert (parity.images, parity.odd_images, parity.accuracy_before) == (0, len(odd_images()), None)
    with pytest.raises(SettingsError, match="int8 needs images"):
        export_model(tmp_path / "model", tmp_path / "int8", precision="int8")


@pytest.mark.parametrize("form", ["folder", "shapes.zip", "shapes.tar.gz", "table"])
def test_images_are_found_from_any_folder(
    form: str, draw_classes: Callable[..., Path], tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of relative paths is exported from elsewhere, and proven on its own images, also on those in an archive."""
    draw_classes({"circles": 8, "squares": 8})
    monkeypatch.chdir(tmp_path)
    data = {"folder": "shapes", "table": "table.csv"}.get(form, form)
    if form == "table":
        files = sorted(Path("shapes").rglob("*.png"))
        Path(data).write_text("path,label\n" + "".join(f"{file},{file.parent.name}\n" for file in files))
    elif form != "folder":
        name, kind = form.split(".", 1)
        shutil.make_archive(name, {"zip": "zip", "tar.gz": "gztar"}[kind], base_dir="shapes")
        shutil.rmtree("shapes")
    settings = TrainSettings.of(strategy="probe", backbone=TINY, weights=tiny_weights, image_size=48, device="cpu")
    trained = train(data, settings, output=tmp_path / "run")
    assert trained.metrics["working_folder"] == tmp_path.as_posix()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for model in (trained.run, trained.model):
        parity = export_model(model, Path(f"{model.name} exported")).parity
        assert parity.images == trained.evaluation.n > 0
        assert parity.accuracy_before == trained.evaluation.accuracy
        assert str(tmp_path) not in (Path(f"{model.name} exported") / MANIFEST).read_text(encoding="utf-8")


def test_an_image_of_the_same_name_is_not_taken_for_the_runs(
    draw_classes: Callable[..., Path], tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the current folder has other images at the same paths, those of the run are still found."""
    draw_classes({"circles": 8, "squares": 8})
    draw_classes({"circles": 8, "squares": 8}, "elsewhere/shapes", 1)
    monkeypatch.chdir(tmp_path)
    settings = TrainSettings.of(strategy="probe", backbone=TINY, weights=tiny_weights, image_size=48, device="cpu")
    trained = train("shapes", settings, output=tmp_path / "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert export_model(trained.run, tmp_path / "out").parity.images == trained.evaluation.n


@pytest.mark.parametrize("name", ["model.onnx", HEAD, FAMILIARITY])
def test_a_flipped_bit_is_noticed(saved_run: SavedRun, tmp_path: Path, name: str) -> None:
    """Every file of an export has its digest in the manifest."""
    export_model(saved_run.run, tmp_path / "out")
    file = tmp_path / "out" / name
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match=name):
        Predictor.load(tmp_path / "out")


def test_files_of_an_export(saved_run: SavedRun, tmp_path: Path) -> None:
    """The file, the last layer, what is familiar, the manifest and the card."""
    export_model(saved_run.run, tmp_path / "out")
    expected = sorted([CARD, FAMILIARITY, HEAD, MANIFEST, "model.onnx"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == expected


def test_odd_images_can_all_be_read() -> None:
    """Each is what it says, and decodes."""
    for name, data in odd_images().items():
        image = decode(data).rgb
        assert image.mode == "RGB", name
        assert image.size == {"1 x 1": (1, 1), "3000 x 40": (3000, 40), "EXIF-rotated": (80, 160)}.get(name, (160, 160))


def test_formats_without_eight_bits_say_so(saved_run: SavedRun, tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(SettingsError, match="int8 is for ONNX"):
        export_model(saved_run.run, tmp_path / "out", format="litert", precision="int8")
    assert list(tmp_path.iterdir()) == []
