"""Runs in MLflow: on the server that MLFLOW_TRACKING_URI names, else in a folder that `mlflow ui` shows."""

import os
import time
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from headstart.addresses.address import shown_place
from headstart.model.history import Epoch
from headstart.record.tracked import FIGURES, MODEL, REPORT, TABLES, BegunRun, CompleteRun, Outcome, epoch_numbers

EXPERIMENT = "headstart"
AT_ONCE = 100  # parameters that a server takes in a request
# How MLflow behaves, unless the user says otherwise: a server that has gone holds up a run for seconds, not for minutes.
BEHAVIOUR = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # where --json is printed
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
STATUS: dict[Outcome, str] = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class MLflowTracker:
    """A Tracker. Experiments are those of MLFLOW_EXPERIMENT_NAME or MLFLOW_EXPERIMENT_ID, else one of the name headstart."""

    def __init__(self, root: Path) -> None:
        for name, value in BEHAVIOUR.items():
            os.environ.setdefault(name, value)
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if uri:
            self.place = f"at {shown_place(uri)}"
        else:
            folder = root / "mlruns"
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # the only store that needs no database
            uri = folder.resolve().as_uri()
            self.place = f"in {folder.as_posix()}, as MLFLOW_TRACKING_URI is not set"
        self._client = MlflowClient(uri)
        self._experiment = os.environ.get("MLFLOW_EXPERIMENT_ID") or self._named(
            os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        )
        self._run = ""

    def begin(self, run: BegunRun, identity: str | None) -> str:
        """Begins a run, or opens the one of this identity again. Returns its identity."""
        if identity is None:
            self._run = self._client.create_run(self._experiment, run_name=run.name, tags=run.tags).info.run_id
            self._params(run.settings)
        else:
            self._client.update_run(identity, status="RUNNING")
            self._run = identity
        return self._run

    def epoch(self, row: Epoch) -> None:
        """Records the numbers of an epoch."""
        self._metrics(epoch_numbers(row), row.epoch)

    def report(self, run: CompleteRun) -> None:
        """Records numbers, plan and files; the sentence on the accuracy is the run's description."""
        self._metrics(run.numbers, run.step)
        known = self._client.get_run(self._run).data.params  # a resumed run's stay: MLflow's never change
        self._params({name: value for name, value in run.plan.items() if name not in known})
        self._client.log_batch(self._run, tags=[RunTag("mlflow.note.content", run.summary)])
        for name in (REPORT, *TABLES):
            self._client.log_artifact(self._run, str(run.folder / name))
        for name in (FIGURES, MODEL):
            if (run.folder / name).is_dir():
                self._client.log_artifacts(self._run, str(run.folder / name), name)

    def end(self, outcome: Outcome) -> None:
        """Sets the run's status."""
        self._client.set_terminated(self._run, STATUS[outcome])

    def leave(self) -> None:
        """Nothing is held."""

    def _named(self, name: str) -> str:
        """The experiment of a name; a new one if there is none."""
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def _metrics(self, numbers: dict[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self._client.log_batch(self._run, metrics=[Metric(name, value, now, step) for name, value in numbers.items()])

    def _params(self, values: dict[str, str | int | float | bool]) -> None:
        params = [Param(name, str(value)) for name, value in values.items()]
        for begin in range(0, len(params), AT_ONCE):
            self._client.log_batch(self._run, params=params[begin : begin + AT_ONCE])
