"""What --channels chooses is recorded in the model, with the levels found on train, and is what every answer is given for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from artifact.test_card import assert_program_agrees
from conftest import draw_shape

import headstart
from headstart import ImageClassifier
from headstart.artifact.bundle import read_bundle
from headstart.artifact.card import card_of
from headstart.artifact.card_program import _reading
from headstart.artifact.export import export_model
from headstart.artifact.predictor import Predictor
from headstart.artifact.verification import verify_model
from headstart.data.preprocess import Preprocess
from headstart.errors import DataError, SettingsError
from headstart.runs.auditing import audit_images
from headstart.runs.embedding import embed
from headstart.runs.evaluating import evaluate_model
from headstart.settings import TrainSettings
from runs.conftest import CLASSES, rows_of

tifffile = pytest.importorskip("tifffile")


def draw_stacks(folder: Path, count: int, scale: int = 20) -> Path:
    """OME-TIFFs of 16 bits, two channels by two planes: noise, but for plane 1 of channel 1 with shapes of two classes."""
    rng = np.random.default_rng([3, *folder.name.encode()])
    for label in CLASSES[:2]:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            stack = rng.integers(0, 200, (2, 2, 80, 96)).astype(np.uint16)  # channels, planes
            stack[1, 1] = np.asarray(draw_shape(label, rng).convert("L")).astype(np.uint16) * scale + 1000
            file = folder / label / f"{label}-{number}.ome.tif"
            tifffile.imwrite(file, stack, ome=True, metadata={"axes": "CZYX"}, photometric="minisblack")
    return folder


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stacks in train and in a val that is three times as bright."""
    folder = tmp_path_factory.mktemp("stacks")
    draw_stacks(folder / "train", 14)
    draw_stacks(folder / "val", 4, scale=60)
    return folder


def chosen_values(folder: Path) -> np.ndarray:
    """All values of plane 1 in channel 1 in the files of a folder."""
    return np.concatenate([tifffile.imread(file)[1, 1].ravel() for file in sorted(folder.rglob("*.tif"))])


