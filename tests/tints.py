"""Images that no probe of a colour-blind network can tell apart, and that the same network learns in two epochs."""

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from conftest import TINY
from PIL import Image

from headstart.settings import TrainSettings

FIRST = "conv1.0.weight"  # of TINY
# Two epochs of gradient steps make it see: fine-tuning wins by 40 points and more, however a machine rounds.
LEARNS: dict[str, Any] = {
    "epochs": 3,
    "learning_rate": 0.02,
    "augment": "none",
    "freeze": 0,
    "time_budget": 86_400,
}


def draw_tints(folder: Path) -> Path:
    """Two classes of 80 images: grey noise with a tint, red or green, that leaves the sum of the three channels as it is."""
    rng = np.random.default_rng(0)
    for label, tint in (("red", [30, -30, 0]), ("green", [-30, 30, 0])):
        (folder / label).mkdir(parents=True)
        for i in range(80):
            grey = rng.integers(80, 170, (48, 48, 1)) + rng.integers(-20, 21)
            Image.fromarray((grey + tint).astype(np.uint8)).save(folder / label / f"{i}.png")
    return folder


def write_blind_weights(folder: Path, tiny_weights: Path) -> Path:
    """Weights for TINY whose first convolution adds the channels up: no probe can tell the tints apart."""
    tensors = safetensors.numpy.load_file(tiny_weights)
    tensors[FIRST] = np.repeat(tensors[FIRST].mean(axis=1, keepdims=True), 3, axis=1)
    safetensors.numpy.save_file(tensors, folder / "blind.safetensors")
    return folder / "blind.safetensors"


def quick_settings(weights: Path, **values: Any) -> TrainSettings:
    """Settings for a run that takes a second or two."""
    small = {"backbone": TINY, "weights": weights, "image_size": 48, "workers": 2, "device": "cpu"}
    return TrainSettings.of(**(small | values))
