"""What turns views into feature vectors, and the model that such an extractor and a head make."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.data.preprocess import Preprocess
from headstart.model.head import Head
from headstart.model.specs import BackboneSpec

ENGINE_BATCH, GPU_BATCH = 16, 64  # images at a time where the network runs in threads of its own


@dataclass(frozen=True, slots=True)
class EngineName:
    """What runs a network, and how exactly. Features of different engines are never mixed."""

    name: str  # "onnxruntime", "openvino", "torch"
    precision: str  # "fp32" or "bf16"


@dataclass(frozen=True, slots=True)
class Extractor:
    """A frozen network without its last layer."""

    compute: Callable[[np.ndarray], np.ndarray]  # (n, size, size, 3) uint8 -> (n, n_features) float32; threads may call it
    engine: EngineName = EngineName("torch", "fp32")
    # 1: each thread that decodes an image also computes it. Nothing waits for anything, and no answer depends on neighbours.
    batch_images: int = ENGINE_BATCH
    backbone: str = ""  # timm's name of the network
    weights_sha256: str = ""  # of its weights; "": its features are not kept


@dataclass(frozen=True, slots=True)
class Model:
    """A classifier in memory: what the last layer is given, and the last layer."""

    spec: BackboneSpec
    preprocess: Preprocess
    extractor: Extractor
    head: Head
    save: Callable[[Path], None]  # writes every tensor, last layer included, as safetensors


@dataclass(frozen=True, slots=True)
class Frozen:
    """A pretrained backbone whose weights stay as they are."""

    spec: BackboneSpec
    preprocess: Preprocess
    extractor: Extractor
    n_features: int
    with_head: Callable[[Head], Model]  # the classifier that a fitted head makes of it
