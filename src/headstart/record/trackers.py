"""The trackers of experiments that a run is also recorded in. One that fails while the run goes on is left out, and told."""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from headstart.errors import (
    HeadstartError,
    HeadstartWarning,
    SettingsError,
    did_you_mean,
    explains_missing_packages,
    first_line,
)
from headstart.model.history import Epoch
from headstart.progress import Tell
from headstart.record.tracked import BegunRun, CompleteRun, Outcome, Tracker

T = TypeVar("T")
SECRET = re.compile(r"(?<=//)[^/@\s]*@")  # the user and password in an address


class Tracking:
    """A run, as its trackers follow it."""

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._trackers = dict(trackers)
        self._last = -1  # the epoch that was told last
        self._is_begun = False

    def begin(self, run: BegunRun, identities: Mapping[str, str], so_far: Sequence[Epoch]) -> dict[str, str]:
        """Begins the run everywhere, or goes on with those of these identities, which know the epochs so far.

        Returns all identities by the names of the trackers.
        """
        self._is_begun = True
        now = self._each(lambda name, tracker: tracker.begin(run, identities.get(name)))
        for row in so_far:
            self._each(lambda name, tracker, row=row: None if name in identities else tracker.epoch(row))  # type: ignore[misc]
            self._last = row.epoch
        return {**identities, **now}

    def epoch(self, row: Epoch) -> None:
        """Records an epoch that has ended, unless it is known."""
        if row.epoch > self._last:
            self._last = row.epoch
            self._each(lambda name, tracker: tracker.epoch(row))

    def complete(self, history: Sequence[Epoch], run: CompleteRun) -> None:
        """Records the epochs that are not known yet, the evaluation and the files of the run, and closes it."""
        for row in history:
            self.epoch(row)
        self._each(lambda name, tracker: tracker.report(run))
        self.end("interrupted" if run.interrupted else "finished")

    def end(self, outcome: Outcome) -> None:
        """Closes the run, if it was begun and is not closed yet."""
        if self._is_begun:
            self._each(lambda name, tracker: tracker.end(outcome))
            self._trackers.clear()

    def __enter__(self) -> "Tracking":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Closes the run as failed, or as interrupted, if that is not done yet."""
        if kind is not None:
            self.end("interrupted" if issubclass(kind, KeyboardInterrupt) else "failed")

    def _each(self, told: Callable[[str, Tracker], T]) -> dict[str, T]:
        """What the trackers return by name. One that fails is told, and gets nothing more: the run matters more."""
        found = {}
        for name, tracker in list(self._trackers.items()):
            try:
                found[name] = told(name, tracker)
            except Exception as error:  # of whatever package
                del self._trackers[name]
                warnings.warn(
                    f"{name} failed, and gets nothing more of this run: {_without_secrets(error)}",
                    HeadstartWarning,
                    stacklevel=3,
                )
        return found


def open_trackers(names: Sequence[str], root: Path, tell: Tell) -> Tracking:
    """The trackers of these names. What they keep on this machine is below `root`; where each one records is told.

    Raises SettingsError if there is none of a name, or if it cannot be used, and MissingPackageError if its package is not
    installed.
    """
    found: dict[str, Tracker] = {}
    for name in dict.fromkeys(names):
        if name not in OPENED_BY:
            raise SettingsError(f"there is no tracker called {name!r}", hint=did_you_mean(name, list(OPENED_BY)))
        try:
            found[name] = OPENED_BY[name](root)
        except (HeadstartError, ModuleNotFoundError):
            raise
        except Exception as error:
            raise SettingsError(
                f"{name} cannot be used: {_without_secrets(error)}", hint="check its environment variables, or leave out --log"
            ) from error
        tell(f"{name}: {found[name].place}")
    return Tracking(found)


def _without_secrets(error: Exception) -> str:
    return SECRET.sub("", first_line(error))


@explains_missing_packages("--log mlflow")
def _mlflow(root: Path) -> Tracker:
    from headstart.record.mlflow_tracker import MLflowTracker

    return MLflowTracker(root)


@explains_missing_packages("--log tensorboard")
def _tensorboard(root: Path) -> Tracker:
    from headstart.record.tensorboard_tracker import TensorBoardTracker

    return TensorBoardTracker()


@explains_missing_packages("--log wandb")
def _wandb(root: Path) -> Tracker:
    from headstart.record.wandb_tracker import WandbTracker

    return WandbTracker(root)


OPENED_BY: dict[str, Callable[[Path], Tracker]] = {"mlflow": _mlflow, "tensorboard": _tensorboard, "wandb": _wandb}
