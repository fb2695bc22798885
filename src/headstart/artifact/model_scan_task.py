"""The scan with a saved model as a task of workers: files in, facts and the features that its head takes out."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow

from headstart.artifact.model_task import ModelTask
from headstart.artifact.predictor import Predictor
from headstart.data.sources import Candidate, Skipped
from headstart.jobs.crew import Compute
from headstart.jobs.scan_table import TABLE_VERSION, table_of
from headstart.jobs.scan_task import scanner
from headstart.jobs.scanning import scan_at
from headstart.model.features import Scan
from headstart.progress import Progress


@dataclass(frozen=True, slots=True)
class ModelScanTask(ModelTask):
    """Computes the features of a saved model."""

    @classmethod
    def of(cls, predictor: Predictor) -> "ModelScanTask":
        """The task for a model. Raises BundleError if it is not saved."""
        return cls.that(f"scan {TABLE_VERSION}", predictor)

    @property
    def n_views(self) -> int:
        """How many vectors an image has."""
        return 1 if self.predictor.extractor.joins_views else self.predictor.preprocess.n_views

    def open(self, n_threads: int) -> Compute:
        return scanner(self.predictor.preprocess, self.predictor.extractor, self._n_features, n_threads)

    def given_up(self, reason: str) -> pyarrow.Table:
        return table_of([Skipped("", reason)], self._n_features)

    @property
    def _n_features(self) -> int:
        return self.predictor.head.weight.shape[1] * self.n_views


def scan_with_model_at(
    workplace: str, predictor: Predictor, candidates: Sequence[Candidate], progress: Progress, stage: str
) -> Scan:
    """The scan of every candidate with a model, by the workers of a place. Raises HeadstartError."""
    task = ModelScanTask.of(predictor)
    return scan_at(workplace, task, task.n_views, candidates, progress, stage)
