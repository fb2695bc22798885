"""The static list of backbones."""

import re

import pytest

from headstart.data.preprocess import Preprocess
from headstart.errors import BackboneError
from headstart.model.specs import DEFAULT, NAMED, default_preprocess, find_backbone

HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "timm_name", "size_px", "resize_px", "interpolation"),
    [
        ("efficientnet_lite0", "tf_efficientnet_lite0", 224, 256, "bicubic"),
        ("efficientnet_lite1", "tf_efficientnet_lite1", 240, 272, "bicubic"),
        ("efficientnet_lite2", "tf_efficientnet_lite2", 260, 292, "bicubic"),
        ("resnet18", "resnet18.tv_in1k", 224, 256, "bilinear"),
    ],
)
def test_named_backbones(name: str, timm_name: str, size_px: int, resize_px: int, interpolation: str) -> None:
    """Each named backbone says which of timm's networks it is and what it wants to see."""
    spec = find_backbone(name)
    assert (spec.name, spec.timm_name) == (name, timm_name)
    assert spec.preprocess is not None
    assert (spec.preprocess.size_px, spec.preprocess.resize_px) == (size_px, resize_px)
    assert (spec.preprocess.interpolation, spec.preprocess.view_name) == (interpolation, "crop")
    assert (spec.preprocess.mean == HALF) == name.startswith("efficientnet")


def test_resnet18_is_torchvisions() -> None:
    """resnet18 is normalised as torchvision trained it, and its file is torch hub's with its digest in the name."""
    spec = NAMED["resnet18"]
    assert spec.preprocess is not None
    assert (spec.preprocess.mean, spec.preprocess.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert spec.hub_file == "resnet18-f37072fd.pth"
    assert spec.package is None


@pytest.mark.parametrize("name", NAMED)
def test_every_named_backbone_can_be_had(name: str) -> None:
    """Each named backbone states its licence and at least one place its weights are fetched from; digests are whole."""
    spec = NAMED[name]
    assert spec.name == name
    assert spec.licence
    assert spec.hf_repo or spec.url
    if spec.package:
        assert re.fullmatch(r"[0-9a-f]{64}", spec.package.sha256)
        assert spec.package.sha256.startswith(spec.package.file.rsplit("-", 1)[1].removesuffix(".pth"))


def test_the_default_ships_with_the_train_extra() -> None:
    """The default backbone's weights come with headstart[train]: it needs no network at run time."""
    package = NAMED[DEFAULT].package
    assert package is not None
    assert package.extra == "train"
    expected = Preprocess(size_px=224, resize_px=256, interpolation="bicubic", mean=HALF, std=HALF)
    assert default_preprocess() == NAMED[DEFAULT].preprocess == expected


def test_any_timm_name_is_taken() -> None:
    """`timm/<name>` is any network of timm; what it wants to see is asked of timm later."""
    spec = find_backbone("timm/convnext_tiny.fb_in1k")
    assert (spec.name, spec.timm_name) == ("timm/convnext_tiny.fb_in1k", "convnext_tiny.fb_in1k")
    assert spec.preprocess is None
    assert spec.hub_file == ""


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet81", "did you mean resnet18?"),
        ("efficientnet_lite3", "did you mean efficientnet_lite"),
        ("vit", "one of: efficientnet_lite0"),
        ("timm/", "one of: efficientnet_lite0"),
    ],
)
def test_unknown_name(name: str, hint: str) -> None:
    """An unknown name is answered with the nearest one, or all of them, and with the way to any other."""
    with pytest.raises(BackboneError) as caught:
        find_backbone(name)
    assert caught.value.message == f"there is no backbone called {name!r}"
    assert caught.value.hint.startswith(hint)
    assert caught.value.hint.endswith("use timm/<model name> for any other")


@pytest.mark.parametrize(
    ("stages", "takes", "known"), [(None, True, ()), ((), False, ()), (("layer3", "layer4"), True, ("layer3", "layer4"))]
)
def test_stages_that_are_not_known_yet_are_not_no_stages(
    stages: tuple[str, ...] | None, takes: bool, known: tuple[str, ...]
) -> None:
    """Before a network is built it may be unknown which of its stages are features; with none of them, that is certain."""
    spec = find_backbone("resnet18").model_copy(update={"stages": stages})
    assert (spec.takes_stages, spec.known_stages) == (takes, known)
