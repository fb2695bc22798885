"""Images of more than three channels: the network sees them all, wherever the model is used."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_shape

import headstart
from headstart import ImageClassifier
from headstart.artifact.bundle import read_bundle
from headstart.artifact.card import card_of
from headstart.artifact.explained import explained, explainer_of
from headstart.artifact.export import export_model
from headstart.artifact.predictor import Predictor
from headstart.artifact.verification import verify_model
from headstart.artifact.web_export import export_web
from headstart.errors import BundleError, DataError
from headstart.model.explanation import Explainer
from headstart.runs.auditing import audit_images
from headstart.runs.embedding import embed
from headstart.runs.evaluating import evaluate_model
from headstart.settings import TrainSettings
from runs.conftest import CLASSES, rows_of

tifffile = pytest.importorskip("tifffile")

FIVE = "c=0,1,2,3,4"


SHARES = dict(zip(CLASSES[:2], (0.9, 0.3), strict=True))  # of the light that a field reflects


def draw_field(label: str, rng: np.random.Generator) -> np.ndarray:
    """(80, 96) float32 in 0 .. 1: a shape of any kind that is as bright as its class in this band, with noise."""
    shape = np.asarray(draw_shape(str(rng.choice(CLASSES)), rng).convert("L"), np.float32)
    field = np.abs(shape - np.median(shape)) > 20
    return np.clip(np.where(field, SHARES[label], 0.1) + rng.normal(0, 0.03, field.shape), 0, 1).astype(np.float32)


def draw_scenes(folder: Path, count: int, channel: int, n_channels: int = 5) -> Path:
    """TIFFs with a field in each channel, which is as bright as its class in one of them alone; in the others, as any."""
    rng = np.random.default_rng([5, channel, *folder.name.encode()])
    for label in CLASSES[:2]:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            shown = [str(rng.choice(CLASSES[:2])) for _ in range(n_channels)]
            shown[channel] = label
            scene = np.stack([draw_field(one, rng) for one in shown], axis=-1)
            scene[..., [i for i in range(n_channels) if i != channel]] *= 0.2
            file = folder / label / f"{label}-{number}.tif"
            tifffile.imwrite(file, (scene * 10000).astype(np.uint16), photometric="minisblack", planarconfig="contig")
    return folder


@pytest.fixture(scope="module", params=[3, 4])
def scenes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of five channels in train and val; the fourth or the fifth alone shows the class."""
    folder = tmp_path_factory.mktemp("scenes")
    draw_scenes(folder / "train", 30, request.param)
    draw_scenes(folder / "val", 10, request.param)
    return folder


