"""Networks of timm whose classifier, input or file is not like the others'."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from headstart.data.preprocess import Preprocess
from headstart.errors import BackboneError, SettingsError
from headstart.model.backbones import Network, bundled_network, pretrained_network
from headstart.model.head import Head
from headstart.model.specs import BackboneSpec
from headstart.model.timm_networks import as_timm_loads, fit_input_size, give_linear_head
from headstart.model.weights import WeightsFile
from headstart.storage import sha256_of_file

SIZE = 64
SMALL = Preprocess(size_px=SIZE, resize_px=SIZE, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)
# Two classifiers with batch norms; a convolution; two tokens; five classifiers; none, as DINOv2 and SigLIP have it.
ODD_HEADS: dict[str, dict[str, Any]] = {
    "levit_128s": {"img_size": SIZE},
    "resnetv2_18": {},
    "deit_tiny_distilled_patch16_224": {"img_size": SIZE, "depth": 1},
    "efficientvim_m1": {},
    "test_vit": {"img_size": SIZE, "num_classes": 0},
}


def spec_of(timm_name: str) -> BackboneSpec:
    return BackboneSpec(name=f"timm/{timm_name}", timm_name=timm_name, licence="MIT", preprocess=SMALL)


def views(n: int = 3, size_px: int = SIZE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size_px, size_px, 3), dtype=np.uint8)


def network_of(name: str) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = timm.create_model(name, **ODD_HEADS[name])
    give_linear_head(module, name)
    return Network(spec_of(name), module, SMALL)


@pytest.mark.parametrize("name", ODD_HEADS)
def test_every_network_takes_a_fitted_head(name: str) -> None:
    """Whatever classifier a network came with, a head fitted on its features gives its logits, and is one of its tensors."""
    network = network_of(name)
    features = network.features(views())
    assert features.shape == (3, network.n_features)
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(2, network.n_features)).astype(np.float32), rng.normal(size=2).astype(np.float32))
    network.set_head(head)
    np.testing.assert_allclose(network.logits(views()), head.logits(features), atol=1e-4, rtol=1e-4)
    assert np.array_equal(network.head().weight, head.weight)
    assert network.shapes()[f"{network.last_layer_name}.weight"] == (2, network.n_features)
    blocks = {parameter for block in network.blocks() for parameter in block}
    assert blocks == {n for n, _ in network.module.named_parameters()} - {
        f"{network.last_layer_name}.{p}" for p in ("weight", "bias")
    }


def test_a_head_where_timm_would_put_it() -> None:
    """A network without a classifier gets the one that timm gives it for some classes, so that timm can load the result."""
    network = network_of("test_vit")
    network.set_random_head(5, seed=0)
    timm.create_model("test_vit", img_size=SIZE, num_classes=5).load_state_dict(network.state())


def test_a_network_that_does_not_say_how_long_its_features_are() -> None:
    """What is no network of timm's kind is refused, not guessed at."""

    class Odd(torch.nn.Module):
        def get_classifier(self) -> torch.nn.Module:
            return torch.nn.Conv2d(3, 3, 1)

    with pytest.raises(BackboneError, match="odd has a head that is not a single linear layer") as caught:
        give_linear_head(Odd(), "odd")
    assert caught.value.hint == "use another backbone"


# Files


def file_of(state: dict[str, torch.Tensor], folder: Path, name: str = "model.safetensors") -> WeightsFile:
    file = folder / name
    if name.endswith(".safetensors"):
        safetensors.torch.save_file({n: t.contiguous() for n, t in state.items()}, file)
    else:
        torch.save(state, file)
    return WeightsFile(file, sha256_of_file(file), f"file {name}")


def test_a_replaced_classifier_in_a_file_is_left_out(tmp_path: Path) -> None:
    """A file of LeViT has two classifiers that headstart's network lacks; it loads, and all other tensors are the file's."""
    module = timm.create_model("levit_128s")
    spec = spec_of("levit_128s").model_copy(update={"preprocess": SMALL.at_size(224)})  # it takes no other size
    network = pretrained_network(spec, file_of(module.state_dict(), tmp_path))
    state, loaded = module.state_dict(), network.state()
    assert {n for n in state if n not in loaded} == {n for n in state if n.startswith(("head.", "head_dist."))}
    assert all(torch.equal(state[n], t) for n, t in loaded.items() if n in state)
    network.set_random_head(4, seed=0)
    network.save(tmp_path / "weights.safetensors")
    again = bundled_network(network.spec, network.preprocess, 4, tmp_path / "weights.safetensors")
    assert again.shapes() == network.shapes()


