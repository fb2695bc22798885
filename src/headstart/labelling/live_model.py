"""The model beside the person who labels: a probe that is fitted anew after each decision, and what it says of every image."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headstart.evaluation.calibration import fit_temperature
from headstart.evaluation.metrics import Evaluation, evaluate_predictions
from headstart.labelling.fold_book import FoldBook
from headstart.labelling.strength_choice import Strength, StrengthChoice
from headstart.model.features_on_disk import Features
from headstart.model.head import Head
from headstart.model.softmax_regression import Regression, Solutions, Standardised, fit_path, standardise
from headstart.tasks.probabilities import softmax
from headstart.threads import cores, one_blas_thread

FEWEST = 10  # labelled images below which nothing is said of the accuracy
MOST_FITTED = 10_000  # labelled images: to so many a fit takes a second, and their features 80 MB
AT_ONCE = 2048  # rows that are answered together
PATH = (1e-4, 1e-3, 1e-2)  # strengths that lead a first fit to its own


@dataclass(frozen=True, slots=True)
class LiveFit:
    """A fit to the labels of one moment."""

    rows: np.ndarray  # (n,) int64: the labelled rows it was fitted to
    labels: np.ndarray  # (n,) int64
    chosen: Strength  # that it was fitted with
    head: Head
    held_out: np.ndarray | None  # (n, n_classes) float64: probabilities by fits that never saw the row; None: too few labels
    evaluation: Evaluation | None  # of those

    def answers(self, vectors: Features) -> tuple[np.ndarray, np.ndarray]:
        """For (n_all, n_features) vectors of any float type: (n_all,) int64 most probable classes, float32 probabilities.

        Labelled rows are answered by fits that never saw them.
        """
        predicted, confidence = np.empty(len(vectors), np.int64), np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            probabilities = softmax(self.head.logits(vectors[part].astype(np.float32)))
            predicted[part], confidence[part] = probabilities.argmax(axis=1), probabilities.max(axis=1)
        if self.held_out is not None:
            predicted[self.rows], confidence[self.rows] = self.held_out.argmax(axis=1), self.held_out.max(axis=1)
        return predicted, confidence

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """(n, n_classes) float64 for (n, n_features) float32 vectors; of classes without a label 0."""
        return softmax(self.head.logits(vectors))

    def suspicion(self) -> np.ndarray | None:
        """(n,) float64: one minus the probability of each row's label, by fits that never saw it."""
        if self.held_out is None:
            return None
        suspicion: np.ndarray = 1 - self.held_out[np.arange(len(self.labels)), self.labels]
        return suspicion


