"""The networks: every tensor in its place, features as the last layer gets them, nothing loaded that is not a tensor."""

import os
import pickle
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from conftest import TINY
from torchvision.transforms.functional import normalize

from headstart.data.opening import open_sources
from headstart.data.preprocess import Preprocess
from headstart.errors import BackboneError
from headstart.model.backbones import (
    Network,
    _preprocess_of,
    bundled_network,
    complete_spec,
    named_or_timm,
    pretrained_network,
)
from headstart.model.extractor import TORCH_BATCH, Engine, Extractor
from headstart.model.features import scan
from headstart.model.head import Head
from headstart.model.specs import NAMED, find_backbone
from headstart.model.states import read_state
from headstart.model.tensor_names import to_timm_names
from headstart.model.weights import WeightsFile, locate_weights
from headstart.storage import sha256_of_file

ANT, BEE = 310, 309  # ImageNet's classes
STAGES, WIDTHS = ("layer1", "layer2", "layer3", "layer4"), (32, 48, 192, 96)  # of TINY, and their channels
LITES = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
SQUARE = Preprocess(size_px=64, resize_px=64, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)


def weights_of(file: Path) -> WeightsFile:
    return WeightsFile(file, sha256_of_file(file), f"file {file.name}")


def some_views(n: int = 3, size_px: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size_px, size_px, 3), dtype=np.uint8)


@pytest.fixture
def tiny(tiny_weights: Path) -> Network:
    return pretrained_network(find_backbone(TINY), weights_of(tiny_weights))


@pytest.fixture(scope="module")
def torchvision_resnet() -> torch.nn.Module:
    """torchvision's own resnet18 with random weights; batch statistics are not the initial ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = torchvision.models.resnet18(weights=None)
        with torch.no_grad():
            module.train()(torch.randn(4, 3, 64, 64))
    return module.eval()


# Naming


@pytest.mark.parametrize("name", LITES)
def test_efficientnet_pytorch_naming_maps_to_timms(name: str) -> None:
    """Every tensor of the packages' files gets one of timm's names, each name once, and has the shape timm wants."""
    package = NAMED[name].package
    assert package is not None
    if find_spec(package.module) is None:
        pytest.skip(f"{package.module} is not installed")
    module = timm.create_model(NAMED[name].timm_name)
    shipped = read_state(locate_weights(NAMED[name], offline=True).path)
    wanted = module.state_dict()
    named = to_timm_names(shipped, wanted)
    assert len(named) == len(shipped)
    assert {n: t.shape for n, t in named.items()} == {n: t.shape for n, t in wanted.items() if n in named}
    assert all(n.endswith("num_batches_tracked") for n in set(wanted) - set(named))


def test_timms_own_names_stay() -> None:
    """A state that is in timm's naming already comes out as it went in."""
    module = timm.create_model("test_resnet")
    state = module.state_dict()
    assert to_timm_names(state, state) is state


@pytest.mark.slow
def test_the_port_is_right(shared: Path) -> None:
    """With its ImageNet head in fp32 the ported Lite0 tells ants from bees as often as the original: 149 and 130 of 153.

    A wrong padding, epsilon, channel order or mean gives 123 or fewer by the top of all 1,000.
    """
    spec = NAMED["efficientnet_lite0"]
    network = pretrained_network(spec, locate_weights(spec, offline=True))
    with open_sources(shared / "hymenoptera_data" / "val") as sources:
        found = scan(sources.candidates, network.preprocess, Extractor(network.logits, Engine(name="torch-cpu"), TORCH_BATCH))
    truth = np.array([ANT if image.label == "ants" else BEE for image in found.images])
    assert len(truth) == 153
    of_two = np.where(found.vectors[:, ANT] > found.vectors[:, BEE], ANT, BEE)
    assert (of_two == truth).sum() == pytest.approx(149, abs=1)
    assert (found.vectors.argmax(axis=1) == truth).sum() == pytest.approx(130, abs=2)


# Torchvision's layout


@pytest.mark.parametrize("wrapped", ["plain", "state_dict", "model", "module."])
def test_torchvisions_resnet18(wrapped: str, torchvision_resnet: torch.nn.Module, tmp_path: Path) -> None:
    """A file in torchvision's layout, also as training scripts wrap it, gives the logits of torchvision's own network."""
    state: Any = torchvision_resnet.state_dict()
    if wrapped == "module.":
        state = {f"module.{name}": tensor for name, tensor in state.items()}
    elif wrapped != "plain":
        state = {wrapped: state, "epoch": 3}
    torch.save(state, tmp_path / "mine.pth")
    spec = NAMED["resnet18"]
    network = pretrained_network(spec, locate_weights(spec, given=tmp_path / "mine.pth"))
    views = some_views(2, 224)
    with torch.inference_mode():
        expected = torchvision_resnet(network.to_input(views)).numpy()
    np.testing.assert_allclose(network.logits(views), expected, rtol=1e-4, atol=1e-4)


