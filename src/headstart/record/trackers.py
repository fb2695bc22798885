"""The trackers of experiments that a run is also recorded in. One that fails while the run goes on is left out, and told."""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

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
NONE = -1  # the epoch before the first
SECRET = re.compile(r"(?<=//)[^/@\s]*@")  # the user and password in an address


class Followed(Protocol):
    """Remembers what the trackers have of a run."""

    def __call__(self, identities: dict[str, str], epochs: dict[str, int]) -> None:
        """Keeps what the run is called in each tracker, and the epoch that each was told last; -1: none."""


class Tracking:
    """A run, as its trackers follow it."""

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._trackers = dict(trackers)
        self._identities: dict[str, str] = {}
        self._last: dict[str, int] = {}  # the epoch that each was told last
        self._keep: Followed = _forget
        self._is_begun = False

    def begin(
        self, run: BegunRun, so_far: Sequence[Epoch], identities: Mapping[str, str], epochs: Mapping[str, int], keep: Followed
    ) -> None:
        """Begins the run everywhere, or goes on with those of these `identities`, and tells each what it lacks of the epochs.

        `epochs` has the last that each was told: a tracker that failed, or was not named, lacks some. One that is not in it was
        told all, as earlier versions did. `keep` is called with what changes of this.
        """
        self._is_begun, self._keep = True, keep
        self._last = {name: epochs.get(name, so_far[-1].epoch if so_far else NONE) for name in identities}
        self._identities = {**identities, **self._each(lambda name, tracker: tracker.begin(run, identities.get(name)))}
        self._last = {name: self._last.get(name, NONE) for name in self._identities}
        self._keep(self._identities, self._last)
        for row in so_far:
            self.epoch(row)

    def epoch(self, row: Epoch) -> None:
        """Records an epoch that has ended, where it is not known."""
        told = self._each(lambda name, tracker: tracker.epoch(row), lambda name: self._last[name] < row.epoch)
        if told:
            self._last |= dict.fromkeys(told, row.epoch)
            self._keep(self._identities, self._last)

    def complete(self, history: Sequence[Epoch], run: CompleteRun) -> None:
        """Records the epochs that are not known yet, the evaluation and the files of the run, and closes it.

        Ctrl-C ends that, and not the run, of which everything is written.
        """
        try:
            for row in history:
                self.epoch(row)
            self._each(lambda name, tracker: tracker.report(run))
            self.end("interrupted" if run.interrupted else "finished")
        except KeyboardInterrupt:
            names = ", ".join(self._trackers)
            self._trackers.clear()
            warnings.warn(f"interrupted: {names} may lack some of this run, which is finished", HeadstartWarning, stacklevel=2)

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

    def _each(self, told: Callable[[str, Tracker], T], asked: Callable[[str], bool] = lambda name: True) -> dict[str, T]:
        """What the `asked` trackers return by name. One that fails is told, and gets nothing more: the run matters more."""
        found = {}
        for name, tracker in list(self._trackers.items()):
            if not asked(name):
                continue
            try:
                found[name] = told(name, tracker)
            except Exception as error:  # of whatever package
                del self._trackers[name]
                warnings.warn(
                    f"{name} failed, and gets nothing more of this run: {_without_secrets(error)}",
                    HeadstartWarning,
                    stacklevel=3,
                )
                with suppress(Exception):  # the failure is told already, and this one comes of it
                    tracker.leave()
        return found


def _forget(identities: dict[str, str], epochs: dict[str, int]) -> None:
    """A Followed of a run that has not begun."""


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
