"""Weights are read without torch as torch reads them, and nothing in a file is ever run or believed."""

import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from headstart.errors import BackboneError
from headstart.model.specs import NAMED
from headstart.model.torch_files import read_arrays
from headstart.model.weights import find_local_weights

FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


def saved(content: Any, file: Path, is_zip: bool) -> Path:
    torch.save(content, file, _use_new_zipfile_serialization=is_zip)
    return file


def assert_as_torch_reads(file: Path, wanted: dict[str, torch.Tensor]) -> None:
    """The arrays have torch's names in torch's order, and its shapes, types and values; numpy has no bfloat16."""
    found = read_arrays(file)
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        plain = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
        assert (found[name].shape, found[name].dtype) == (tuple(plain.shape), plain.numpy().dtype)
        np.testing.assert_array_equal(found[name], plain.numpy())


def some_tensors() -> dict[str, torch.Tensor]:
    """Tensors of every type, and of every place in a storage."""
    drawn = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(0)) * 100
    plain = {f"of {dtype}": drawn.to(dtype) for dtype in DTYPES}
    return plain | {
        "turned": drawn.permute(2, 0, 1),
        "a part": drawn[1:3, ::2, 4],
        "the same storage": drawn[3],
        "channels last": drawn[None].contiguous(memory_format=torch.channels_last),
        "a number": torch.tensor(7),
        "nothing": torch.empty(0),
        "no rows": drawn[:0],
        "a parameter": torch.nn.Parameter(drawn[0]),
    }


@FORMATS
def test_all_that_torch_saves(is_zip: bool, tmp_path: Path) -> None:
    """Each type of number, transposed and partial tensors, and several in one storage are what torch.load gives."""
    file = saved(some_tensors(), tmp_path / "w.pth", is_zip)
    assert_as_torch_reads(file, torch.load(file, weights_only=True))


@FORMATS
def test_a_networks_own_state_dict(is_zip: bool, tmp_path: Path) -> None:
    """An OrderedDict with the versions of its modules, as state_dict() returns it."""
    state = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict()
    assert isinstance(state, OrderedDict) and state._metadata  # type: ignore[attr-defined]
    assert_as_torch_reads(saved(state, tmp_path / "w.pth", is_zip), state)


@FORMATS
@pytest.mark.parametrize("key", ["state_dict", "model", "state_dict_ema"])
def test_wrapped_by_a_training_script(key: str, is_zip: bool, tmp_path: Path) -> None:
    """A checkpoint of a training script, with an optimizer's state beside the network's."""
    state = {f"module.{name}": tensor for name, tensor in some_tensors().items()}
    other = {"state": {0: {"step": torch.tensor(3.0), "lr": 0.1}}, "groups": [{"betas": (0.9, 0.99), "params": [0, 1]}]}
    content = {"epoch": 3, "optimizer": other, "best": None, "amp": False, key: state}
    assert_as_torch_reads(saved(content, tmp_path / "w.pth", is_zip), some_tensors())


def test_safetensors(tmp_path: Path) -> None:
    """A .safetensors file gives the same arrays."""
    state = {name: tensor.detach().clone().contiguous() for name, tensor in some_tensors().items()}
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    assert_as_torch_reads(tmp_path / "w.safetensors", {name: state[name] for name in sorted(state)})


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_the_packages_files(name: str) -> None:
    """The files that the weights packages ship."""
    found = find_local_weights(NAMED[name])
    if found is None:
        pytest.skip(f"the package of {name} is not installed")
    assert_as_torch_reads(found.path, torch.load(found.path, weights_only=True))


def test_arrays_cannot_be_changed(tmp_path: Path) -> None:
    """The arrays are views of one copy of the file: nobody can change a tensor by changing another."""
    (array,) = read_arrays(saved({"a": torch.zeros(3)}, tmp_path / "w.pth", True)).values()
    assert not array.flags.writeable


# Files that are not what they should be


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.trace),)


def assert_refused(file: Path, words: str = "is damaged, or contains more than plain tensors") -> None:
    with pytest.raises(BackboneError) as caught:
        read_arrays(file)
    assert str(file) in caught.value.message and words in caught.value.message
    assert caught.value.hint


