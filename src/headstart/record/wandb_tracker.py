"""Runs in Weights & Biases: offline, in a folder that `wandb sync` sends, unless the environment asks for more."""

import logging
import os
from pathlib import Path
from typing import Any

import wandb

from headstart.model.history import Epoch
from headstart.record.tracked import FIGURES, MODEL, REPORT, TABLES, BegunRun, CompleteRun, Outcome, epoch_numbers
from headstart.storage import home

PROJECT = "headstart"
KEPT = "wandb"  # the folder of home() for its cache and for files that wait to be sent
# What it would send besides what is recorded here: the state of the machine, its name, the program, its packages and output.
NOTHING_ELSE: dict[str, Any] = {
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "console": "off",
    "silent": True,
}
# How it behaves, unless the user says otherwise: a server that has gone holds up a run for minutes, not for hours, and is told.
# What was not sent stays in the folder of the run, for `wandb sync`.
BEHAVIOUR = {
    "WANDB_INIT_TIMEOUT": "30",
    "WANDB_FINISH_TIMEOUT": "300",
    "WANDB_FINISH_TIMEOUT_RAISES": "true",
    "WANDB__TRANSACTION_LOG_FLUSH_INTERVAL": "1",  # seconds: what a killed run may lack, instead of 15
    "WANDB_PROGRAM": "headstart",  # it would send the path of the program
    "WANDB_SILENT": "true",  # what it has to say is told by headstart
}
EXIT_CODES: dict[Outcome, int] = {"finished": 0, "interrupted": 130, "failed": 1}


class WandbTracker:
    """A Tracker. Projects, names and servers are those of the variables WANDB_*."""

    def __init__(self, root: Path) -> None:
        for variable in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR"):
            os.environ.setdefault(variable, str((home() / KEPT).resolve()))
        for name, value in BEHAVIOUR.items():
            os.environ.setdefault(name, value)
        # Not by a login that was once made: what leaves the machine is asked for.
        self._mode: Any = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
        self._folder = Path(os.environ.get("WANDB_DIR") or root).resolve()
        self._run: Any = None
        shown = (root if "WANDB_DIR" not in os.environ else self._folder) / "wandb"
        why = "" if os.environ.get("WANDB_MODE") else f", as WANDB_API_KEY is {'' if self._mode == 'online' else 'not '}set"
        self.place = f"{self._mode}{why}" + (
            f"; {shown.as_posix()} is what wandb sync sends" if self._mode == "offline" else ""
        )

    def begin(self, run: BegunRun, identity: str | None) -> str:
        """Begins a run, or goes on with the one of this identity. Returns its identity."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=os.environ.get("WANDB_NAME") or run.name,
            config={**run.settings, **run.tags},
            tags=[run.tags["strategy"]],
            dir=self._folder,
            mode=self._mode,
            id=identity,
            resume="allow" if identity else None,
            reinit="create_new",
            settings=wandb.Settings(**NOTHING_ELSE),
        )
        _without_log()
        # Epochs are the steps; the own steps of wandb may only grow, and a resumed run would lose what it tells again.
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")
        return str(self._run.id)

    def epoch(self, row: Epoch) -> None:
        """Records the numbers of an epoch."""
        self._run.log({"epoch": row.epoch, **epoch_numbers(row)})

    def report(self, run: CompleteRun) -> None:
        """Records the numbers as the run's summary, the pictures, the report, and the model as an artifact."""
        self._run.config.update(run.plan, allow_val_change=True)
        self._run.summary.update({**run.numbers, "summary": run.summary})
        pictures = {f"{FIGURES}/{file.stem}": wandb.Image(str(file)) for file in run.figures()}
        # As it is: with `inject` a style sheet of theirs would be loaded into it.
        report = wandb.Html((run.folder / REPORT).read_text(encoding="utf-8"), inject=False)
        self._run.log({"epoch": run.step, **pictures, "report": report})
        artifact = wandb.Artifact(f"model-{self._run.id}", type="model", description=run.summary)
        artifact.add_dir(str(run.folder / MODEL))
        for name in TABLES:
            artifact.add_file(str(run.folder / name))
        self._run.log_artifact(artifact)

    def end(self, outcome: Outcome) -> None:
        """Closes the run; what is not sent yet is sent now."""
        self._run.finish(exit_code=EXIT_CODES[outcome])

    def leave(self) -> None:
        """Ends what wandb runs beside the training; what can be sent is sent."""
        if self._run is not None:
            self._run.finish(exit_code=EXIT_CODES["failed"])


def _without_log() -> None:
    """Ends wandb's log of its own doings in Python, whose errors, as on a full disk, would be tracebacks on stderr."""
    log = logging.getLogger("wandb")
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    log.addHandler(logging.NullHandler())  # without any, Python prints errors itself