@pytest.mark.parametrize("strategy", ["probe", "finetune"])
def test_found_on_train_and_used_everywhere(
    strategy: str, stacks: Path, settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """Levels are percentiles of train alone; predict, evaluate, the classifier and an export answer with them."""
    wanted = settings(strategy=strategy, epochs=1 if strategy == "finetune" else None, channels="window=2..98+c=1+z=1")
    run = headstart.train(stacks, wanted, output=tmp_path / "run")
    manifest = read_bundle(run.model).manifest
    low, high = np.percentile(chosen_values(stacks / "train"), (2, 98))
    assert manifest.preprocess.channels == f"z=1+c=1+levels={low:.6g}..{high:.6g}"
    assert manifest.settings.channels == "z=1+c=1+window=2..98"
    assert any("percentiles 2 and 98 of 28 images of train" in note and "levels=" in note for note in run.notes)
    assert manifest.preprocess.channels in card_of(manifest)
    told = {row["path"]: float(row["probability"]) for row in rows_of(run.run / "predictions.csv")}
    for predictor in (Predictor.load(run.model), ImageClassifier.load(run.model)):
        paths = sorted((stacks / "val").rglob("*.tif"))
        if isinstance(predictor, ImageClassifier):
            found = predictor.predict_proba([str(path) for path in paths]).max(axis=1).tolist()
        else:
            found = [one.probability for one in predictor.predict(paths)]
        expected = [next(told[key] for key in told if key.endswith(path.name)) for path in paths]
        assert np.allclose(found, expected, atol=1e-4)
    exported = export_model(run.run, tmp_path / "exported")
    assert exported.parity.images == 8 and read_bundle(tmp_path / "exported").manifest.preprocess == manifest.preprocess
    assert list(verify_model(tmp_path / "exported")) and list(verify_model(run.run))
    evaluated = evaluate_model(run.model, stacks, split="val")
    assert evaluated.evaluation.log_loss == pytest.approx(run.evaluation.log_loss, abs=1e-4)


def test_another_choice_is_another_feature(stacks: Path, settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """Nothing stored for one choice is used for another; the same choice in other words has all in the store."""
    first = headstart.train(stacks, settings(channels="c=1+z=1+levels=1000..6000"), output=tmp_path / "1")
    other = headstart.train(stacks, settings(channels="c=0+z=1+levels=0..200"), output=tmp_path / "2")
    again = headstart.train(stacks, settings(channels="z=1+levels=1e3..6e3+c=1"), output=tmp_path / "3")
    assert first.work.computed and other.work.computed and not again.work.computed
    assert first.evaluation.accuracy > other.evaluation.accuracy
    plain = headstart.train(stacks, settings(), output=tmp_path / "4")
    assert plain.work.computed and read_bundle(plain.model).manifest.preprocess.channels == ""
    assert any("several pages; the first is used" in note for note in plain.notes)


def test_what_cannot_be_chosen(stacks: Path, settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """Where nothing is left, or black is white, the run says why; embed has no train to find a window on."""
    for channels, words in (
        ("z=7+c=0", "no plane z=7"),
        ("window=1..99", "2 channels|2 planes"),
        ("c=9+window=1..9", "channel|plane"),
    ):
        with pytest.raises(DataError, match=words):
            headstart.train(stacks, settings(channels=channels), output=tmp_path / "run")
    flat = tmp_path / "flat"
    for label in CLASSES[:2]:
        (flat / label).mkdir(parents=True)
        for number in range(4):
            tifffile.imwrite(flat / label / f"{number}.tif", np.full((40, 40), 7, np.uint16))
    with pytest.raises(DataError, match="both 7"):
        headstart.train(flat, settings(channels="window=1..99"), output=tmp_path / "run")
    with pytest.raises(SettingsError, match="embed has none"):
        embed(stacks, tmp_path / "t.parquet", settings(channels="window=1..99"))
    with pytest.raises(SettingsError, match="--channels cannot be 'z=median'"):
        TrainSettings.of(channels="z=median")


def test_audit_and_embed_see_the_choice(stacks: Path, settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """Audit compares what was chosen: files whose first pages are the same, but not their shapes, are no copies."""
    data = tmp_path / "data"
    rng = np.random.default_rng(0)
    first = rng.integers(0, 60000, (80, 96)).astype(np.uint16)
    for label in CLASSES[:2]:
        (data / label).mkdir(parents=True)
        for number in range(6):
            shape = np.asarray(draw_shape(label, rng).convert("L")).astype(np.uint16) * 200
            tifffile.imwrite(data / label / f"{number}.tif", np.stack([first, shape]), photometric="minisblack")
    without = audit_images(data, None, settings())
    chosen = audit_images(data, tmp_path / "audit", settings(channels="page=1"))
    copies = [[f for f in audited.findings if f.check in ("duplicate", "conflict")] for audited in (without, chosen)]
    assert len(copies[0]) >= 12 and not copies[1]
    embedded = embed(stacks, tmp_path / "t.parquet", settings(channels="c=1+z=1"))
    assert embedded.n_images == 36 and not embedded.skipped


@pytest.mark.process
def test_the_cards_program_reads_stacks(stacks: Path, settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """In a process without headstart it answers as headstart does, for files of which channels and levels are chosen."""
    run = headstart.train(stacks, settings(channels="window=2..98+c=1+z=max"), output=tmp_path / "run", pictures=False)
    export_model(run.model, tmp_path / "out")
    assert_program_agrees(tmp_path / "out", sorted((stacks / "val").rglob("*.tif")))


SQUARE = Preprocess(size_px=32, resize_px=36, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)
NOISE = np.random.default_rng(0)
KINDS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "8 bits": (NOISE.integers(0, 256, (3, 40, 50), np.uint8), {}),
    "16 bits, white is zero": (NOISE.integers(0, 65536, (2, 40, 50), np.uint16), {"photometric": "miniswhite"}),
    "floats": (NOISE.normal(0, 3, (2, 40, 50)).astype(np.float32), {}),
    "axes": (NOISE.integers(0, 4096, (2, 3, 4, 40, 50), np.uint16), {"ome": True, "metadata": {"axes": "TZCYX"}}),
    "colours": (NOISE.integers(0, 256, (40, 50, 3), np.uint8), {"photometric": "rgb"}),
    "turned": (NOISE.integers(0, 256, (40, 50), np.uint8), {"extratags": [(274, 3, 1, 6, True)]}),
}
CHOSEN = [
    ("8 bits", "page=1"),
    ("8 bits", "page=max"),
    ("8 bits", "page=mean+levels=20..200"),
    ("16 bits, white is zero", "page=0"),
    ("16 bits, white is zero", "page=min+levels=100..60000"),
    ("floats", "page=1+levels=-3..3"),
    ("axes", "page=5+levels=0..4095"),
    ("axes", "t=1+z=0+c=2"),
    ("axes", "t=0+z=max+c=0,2,1+levels=0..4000,5..2000,9..3000"),
    ("axes", "t=mean+z=min+c=3,0"),
    ("axes", "t=0+z=mean+c=max+levels=0..4095"),
    ("colours", "page=0"),
    ("colours", "c=1"),
    ("colours", "c=2,0"),
    ("colours", "c=mean+levels=10..250"),
    ("turned", "c=0"),
    ("turned", "page=0"),
]


@pytest.mark.parametrize(("kind", "channels"), CHOSEN)
def test_the_cards_program_takes_the_same_pixels(kind: str, channels: str, tmp_path: Path) -> None:
    """Each kind of choice gives the pixels that headstart gives, one for one."""
    pixels, options = KINDS[kind]
    file = tmp_path / "stack.tif"
    tifffile.imwrite(file, pixels, **({"photometric": "minisblack"} | options))
    preprocess = SQUARE.choosing(channels)
    parts = _reading(preprocess)
    known: dict[str, Any] = {"np": np}
    exec(f"{parts['pictures']}\n{parts['read']}", known)
    expected = preprocess.decode(file.read_bytes()).rgb
    assert np.array_equal(np.asarray(known["upright_rgb"](file)), np.asarray(expected))
