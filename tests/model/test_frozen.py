"""The compiled form of a backbone gives torch's features, is made once, and is made anew where it is damaged."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY

from headstart.data.preprocess import Preprocess
from headstart.errors import BackboneError, HeadstartWarning
from headstart.model.backbones import bundled_network, pretrained_network
from headstart.model.compiled import GRAPH, RECORD, STATE, compiled_folder, find_compiled
from headstart.model.engines import load_engine
from headstart.model.extractor import Engine, Frozen
from headstart.model.frozen import frozen_backbone, read_head, with_preprocess
from headstart.model.head import Head
from headstart.model.specs import find_backbone
from headstart.model.weights import WeightsFile, locate_weights
from headstart.storage import sha256_of_file

SIZE = 160  # what TINY was made for


def views(n: int = 5, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture
def weights(tiny_weights: Path) -> WeightsFile:
    return WeightsFile(tiny_weights, sha256_of_file(tiny_weights), "test")


@pytest.fixture
def tiny(weights: WeightsFile) -> Frozen:
    return frozen_backbone(find_backbone(TINY), weights)


@pytest.fixture
def alone(own_home: Path) -> Path:
    """A home whose compiled forms are its own, to be damaged."""
    (own_home / "compiled").unlink()
    return own_home / "compiled"


def test_torchs_features(tiny: Frozen, weights: WeightsFile) -> None:
    """The compiled form and the torch network agree, within 1e-5 of the features' size."""
    network = pretrained_network(find_backbone(TINY), weights)
    expected = network.features(views())
    np.testing.assert_allclose(tiny.extractor.compute(views()), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert tiny.preprocess == network.preprocess


def test_alone_or_among_others(tiny: Frozen) -> None:
    """An image's features are the same bits whatever else is computed beside it."""
    one_by_one = np.concatenate([tiny.extractor.compute(view[None]) for view in views()])
    again = np.concatenate([tiny.extractor.compute(view[None]) for view in views()[::-1]])[::-1]
    assert tiny.extractor.batch_images == 1
    assert np.array_equal(one_by_one, again)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_agree(engine: str, tiny: Frozen, weights: WeightsFile) -> None:
    """Each engine gives the same features in full precision."""
    pytest.importorskip(engine)
    graph = compiled_folder(find_backbone(TINY).timm_name, weights.sha256, None, with_stages=True) / GRAPH
    found = load_engine(Engine(name=engine), graph, threads=2)(views())
    expected = tiny.extractor.compute(views())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_bf16_is_an_engine_of_its_own(weights: WeightsFile) -> None:
    """Features in bf16 are close to those in full precision, and never taken for them."""
    pytest.importorskip("openvino")
    full = frozen_backbone(find_backbone(TINY), weights).extractor
    half = frozen_backbone(find_backbone(TINY), weights, engine=Engine(name="openvino", precision="bf16")).extractor
    assert half.engine != full.engine
    expected = full.compute(views())
    np.testing.assert_allclose(half.compute(views()), expected, rtol=0, atol=0.1 * np.abs(expected).max())


@pytest.mark.process
def test_it_is_compiled_once(tiny: Frozen, weights: WeightsFile) -> None:
    """A process that cannot import torch takes the compiled form of one that could."""
    script = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['timm'] = None\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from headstart.model.specs import find_backbone\n"
        "from headstart.model.frozen import frozen_backbone\n"
        "from headstart.model.weights import WeightsFile\n"
        f"frozen = frozen_backbone(find_backbone({TINY!r}), WeightsFile(Path('gone'), {weights.sha256!r}, 'test'))\n"
        f"print(frozen.extractor.compute(np.full((1, {SIZE}, {SIZE}, 3), 9, np.uint8)).sum(), frozen.spec.licence)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    total, licence = ran.stdout.split(maxsplit=1)
    expected = tiny.extractor.compute(np.full((1, SIZE, SIZE, 3), 9, np.uint8)).sum()
    assert float(total) == pytest.approx(float(expected), rel=1e-5)
    assert licence.strip() == tiny.spec.licence


@pytest.mark.slow
@pytest.mark.parametrize("name", [GRAPH, STATE])
def test_a_damaged_file_is_made_anew(name: str, tiny: Frozen, alone: Path, compiled_forms: Path, weights: WeightsFile) -> None:
    """A flipped bit in a kept file is found and told, and the form is compiled again."""
    folder = compiled_folder(find_backbone(TINY).timm_name, weights.sha256, None, with_stages=True)
    shutil.copytree(compiled_forms / folder.name, folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.warns(HeadstartWarning, match="is damaged and will be rebuilt"):
        frozen_backbone(find_backbone(TINY), weights)
    assert find_compiled(folder) is not None


@pytest.mark.slow
def test_an_earlier_version_s_own_size(tiny: Frozen, alone: Path, weights: WeightsFile) -> None:
    """A form that was compiled when the backbone's own size was another is compiled again, not used at that size."""
    spec = find_backbone(TINY).model_copy(update={"preprocess": tiny.preprocess.at_size(64)})
    for size in (64, 96, 96):
        frozen = frozen_backbone(spec.at_size(size), weights)
        assert frozen.preprocess.size_px == size and frozen.spec.preprocess == spec.at_size(size).preprocess
    assert len(list(alone.iterdir())) == 1


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 99}', "null"])
def test_a_record_of_another_format(content: str, tmp_path: Path) -> None:
    """A record that this version does not read counts as none."""
    (tmp_path / RECORD).write_text(content)
    assert find_compiled(tmp_path) is None


@pytest.mark.slow
def test_nothing_is_left_where_compiling_fails(alone: Path, weights: WeightsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that does not give torch's features when compiled is refused, and no form of it is kept."""
    monkeypatch.setattr("headstart.model.frozen.TOLERANCE", -1.0)  # nothing agrees as well as this
    with pytest.raises(BackboneError, match="does not agree with torch"):
        frozen_backbone(find_backbone(TINY), weights)
    assert list(alone.iterdir()) == []


@pytest.mark.slow
def test_a_home_that_cannot_be_written_to(weights: WeightsFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where home() is no place to keep anything, that is told and the form serves this process."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "file"))
    with pytest.warns(HeadstartWarning, match="cannot be kept"):
        frozen = frozen_backbone(find_backbone(TINY), weights)
    assert frozen.extractor.compute(views(1)).shape[0] == 1


def test_another_size(weights: WeightsFile) -> None:
    """Each input size has a form of its own."""
    small = frozen_backbone(find_backbone(TINY), weights, image_size=96)
    assert small.preprocess.size_px == 96
    assert small.extractor.compute(views(2, 96)).shape[0] == 2


def test_saved_with_a_head(tiny: Frozen, tmp_path: Path) -> None:
    """Without torch a head is saved as the network's last layer, and torch's network answers the same."""
    n_features = tiny.extractor.compute(views(1)).shape[1]
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(3, n_features)).astype(np.float32), rng.normal(size=3).astype(np.float32))
    model = tiny.with_head(head)
    model.save(tmp_path / "w.safetensors")
    network = bundled_network(tiny.spec, tiny.preprocess, 3, tmp_path / "w.safetensors")
    expected = head.logits(tiny.extractor.compute(views()))
    np.testing.assert_allclose(network.logits(views()), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_a_head_with_numbers_that_are_not_finite(tiny: Frozen, weights: WeightsFile, tmp_path: Path) -> None:
    """A last layer with a NaN is refused where it is read, not where it answers."""
    compiled = find_compiled(compiled_folder(find_backbone(TINY).timm_name, weights.sha256, None, with_stages=True))
    assert compiled is not None
    head = Head(np.ones((3, tiny.n_features), np.float32), np.array([0, np.nan, 0], np.float32))
    tiny.with_head(head).save(tmp_path / "w.safetensors")
    with pytest.raises(BackboneError, match="not finite"):
        read_head(tmp_path / "w.safetensors", compiled)


def test_without_stages_it_is_a_form_of_its_own(tiny: Frozen, weights: WeightsFile) -> None:
    """The last layer's features alone: the first of those with stages, in another compiled form and under another key."""
    plain = frozen_backbone(find_backbone(TINY).model_copy(update={"stages": ()}), weights)
    assert (plain.n_features, plain.n_last) == (tiny.n_last, tiny.n_last) == (96, 96)
    assert tiny.n_features == 96 + 32 + 48 + 192 + 96
    assert tiny.extractor.kept_as is not None and plain.extractor.kept_as is not None
    assert tiny.extractor.kept_as.stages == ("layer1", "layer2", "layer3", "layer4")
    assert plain.extractor.kept_as.stages == ()
    found, expected = tiny.extractor.compute(views())[:, :96], plain.extractor.compute(views())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_other_views_of_the_same_network(tiny: Frozen) -> None:
    """Seen another way, a backbone makes models that see that way; nothing is compiled for it."""
    several = tiny.preprocess.seen_as("crop+pad")
    model = with_preprocess(tiny, several).with_head(Head(np.ones((3, tiny.n_features), np.float32), np.ones(3, np.float32)))
    assert model.preprocess == several and with_preprocess(tiny, several).preprocess == several
    assert model.extractor is tiny.extractor
    assert tiny.preprocess.n_views == 1


@pytest.mark.slow
def test_real_images_on_every_engine(shared: Path) -> None:
    """On ants and bees the engines agree with torch within 1e-4 in the probabilities of the ImageNet head."""
    from headstart.tasks.probabilities import softmax

    spec = find_backbone("efficientnet_lite0")
    found = locate_weights(spec, offline=True)
    network = pretrained_network(spec, found)
    files = sorted((shared / "hymenoptera_data" / "val").glob("*/*.jpg"))[::12]
    preprocess: Preprocess = network.preprocess
    images = np.stack([preprocess.view(preprocess.decode(file.read_bytes()).rgb) for file in files])
    expected = softmax(network.logits(images))
    frozen_backbone(spec, found)
    graph = compiled_folder(spec.timm_name, found.sha256, None, with_stages=True) / GRAPH
    for engine in ("onnxruntime", "openvino"):
        features = load_engine(Engine(name=engine), graph, threads=2)(images)
        answers = softmax(network.head().logits(features[:, : network.n_last]))
        assert np.abs(answers - expected).max() < 1e-4
