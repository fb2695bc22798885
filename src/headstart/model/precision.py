"""Torch's global switches, set while a block runs: float32 that is float32, and kernels that repeat."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32() -> Iterator[None]:
    """Products and convolutions on a GPU in float32 while the block runs; cuDNN would take TF32, of ten bits."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """The same kernels each time, and the caller's random numbers as they were, once the block has ended."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark = False  # picks kernels by timing them: another result each run
    cudnn.deterministic = True
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before
