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

    name: Annotated[str, Field(pattern=r"^(onnxruntime|openvino|litert|torch-[a-z]+)$")] = "onnxruntime"
    precision: Literal["fp32", "bf16"] = "fp32"


ON_GPU = "torch-cuda"  # the engine of a GPU
ONNX_RUNTIME = Engine()  # the default for compiled networks


@dataclass(frozen=True, slots=True)
class NetworkId:
    """The network that features come from; part of their key in the store."""

    backbone: str  # timm's name
    weights_sha256: str
    stages: tuple[str, ...] = ()  # whose outputs are features too


@dataclass(frozen=True, slots=True)
class Extractor:
    """A frozen network without its last layer.

    The features of a view are the last pooled layer, followed by the mean over the view of the output of each stage.
    """

    compute: Callable[[np.ndarray], np.ndarray]  # (n, size, size, n_channels) uint8 -> (n, n_features) float32; thread-safe
    engine: Engine
    # 1: the thread that decodes an image also computes its features. No thread waits, and no result depends on other images.
    batch_images: int = 1
    kept_as: NetworkId | None = None  # None: its features are not stored
    graph: Path | None = None  # of its compiled form, if it has one
    joins_views: bool = (
        False  # an exported model: takes (n, n_views, size, size, n_channels) if there are several, returns their mean
    )

    @property
    def on_gpu(self) -> bool:
        """Whether the network runs on a GPU."""
        return self.engine.name == ON_GPU

    @property
    def takes_batches(self) -> bool:
        """Whether several images are computed together, as on a GPU."""
        return self.batch_images > 1

    def vectors(self, views: np.ndarray) -> np.ndarray:
        """(n, n_views, size, size, n_channels) uint8 -> (n, n_views, n_features) float32; one row if it joins the views."""
        n, n_views = views.shape[:2]
        if self.joins_views:
            return self.compute(as_input(views))[:, None]
        single = views.reshape(-1, *views.shape[2:])
        if self.takes_batches:
            return self.compute(single).reshape(n, n_views, -1)
        # One by one: a view's features have the same bits whatever is computed with it, so they can be stored.
        return np.concatenate([self.compute(view[None]) for view in single]).reshape(n, n_views, -1)

    def features(self, views: np.ndarray) -> np.ndarray:
        """(n, n_views, size, size, n_channels) uint8 -> (n, n_features) float32, the input of a head."""
        return mean_of_views(self.vectors(views))


def as_input(views: np.ndarray) -> np.ndarray:
    """(n, n_views, size, size, n_channels) views as an exported file takes them: one view has no second axis."""
    return views[:, 0] if views.shape[1] == 1 else views


def mean_of_views(vectors: np.ndarray) -> np.ndarray:
    """(..., n_views, n_features) -> (..., n_features) float32: the mean, which a linear layer turns into the mean logits."""
    return vectors[..., 0, :] if vectors.shape[-2] == 1 else vectors.mean(axis=-2, dtype=np.float32)


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
    n_last: int  # how many of them, the first, are the last pooled layer's
    with_head: Callable[[Head], Model]  # returns the classifier with a fitted head