@FORMATS
@pytest.mark.parametrize("place", ["alone", "in a state dict", "as a name", "beside a state dict"])
def test_code_is_never_run(place: str, is_zip: bool, tmp_path: Path) -> None:
    """Pickled code is refused wherever it stands, and not run."""
    evil = Runs(tmp_path / "trace")
    content = {
        "alone": evil,
        "in a state dict": {"a": torch.zeros(2), "b": evil},
        "as a name": {evil: torch.zeros(2)},
        "beside a state dict": {"state_dict": {"a": torch.zeros(2)}, "args": evil},
    }[place]
    assert_refused(saved(content, tmp_path / "w.pth", is_zip))
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles(protocol: int, tmp_path: Path) -> None:
    """A pickle that is no torch file is refused in every protocol."""
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": Runs(tmp_path / "trace")}, protocol=protocol))
    assert_refused(tmp_path / "w.pth")
    assert not (tmp_path / "trace").exists()


@FORMATS
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.nn.Linear(2, 2), "more than plain tensors"),
        ({"a": np.zeros(3)}, "more than plain tensors"),
        ({"a": torch.zeros(2).to_sparse()}, "more than plain tensors"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "more than plain tensors"),
        ({"a": torch.zeros(4).expand(1000, 4)}, "more than plain tensors"),  # larger than what the file holds
        ([torch.zeros(2)], "contains no state dict"),
        ({"a": torch.zeros(2), "b": 3}, "contains no state dict"),
        ({0: torch.zeros(2)}, "contains no state dict"),
        (torch.zeros(2), "contains no state dict"),
    ],
)
def test_other_things(content: Any, words: str, is_zip: bool, tmp_path: Path) -> None:
    """What is no state dict of plain tensors is refused."""
    assert_refused(saved(content, tmp_path / "w.pth", is_zip), words)


@FORMATS
def test_every_cut(is_zip: bool, tmp_path: Path) -> None:
    """A file that ends too early is refused wherever it ends."""
    whole = saved({"a": torch.arange(6.0), "b": torch.tensor(3)}, tmp_path / "whole.pth", is_zip).read_bytes()
    for length in (*range(0, len(whole), 7), len(whole) - 1):
        (tmp_path / "w.pth").write_bytes(whole[:length])
        assert_refused(tmp_path / "w.pth")


@FORMATS
def test_every_flipped_byte(is_zip: bool, tmp_path: Path) -> None:
    """A file with a wrong byte is read or refused, never anything else."""
    whole = saved({"a": torch.arange(6.0), "b": torch.tensor(3)}, tmp_path / "whole.pth", is_zip).read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.permutation(len(whole))[:400].tolist():
        broken = bytearray(whole)
        broken[place] ^= int(rng.integers(1, 256))
        (tmp_path / "w.pth").write_bytes(broken)
        try:
            found = read_arrays(tmp_path / "w.pth")
        except BackboneError:
            continue
        assert sum(array.nbytes for array in found.values()) <= len(whole)


