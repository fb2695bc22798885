"""`headstart export` from the command line: what it says, and what is left of one that was killed."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SavedRun

from apps.conftest import Result, assert_explained


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
