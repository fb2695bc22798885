"""Features besides the last layer's: the mean of each stage's output, for every way that timm's networks lay it out."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import timm
import torch

from headstart.model.stages import N_STAGES, StagedNetwork, reported_stages

SIZE = 64
TINY_SWIN = {"img_size": SIZE, "window_size": 2, "embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 3, 4)}
NETWORKS: dict[str, dict[str, Any]] = {  # timm's name -> how to build it
    "test_resnet": {},  # (n, channels, height, width)
    "test_efficientnet": {},
    "test_vit": {"img_size": SIZE},  # tokens, the first of which stand for the whole picture
    "test_mambaout": {},  # (n, height, width, channels)
    "swin_tiny_patch4_window7_224": TINY_SWIN,
}


def network(name: str) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model(name, num_classes=5, **NETWORKS[name]).eval()


def last_layer(module: Any) -> str:
    return next(name for name, part in module.named_modules() if part is module.get_classifier())


def images(n: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def means_by_hand(name: str, module: Any, stages: Sequence[str], inputs: torch.Tensor) -> list[torch.Tensor]:
    """What each stage puts out, averaged over the picture: its axes are known by the network's kind."""
    outputs = {}
    hooks = [
        module.get_submodule(stage).register_forward_hook(lambda *of, stage=stage: outputs.__setitem__(stage, of[-1].clone()))
        for stage in stages
    ]
    module(inputs)
    for hook in hooks:
        hook.remove()
    if name == "test_vit":
        assert module.num_prefix_tokens > 0
        return [outputs[stage][:, module.num_prefix_tokens :].mean(dim=1) for stage in stages]
    axes = (1, 2) if name.startswith(("swin", "test_mamba")) else (2, 3)
    return [outputs[stage].mean(dim=axes) for stage in stages]


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_features_are_the_last_layer_and_the_means_of_the_stages(name: str) -> None:
    """First what the network's own last layer gets, then each stage's mean over the picture, in the order of the stages."""
    module = network(name)
    stages = reported_stages(module, SIZE)
    assert 1 < len(stages) <= N_STAGES
    means = means_by_hand(name, module, stages, images())
    channels = {entry["module"]: entry["num_chs"] for entry in module.feature_info}
    assert [mean.shape for mean in means] == [(2, channels[stage]) for stage in stages]
    last = module.forward_head(module.forward_features(images()), pre_logits=True)
    staged = StagedNetwork(module, stages, last_layer(module))
    torch.testing.assert_close(staged.features(images()), torch.cat([last, *means], dim=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_the_last_layer_sees_the_first_features(name: str) -> None:
    """The network's own last layer, which knows nothing of stages, answers as it does in timm; one on all of them sees all."""
    module = network(name)
    expected, prefix = module(images()), last_layer(module)
    staged = StagedNetwork(module, reported_stages(module, SIZE), prefix)
    torch.testing.assert_close(staged(images()), expected, rtol=1e-5, atol=1e-5)
    features = staged.features(images())
    wide = torch.nn.Linear(features.shape[1], 3)
    parent, _, own = prefix.rpartition(".")
    setattr(module.get_submodule(parent), own, wide)
    torch.testing.assert_close(staged(images()), wide(features))


@torch.inference_mode()
def test_without_stages() -> None:
    """No stages: the last pooled layer alone, in the network as timm runs it."""
    module = network("test_resnet")
    staged = StagedNetwork(module, (), "fc")
    assert torch.equal(staged.features(images()), module.forward_head(module.forward_features(images()), pre_logits=True))
    assert torch.equal(staged(images()), module(images()))


@torch.inference_mode()
def test_the_network_itself_can_still_be_called() -> None:
    """timm's own way through the network is open before and after, and changes no feature."""
    module = network("test_resnet")
    staged = StagedNetwork(module, reported_stages(module, SIZE), "fc")
    plain = module(images())
    before = staged.features(images())
    assert torch.equal(module(images()), plain)
    assert torch.equal(staged.features(images()), before)


def test_a_network_that_reports_no_stages() -> None:
    """Nothing is guessed: such a network has the features of its last layer."""
    assert reported_stages(torch.nn.Sequential(torch.nn.Linear(2, 2)), 8) == ()


def test_threads_do_not_mix_their_pictures() -> None:
    """Several threads run one network at the same time, each gets the features of its own pictures."""
    module = network("test_resnet")
    staged = StagedNetwork(module, reported_stages(module, SIZE), "fc")
    with torch.inference_mode():
        expected = [staged.features(images(seed=seed)) for seed in range(6)]
    found: list[list[torch.Tensor]] = [[] for _ in expected]
    start = threading.Barrier(len(expected))

    @torch.inference_mode()
    def compute(seed: int) -> None:
        start.wait()
        found[seed] = [staged.features(images(seed=seed)) for _ in range(5)]

    threads = [threading.Thread(target=compute, args=(seed,)) for seed in range(len(expected))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, answers in zip(expected, found, strict=True):
        assert len(answers) == 5
        for answer in answers:
            torch.testing.assert_close(answer, one, rtol=1e-5, atol=1e-6)


def test_gradients_reach_every_stage() -> None:
    """A last layer on all features trains the network through them: also where only a stage's mean leads to a parameter."""
    module = network("test_resnet")
    stages = reported_stages(module, SIZE)
    staged = StagedNetwork(module, stages, "fc")
    with torch.no_grad():
        n_features, n_last = staged.features(images()).shape[1], module.fc.in_features
    module.fc = torch.nn.Linear(n_features, 2)
    with torch.no_grad():
        module.fc.weight[:, :n_last] = 0  # nothing through the last pooled layer
    staged(images()).sum().backward()
    for stage in stages:
        gradients = [parameter.grad for parameter in module.get_submodule(stage).parameters()]
        assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