def legacy(pickled: bytes, keys: bytes = b"]", data: bytes = b"") -> bytes:
    """A file of before torch 1.6 with this pickle of its content."""
    start = (pickle.dumps(number, 2) for number in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return b"".join(start) + b"\x80\x02" + pickled + b".\x80\x02" + keys + b"." + data


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def tensor(shape: bytes, strides: bytes, offset: bytes = b"K\x00", n_elements: bytes = b"K\x01") -> bytes:
    """The pickle of {"a": a tensor} in storage "0"."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + n_elements + b"NtQ"
    return b"}" + text("a") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + shape + strides + b"\x89}tRs"


ONE = struct.pack("<qf", 1, 2.5)
KEY = b"](" + text("0") + b"e"


def test_the_files_of_these_tests_are_files_of_torch(tmp_path: Path) -> None:
    """The handmade file below is one that torch reads: the others differ from it in one thing each."""
    (tmp_path / "w.pth").write_bytes(
        legacy(tensor(b"K\x01\x85", b"K\x01\x85").replace(b"}tR", b"ccollections\nOrderedDict\n)RtR"), KEY, ONE)
    )
    assert_as_torch_reads(tmp_path / "w.pth", torch.load(tmp_path / "w.pth", weights_only=True))
    (tmp_path / "w.pth").write_bytes(legacy(tensor(b"K\x01\x85", b"K\x01\x85"), KEY, ONE))
    assert read_arrays(tmp_path / "w.pth")["a"] == 2.5


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(legacy(tensor(b"J\xff\xff\xff\x7f\x85", b"K\x00\x85"), KEY, ONE), id="two billion times one number"),
        pytest.param(legacy(tensor(b"K\x01\x85", b"K\x01\x85", offset=b"K\x01"), KEY, ONE), id="behind its storage"),
        pytest.param(legacy(tensor(b"J\xff\xff\xff\xff\x85", b"K\x01\x85"), KEY, ONE), id="a negative size"),
        pytest.param(legacy(tensor(b"K\x01\x85", b"J\xff\xff\xff\xff\x85"), KEY, ONE), id="a negative stride"),
        pytest.param(legacy(tensor(b"K\x01\x85", b")"), KEY, ONE), id="sizes without strides"),
        pytest.param(legacy(tensor(b"\x88\x85", b"K\x01\x85"), KEY, ONE), id="a size that is no number"),
        pytest.param(
            legacy(tensor(b"K\x01\x85", b"K\x01\x85", n_elements=b"\x8a\x08" + b"\xff" * 7 + b"\x7f"), KEY, ONE),
            id="an endless storage",
        ),
        pytest.param(legacy(tensor(b"K\x01\x85", b"K\x01\x85"), b"]", ONE), id="no storage"),
        pytest.param(legacy(tensor(b"K\x01\x85", b"K\x01\x85"), KEY, ONE[:-1]), id="a storage cut off"),
        pytest.param(legacy(b"}" + text("a") + b"\x8d" + b"\xff" * 7 + b"\x7f"), id="an endless text"),
        pytest.param(legacy(b"}" + b")\x85" + b"0" * 10 + b"Ns"), id="an empty stack"),
        pytest.param(legacy(b"}" + b")" + b"q\x000h\x00h\x00\x86" * 200 + b"Ns"), id="a key that takes forever"),
        pytest.param(legacy(b"h\x07"), id="nothing remembered"),
        pytest.param(legacy(b"cos\nsystem\n" + text("true") + b"\x85R"), id="a command"),
        pytest.param(legacy(b"cos\nsystem\n"), id="a name alone"),
        pytest.param(b"", id="an empty file"),
        pytest.param(b"PK\x05\x06" + b"\0" * 18, id="an empty zip"),
        pytest.param(b"\x80\x02\x8a\xff", id="a number cut off"),
    ],
)
def test_hostile_files(content: bytes, tmp_path: Path) -> None:
    """Sizes that are not the file's, broken pickles and names of functions: each is one sentence, at once."""
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(BackboneError, match=r"w\.pth (is damaged|contains no state dict)"):
        read_arrays(tmp_path / "w.pth")


@pytest.mark.parametrize("change", ["compressed", "no pickle", "two pickles", "no storage", "big-endian"])
def test_zips_that_torch_does_not_write(change: str, tmp_path: Path) -> None:
    """A zip is read only as torch writes it: then no part of it is larger than it looks."""
    source = saved({"a": torch.zeros(5000)}, tmp_path / "whole.pth", True)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "w.pth", "w") as new:
        for entry in old.infolist():
            name = entry.filename.split("/", 1)[1]
            content = b"big" if change == "big-endian" and name == "byteorder" else old.read(entry)
            method = zipfile.ZIP_DEFLATED if change == "compressed" else zipfile.ZIP_STORED
            if not (change == "no pickle" and name == "data.pkl") and not (change == "no storage" and name == "data/0"):
                new.writestr(entry.filename, content, method)
            if change == "two pickles" and name == "data.pkl":
                new.writestr("other/data.pkl", content)
    assert_refused(tmp_path / "w.pth")


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    """A file that cannot be opened is named, with the system's reason."""
    assert_refused(tmp_path / "gone.pth", "cannot be read")