def test_a_file_in_its_authors_layout(tmp_path: Path) -> None:
    """A file that timm converts when it loads it (DINOv2's own has a mask token that timm leaves out) is converted by timm."""
    spec = spec_of("vit_tiny_patch14_dinov2").model_copy(
        update={"timm_name": "vit_small_patch14_dinov2.lvd142m", "preprocess": SMALL.at_size(518)}
    )
    module = timm.create_model(spec.timm_name)
    state = module.state_dict()
    network = pretrained_network(spec, file_of(state | {"mask_token": torch.zeros(1, 384)}, tmp_path, "dinov2.pth"))
    loaded = network.state()
    assert all(torch.equal(loaded[n], t) for n, t in state.items())


@pytest.mark.parametrize("name", ["levit_128s", "convnext_atto", "test_vit"])
def test_a_file_of_another_network(name: str, tmp_path: Path) -> None:
    """A file of another network is refused by the names it has itself, also where timm has a conversion that fails on it."""
    with pytest.raises(BackboneError, match=r"are missing.*are unknown, the first is layer9\.conv\.weight"):
        pretrained_network(spec_of(name), file_of({"layer9.conv.weight": torch.zeros(3, 3)}, tmp_path))


def test_what_fits_is_loaded_as_it_is() -> None:
    """A state in timm's naming is returned itself."""
    module = timm.create_model("test_resnet")
    state = module.state_dict()
    assert as_timm_loads(state, module, "fc") is state


# Sizes


@pytest.mark.parametrize("size_px", [SIZE, 96])
def test_position_embeddings_are_resampled(size_px: int) -> None:
    """A transformer made for one size takes another; what it computes is what timm computes after its own resampling."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, other = timm.create_model("test_vit"), timm.create_model("test_vit", img_size=size_px)
    other.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(module.state_dict(), other))
    fit_input_size(module, size_px, "test_vit")
    pixels = torch.randn(2, 3, size_px, size_px)
    with torch.inference_mode():
        torch.testing.assert_close(module.eval()(pixels), other.eval()(pixels))


def test_a_transformer_at_another_size(tmp_path: Path) -> None:
    """Pretrained at one size, used at another, saved in a bundle and read again: the same answers, bit by bit."""
    spec = spec_of("test_vit").model_copy(update={"preprocess": SMALL.at_size(160)})
    network = pretrained_network(spec, file_of(timm.create_model("test_vit").state_dict(), tmp_path))
    network.preprocess = SMALL.at_size(96)
    network.set_random_head(3, seed=0)
    network.save(tmp_path / "weights.safetensors")
    again = bundled_network(network.spec, network.preprocess, 3, tmp_path / "weights.safetensors")
    assert np.array_equal(again.logits(views(2, 96)), network.logits(views(2, 96)))
    assert again.features(views(2, 96)).shape == (2, network.n_features)


@pytest.mark.parametrize(("size_px", "fits"), [(100, 96), (105, 112), (33, 32), (1023, 1024)])
def test_a_size_that_patches_do_not_fill(size_px: int, fits: int) -> None:
    """Pixels at the border would be cut off unseen: such a size is refused with the nearest that fits."""
    with pytest.raises(
        SettingsError, match=f"cannot take images of {size_px} px: it cuts them into patches of 16 px"
    ) as caught:
        fit_input_size(timm.create_model("test_vit"), size_px, "test_vit")
    assert caught.value.hint == f"--image-size {fits}"


def test_networks_of_any_size_stay_as_they_are() -> None:
    """A convolutional network needs no change for another size."""
    module = timm.create_model("test_resnet")
    before = {n: tuple(t.shape) for n, t in module.state_dict().items()}
    fit_input_size(module, 100, "test_resnet")
    assert {n: tuple(t.shape) for n, t in module.state_dict().items()} == before
