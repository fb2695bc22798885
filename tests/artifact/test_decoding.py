"""A model decodes files as when it was made, through every door; a new one decodes them as this version does."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SavedRun
from PIL import Image

from artifact.conftest import edit
from headstart.artifact.bundle import read_bundle
from headstart.artifact.card_program import classifying_program
from headstart.artifact.export import export_model
from headstart.artifact.manifest import MANIFEST
from headstart.artifact.predictor import Predictor
from headstart.data.colour import DISPLAY_P3
from headstart.data.icc import profile_from
from headstart.data.images import DECODING, decode
from headstart.errors import BundleError
from headstart.runs.evaluating import evaluate_model

KEPT = Path(__file__).parents[1] / "kept" / "format-1"
MODELS = [KEPT / "first", KEPT / "second", KEPT / "run" / "model", KEPT / "export"]


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(i: int = 0) -> Image.Image:
    """A colourful drawing."""
    cells = np.random.default_rng(i).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((96, 80), Image.Resampling.NEAREST)


WIDE = profile_from(None, DISPLAY_P3)
PLAIN, AS_P3 = encode(picture()), encode(picture(), icc_profile=WIDE)
CONVERTED = encode(decode(AS_P3).rgb)


def answer(predictor: Predictor, data: bytes) -> list[float]:
    (found,) = predictor.predict_bytes([("a", data)])
    assert found.probabilities is not None, found.error
    return list(found.probabilities.tolist())


@pytest.fixture
def old(saved_run: SavedRun, tmp_path: Path) -> Path:
    """The model of a saved run, as an earlier version would have written it."""
    model = Path(shutil.copytree(saved_run.model, tmp_path / "old"))
    edit(model, lambda values: values["preprocess"].pop("decoding"))
    return model


def test_the_manifest_says_how_files_are_decoded(saved_run: SavedRun, old: Path) -> None:
    """A new model's manifest holds the number; one without it is of the first way."""
    values = json.loads((saved_run.model / MANIFEST).read_text(encoding="utf-8"))
    assert values["preprocess"]["decoding"] == DECODING == read_bundle(saved_run.model).manifest.preprocess.decoding
    assert read_bundle(old).manifest.preprocess.decoding == 1


@pytest.mark.parametrize("model", MODELS, ids=[path.name for path in MODELS])
def test_kept_models_see_what_they_saw(model: Path) -> None:
    """Models of earlier versions answer of a photograph with a profile as of its bare numbers, as they did."""
    predictor = Predictor.load(model)
    assert answer(predictor, AS_P3) == answer(predictor, PLAIN) != answer(predictor, CONVERTED)


def test_a_new_model_sees_the_colours(saved_run: SavedRun) -> None:
    """A new model answers of a photograph with a profile as of the same colours in sRGB."""
    predictor = Predictor.load(saved_run.model)
    assert answer(predictor, AS_P3) == answer(predictor, CONVERTED) != answer(predictor, PLAIN)


def test_what_only_an_earlier_version_read(saved_run: SavedRun, old: Path) -> None:
    """An animation that earlier versions read is read for their models, and refused for new ones."""
    frames = [picture(i) for i in range(3)]
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert answer(Predictor.load(old), data) == answer(Predictor.load(old), PLAIN)
    (found,) = Predictor.load(saved_run.model).predict_bytes([("a", data)])
    assert "animation" in found.error


def test_stored_features_do_not_mix(saved_run: SavedRun, old: Path, tmp_path: Path) -> None:
    """Both models are evaluated on the same files with one store; each gets its own features, first and stored."""
    folder = tmp_path / "images"
    for i, label in enumerate(read_bundle(old).manifest.classes):
        (folder / label).mkdir(parents=True)
        (folder / label / "a.png").write_bytes(encode(picture(i), icc_profile=WIDE))
    files = sorted(folder.glob("*/*.png"))
    for _ in range(2):
        for model in (saved_run.model, old):
            expected = np.array([found.probabilities for found in Predictor.load(model).predict(files)])
            assert evaluate_model(model, folder, split="all").probabilities == pytest.approx(expected, abs=1e-5)


def test_an_export_decodes_as_the_original(old: Path, tmp_path: Path) -> None:
    """The export of an old model keeps its number and its answers, and so does the program in its card."""
    export_model(old, tmp_path / "out")
    manifest = read_bundle(tmp_path / "out").manifest
    assert manifest.preprocess.decoding == 1
    assert "DECODING = 1 " in classifying_program(manifest)
    assert answer(Predictor.load(tmp_path / "out"), AS_P3) == pytest.approx(answer(Predictor.load(old), PLAIN), abs=1e-4)


def test_a_decoding_of_the_future(old: Path) -> None:
    """A model of a version that decodes in a newer way is refused with what to do."""
    edit(old, lambda values: values["preprocess"].update(decoding=DECODING + 1))
    with pytest.raises(BundleError, match="decodes images in a way") as caught:
        read_bundle(old)
    assert caught.value.hint == "pip install --upgrade headstart"
