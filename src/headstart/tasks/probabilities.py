"""Converts logits to probabilities, and computes log losses."""

import numpy as np


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities of (n, n_classes) logits divided by `temperature`, in float64 so that rows sum to 1."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def as_logits(probabilities: np.ndarray) -> np.ndarray:
    """Logits that softmax turns into these (n, n_classes) probabilities; a probability of 0 becomes a tiny positive one."""
    return np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) nats: the log loss of each row for its label, a class index. It stays finite for a probability of 0."""
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], np.finfo(probabilities.dtype).eps))


def cross_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) nats: the cross-entropy of each row of (n, n_classes) logits for its label."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean of `cross_entropies`."""
    return float(cross_entropies(logits, labels).mean())


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The probabilities of logits, each by itself, in float64."""
    halves = np.tanh(logits.astype(np.float64) / 2)
    return 0.5 * (1 + halves)


def as_log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Logits that `sigmoid` turns into these probabilities; 0 and 1 become the nearest that can be had."""
    kept = np.clip(probabilities, np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).eps)
    return np.log(kept) - np.log1p(-kept)


def binary_cross_entropies(logits: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Nats: the cross-entropy of each logit for a label that an image has, or lacks."""
    wide = logits.astype(np.float64)
    return np.logaddexp(0, np.where(has, -wide, wide))
