"""How strongly the model beside the person is regularised: chosen beside its fits, so that none of them waits for it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headstart.model.features_on_disk import Features
from headstart.model.probe import DEFAULT_STRENGTH, fit_probe

GROWTH = 1.3  # the strength is chosen anew when there are so many times as many labels as when it was last chosen
FEWEST = 10  # labelled images below which it is not chosen
MOST_IMAGES = 3_000  # of more, so many are drawn: all 20,000 take half a minute
# More is chosen where classes lie far apart, and changes no answer there; but a fit then takes three times as many steps.
LARGEST = 1.0


@dataclass(frozen=True, slots=True)
class Strength:
    """What a probe is fitted with."""

    strength: float = DEFAULT_STRENGTH  # inverse of the L2 penalty, like scikit-learn's C
    stage_scale: float = 1.0  # standard deviation of the features of earlier stages


class StrengthChoice:
    """Chooses by cross-validation, as for every probe, in a thread of its own; `on_chosen` is called from it."""

    def __init__(self, n_stage_features: int, seed: int, on_chosen: Callable[[], None]) -> None:
        self.chosen = Strength()
        self._n_stage_features, self._seed, self._on_chosen = n_stage_features, seed, on_chosen
        self._chosen_for = 0  # labels
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def begin(self, vectors: Features, rows: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> None:
        """Begins to choose for some rows of (n_all, n_features) vectors with (n,) labels and groups, if it is time to.

        `chosen` changes when it is done.
        """
        if len(rows) < max(FEWEST, GROWTH * self._chosen_for) or self._ended.is_set():
            return
        if self._thread is not None and self._thread.is_alive():
            return
        self._chosen_for = len(rows)
        some = np.arange(len(rows))
        if len(rows) > MOST_IMAGES:
            some = np.sort(np.random.default_rng(self._seed).choice(len(rows), MOST_IMAGES, replace=False))
        present, numbered = np.unique(labels[some], return_inverse=True)
        if len(present) < 2:
            return
        points = vectors[rows[some]].astype(np.float32)
        self._thread = threading.Thread(
            target=self._choose, args=(points, numbered, groups[some], len(present)), name="headstart-strength", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Returns when nothing is being chosen."""
        if self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """Gives up what is being chosen, and chooses no more."""
        self._ended.set()
        self.wait()

    def _choose(self, points: np.ndarray, labels: np.ndarray, groups: np.ndarray, n_classes: int) -> None:
        stages, seed = self._n_stage_features, self._seed
        try:
            probe = fit_probe(points, labels, groups, n_classes, n_stage_features=stages, seed=seed, progress=self._go_on)
        except _Ended:
            return
        self.chosen = Strength(min(probe.strength, LARGEST), probe.stage_scale)
        self._on_chosen()

    def _go_on(self, stage: str, done: int, total: int) -> None:
        if self._ended.is_set():
            raise _Ended


class _Ended(Exception):  # noqa: N818 - raised from the progress, it ends the choice
    """Nobody waits for the choice any more."""
