"""What was compiled and stored once needs no torch again, and what is stored no engine either."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY, SavedRun

from apps.conftest import Result, assert_explained
from headstart.machine import has_cuda


def test_a_warm_probe_loads_no_torch_and_no_engine(
    headstart: Callable[..., Result],
    without: Callable[..., Result],
    draw_classes: Callable[..., Path],
    tiny_weights: Path,
    tmp_path: Path,
) -> None:
    """A second probe of the same images is fitted and written from what is stored; but for times it is the same."""
    data = draw_classes({"circles": 8, "squares": 8})
    options = ["--backbone", TINY, "--weights", tiny_weights, "--json"]
    first = headstart("train", data, *options, "--output", tmp_path / "a")
    again = without("torch,timm,torchvision,onnxruntime,openvino", "train", data, *options, "--output", tmp_path / "b")
    assert (first.code, again.code) == (0, 0), again.err
    one, two = json.loads(first.out), json.loads(again.out)
    for key in ("seconds", "peak_rss_mb", "run", "model"):
        del one[key], two[key]
    assert one == two
    assert (tmp_path / "a/predictions.csv").read_bytes() == (tmp_path / "b/predictions.csv").read_bytes()
    assert (tmp_path / "a/model/weights.safetensors").read_bytes() == (tmp_path / "b/model/weights.safetensors").read_bytes()


@pytest.mark.slow
def test_the_first_probe_of_an_installation(
    without: Callable[..., Result], draw_classes: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing compiled and nothing stored, the default backbone trains, predicts and exports without torch."""
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    data, run = draw_classes({"circles": 8, "squares": 8}), tmp_path / "run"
    missing = "torch,timm,torchvision,onnxscript"
    for size, output in (([], run), (["--image-size", "96"], tmp_path / "small")):
        trained = without(missing, "train", data, *size, "--strategy", "probe", "--output", output)
        assert trained.code == 0, trained.err
        answered = without(missing, "predict", output, data / "circles", "--format", "jsonl")
        assert answered.code == 0, answered.err
        assert {json.loads(line)["predicted"] for line in answered.out.splitlines()} == {"circles"}
        exported = without(missing, "export", output, "--output", tmp_path / f"{output.name}.onnx")
        assert exported.code == 0, exported.err
    assert len(list((tmp_path / "home" / "compiled").iterdir())) == 2
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "another machine"))
    moved = without(missing, "predict", run, data / "circles", "--format", "jsonl")
    assert moved.code == 0, moved.err
    assert (without(missing, "verify", run)).code == 0


CLUSTER = "ray,fsspec,s3fs,aiobotocore"


