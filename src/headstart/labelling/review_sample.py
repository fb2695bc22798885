"""A sample of the model's answers that the owner looks through, and the accuracy that follows from it."""

import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.errors import HeadstartWarning
from headstart.evaluation.review_plan import plan_review
from headstart.evaluation.reviewed import Reviewed, correct_accuracy
from headstart.labelling.catalogue import NO_CLASS, Catalogue
from headstart.labelling.live_model import LiveFit
from headstart.storage import atomic_write

QUEUE = "sample"
COLUMNS = ("rows", "labels", "predicted", "groups", "chosen")
MOST = 200  # images of a sample: half an hour of work, and an interval of two to three points around 94 %
FORM = 1  # raised with every change of what the file holds


@dataclass(frozen=True, slots=True)
class ReviewSample:
    """Answers and labels of one moment, and the rows among them to be looked at; later decisions do not change it."""

    rows: np.ndarray  # (n,) int64: all rows that were labelled then
    labels: np.ndarray  # (n,) int64
    predicted: np.ndarray  # (n,) int64: by fits that never saw the row
    groups: np.ndarray  # (n,) int64
    chosen: np.ndarray  # (n_chosen,) int64: which of the rows to review, in order

    @classmethod
    def of(cls, fit: LiveFit, groups: np.ndarray, seed: int = 0) -> "ReviewSample | None":
        """The sample for a fit and the (n_all,) groups of all rows; None if the fit has no answers of its own."""
        if fit.held_out is None:
            return None
        predicted = fit.held_out.argmax(axis=1)
        plan = plan_review(predicted, fit.labels, budget=MOST, seed=seed)
        return cls(fit.rows, fit.labels, predicted, groups[fit.rows], plan.rows)

    def waiting(self, done: set[int]) -> list[int]:
        """The rows that are still to be looked at, in order."""
        return [row for row in self.rows[self.chosen].tolist() if row not in done]

    def result(self, catalogue: Catalogue, done: set[int]) -> Reviewed | None:
        """The accuracy with wrong labels taken out, by the labels that the reviewed rows have now; None if too few are done."""
        looked_at = np.array([i for i in self.chosen.tolist() if int(self.rows[i]) in done], np.int64)
        agree = self.predicted == self.labels
        if any(those.any() and not those[looked_at].any() for those in (agree, ~agree)):
            return None
        now = catalogue.columns["label"][self.rows[looked_at]].astype(np.int64)
        now[catalogue.columns["excluded"][self.rows[looked_at]] != 0] = NO_CLASS
        return correct_accuracy(self.predicted, self.labels, looked_at, now, self.groups)


def kept_sample(file: Path, catalogue: Catalogue) -> ReviewSample | None:
    """The sample that a file keeps, if it is of the images of this project."""
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as kept:
            if int(kept["form"]) != FORM:
                return None
            digests, columns = kept["digests"], {name: kept[name] for name in COLUMNS}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        warnings.warn(f"{file} is damaged; a new sample is drawn: {error}", HeadstartWarning, stacklevel=2)
        return None
    sample = ReviewSample(**columns)
    fits = len(sample.rows) == len(digests) and sample.rows.max(initial=-1) < len(catalogue)
    return sample if fits and np.array_equal(catalogue.digests[sample.rows], digests) else None


def keep_sample(file: Path, sample: ReviewSample, catalogue: Catalogue) -> None:
    """Writes the sample, so that a review can go on after a restart."""
    columns = {name: getattr(sample, name) for name in COLUMNS}
    with atomic_write(file) as aside, aside.open("wb") as opened:
        np.savez(opened, allow_pickle=False, form=np.array(FORM), digests=catalogue.digests[sample.rows], **columns)
