"""Devices by name."""

import pytest
import torch

from headstart.errors import SettingsError
from headstart.model.hardware import find_hardware


def test_cpu() -> None:
    """The CPU is always there, by name, by number and where nothing better is."""
    found = find_hardware("cpu")
    assert (found.device, find_hardware("cpu:0")) == ("cpu", found)
    assert found.cores >= 1
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert find_hardware() == found


@pytest.mark.parametrize("device", ["banana", "", "meta", "hpu", "gpu"])
def test_unknown_device(device: str) -> None:
    """A device that nobody can train on is refused with those that can be named."""
    with pytest.raises(SettingsError) as caught:
        find_hardware(device)
    assert caught.value.message == f"--device cannot be {device!r}"
    assert caught.value.hint == "one of: auto, cpu, cuda, mps, xpu"


@pytest.mark.parametrize("device", ["cuda:99", "cuda:-1", "cpu:x", "mps:7", *([] if torch.cuda.is_available() else ["cuda"])])
def test_absent_device(device: str) -> None:
    """A device that this machine lacks is an error of one line, and the hint names one that works."""
    with pytest.raises(SettingsError, match=f"device '{device}' is not available: ") as caught:
        find_hardware(device)
    assert len(caught.value.message) < 250
    assert caught.value.hint == "--device cpu works everywhere"