def test_files_of_this_machine_need_no_cluster_package(
    without: Callable[..., Result], draw_classes: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    """Nor do processes of this machine; what does says what to install."""
    data = draw_classes({"circles": 3, "squares": 2})
    tiny = ["--backbone", TINY, "--weights", tiny_weights]
    for number, place in enumerate(([], ["--engine", "local:2"])):
        embedded = without(CLUSTER, "embed", data, *tiny, *place, "--output", tmp_path / f"{number}.parquet")
        assert embedded.code == 0, embedded.err
    said = ("embedding needs ray, which is not installed", "s3:// needs a package that is not installed")
    for what, given in zip(said, ([data, "--engine", "ray"], ["s3://photos/set"]), strict=True):
        told = without(CLUSTER, "embed", *given, *tiny, "--output", tmp_path / "none.parquet")
        assert_explained(told, what, "pip install 'headstart[cluster]'")


WHAT_IS_LOADED = """
import sys
from headstart.apps.main import run
try:
    run(sys.argv[1:])
finally:
    print(*(name for name in %r if name in sys.modules), file=sys.stderr)
"""
# Each takes 0.03 to 4 s to import, and a probe of stored features does without.
NOT_NEEDED = (
    "torch",
    "timm",
    "onnx",
    "onnxruntime",
    "openvino",
    "pandas",
    "pyarrow.compute",
    "scipy",
    "sklearn",
    "huggingface_hub",
)


@pytest.mark.process
def test_what_a_warm_probe_loads(
    headstart: Callable[..., Result], draw_classes: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    """Seconds are kept by not importing: nothing but what a probe uses is loaded, whatever else is installed."""
    data = draw_classes({"circles": 8, "squares": 8})
    arguments = ["train", data, "--backbone", TINY, "--weights", tiny_weights, "--strategy", "probe", "--output"]
    assert headstart(*arguments, tmp_path / "a").code == 0
    command = [sys.executable, "-c", WHAT_IS_LOADED % (NOT_NEEDED,), *map(str, arguments), str(tmp_path / "b")]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert ran.stderr.splitlines()[-1] == ""


def test_new_images_need_an_engine_but_no_torch(
    headstart: Callable[..., Result],
    without: Callable[..., Result],
    draw_classes: Callable[..., Path],
    tiny_weights: Path,
    tmp_path: Path,
) -> None:
    """Images that are not stored are computed by an engine; where there is none, that is one sentence."""
    options = ["--backbone", TINY, "--weights", tiny_weights]
    data = draw_classes({"circles": 8, "squares": 8})
    assert headstart("train", data, *options, "--output", tmp_path / "a").code == 0
    data = draw_classes({"circles": 10, "squares": 10}, seed=1)
    torchless = without("torch,timm,torchvision", "train", data, *options, "--output", tmp_path / "b")
    assert torchless.code == 0, torchless.err
    data = draw_classes({"circles": 11, "squares": 11}, seed=2)
    bare = without("torch,timm,torchvision,onnxruntime,openvino", "train", data, *options, "--output", tmp_path / "c")
    assert bare.code == 1
    assert "needs on" in bare.err or "needs openvino" in bare.err
    assert "Traceback" not in bare.err


def test_parquet_needs_pyarrow_and_nothing_else_does(
    saved_run: SavedRun, without: Callable[..., Result], tmp_path: Path
) -> None:
    """Where pyarrow is not installed, answers go to CSV, and Parquet is one sentence that leaves nothing behind."""
    command = ("pyarrow,torch", "predict", saved_run.run, next(iter(saved_run.labels)), "--output")
    refused = without(*command, tmp_path / "a.parquet")
    assert_explained(refused, "needs pyarrow", "pip install")
    assert list(tmp_path.iterdir()) == []
    assert without(*command, tmp_path / "a.csv").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_predicting_without_torch(saved_run: SavedRun, without: Callable[..., Result]) -> None:
    """A bundle answers through its compiled form what training wrote to predictions.csv."""
    answered = without("torch,timm,torchvision", "predict", saved_run.run, saved_run.data / "val", "--format", "jsonl")
    assert (answered.code, answered.err) == (0, "")
    found = {row["path"]: row["probability"] for row in map(json.loads, answered.out.splitlines())}
    lines = (saved_run.run / "predictions.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert len(found) == len(lines)
    for line in lines:
        path, _, _, probability = line.split(",")[:4]
        assert found[path] == pytest.approx(float(probability), abs=1e-4)


def test_serving_without_its_packages(saved_run: SavedRun, without: Callable[..., Result]) -> None:
    """Where the server's packages are missing, one sentence says what to install."""
    assert_explained(without("fastapi", "serve", saved_run.run), "serving needs fastapi", "headstart[serve]")


def test_a_device_chosen_by_itself(saved_run: SavedRun, without: Callable[..., Result]) -> None:
    """--device auto on a machine without a GPU takes the compiled form: torch is not needed."""
    if has_cuda():
        pytest.skip("there is a GPU here")
    image = next(iter(saved_run.labels))
    assert without("torch,timm,torchvision", "predict", saved_run.run, image, "--device", "auto").code == 0
    evaluated = without("torch,timm,torchvision", "evaluate", saved_run.run, saved_run.data, "--device", "auto", "--json")
    assert evaluated.code == 0, evaluated.err


@pytest.mark.process
def test_what_a_model_was_made_with_predicts_it(
    headstart: Callable[..., Result], draw_classes: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    """The engine in the manifest answers wherever it is installed; elsewhere another does, and verify says which."""
    pytest.importorskip("openvino")
    data, run = draw_classes({"circles": 8, "squares": 8}), tmp_path / "run"
    trained = headstart("train", data, "--engine", "openvino", "--backbone", TINY, "--weights", tiny_weights, "--output", run)
    assert trained.code == 0, trained.err
    manifest = json.loads((run / "model" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["engine"] == {"name": "openvino", "precision": "fp32"}
    assert "openvino fp32, which the model was made with" in headstart("verify", run).out
    script = "import sys\nsys.modules['openvino'] = None\nfrom headstart.apps.main import run\nrun(sys.argv[1:])\n"

    def elsewhere(*arguments: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, encoding="utf-8", check=True
        )

    images = sorted(data.glob("*/*.png"))
    here = headstart("predict", run, *images, "--format", "jsonl").out
    there = elsewhere("predict", run, *images, "--format", "jsonl")
    assert "OpenVINO, which is not installed: using ONNX Runtime" in there.stderr
    for one, other in zip(map(json.loads, here.splitlines()), map(json.loads, there.stdout.splitlines()), strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-4)
    assert "onnxruntime fp32; the model was made with openvino" in elsewhere("verify", run).stdout
