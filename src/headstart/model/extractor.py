"""What turns views into feature vectors, and the model that such an extractor and a head make."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from headstart.data.preprocess import Preprocess
from headstart.model.head import Head
from headstart.model.specs import BackboneSpec
from headstart.schema import Schema

TORCH_BATCH, GPU_BATCH = 16, 64  # images at a time where the network runs in threads of its own


class Engine(Schema):
    """What runs a network, and how exactly. Features of different engines are never mixed."""

    name: Annotated[str, Field(pattern=r"^(onnxruntime|openvino|torch-[a-z]+)$")] = "onnxruntime"
    precision: Literal["fp32", "bf16"] = "fp32"


ONNX_RUNTIME = Engine()  # what runs a compiled network unless another engine is named


@dataclass(frozen=True, slots=True)
class NetworkId:
    """The network that features come from: what they are kept under in the store."""

    backbone: str  # timm's name
    weights_sha256: str


@dataclass(frozen=True, slots=True)
class Extractor:
    """A frozen network without its last layer."""

    compute: Callable[[np.ndarray], np.ndarray]  # (n, size, size, 3) uint8 -> (n, n_features) float32; threads may call it
    engine: Engine
    # 1: each thread that decodes an image also computes it. Nothing waits for anything, and no answer depends on neighbours.
    batch_images: int = 1
    kept_as: NetworkId | None = None  # None: its features are not kept

    @property
    def takes_batches(self) -> bool:
        """Whether many images are computed together, as on a GPU."""
        return self.batch_images > 1


@dataclass(frozen=True, slots=True)
class Model:
    """A classifier in memory: what the last layer is given, and the last layer."""

    spec: BackboneSpec
    preprocess: Preprocess
    extractor: Extractor
    head: Head
    save: Callable[[Path], None]  # writes every tensor, last layer included, as safetensors
    answers_with: Engine  # what is to run it once it is saved


@dataclass(frozen=True, slots=True)
class Frozen:
    """A pretrained backbone whose weights stay as they are."""

    spec: BackboneSpec
    preprocess: Preprocess
    extractor: Extractor
    n_features: int
    with_head: Callable[[Head], Model]  # the classifier that a fitted head makes of it
