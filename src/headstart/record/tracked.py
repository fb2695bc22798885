"""What a tracker of experiments is told of a run, and what it has to do with that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from headstart.artifact.evaluation_words import words_of
from headstart.evaluation.judging import AnyEvaluation
from headstart.model.history import Epoch
from headstart.record.run_metrics import AnyRunMetrics
from headstart.schema import Schema
from headstart.settings import TrainSettings

Outcome = Literal["finished", "interrupted", "failed"]
Value = str | int | float | bool
REPORT, FIGURES, MODEL, TABLES = "report.html", "figures", "model", ("metrics.json", "history.csv")
FOUND = ("best_epoch", "temperature")  # in a plan, but found by training: a resumed run may find others
LEVELS = "levels"  # of a tree of classes, each with its depth
INTERVAL = "_ci95"  # the end of the name of a number's interval


@dataclass(frozen=True, slots=True)
class BegunRun:
    """A run whose images and strategy are known, before anything is fitted."""

    name: str
    folder: Path  # where it is built
    settings: dict[str, Value]  # as given; those that are left open are left out
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class CompleteRun:
    """A run of which every file is written."""

    folder: Path
    summary: str  # the reported accuracy, or error, in a sentence
    numbers: dict[str, float]
    plan: dict[str, Value]  # what was left open, as it was resolved
    step: int  # the last epoch: trackers show the number of the largest step, also of a run that was resumed
    interrupted: bool

    def figures(self) -> list[Path]:
        """The pictures of the report."""
        return sorted((self.folder / FIGURES).glob("*.png"))


class Tracker(Protocol):
    """Somewhere runs are recorded beside each other. Any method may raise what its package raises."""

    place: str  # where to look, in words

    def begin(self, run: BegunRun, identity: str | None) -> str:
        """Begins a run there, or goes on with the one of this identity. Returns the identity."""

    def epoch(self, row: Epoch) -> None:
        """Records an epoch when it has ended."""

    def report(self, run: CompleteRun) -> None:
        """Records the evaluation, and the files that it takes."""

    def end(self, outcome: Outcome) -> None:
        """Closes the run."""

    def leave(self) -> None:
        """Lets go of the run after a failure."""


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """Values that are set, by the path of their names; lists and the like as text."""
    found: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}/")
        elif value is not None:
            found[f"{prefix}{name}"] = value if isinstance(value, str | int | float | bool) else str(value)
    return found


def epoch_numbers(row: Epoch) -> dict[str, float]:
    """The numbers of an epoch by the columns of history.csv, without those that it does not have."""
    return {name: float(value) for name, value in row if name != "epoch" and value is not None}


def begun_run(name: str, folder: Path, settings: TrainSettings, strategy: str, classes: tuple[str, ...], data: str) -> BegunRun:
    """A run with these settings, and tags by which runs are found."""
    tags = {
        "data": data,
        "strategy": strategy,
        "backbone": settings.backbone,
        "classes": ", ".join(classes),
        "tool": "headstart",
    }
    return BegunRun(name, folder, flat(settings.as_json()), tags)


def complete_run(folder: Path, metrics: AnyRunMetrics, plan: Mapping[str, Any], history: Sequence[Epoch]) -> CompleteRun:
    """What is recorded of a run in the end: its numbers are those of metrics.json."""
    numbers = evaluation_numbers("evaluation", metrics.evaluation)
    for other in metrics.other_evaluations:
        numbers |= evaluation_numbers(f"evaluation_on_{other.split}", other)
    if metrics.without_leaks:
        numbers |= evaluation_numbers("evaluation_without_leaks", metrics.without_leaks)
    numbers |= {f"images/{split}": float(count) for split, count in metrics.images.items()}
    # Not "seconds/total": MLflow keeps a metric in a file of its name, and "seconds" is one of an epoch's.
    numbers |= {f"seconds_for/{stage}": seconds for stage, seconds in metrics.seconds.items()}
    numbers |= {"peak_rss_mb": metrics.peak_rss_mb, "best_epoch": float(metrics.best_epoch)}
    resolved = flat(plan, "plan/")
    numbers |= {name: float(resolved.pop(f"plan/{name}")) for name in FOUND if f"plan/{name}" in resolved}
    summary = words_of(metrics.evaluation).sentence()
    return CompleteRun(folder, summary, numbers, resolved, history[-1].epoch if history else 0, metrics.interrupted)


def evaluation_numbers(prefix: str, evaluation: AnyEvaluation) -> dict[str, float]:
    """The numbers of an evaluation, whatever kind of answer it is of, by names that begin with this prefix.

    `accuracy` has its interval's bounds beside it: `accuracy_low` and `accuracy_high`. Those of each class are left out: a
    tracker shows runs beside each other, and the report has them.
    """
    numbers = _numbers(evaluation, prefix)
    numbers[f"{prefix}/images"] = numbers.pop(f"{prefix}/n")
    return numbers


def _numbers(values: Schema, prefix: str) -> dict[str, float]:
    """Numbers by the paths of their names."""
    found: dict[str, float] = {}
    for name, value in values:
        path = f"{prefix}/{name}"
        if isinstance(value, Schema):
            found |= _numbers(value, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[path] = float(value)
        elif name.endswith(INTERVAL) and value is not None:
            low, high = value
            whole = path.removesuffix(INTERVAL)
            found |= {f"{whole}_low": float(low), f"{whole}_high": float(high)}
        elif name == LEVELS:
            for level in value:
                found |= _numbers(level, f"{path}/{level.depth}")
                del found[f"{path}/{level.depth}/depth"]
    return found
