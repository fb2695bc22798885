"""`headstart export` from the command line: what it says, and what is left of one that was killed."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SavedRun

from apps.conftest import Result, assert_explained
from headstart.artifact import web_export
from headstart.artifact.web_runtime import PACKAGE, PARTS


def test_what_it_says(headstart: Callable[..., Result], saved_run: SavedRun, tmp_path: Path) -> None:
    """How far the exported file agrees, on how many images, and what to do next; with --json the same as one object."""
    said = headstart("export", saved_run.run, "--output", tmp_path / "out")
    assert said.code == 0
    assert f"100.0% of {len(saved_run.labels)} images" in said.out and "headstart predict" in said.out
    again = headstart("export", saved_run.run, "--output", tmp_path / "out", "--overwrite", "--json")
    parity = json.loads(again.out)
    assert parity["same_label"] == 1 and parity["images"] == len(saved_run.labels)


def test_eight_bits_say_what_they_cost(process: Callable[..., Result], saved_run: SavedRun, tmp_path: Path) -> None:
    """The accuracy before and after, and no advice of the quantiser's on stderr."""
    said = process("export", saved_run.run, "--output", tmp_path / "out", "--precision", "int8")
    assert (said.code, said.err) == (0, "")
    assert "instead of" in said.out


def test_an_export_at_a_place_that_is_taken(headstart: Callable[..., Result], saved_run: SavedRun, tmp_path: Path) -> None:
    """One sentence and a hint; what is there stays."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    assert_explained(headstart("export", saved_run.run, "--output", tmp_path / "mine"), "exists and is not an export")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize("overwrites", [False, True])
def test_killed_in_the_middle(
    signalled: Callable[..., Result], headstart: Callable[..., Result], saved_run: SavedRun, tmp_path: Path, overwrites: bool
) -> None:
    """After kill -9 there is no half export: nothing at its place, or the earlier one, whole; the next attempt works."""
    place = tmp_path / "place"
    options = ["export", saved_run.run, "--output", place / "out", "--overwrite"]
    if overwrites:
        assert headstart(*options).code == 0
    place.mkdir(exist_ok=True)
    assert signalled("SIGKILL", "os.rename", Path("new", "manifest.json"), 1, *options).code == -signal.SIGKILL
    assert any(place.glob(".out-*/new/model.onnx")), "the file is written, and not in its place yet"
    assert (place / "out").exists() == overwrites
    if overwrites:
        assert headstart("predict", place / "out", next(iter(saved_run.labels))).code == 0
    assert headstart(*options).code == 0
    assert headstart("predict", place / "out", next(iter(saved_run.labels))).code == 0


@pytest.mark.parametrize("package", ["ai_edge_litert", "flatbuffers"])
def test_without_the_extra(
    headstart: Callable[..., Result], saved_run: SavedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """One sentence with what to install, and nothing is left."""
    monkeypatch.setitem(sys.modules, package, None)
    said = headstart("export", saved_run.run, "--format", "litert", "--output", tmp_path / "out")
    assert_explained(said, f"needs {package}, which is not installed", "pip install 'headstart[litert]'")
    assert list(tmp_path.iterdir()) == []


def test_litert_is_written_read_and_verified_in_silence(
    process: Callable[..., Result], saved_run: SavedRun, tmp_path: Path
) -> None:
    """The interpreter's notes are not shown; `predict` and `verify` take the folder."""
    out, image = tmp_path / "out", next(iter(saved_run.labels))
    exported = process("export", saved_run.run, "--format", "litert", "--output", out)
    assert (exported.code, exported.err) == (0, "") and "model.tflite" in exported.out
    verified = process("verify", out)
    assert (verified.code, verified.err) == (0, "") and "run by litert" in verified.out
    predicted = process("predict", out, image, "--format", "jsonl")
    original = process("predict", saved_run.run, image, "--format", "jsonl")
    found, wanted = (json.loads(said.out)["probabilities"] for said in (predicted, original))
    assert predicted.err == "" and found == pytest.approx(wanted, abs=1e-4)


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder with the names of onnxruntime-web."""
    folder = tmp_path / "package"
    for name in PARTS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    (folder / "package.json").write_text(json.dumps({"name": PACKAGE, "version": "1.2.3"}))
    return folder


def test_a_page_that_was_not_proven_says_so(
    headstart: Callable[..., Result], saved_run: SavedRun, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a browser on the machine: a note with what to do, and null and false with --json."""
    monkeypatch.setattr(web_export, "find_browser", lambda: None)
    options = ["export", saved_run.run, "--format", "web", "--runtime", runtime, "--offline", "--output", tmp_path / "out"]
    said = headstart(*options)
    assert said.code == 0
    assert "not proven" in said.err and "install Chromium and export again" in said.err
    assert "http.server" in said.out
    again = headstart(*options, "--overwrite", "--json")
    values = json.loads(again.out)
    assert (values["proven"], values["runtime"]) == (False, "1.2.3") and values["unproven"]


def test_options_of_other_formats_are_refused(headstart: Callable[..., Result], saved_run: SavedRun, tmp_path: Path) -> None:
    """A page in eight bits, a runtime for a file, and a page without a runtime that is offline."""
    place = ["--output", tmp_path / "out"]
    web = ["export", saved_run.run, *place, "--format", "web"]
    assert_explained(headstart(*web, "--precision", "int8"), "full precision")
    assert_explained(headstart("export", saved_run.run, *place, "--runtime", tmp_path), "--runtime is for web pages")
    assert_explained(headstart(*web, "--offline"), "onnxruntime-web", "npm pack")
    assert not (tmp_path / "out").exists()
