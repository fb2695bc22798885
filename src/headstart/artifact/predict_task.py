"""Predictions as a task of workers: files in, probabilities out."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pyarrow

from headstart.artifact.model_task import ModelTask
from headstart.artifact.predictor import Prediction, Predictor
from headstart.data.fetching import chunks_of
from headstart.data.sources import Candidate
from headstart.jobs.crew import Compute
from headstart.jobs.crews import results_at
from headstart.jobs.parts import Parts
from headstart.model.arrow_columns import numbers, texts
from headstart.model.features import Work
from headstart.progress import Progress, silent
from headstart.workplace import Workplace

TABLE_VERSION = 1  # raised with every change of the columns: parts of another version are computed again


@dataclass(frozen=True, slots=True)
class PredictTask(ModelTask):
    """Classifies images with a saved model."""

    @classmethod
    def of(cls, predictor: Predictor) -> "PredictTask":
        """The task for a model. Raises BundleError if it is not saved."""
        return cls.that(str(TABLE_VERSION), predictor)

    def open(self, n_threads: int) -> Compute:
        def compute(candidates: Sequence[Candidate]) -> tuple[pyarrow.Table, Work]:
            answers: list[Prediction] = []
            for chunk in chunks_of(candidates, len(candidates)):
                answers += self.predictor.predict_candidates(chunk, n_threads)
            return self._table(answers), Work(computed=sum(not answer.error for answer in answers))

        return compute

    def given_up(self, reason: str) -> pyarrow.Table:
        return self._table([Prediction("", self.predictor.classes, None, reason)])

    def answers(self, table: pyarrow.Table, candidates: Sequence[Candidate]) -> list[Prediction]:
        """The predictions for candidates that the rows of a table are."""
        predictor, classes = self.predictor, self.predictor.classes
        errors, probabilities = table.column("error").to_pylist(), np.array(table.column("probabilities").to_pylist())
        distances = np.array(table.column("distance").to_pylist()) if predictor.doubts.familiarity else None
        paths = [candidate.path for candidate in candidates]
        answered = predictor.doubts.judged(paths, classes, probabilities, distances, predictor.task)
        return [
            Prediction(path, classes, None, error) if error else answer
            for path, error, answer in zip(paths, errors, answered, strict=True)
        ]

    def _table(self, answers: Sequence[Prediction]) -> pyarrow.Table:
        """A row for each answer; the probabilities of what cannot be read are 0."""
        n_classes = len(self.predictor.classes)
        nothing = np.zeros(n_classes)
        rows = np.array([nothing if answer.probabilities is None else answer.probabilities for answer in answers])
        distances = [np.nan if answer.distance is None else answer.distance for answer in answers]
        columns = {
            "error": texts([answer.error for answer in answers]),
            "probabilities": pyarrow.FixedSizeListArray.from_arrays(numbers(rows.ravel()), n_classes),
            "distance": numbers(np.array(distances, np.float64)),
        }
        return pyarrow.table(columns)


def predictions_at(
    workplace: Workplace,
    predictor: Predictor,
    candidates: Iterable[Candidate],
    parts: Parts,
    *,
    total: int = 0,
    progress: Progress = silent,
) -> Generator[Prediction, None, None]:
    """Yields the predictions for the candidates in their order, made by the workers of a place.

    `parts` keeps what is finished; the caller removes it when the predictions are written. Raises HeadstartError.
    """
    task = PredictTask.of(predictor)
    results = results_at(workplace, task, candidates, parts, total=total, stage="predicting", progress=progress, work=Work())
    with closing(results):
        for shard, table in results:
            yield from task.answers(table, shard.items)
