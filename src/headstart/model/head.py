"""The last layer: one weight vector and one bias a class."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Head:
    """A linear layer from features to logits."""

    weight: np.ndarray  # (n_classes, n_features) float32
    bias: np.ndarray  # (n_classes,) float32

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """(n, n_features) float32 -> (n, n_classes) float32."""
        return vectors @ self.weight.T + self.bias


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of (n, n_classes) logits, in float64 so that rows sum to 1."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy in nats of (n, n_classes) logits and (n,) labels."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    return float(losses.mean())
