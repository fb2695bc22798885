"""The device that torch computes on."""

from dataclasses import dataclass

import torch

from headstart.errors import SettingsError
from headstart.machine import local_rank
from headstart.threads import cores

DEVICES = ("cpu", "cuda", "mps", "xpu")


@dataclass(frozen=True, slots=True)
class Hardware:
    """The device that the network runs on."""

    device: str  # "cpu", "cuda:0", "mps"
    bf16: bool  # computes in bfloat16 natively
    cores: int


def find_hardware(device: str = "auto") -> Hardware:
    """The named device, or the best available for "auto". Raises SettingsError if the machine has no such device."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if device.split(":")[0] not in DEVICES:
        raise SettingsError(f"--device cannot be {device!r}", hint=f"one of: auto, {', '.join(DEVICES)}")
    try:
        # Under torchrun each process uses its own GPU.
        kind = torch.device(f"cuda:{local_rank() % max(torch.cuda.device_count(), 1)}" if device == "cuda" else device)
        torch.empty(1, device=kind)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises AssertionError
        reason = str(error).splitlines()[0].split(". ")[0]  # torch's message is pages long
        raise SettingsError(f"device {device!r} is not available: {reason}", hint="--device cpu works everywhere") from error
    if kind.type == "cuda":
        return Hardware(f"cuda:{kind.index or 0}", torch.cuda.is_bf16_supported(including_emulation=False), cores())
    native = ("_is_amx_tile_supported",)  # with AVX-512 alone, bfloat16 is no faster than float32
    bf16 = kind.type == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in native)
    return Hardware(kind.type, bf16, cores())
