"""Folded batch norms change no answer, train, and leave a network of timm's own layout behind."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from conftest import TINY

from headstart.model.backbones import pretrained_network
from headstart.model.folding import fold_batch_norms, plain_state, unfold
from headstart.model.specs import find_backbone
from headstart.model.weights import WeightsFile

NETWORKS = ["test_resnet", "tf_efficientnet_lite0", "resnet18", "densenet121", "test_vit"]


def network(name: str) -> torch.nn.Module:
    """A network with random weights and statistics, as a pretrained one has them."""
    torch.manual_seed(0)
    module = timm.create_model(name, num_classes=7).eval()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, std=0.2)
            torch.nn.init.normal_(part.running_mean, std=0.2)
            torch.nn.init.uniform_(part.running_var, 0.5, 2.0)
    return module


def images(name: str) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 3, *([160, 160] if name.startswith("test_") else [64, 64]))


def outputs(module: torch.nn.Module, name: str) -> torch.Tensor:
    with torch.inference_mode():
        return module.eval()(images(name)).clone()


@pytest.mark.parametrize("name", NETWORKS)
def test_no_answer_changes(name: str) -> None:
    """Folded and put back, the network answers the same, and has the tensors it had."""
    module = network(name)
    before, names = outputs(module, name), list(module.state_dict())
    folded = fold_batch_norms(module, partial(module, images(name)))
    torch.testing.assert_close(outputs(module, name), before, rtol=1e-3, atol=1e-4)
    state = plain_state({n: t.clone() for n, t in module.state_dict().items()}, folded)
    unfold(folded)
    torch.testing.assert_close(outputs(module, name), before, rtol=1e-3, atol=1e-4)
    assert list(module.state_dict()) == names
    assert set(state) == set(names)
    fresh = network(name)
    fresh.load_state_dict(state)
    torch.testing.assert_close(outputs(fresh, name), before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "count", "left"),
    [("test_resnet", 14, 1), ("tf_efficientnet_lite0", 49, 0), ("test_vit", 0, 0)],  # one follows a stem of several parts
)
def test_how_many_are_folded(name: str, count: int, left: int) -> None:
    """Batch norms behind a convolution of the same parent are folded; a network without any is left as it is."""
    module = network(name)
    n_norms = sum(isinstance(part, torch.nn.BatchNorm2d) for part in module.modules())
    assert len(fold_batch_norms(module, partial(module, images(name)))) == count == n_norms - left


def test_what_was_frozen_stays_frozen() -> None:
    """A folded convolution is trained where it was trained before, its shift where the norm's bias was."""
    module = network("test_resnet")
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(not name.startswith("conv1"))
    folded = fold_batch_norms(module, partial(module, images("test_resnet")))
    for pair in folded:
        assert pair.conv.weight.requires_grad == (not pair.conv_name.startswith("conv1"))
        assert pair.conv.bias is not None


class Swapped(torch.nn.Module):
    """A batch norm that is defined behind the convolution and computed before it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3, bias=False)
        self.norm = torch.nn.BatchNorm2d(3)
        torch.nn.init.uniform_(self.norm.weight, 0.5, 3.0)
        torch.nn.init.normal_(self.norm.running_mean)
        torch.nn.init.normal_(self.norm.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.norm(x)).mean(dim=(2, 3))


def test_order_of_definition_is_not_trusted() -> None:
    """Where folding would change the answers nothing is folded, and the network is as before."""
    torch.manual_seed(0)
    module = Swapped().eval()
    before = outputs(module, "swapped")
    assert fold_batch_norms(module, partial(module, images("swapped"))) == []
    torch.testing.assert_close(outputs(module, "swapped"), before)


def test_a_network_is_folded_while_it_computes(tiny_weights: Path) -> None:
    """Within the block it answers the same, and afterwards tensors, answers and what is trained are as before to the bit."""
    network = pretrained_network(find_backbone(TINY), WeightsFile(tiny_weights, "0" * 64, "test"))
    network.module.get_parameter("conv1.0.weight").requires_grad_(False)
    views = np.random.default_rng(0).integers(0, 256, (3, *[network.preprocess.size_px] * 2, 3), dtype=np.uint8)
    expected, state = network.features(views), network.state()
    trained = [name for name, parameter in network.module.named_parameters() if parameter.requires_grad]
    with pytest.raises(KeyError), network.folded():
        assert len(list(network.module.state_dict())) < len(state)
        np.testing.assert_allclose(network.features(views), expected, atol=1e-4 * np.abs(expected).max())
        raise KeyError
    assert np.array_equal(network.features(views), expected)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state().items())
    assert [name for name, parameter in network.module.named_parameters() if parameter.requires_grad] == trained
