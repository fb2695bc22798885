"""The ladder of named backbones, from the cheapest to the dearest, with what is published about each. No torch, no timm.

Accuracy and parameters are from timm's results-imagenet.csv (huggingface/pytorch-image-models, commit aa4b5850), in the row of
the same weights at the same input size. They say how well a network tells ImageNet's classes apart, not yours: `headstart
compare --backbones` measures that.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rung:
    """The published figures of a named backbone."""

    name: str
    top1: float | None  # per cent on ImageNet's validation images; None: it has no ImageNet classifier
    parameters_m: float  # millions, with the ImageNet classifier if there is one
    file_mb: float  # of the weights file, in megabytes (10^6 bytes)


LADDER = (
    Rung("mobilenetv4_conv_small", 74.534, 3.77, 15.2),
    Rung("efficientnet_lite0", 74.846, 4.65, 18.8),
    Rung("efficientnet_lite1", 76.674, 5.42, 21.9),
    Rung("efficientnet_lite2", 77.470, 6.09, 24.6),
    Rung("hgnetv2_b0", 77.362, 6.00, 24.0),
    Rung("resnet18", 69.752, 11.69, 46.8),
    Rung("levit_256", 81.506, 18.89, 75.9),
    Rung("hgnetv2_b2", 81.564, 11.22, 45.0),
    Rung("mobilenetv4_hybrid_medium", 82.360, 11.07, 44.6),
    Rung("tiny_vit_11m", 83.232, 11.00, 44.0),
    Rung("convnext_nano", 82.306, 15.59, 62.4),
    Rung("tiny_vit_21m", 85.088, 21.20, 84.9),
    Rung("vit_small_dinov2", None, 22.06, 88.2),
    Rung("vit_base_siglip2", None, 92.88, 371.5),
)
