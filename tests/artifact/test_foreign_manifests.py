"""A model may come from anybody: whatever its manifest says, only the folders that are headstart's own are written to."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from headstart.artifact.bundle import DIGEST, MANIFEST, digest_of_manifest
from headstart.artifact.predictor import Predictor
from headstart.errors import BundleError

KEPT = Path(__file__).parents[1] / "kept" / "format-1"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A copy of a probe's bundle whose manifest can be changed with `rewrite`."""
    return shutil.copytree(KEPT / "second", tmp_path / "model")


def rewrite(model: Path, change: dict[str, Any]) -> None:
    """Changes keys of the manifest, `a.b` naming one inside another, and computes its digest anew, as an attacker would."""
    values = json.loads((model / MANIFEST).read_text(encoding="utf-8"))
    for place, value in change.items():
        *outer, last = place.split(".")
        inside = values
        for name in outer:
            inside = inside[name]
        inside[last] = value
    values[DIGEST] = digest_of_manifest(values)
    (model / MANIFEST).write_text(json.dumps(values), encoding="utf-8")


@pytest.mark.parametrize("key", ["settings.image_size", "backbone.weights_sha256", "weights_sha256"])
def test_no_folder_is_named_by_a_manifest(key: str, foreign: Path, tmp_path: Path, own_home: Path) -> None:
    """A manifest that leads out of home() is refused, and the folder it points at stays as it is."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("three years of work")
    (own_home / "compiled").unlink()  # a folder of its own, which nothing else shares
    rewrite(foreign, {key: f"/../../../../../../../../..{precious}"})
    with pytest.raises(BundleError, match="damaged at"):
        Predictor.load(foreign)
    assert [path.name for path in precious.iterdir()] == ["thesis.txt"]