class LiveModel:
    """Fits in a fraction of a second: it begins where the last fit ended and keeps strength and folds while labels change.

    The first fit has a strength that suits most images; a better one is chosen beside, and `on_chosen` is called when the next
    fit would have it.
    """

    def __init__(self, n_stage_features: int = 0, seed: int = 0, on_chosen: Callable[[], None] = lambda: None) -> None:
        self._n_stage_features, self._seed = n_stage_features, seed
        self._folds = FoldBook()
        self.choice = StrengthChoice(n_stage_features, seed, on_chosen)
        self._last: Solutions | None = None
        self._kind: tuple[object, ...] = ()  # of the last fit: its coordinates, folds and classes, and its strength

    def fit(self, vectors: Features, rows: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: list[str]) -> LiveFit:
        """The fit to some rows of (n_all, n_features) vectors with (n,) labels in 0 .. n_classes - 1 and (n,) groups.

        At least two classes must occur. Of more than MOST_FITTED rows so many are fitted to; the others are judged by a fit
        that never saw them either.
        """
        fitted = sample_of(labels, groups, MOST_FITTED, self._seed)
        self.choice.begin(vectors, rows, labels, groups)
        present, numbered = np.unique(labels[fitted], return_inverse=True)  # classes without a label would only be in the way
        judged = len(rows) >= FEWEST
        fold_of = self._folds.deal(labels[fitted], groups[fitted]) if judged else np.full(len(fitted), -1)
        chosen = self.choice.chosen
        solutions, head = self._solve(_taken(vectors, rows[fitted]), numbered, fold_of, len(present), chosen)
        held_out, temperature = None, 1.0
        if judged:
            temperature = fit_temperature(solutions.held_out, numbered)
            held_out = np.zeros((len(rows), len(classes)))
            held_out[np.ix_(fitted, present)] = softmax(solutions.held_out / np.float32(temperature))
        head = _of_all_classes(head.at_temperature(temperature), present, len(classes))
        if held_out is None:
            return LiveFit(rows, labels, chosen, head, None, None)
        others = np.setdiff1d(np.arange(len(rows)), fitted, assume_unique=True)
        for start in range(0, len(others), AT_ONCE):
            part = others[start : start + AT_ONCE]
            held_out[part] = softmax(head.logits(vectors[rows[part]].astype(np.float32)))
        evaluation = evaluate_predictions(held_out, labels, classes, split="cv", groups=groups, with_loss_interval=False)
        return LiveFit(rows, labels, chosen, head, held_out, evaluation)

    def head_of(self, vectors: Features, fit: LiveFit, kept: np.ndarray) -> Head:
        """The head that only the `kept` of a fit's labels give, at its strength. The next fit does not begin at this one."""
        labels, most = fit.labels[kept], max(1, MOST_FITTED * len(kept) // len(fit.rows))
        fitted = sample_of(labels, kept, most, self._seed)
        present, numbered = np.unique(labels[fitted], return_inverse=True)
        points = _taken(vectors, fit.rows[kept[fitted]])
        with one_blas_thread():
            standard = self._standardised(points, fit.chosen)
            regression = Regression(standard, numbered, len(present), np.full(len(points), -1), 0, cores())
            *_, solutions = fit_path(regression, _path_to(fit.chosen))
        head = standard.to_head(solutions.weight[-1], solutions.bias[-1])
        return _of_all_classes(head, present, len(fit.head.bias))

    def stop(self) -> None:
        """Gives up what goes on beside."""
        self.choice.stop()

    def _standardised(self, points: np.ndarray, chosen: Strength) -> Standardised:
        """The points, which are given away, as they are fitted to."""
        emphasis = np.ones(points.shape[1])
        emphasis[points.shape[1] - self._n_stage_features :] = chosen.stage_scale
        return standardise(points, None, emphasis, steady=True, in_place=True)

    def _solve(
        self, points: np.ndarray, labels: np.ndarray, fold_of: np.ndarray, n_classes: int, chosen: Strength
    ) -> tuple[Solutions, Head]:
        n_folds = self._folds.n_folds if (fold_of >= 0).any() else 0
        with one_blas_thread():
            standard = self._standardised(points, chosen)
            regression = Regression(standard, labels, n_classes, fold_of, n_folds, cores())
            # In the coordinates that few images span, the last fit has no meaning.
            kind = (n_classes, n_folds, standard.n_columns, chosen) if standard.axes is None else ()
            begin = self._last if kind and kind == self._kind else None
            *_, solutions = fit_path(regression, (chosen.strength,) if begin else _path_to(chosen), begin)
        self._last, self._kind = solutions, kind
        return solutions, standard.to_head(solutions.weight[-1], solutions.bias[-1])


def _path_to(chosen: Strength) -> tuple[float, ...]:
    """The strengths along which a fit without one before it comes to its own."""
    return (*(s for s in PATH if s < chosen.strength), chosen.strength)


def sample_of(labels: np.ndarray, groups: np.ndarray, most: int, seed: int) -> np.ndarray:
    """(n_chosen,) numbers in order of images with (n,) labels and groups: all of up to `most`, else about so many.

    Groups are whole, small classes too. Where images are added or change their label, the others stay as they are.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    # A number that only depends on the group: the product's upper bits, as in Fibonacci hashing.
    drawn = (groups.astype(np.uint64) + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    order = np.lexsort((drawn, labels))
    sizes = np.bincount(labels)
    rank_in_class = np.empty(len(labels), np.int64)
    rank_in_class[order] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    few = rank_in_class < most // (2 * len(sizes))
    first = np.lexsort((drawn, ~few))[:most]
    return np.flatnonzero(np.isin(groups, groups[first]))


def _taken(vectors: Features, rows: np.ndarray) -> np.ndarray:
    """(n, n_features) float32: some rows of vectors of any float type, without a copy in that type beside them."""
    taken = np.empty((len(rows), vectors.shape[1]), np.float32)
    for start in range(0, len(rows), AT_ONCE):
        taken[start : start + AT_ONCE] = vectors[rows[start : start + AT_ONCE]]
    return taken


def _of_all_classes(head: Head, present: np.ndarray, n_classes: int) -> Head:
    """The head with rows for classes that have no label yet, which it never predicts."""
    weight = np.zeros((n_classes, head.weight.shape[1]), np.float32)
    bias = np.full(n_classes, -1e9, np.float32)
    weight[present], bias[present] = head.weight, head.bias
    return Head(weight, bias)
