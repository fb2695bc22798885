"""Labelled sets as features, for benchmarks of what is done with features alone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.data.given import open_given
from headstart.fitting.scanned import scan_given
from headstart.progress import silent
from headstart.settings import Effort, TrainSettings

HELD_OUT = 0.3  # share of a set, in whole groups, that is measured on


@dataclass(frozen=True, slots=True)
class Images:
    """A labelled set."""

    name: str
    vectors: np.ndarray  # (n, n_features) float32
    labels: np.ndarray  # (n,) int64
    groups: np.ndarray  # (n,) int64
    n_stage_features: int = 0

    @property
    def n_classes(self) -> int:
        """Classes of the set."""
        return int(self.labels.max()) + 1


def read(data: str, effort: Effort) -> Images:
    """The set that is given."""
    if data.endswith(".npz"):
        with np.load(data) as arrays:
            n_stages = int(arrays["n_stage_features"]) if "n_stage_features" in arrays else 0
            return Images(Path(data).stem, arrays["vectors"], arrays["labels"], arrays["groups"], n_stages)
    settings = TrainSettings.of(effort=effort)
    with open_given(data, settings) as sources:
        scanned = scan_given(sources, settings, silent)
    return Images(scanned.dataset.name, scanned.vectors, scanned.dataset.labels, scanned.groups, scanned.n_stage_features)