def test_a_class_that_one_channel_shows(scenes: Path, settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """With five channels the network tells classes apart that three do not show; features of three are never used for five."""
    three = headstart.train(scenes, settings(strategy="probe", channels="c=0,1,2"), output=tmp_path / "three")
    five = headstart.train(scenes, settings(strategy="probe", channels=FIVE), output=tmp_path / "five")
    assert five.evaluation.accuracy >= 0.9 and three.evaluation.accuracy <= 0.75
    assert three.work.computed == five.work.computed == 80
    again = headstart.train(scenes, settings(strategy="probe", channels=FIVE), output=tmp_path / "again")
    assert not again.work.computed and again.evaluation == five.evaluation
    other = headstart.train(scenes, settings(strategy="probe", channels="c=4,3,2,1,0"), output=tmp_path / "other")
    assert other.work.computed == 80


@pytest.mark.parametrize("strategy", ["probe", "finetune"])
@pytest.mark.parametrize("view", ["crop", "pad+mirrored"])
def test_all_channels_everywhere(
    strategy: str, view: str, scenes: Path, settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """predict, evaluate, the classifier, export and verify answer for all channels; the page and the card's program refuse."""
    wanted = settings(
        strategy=strategy, epochs=2 if strategy == "finetune" else None, channels=f"{FIVE}+window=1..99", view=view
    )
    run = headstart.train(scenes, wanted, output=tmp_path / "run")
    manifest = read_bundle(run.model).manifest
    own = manifest.preprocess
    assert own.n_channels == 5 == len(own.mean) == len(own.std) and own.channels.count("..") == 5
    assert manifest.settings.channels == f"{FIVE}+window=1..99"
    assert own.channels in card_of(manifest) and "use headstart predict" in card_of(manifest)
    told = {row["path"]: float(row["probability"]) for row in rows_of(run.run / "predictions.csv")}
    paths = sorted((scenes / "val").rglob("*.tif"))
    expected = [next(told[key] for key in told if key.endswith(path.name)) for path in paths]
    found = [one.probability for one in Predictor.load(run.model).predict(paths)]
    assert np.allclose(found, expected, atol=1e-4)
    in_memory = ImageClassifier.load(run.model).predict_proba([path.read_bytes() for path in paths]).max(axis=1)
    assert np.allclose(in_memory, expected, atol=1e-4)
    exported = export_model(run.run, tmp_path / "exported")
    assert exported.parity.images == len(paths) and exported.parity.max_difference <= 1e-4
    assert list(verify_model(tmp_path / "exported")) and list(verify_model(run.run))
    after = [one.probability for one in Predictor.load(tmp_path / "exported").predict(paths)]
    assert np.allclose(after, expected, atol=1e-4)
    evaluated = evaluate_model(run.model, scenes, split="val")
    assert evaluated.evaluation.log_loss == pytest.approx(run.evaluation.log_loss, abs=1e-4)
    with pytest.raises(BundleError, match="which browsers do not read"):
        export_web(run.run, tmp_path / "web")
    photograph = tmp_path / "photograph.png"
    draw_shape(CLASSES[0], np.random.default_rng(0)).save(photograph)
    (refused,) = Predictor.load(run.model).predict([photograph])
    assert "levels are chosen for measured values" in refused.error


def test_answers_are_explained_and_served(scenes: Path, settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """An explanation is of what all channels add; what a server does with bytes has their answer, or a reason."""
    run = headstart.train(scenes, settings(strategy="probe", channels=FIVE), output=tmp_path / "run")
    predictor = Predictor.load(run.model)
    data = next((scenes / "val").rglob("*.tif")).read_bytes()
    found = Explainer.of(predictor.head, predictor.preprocess, predictor.extractor).explain(data)
    assert found.shares.shape == (28, 28) and np.isfinite(found.shares).all() and found.shares.any()
    picture = explained(data, next(iter(predictor.predict([data]))), explainer_of(predictor))
    assert picture.plain.startswith("data:image/jpeg") and picture.marked != picture.plain
    grey = io.BytesIO()
    tifffile.imwrite(grey, np.zeros((30, 30), np.uint8))
    served, refused = predictor.predict_bytes([("a.tif", data), ("b.tif", grey.getvalue())])
    assert served.probability == next(iter(predictor.predict([data]))).probability
    assert "no channel c=" in refused.error


def test_a_manifest_that_does_not_say_its_channels(
    scenes: Path, settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """A model whose channels are not named, or are others than its numbers are for, is refused when it is read."""
    run = headstart.train(scenes, settings(strategy="probe", channels=FIVE), output=tmp_path / "run")
    file = run.model / "manifest.json"
    values = json.loads(file.read_text())
    values.pop("manifest_sha256")
    for channels, words in (("", "does not say which channels"), ("c=0,1,2,3", "one number for each channel")):
        values["preprocess"]["channels"] = channels
        file.write_text(json.dumps(values))
        with pytest.raises(BundleError, match=words):
            read_bundle(run.model)


def test_torch_and_the_compiled_form_agree(scenes: Path, settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """A model of five channels answers alike in torch and in its compiled form, which is made of its own file elsewhere."""
    from headstart.artifact.bundled_network import _network_of

    run = headstart.train(scenes, settings(strategy="probe", channels=FIVE), output=tmp_path / "run")
    predictor, network = Predictor.load(run.model), _network_of(read_bundle(run.model), "cpu")
    views = np.concatenate(
        [predictor.preprocess.views_of_file(path.read_bytes()) for path in sorted(scenes.rglob("*.tif"))[:8]]
    )
    assert views.shape[1:] == (48, 48, 5)
    found = network.extractor().compute(views)
    assert np.abs(found - predictor.extractor.features(views[:, None])).max() <= 1e-3 * found.std()


def test_pages_as_channels(settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """Pages of a file can be its channels, as they often are; extend, audit and embed take them."""
    rng = np.random.default_rng(1)
    for split, count in (("train", 12), ("val", 6)):
        for label in CLASSES[:2]:
            (tmp_path / "data" / split / label).mkdir(parents=True)
            for number in range(count):
                pages = rng.integers(0, 60, (4, 80, 96)).astype(np.uint8)
                pages[3] = (draw_field(label, rng) * 255).astype(np.uint8)
                tifffile.imwrite(tmp_path / "data" / split / label / f"{number}.tif", pages, photometric="minisblack")
    wanted = settings(strategy="probe", channels="page=0,1,2,3")
    run = headstart.train(tmp_path / "data", wanted, output=tmp_path / "run")
    assert run.evaluation.accuracy >= 0.9 and read_bundle(run.model).manifest.preprocess.n_channels == 4
    more = headstart.train(tmp_path / "data", TrainSettings.of(), output=tmp_path / "more", extend=tmp_path / "run")
    assert read_bundle(more.model).manifest.preprocess.n_channels == 4 and more.evaluation.accuracy >= 0.9
    assert embed(tmp_path / "data", tmp_path / "t.parquet", wanted).n_images == 36
    with pytest.raises(DataError, match="no page 4"):
        headstart.train(tmp_path / "data", settings(channels="page=0,1,2,4"), output=tmp_path / "none")


def test_files_that_differ_in_the_fifth_channel_are_no_copies(settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """Audit compares all channels: files whose first four are the same, but not their fifth, are no copies."""
    rng = np.random.default_rng(0)
    same = rng.integers(0, 255, (4, 80, 96)).astype(np.uint8)
    for label in CLASSES[:2]:
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(6):
            fifth = (draw_field(label, rng) * 255).astype(np.uint8)
            stack = np.concatenate([same, fifth[None]])
            tifffile.imwrite(tmp_path / "data" / label / f"{number}.tif", stack, photometric="minisblack")
    wanted = [settings(channels=channels) for channels in ("page=0,1,2,3", "page=0,1,2,3,4")]
    audited = [audit_images(tmp_path / "data", None, one) for one in wanted]
    copies = [[f for f in one.findings if f.check in ("duplicate", "conflict")] for one in audited]
    assert len(copies[0]) >= 10 and not copies[1]
