"""The scan with a saved model as a task of workers: files in, facts and the features that its head takes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow

from headstart.artifact.predict_task import key_of
from headstart.artifact.predictor import Predictor
from headstart.data.sources import Candidate, Skipped
from headstart.jobs.crew import Compute
from headstart.jobs.scan_table import TABLE_VERSION, table_of
from headstart.jobs.scan_task import scanner
from headstart.jobs.scanning import scan_at
from headstart.model.extractor import ON_GPU
from headstart.model.features import Scan
from headstart.progress import Progress


@dataclass(frozen=True, slots=True)
class ModelScanTask:
    """Computes the features of a saved model."""

    predictor: Predictor  # a pickle of it holds the files of its bundle
    key: str

    @classmethod
    def of(cls, predictor: Predictor) -> "ModelScanTask":
        """The task for a model. Raises BundleError if it is not saved."""
        return cls(predictor, key_of(predictor, f"scan {TABLE_VERSION}"))

    @property
    def on_gpu(self) -> bool:
        return self.predictor.extractor.engine.name == ON_GPU

    @property
    def n_views(self) -> int:
        """How many vectors an image has."""
        return 1 if self.predictor.extractor.joins_views else self.predictor.preprocess.n_views

    def packed(self) -> tuple["ModelScanTask", Mapping[str, bytes]]:
        return self, {}

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