def test_torch_hubs_cache_is_used(torchvision_resnet: torch.nn.Module, own_home: Path) -> None:
    """A resnet18 that torch hub has downloaded before is loaded from there, without a network."""
    place = own_home / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    place.parent.mkdir(parents=True)
    torch.save(torchvision_resnet.state_dict(), place)
    found = locate_weights(NAMED["resnet18"], offline=True)
    assert (found.path, found.origin) == (place, "torch hub's cache")
    network = pretrained_network(NAMED["resnet18"], found)
    assert torch.equal(network.last_layer.weight, torchvision_resnet.get_parameter("fc.weight"))


def test_input_is_normalised() -> None:
    """The network is given (pixel / 255 - mean) / std, channel by channel, as torchvision's transforms compute it."""
    network = Network(NAMED["resnet18"], timm.create_model("resnet18"), NAMED["resnet18"].preprocess or SQUARE)
    views = some_views(2)
    pixels = torch.from_numpy(views).permute(0, 3, 1, 2)
    expected = normalize(pixels / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    np.testing.assert_allclose(network.to_input(views).numpy(), expected.numpy(), atol=1e-5)


# Files that are not what they should be


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("how", ["torch", "pickle", "in a state dict"])
def test_pickled_code_is_never_run(how: str, tmp_path: Path) -> None:
    """A .pth that runs code when it is unpickled is refused with a sentence that offers no way around, and not run."""
    evil, file = Evil(tmp_path / "trace"), tmp_path / "evil.pth"
    if how == "pickle":
        file.write_bytes(pickle.dumps(evil))
    else:
        torch.save({"conv1.weight": evil} if how == "in a state dict" else evil, file)
    with pytest.raises(BackboneError, match=r"evil\.pth is damaged, or contains more than plain tensors") as caught:
        pretrained_network(find_backbone(TINY), weights_of(file))
    assert "Python objects are never loaded" in caught.value.message
    assert "state_dict()" in caught.value.hint
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.nn.Linear(2, 2), "contains more than plain tensors"),
        ([torch.zeros(2)], "contains no state dict"),
        ({"a": torch.zeros(2), "b": 3}, "contains no state dict"),
        ({0: torch.zeros(2)}, "contains no state dict"),
        ({}, "does not fit the network"),
    ],
)
def test_not_a_state_dict(content: Any, message: str, tmp_path: Path) -> None:
    """A whole model, a list, or a mapping to other things is refused with what to save instead."""
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(BackboneError, match=message):
        pretrained_network(find_backbone(TINY), weights_of(tmp_path / "odd.pth"))


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_damaged_file(name: str, share: float, tiny_weights: Path, tmp_path: Path) -> None:
    """An empty or cut-off file is an error that names the file, whatever its kind."""
    file = tmp_path / name
    if name.endswith(".safetensors"):
        whole = tiny_weights.read_bytes()
    else:
        torch.save(read_state(tiny_weights), file)
        whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BackboneError, match=f"{name} (is damaged|cannot be read)") as caught:
        pretrained_network(find_backbone(TINY), weights_of(file))
    assert caught.value.hint


def changed_state(tiny_weights: Path, change: str) -> dict[str, torch.Tensor]:
    state = read_state(tiny_weights)
    if change == "missing":
        del state["layer1.0.conv1.weight"], state["layer2.0.conv1.weight"]
    elif change == "shape":
        state["layer1.0.conv1.weight"] = torch.zeros(3, 3)
    else:
        state["layer9.conv.weight"] = torch.zeros(3, 3)
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "2 tensors are missing, the first is layer1.0.conv1.weight"),
        ("shape", r"1 have the wrong shape: layer1.0.conv1.weight is \(3, 3\), not \(32, 32, 3, 3\)"),
        ("unknown", "1 are unknown, the first is layer9.conv.weight"),
    ],
)
def test_tensors_that_do_not_fit(change: str, message: str, tiny_weights: Path, tmp_path: Path, own_home: Path) -> None:
    """A file with missing, misshapen or unknown tensors is refused, says which, and leaves nothing in home."""
    safetensors.torch.save_file(changed_state(tiny_weights, change), tmp_path / "w.safetensors")
    with pytest.raises(BackboneError, match=message) as caught:
        pretrained_network(find_backbone(TINY), weights_of(tmp_path / "w.safetensors"))
    assert caught.value.hint == "is this the file of this backbone?"
    assert not (own_home / "weights").exists()


