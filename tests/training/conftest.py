"""A tiny network of timm's with random weights, so that a whole run takes a second or two."""

from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

TINY = "timm/test_resnet"


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights, as a file for --weights."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    safetensors.torch.save_file(timm.create_model("test_resnet").state_dict(), file)
    return file
