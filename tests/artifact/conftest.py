"""A bundle that tests change, and how they change its manifest."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SavedRun

from headstart.artifact.manifest import DIGEST, MANIFEST, digest_of_manifest

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