@pytest.mark.parametrize("change", ["another number of classes", "no last layer", "no batch counters"])
def test_what_a_file_may_lack(change: str, tiny_weights: Path, tiny: Network, tmp_path: Path) -> None:
    """The last layer may be another's or missing, for it is replaced; so may the counters that old files lack."""
    state = read_state(tiny_weights)
    if change == "another number of classes":
        state["fc.weight"], state["fc.bias"] = torch.zeros(7, 96), torch.zeros(7)
    elif change == "no last layer":
        del state["fc.weight"], state["fc.bias"]
    else:
        state = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    network = pretrained_network(find_backbone(TINY), weights_of(tmp_path / "w.safetensors"))
    assert np.array_equal(network.features(some_views()), tiny.features(some_views()))


def test_other_weights_are_not_mixed_up(tmp_path: Path, tiny_weights: Path) -> None:
    """Two files for one backbone are kept apart by their digests."""
    state = read_state(tiny_weights)
    state["conv1.0.weight"] = state["conv1.0.weight"] * 2 + 0.1
    safetensors.torch.save_file(state, tmp_path / "other.safetensors")
    one = pretrained_network(find_backbone(TINY), weights_of(tiny_weights))
    other = pretrained_network(find_backbone(TINY), weights_of(tmp_path / "other.safetensors"))
    assert not np.allclose(one.features(some_views()), other.features(some_views()))


def test_a_bundles_network_is_the_saved_one(tiny: Network, tmp_path: Path) -> None:
    """What `save` writes and `bundled_network` reads answers alike, bit by bit; another number of classes does not fit."""
    rng = np.random.default_rng(0)
    tiny.set_head(Head(rng.normal(size=(3, tiny.n_features)).astype(np.float32), rng.normal(size=3).astype(np.float32)))
    tiny.save(tmp_path / "weights.safetensors")
    again = bundled_network(tiny.spec, tiny.preprocess, 3, tmp_path / "weights.safetensors")
    assert np.array_equal(again.logits(some_views()), tiny.logits(some_views()))
    wrong = rf"fc.weight is \(3, {tiny.n_features}\), not \(4, {tiny.n_features}\)"
    with pytest.raises(BackboneError, match=wrong):
        bundled_network(tiny.spec, tiny.preprocess, 4, tmp_path / "weights.safetensors")


def test_state_is_a_copy(tiny: Network) -> None:
    """What `state` returned stays as it was when the network is trained on."""
    before = tiny.state()
    remembered = {name: tensor.clone() for name, tensor in before.items()}
    with torch.no_grad():
        for tensor in tiny.module.state_dict().values():
            tensor.add_(1)
    assert all(torch.equal(before[name], tensor) for name, tensor in remembered.items())


# The network seen from outside


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_efficientnet", "test_vit", "test_convnext", "test_mambaout", "test_byobnet"]
)
def test_features_are_what_the_last_layer_gets(name: str) -> None:
    """For every kind of network the last layer applied to `features` gives `logits`, so a fitted head fits into it."""
    module = timm.create_model(name, img_size=64) if name == "test_vit" else timm.create_model(name)
    network = Network(find_backbone(f"timm/{name}"), module, SQUARE)
    features = network.features(some_views())
    assert features.shape == (3, network.n_features)
    assert features.dtype == np.float32
    layer = network.last_layer
    by_hand = Head(layer.weight.detach().numpy(), layer.bias.detach().numpy()).logits(features)
    np.testing.assert_allclose(by_hand, network.logits(some_views()), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", ["features", "logits"])
def test_batch_statistics_are_untouched(method: str, tiny: Network) -> None:
    """Computing features or logits changes no tensor of the network, even where someone left it in train mode."""
    before = tiny.state()
    tiny.module.train()
    first = getattr(tiny, method)(some_views(4))
    after = tiny.state()
    assert not tiny.module.training
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert np.array_equal(getattr(tiny, method)(some_views(4)), first)


def test_set_head(tiny: Network) -> None:
    """A fitted head takes the last layer's place; the body stays, and no random numbers of torch's are drawn."""
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(3, tiny.n_features)).astype(np.float32), rng.normal(size=3).astype(np.float32))
    features, state = tiny.features(some_views()), torch.get_rng_state()
    tiny.set_head(head)
    assert torch.equal(torch.get_rng_state(), state)
    assert (tiny.last_layer_name, tiny.last_layer.out_features) == ("fc", 3)
    np.testing.assert_allclose(tiny.logits(some_views()), head.logits(features), rtol=1e-5)


