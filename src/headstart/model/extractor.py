"""Extractors, which turn views into feature vectors, and models, which combine an extractor and a head."""

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

TORCH_BATCH, GPU_BATCH = 16, 64  # images per batch if the network has its own threads


class Engine(Schema):
    """The software that runs a network, and its precision. Features of different engines are never mixed."""

    name: Annotated[str, Field(pattern=r"^(onnxruntime|openvino|torch-[a-z]+)$")] = "onnxruntime"
    precision: Literal["fp32", "bf16"] = "fp32"


ONNX_RUNTIME = Engine()  # the default for compiled networks


@dataclass(frozen=True, slots=True)
class NetworkId:
    """The network that features come from; part of their key in the store."""

    backbone: str  # timm's name
    weights_sha256: str


@dataclass(frozen=True, slots=True)
class Extractor:
    """A frozen network without its last layer."""

    compute: Callable[[np.ndarray], np.ndarray]  # (n, size, size, 3) uint8 -> (n, n_features) float32; thread-safe
    engine: Engine
    # 1: the thread that decodes an image also computes its features. No thread waits, and no result depends on other images.
    batch_images: int = 1
    kept_as: NetworkId | None = None  # None: its features are not stored

    @property
    def takes_batches(self) -> bool:
        """Whether several images are computed together, as on a GPU."""
        return self.batch_images > 1


@dataclass(frozen=True, slots=True)
class Model:
    """A classifier in memory: the extractor and the last layer."""

    spec: BackboneSpec
    preprocess: Preprocess
    extractor: Extractor
    head: Head
    save: Callable[[Path], None]  # writes every tensor, including the last layer, as safetensors
    answers_with: Engine  # the engine that runs it once it is saved


@dataclass(frozen=True, slots=True)
class Frozen:
    """A pretrained backbone with fixed weights."""

    spec: BackboneSpec
    preprocess: Preprocess
    extractor: Extractor
    n_features: int
    with_head: Callable[[Head], Model]  # returns the classifier with a fitted head
