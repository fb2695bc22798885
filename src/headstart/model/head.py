"""The last layer: one weight vector and one bias per class."""

from dataclasses import dataclass

import numpy as np

from headstart.model.features_on_disk import Features, in_parts


@dataclass(frozen=True, slots=True)
class Head:
    """A linear layer from features to logits."""

    weight: np.ndarray  # (n_classes, n_features) float32
    bias: np.ndarray  # (n_classes,) float32

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """(n, n_features) float32 -> (n, n_classes) float32."""
        return vectors @ self.weight.T + self.bias

    def logits_of(self, vectors: Features, rows: np.ndarray) -> np.ndarray:
        """(n_rows, n_classes) float32 of some rows of (n, n_features) vectors, of which few are in memory at a time."""
        return np.concatenate([self.logits(part) for part in in_parts(vectors, rows)])

    def scaled(self, factor: float, shift: float) -> "Head":
        """The head whose outputs are multiplied by `factor` and then moved by `shift`."""
        weight, bias = self.weight.astype(np.float64) * factor, self.bias.astype(np.float64) * factor + shift
        return Head(weight.astype(np.float32), bias.astype(np.float32))

    def at_temperature(self, temperature: float) -> "Head":
        """The head with its logits divided by `temperature`."""
        return Head(self.weight / np.float32(temperature), self.bias / np.float32(temperature))
