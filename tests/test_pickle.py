"""Nothing that headstart writes or reads can run code: no pickle in the source, none in any file."""

import ast
import json
import struct
import zipfile
from pathlib import Path

import onnx
import pyarrow.parquet
import pytest
from conftest import SavedRun

from headstart.artifact.export import export_model

SOURCE = Path(__file__).parents[1] / "src" / "headstart"
PICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "skops", "jsonpickle"}
TEXTS = (".json", ".csv", ".html", ".md", ".xml")


def dangers_in(text: str) -> list[str]:
    """What in a module could run code that comes with data, each with its line."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [f"{node.lineno}: {name}" for name in names if name.split(".")[0] in PICKLERS]
        if isinstance(node, ast.Call):
            called, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            if called == "torch.load" and given.get("weights_only") != "True":
                found.append(f"{node.lineno}: torch.load without weights_only=True")
            if called in ("eval", "exec", "compile", "__import__"):
                found.append(f"{node.lineno}: {called}")
            if called == "torch.save" or called.endswith((".to_pickle", ".read_pickle")):
                found.append(f"{node.lineno}: {called}")
            if given.get("allow_pickle", "False") != "False":
                found.append(f"{node.lineno}: allow_pickle")
    return found


def test_no_pickle_in_the_source() -> None:
    """No module imports a pickler, reads with allow_pickle, or calls torch.load without weights_only=True."""
    modules = sorted(SOURCE.rglob("*.py"))
    assert len(modules) > 80
    assert {path.name: found for path in modules if (found := dangers_in(path.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "import shelve, json",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "np.load(file, allow_pickle=True)",
        "table.to_pickle(file)",
        "eval(text)",
    ],
)
def test_the_scan_finds(line: str) -> None:
    """The scan is not blind: each of these is found."""
    assert len(dangers_in(f"def f():\n    {line}\n")) == 1


@pytest.mark.parametrize("line", ["torch.load(file, weights_only=True)", "np.load(file, allow_pickle=False)", "np.load(file)"])
def test_the_scan_lets_pass(line: str) -> None:
    """What refuses pickles may stay."""
    assert dangers_in(line) == []


def test_no_pickle_in_any_file(saved_run: SavedRun, tmp_path: Path) -> None:
    """No file of a run, of exports or of home can run code when it is loaded: each is text, a picture or plain tensors."""
    export_model(saved_run.run, tmp_path / "onnx")
    export_model(saved_run.run, tmp_path / "openvino", format="openvino")
    export_model(saved_run.run, tmp_path / "litert", format="litert")
    roots = (saved_run.run, saved_run.run.parent / "home", tmp_path)
    files = [path for root in roots for path in root.rglob("*") if path.is_file()]
    assert len(files) >= 18
    for file in files:
        assert_harmless(file)


def assert_harmless(file: Path) -> None:
    """The file is what its name says, whole, and has neither the beginning nor the inside of a pickle."""
    content = file.read_bytes()
    assert not content.startswith(tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))), file
    assert not zipfile.is_zipfile(file), file  # as torch.save, joblib and numpy's .npz make them
    if file.suffix == ".safetensors":
        (header_bytes,) = struct.unpack("<Q", content[:8])
        assert isinstance(json.loads(content[8 : 8 + header_bytes]), dict)
    elif file.suffix == ".onnx":
        assert b"pickle" not in content
        onnx.checker.check_model(file)
    elif file.suffix == ".parquet":
        pyarrow.parquet.read_table(file)
    elif file.suffix == ".png":
        assert content.startswith(b"\x89PNG\r\n")
    elif file.suffix == ".tflite":
        assert content[4:8] == b"TFL3"
    elif file.suffix == ".bin":  # the weights that an OpenVINO .xml describes
        assert file.with_suffix(".xml").read_bytes().startswith(b"<?xml")
    else:
        assert file.suffix in TEXTS, file
        assert "\0" not in content.decode("utf-8")


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_would_be_found(tmp_path: Path, protocol: int) -> None:
    """The check of files is not blind either."""
    import pickle

    file = tmp_path / "model.json"
    file.write_bytes(pickle.dumps({"a": 1}, protocol=protocol))
    with pytest.raises((AssertionError, UnicodeDecodeError)):
        assert_harmless(file)
