"""The named backbones: what is said of each is what timm says, and each can be used."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from timm.data.config import resolve_data_config
from timm.models import get_pretrained_cfg

from headstart.data.preprocess import Preprocess
from headstart.model.backbones import pretrained_network
from headstart.model.frozen import TOLERANCE
from headstart.model.ladder import LADDER, Rung
from headstart.model.pretrained import open_backbone, preprocess_for, weights_for
from headstart.model.specs import DEFAULT, NAMED
from headstart.settings import Recipe, TrainSettings

BUILT = [rung.name for rung in LADDER if NAMED[rung.name].package is None]  # the others are used in other tests
# As in its authors' linear probes, where timm evaluates it at 518 px. (size, size before the crop)
OTHER_SIZE = {"vit_small_dinov2": (224, 256)}


def test_the_ladder_holds_every_named_backbone() -> None:
    """Each named backbone is a rung, once, and the default one is low on the ladder."""
    names = [rung.name for rung in LADDER]
    assert sorted(names) == sorted(NAMED)
    assert names.index(DEFAULT) <= 1


@pytest.mark.parametrize("name", NAMED)
def test_images_are_prepared_as_timm_prepares_them(name: str) -> None:
    """Size, crop, filter, mean and deviation are those of timm's evaluation of the same weights; one has its authors' size."""
    known = get_pretrained_cfg(NAMED[name].timm_name)
    assert known is not None
    wanted = resolve_data_config({}, pretrained_cfg=known.to_dict())
    size = wanted["input_size"][-1]
    size, resize = OTHER_SIZE.get(name, (size, int(size / wanted["crop_pct"])))
    assert NAMED[name].preprocess == Preprocess(
        size_px=size,
        resize_px=resize,
        interpolation=wanted["interpolation"],
        mean=wanted["mean"],
        std=wanted["std"],
        cuts=("crop" if wanted["crop_mode"] == "center" else "whole",),
    )
    assert NAMED[name].hf_repo.removeprefix("timm/").split(".")[0] == NAMED[name].timm_name.split(".")[0]


@pytest.mark.parametrize("rung", LADDER, ids=lambda rung: rung.name)
def test_size_as_listed(rung: Rung) -> None:
    """Parameters and megabytes are those of timm's network; only one with an ImageNet classifier has a place in its table."""
    with torch.device("meta"):
        module = timm.create_model(NAMED[rung.name].timm_name)
    assert rung.parameters_m == pytest.approx(sum(p.numel() for p in module.parameters()) / 1e6, abs=0.006)
    n_bytes = sum(tensor.nbytes for tensor in module.state_dict().values())
    assert rung.file_mb == pytest.approx(n_bytes / 1e6, rel=0.01)
    assert (rung.top1 is not None) == (module.num_classes == 1000)


@pytest.fixture
def roomy_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home whose compiled networks are not kept for other tests: they are large."""
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    shutil.rmtree(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT)
def test_each_can_be_used(name: str, roomy_home: Path) -> None:
    """From a file in timm's layout each network is compiled, computes what torch computes, and takes a fitted head."""
    spec, file = NAMED[name], roomy_home.parent / "model.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = timm.create_model(spec.timm_name)
    safetensors.torch.save_file({n: t.contiguous() for n, t in module.state_dict().items()}, file)
    backbone = open_backbone(TrainSettings(backbone=name, weights=file, device="cpu"), lambda *_: None)
    assert backbone.frozen is not None and backbone.preprocess == spec.preprocess
    size = backbone.preprocess.size_px
    views = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    network = pretrained_network(spec, backbone.weights)
    expected = network.features(views)
    found = np.concatenate([backbone.frozen.extractor.compute(view[None]) for view in views])
    assert found.shape == expected.shape == (2, backbone.frozen.n_features)
    assert np.abs(found - expected).max() <= TOLERANCE * expected.std()
    if name in OTHER_SIZE:
        module.set_input_size((size, size))
    with torch.inference_mode():  # the features are those of the file's own network
        inputs, module = network.to_input(views), module.eval()
        own = module.forward_head(module.forward_features(inputs), pre_logits=True).numpy()
    np.testing.assert_allclose(expected[:, : network.n_last], own, rtol=1e-3, atol=1e-4 * own.std())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["default", "tutorial"])
def test_timms_own_size_loses_nothing(recipe: Recipe, roomy_home: Path) -> None:
    """DINOv2 at timm's 518 px has the position embeddings of the file: they are not resampled to 224 px and back."""
    spec, file = NAMED["vit_small_dinov2"], roomy_home.parent / "model.safetensors"
    state = timm.create_model(spec.timm_name).state_dict()
    safetensors.torch.save_file({n: t.contiguous() for n, t in state.items()}, file)
    settings = TrainSettings(backbone=spec.name, weights=file, image_size=518, recipe=recipe, stages=False, strategy="finetune")
    found, weights = weights_for(settings, lambda *_: None)
    network = pretrained_network(found, weights)
    network.preprocess = preprocess_for(settings, network.preprocess)
    assert network.preprocess.size_px == 518
    assert torch.equal(network.state()["pos_embed"], state["pos_embed"])
    smaller = pretrained_network(spec, weights).state()["pos_embed"]
    assert smaller.shape == (1, 1 + 16 * 16, 384) and state["pos_embed"].shape == (1, 1 + 37 * 37, 384)
