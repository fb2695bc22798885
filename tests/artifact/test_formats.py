"""A file format is a promise: models that were ever written are read, and answer as they did."""

import json
import shutil
from pathlib import Path

import pytest

from headstart.artifact.bundle import FORMAT, read_bundle
from headstart.artifact.card import card_of
from headstart.artifact.export import export_model
from headstart.artifact.predictor import Predictor

BUNDLES = Path(__file__).with_name("bundles")
FOLDERS = [path.parent for path in sorted(BUNDLES.glob("format-*/*/manifest.json"))]
NAMES = [f"{path.parent.name}/{path.name}" for path in FOLDERS]


def test_there_is_a_bundle_of_every_format() -> None:
    """FORMAT rises only together with a bundle of the new format that is kept here."""
    assert NAMES[:2] == ["format-1/first", "format-1/second"]
    assert {read_bundle(folder).manifest.format for folder in FOLDERS} == set(range(1, FORMAT + 1))


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_old_models_answer_as_they_did(folder: Path) -> None:
    """Each bundle loads and gives the probabilities that it gave when it was written, within 1e-4.

    This must pass for ever. Where FORMAT rises, teach `read_manifest` the old format and add a bundle of the new one under
    bundles/format-N, with what it answers in expected.json; never change, renew or drop one that is there.
    """
    expected = json.loads((folder.parent / "expected.json").read_text(encoding="utf-8"))[folder.name]
    predictor = Predictor.load(folder)
    assert len(expected) >= 2
    for answer in predictor.predict(sorted((folder.parent / "images").iterdir())):
        assert answer.probabilities is not None, answer.error
        found = dict(zip(answer.classes, answer.probabilities.tolist(), strict=True))
        assert found == pytest.approx(expected.pop(Path(answer.path).name), abs=1e-4)
    assert expected == {}


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_old_models_can_be_exported(folder: Path, tmp_path: Path) -> None:
    """An export of each is proven to answer as it does, and has a card, whatever its manifest does not know yet."""
    model = shutil.copytree(folder, tmp_path / "model")
    assert export_model(model, tmp_path / "out").parity.same_label == 1
    assert "## What it does not know" in card_of(read_bundle(tmp_path / "out").manifest)
