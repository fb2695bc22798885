"""Torch's global switches: set while a block runs, and left as the caller had them."""

from collections.abc import Iterator

import pytest
import torch

from headstart.model.precision import full_float32, repeatable

CUDNN, MATMUL = torch.backends.cudnn, torch.backends.cuda.matmul


@pytest.fixture(autouse=True)
def switches() -> Iterator[None]:
    """Puts the switches back; monkeypatch cannot, for they are no attributes that could be deleted."""
    before = CUDNN.allow_tf32, MATMUL.allow_tf32, CUDNN.benchmark, CUDNN.deterministic
    yield
    CUDNN.allow_tf32, MATMUL.allow_tf32, CUDNN.benchmark, CUDNN.deterministic = before


@pytest.mark.parametrize("before", [(True, True), (False, True), (True, False), (False, False)])
def test_float32_is_float32(before: tuple[bool, bool]) -> None:
    """Inside the block no product is rounded to TF32; afterwards, also after an error, it is as it was."""
    CUDNN.allow_tf32, MATMUL.allow_tf32 = before
    with pytest.raises(KeyError), full_float32():
        assert (CUDNN.allow_tf32, MATMUL.allow_tf32) == (False, False)
        raise KeyError
    assert (CUDNN.allow_tf32, MATMUL.allow_tf32) == before


@pytest.mark.parametrize("before", [(True, False), (False, True)])
def test_kernels_repeat(before: tuple[bool, bool]) -> None:
    """Inside the block kernels are not picked by timing; afterwards the switches and the random numbers are the caller's."""
    CUDNN.benchmark, CUDNN.deterministic = before
    state = torch.get_rng_state()
    with pytest.raises(KeyError), repeatable(torch.device("cpu")):
        assert (CUDNN.benchmark, CUDNN.deterministic) == (False, True)
        torch.manual_seed(1)
        torch.rand(3)
        raise KeyError
    assert (CUDNN.benchmark, CUDNN.deterministic) == before
    assert torch.equal(torch.get_rng_state(), state)
