"""The first layer for more than three channels: the rule by which it is widened, in torch and in what is written without it."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from conftest import TINY
from timm.models._manipulate import adapt_input_conv

from headstart.data.preprocess import Preprocess
from headstart.errors import BackboneError
from headstart.model.backbones import named_or_timm, pretrained_network
from headstart.model.engines import onnxruntime_engine
from headstart.model.lite_graph import write_lite_graph
from headstart.model.lite_networks import LITES, read_pretrained_state
from headstart.model.specs import NAMED
from headstart.model.timm_networks import widen_input
from headstart.model.weights import WeightsFile
from headstart.model.wide_input import widened
from headstart.storage import sha256_of_file

SMALL = Preprocess(size_px=48, resize_px=48, interpolation="bicubic", mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n_channels", [6, 9, 12])
def test_the_rule_is_timm_s_for_multiples_of_three(n_channels: int) -> None:
    """Where each colour has as many channels, the kernels are those that timm would make."""
    kernels = RNG.normal(size=(7, 3, 5, 5)).astype(np.float32)
    assert np.allclose(widened(kernels, n_channels), adapt_input_conv(n_channels, torch.from_numpy(kernels)).numpy(), atol=1e-7)


@pytest.mark.parametrize("n_channels", [3, 4, 5, 7, 32])
def test_kernels_come_in_turn(n_channels: int) -> None:
    """Channel i has the kernels of colour i % 3; those of a colour add up to its own."""
    kernels = RNG.normal(size=(7, 3, 5, 5)).astype(np.float32)
    wide = widened(kernels, n_channels)
    assert wide.shape == (7, n_channels, 5, 5) and wide.dtype == np.float32
    for colour in range(3):
        of_colour = wide[:, colour::3]
        assert np.allclose(of_colour.sum(axis=1), kernels[:, colour], atol=1e-6)
        assert (of_colour == of_colour[:, :1]).all()


@pytest.mark.parametrize("n_channels", [4, 5, 8, 13])
def test_a_grey_image_keeps_its_features(n_channels: int, tiny_weights: Path) -> None:
    """An image whose channels are all the same has the features that it has in RGB; others have their own."""
    weights = WeightsFile(tiny_weights, sha256_of_file(tiny_weights), "test")
    spec = named_or_timm(TINY).model_copy(update={"preprocess": SMALL})
    rgb, wide = pretrained_network(spec, weights), pretrained_network(spec.with_channels(n_channels), weights)
    assert wide.preprocess.view_shape == (48, 48, n_channels) and wide.preprocess.mean[:4] == (0.4, 0.5, 0.6, 0.4)
    grey = RNG.integers(0, 256, (3, 48, 48, 1), dtype=np.uint8)
    before, after = rgb.features(grey.repeat(3, axis=-1)), wide.features(grey.repeat(n_channels, axis=-1))
    assert np.abs(after - before).max() <= 1e-5 * np.abs(before).max()
    changed = grey.repeat(n_channels, axis=-1)
    changed[..., -1] = 255 - changed[..., -1]
    assert np.abs(wide.features(changed) - before).max() > 0.01 * np.abs(before).max()


@pytest.mark.parametrize("n_channels", [5, 6])
def test_an_efficientnet_lite_is_widened_alike_without_torch(n_channels: int, tmp_path: Path) -> None:
    """The graph that is written without torch has the features of the widened network in torch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = timm.create_model("tf_efficientnet_lite0")
    file = tmp_path / "w.safetensors"
    safetensors.torch.save_file(module.state_dict(), file)
    own = NAMED["efficientnet_lite0"].at_size(64).with_channels(n_channels)
    assert own.preprocess is not None
    network = pretrained_network(own, WeightsFile(file, sha256_of_file(file), "test"))
    lite = LITES["efficientnet_lite0"].with_channels(n_channels)
    write_lite_graph(lite, read_pretrained_state(file, lite), own.preprocess, tmp_path / "g.onnx", own.known_stages)
    views = RNG.integers(0, 256, (2, 64, 64, n_channels), dtype=np.uint8)
    expected = network.features(views)
    assert np.abs(onnxruntime_engine(tmp_path / "g.onnx")(views) - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["levit_128s", "test_vit", "test_convnext", "mobilenetv4_conv_small", "tiny_vit_5m_224"])
def test_networks_of_other_families(name: str) -> None:
    """Convolutional networks and transformers that cut patches by a convolution are widened at their first layer."""
    module = timm.create_model(name).eval()
    widen_input(module, 5, name)
    size = module.default_cfg["input_size"][-1]
    with torch.inference_mode():
        assert torch.isfinite(module(torch.zeros(1, 5, size, size))).all()


def test_a_network_without_such_a_layer() -> None:
    """A network whose first layer is no convolution over red, green and blue is refused, with what can be done."""
    module = timm.create_model("test_resnet", in_chans=1)
    with pytest.raises(BackboneError, match="does not take 5 channels"):
        widen_input(module, 5, "test_resnet")
    with pytest.raises(BackboneError, match="so it does not take 4 channels"):
        widen_input(torch.nn.Linear(3, 3), 4, "a layer")