def test_channels_first_or_last_in_memory(tiny: Network) -> None:
    """How weights lie in memory, also with folded batch norms, is how views do; answers are the same up to rounding."""
    answers = []
    for channels_last in (True, False):
        tiny.set_channels_last(channels_last)
        in_memory = torch.channels_last if channels_last else torch.contiguous_format
        with tiny.folded():
            convolutions = [part for part in tiny.module.modules() if isinstance(part, torch.nn.Conv2d)]
            assert all(part.weight.is_contiguous(memory_format=in_memory) for part in convolutions)
            answers.append(tiny.logits(some_views()))
        assert tiny.to_input(some_views()).is_contiguous(memory_format=in_memory)
    np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-5)


def test_building_a_network_draws_none_of_the_callers_numbers(tiny_weights: Path) -> None:
    """timm draws weights that are replaced at once; torch's random numbers go on as if it had not."""
    state = torch.get_rng_state()
    pretrained_network(find_backbone(TINY), weights_of(tiny_weights))
    assert torch.equal(torch.get_rng_state(), state)


def test_random_head_depends_on_its_seed_alone(tiny: Network) -> None:
    """A random head is the same for the same seed, another for another, and leaves torch's own random numbers alone."""
    state = torch.get_rng_state()
    drawn = []
    for seed in (0, 0, 1):
        tiny.set_random_head(3, seed)
        drawn.append(tiny.last_layer.weight.detach().clone())
        torch.rand(1)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    torch.set_rng_state(state)
    tiny.set_random_head(3, 0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("name", "n_blocks", "first", "last"),
    [
        ("tf_efficientnet_lite0", 7, "conv_stem.weight", "bn2.bias"),
        ("resnet18", 4, "conv1.weight", "layer4.1.bn2.bias"),
        ("test_resnet", 4, "conv1.0.weight", "layer4.0.downsample.2.bias"),
    ],
)
def test_blocks(name: str, n_blocks: int, first: str, last: str) -> None:
    """Blocks go from the stem to the end, hold every parameter but the last layer's, and each once."""
    network = Network(find_backbone(f"timm/{name}"), timm.create_model(name), SQUARE)
    blocks = network.blocks()
    names = [parameter for block in blocks for parameter in block]
    assert len(blocks) == n_blocks + 1  # with the stem
    assert (names[0], names[-1]) == (first, last)
    own = {f"{network.last_layer_name}.weight", f"{network.last_layer_name}.bias"}
    assert sorted(names) == sorted(set(dict(network.module.named_parameters())) - own)


# Names and devices


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("timm/resnet81", "timm has no model called 'resnet81'", "did you mean timm/resnet18?"),
        ("timm/zzz", "timm has no model called 'zzz'", "timm.list_models() lists all models"),
        ("timm/resnet18.tv_in2k", "timm has no weights called 'resnet18.tv_in2k'", "did you mean resnet18.tv_in1k?"),
    ],
)
def test_misspelt_timm_name(name: str, message: str, hint: str) -> None:
    """A name that timm does not know is answered with the nearest it knows."""
    with pytest.raises(BackboneError) as caught:
        named_or_timm(name)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_timm_completes_the_spec() -> None:
    """Of a timm/<name> backbone timm says where its weights are and under which licence; a named one is complete already."""
    spec = complete_spec(find_backbone("timm/resnet18.a1_in1k"))
    assert (spec.hf_repo, spec.licence) == ("timm/resnet18.a1_in1k", "apache-2.0")
    assert complete_spec(NAMED["resnet18"]) is NAMED["resnet18"]


def test_timm_says_how_images_are_prepared(tiny: Network) -> None:
    """A timm/<name> backbone gets the preprocessing that timm's own evaluation has for it."""
    assert tiny.preprocess == Preprocess(size_px=160, resize_px=168, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)
    assert tiny.features(some_views(2, 160)).shape == (2, tiny.n_features)
    assert (tiny.n_last, tiny.n_features) == (96, 96 + sum(WIDTHS))
    assert tiny.spec.stages == STAGES


def test_odd_preprocessing_is_refused(tiny_weights: Path) -> None:
    """A network that wants resizing or cropping that is not built is refused, not fed other pixels."""
    odd = find_backbone("timm/mobilenetv3_rw").model_copy(update={"preprocess": None})
    module = timm.create_model("test_resnet")
    module.pretrained_cfg = {**module.pretrained_cfg, "crop_mode": "border"}
    with pytest.raises(BackboneError, match="needs bilinear resizing and border cropping, which is not supported"):
        _preprocess_of(odd, module)
