"""Numbers as labels: the defect probability of the solar cells, its errors and the coverage of its 90 % intervals.

    python benchmarks/regression.py            # elpv-dataset; two minutes on two cores, and the features

20 times, 30 % of the groups (cells that show the same picture stay together) are drawn for testing, and a ridge regression is
fitted to the others as `train` does. Prints for each draw the mean absolute error on the test images, that of always answering
the mean and the median of the training images, R2, and the coverage and the mean width of three kinds of intervals, all from
what fits without an image's group say of it:

    as wide as usual    around each answer as wide as residuals around such answers are (the one that headstart gives)
    all as wide         one width for all
    largest of a group  one width for all, only the largest residual of each group counts

and the coverage of the first kind among the smaller and the larger half of the answers.

Expect a mean absolute error of 0.226 (mean 0.390, median 0.336), an R2 of 0.53, and a coverage of 90.4 % (deviation 1.2)
at a mean width of 0.76: 91.6 % of the smaller answers and 89.1 % of the larger ones. One width covers 90.1 % at 1.04, the
largest of a group 90.5 % at 1.06.
"""

import argparse
from pathlib import Path

import numpy as np
from feature_sets import HELD_OUT, Images, read

from headstart.data.given import open_given
from headstart.evaluation.number_intervals import NumberIntervals, intervals_kept, number_intervals
from headstart.evaluation.number_metrics import NumbersSeen, number_metrics
from headstart.evaluation.thresholds import conformal_threshold
from headstart.model.ridge import fit_ridge, numbers_of
from headstart.settings import TrainSettings

COVERAGE, SPLITS = 0.9, 20


def main() -> None:
    """Fits and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    images, numbers = read("elpv", "quick"), defect_probabilities()
    assert len(numbers) == len(images.vectors)  # every image is readable
    names = ["MAE", "mean", "median", "R2", "covered", "width", "of_small", "of_large"]
    names += ["one_width", "width", "largest", "width"]
    print("draw " + " ".join(f"{name:>9}" for name in names))
    found = []
    for seed in range(SPLITS):
        found.append(measured(images, numbers, seed))
        print(f"{seed:4} " + " ".join(f"{value:9.3f}" for value in found[-1]), flush=True)
    for name, values in (("mean", np.mean(found, axis=0)), ("sd", np.std(found, axis=0, ddof=1))):
        print(f"{name:4} " + " ".join(f"{value:9.3f}" for value in values))


def defect_probabilities() -> np.ndarray:
    """(n,) float64, in the order of the data set's images."""
    import elpv_dataset

    folder = Path(elpv_dataset.__file__).parent / "data"
    lines = [line.split() for line in (folder / "labels.csv").read_text(encoding="utf-8").splitlines()]
    of_file = {str(folder / name): float(probability) for name, probability, _ in lines}
    with open_given("elpv", TrainSettings.of(effort="quick")) as sources:
        return np.array([of_file[one.path] for source in sources for one in source.candidates])


def measured(images: Images, numbers: np.ndarray, seed: int) -> list[float]:
    """What is printed of a draw."""
    groups = np.random.default_rng(seed).permutation(np.unique(images.groups))
    held = np.isin(images.groups, groups[: int(HELD_OUT * len(groups))])
    rows, test = np.flatnonzero(~held), np.flatnonzero(held)
    ridge = fit_ridge(images.vectors, numbers[rows], images.groups[rows], rows=rows, n_stage_features=images.n_stage_features)
    assert ridge.held_out is not None
    left_out = ridge.held_out
    answers, truth, of_test = numbers_of(ridge.head, images.vectors, test), numbers[test], images.groups[test]
    metrics = number_metrics(answers, truth, NumbersSeen.of(numbers[rows]), of_test)
    intervals = number_intervals(left_out, numbers[rows], COVERAGE, images.groups[rows])
    assert intervals is not None and metrics.r2 is not None
    kept = intervals_kept(intervals.around(answers), truth, of_test)
    small = answers < np.median(answers)
    halves = [intervals_kept(intervals.around(answers[part]), truth[part]).coverage for part in (small, ~small)]
    found = [metrics.mean_absolute_error, metrics.mean_guess_error, metrics.median_guess_error, metrics.r2]
    found += [kept.coverage, kept.mean_width, *halves]
    residuals = np.abs(left_out - numbers[rows])
    for half in (of_one_width(residuals, images.groups[rows]), of_largest(residuals, images.groups[rows])):
        found += [float((np.abs(answers - truth) <= half).mean()), 2 * half]
    return found


def of_one_width(residuals: np.ndarray, groups: np.ndarray) -> float:
    """The half width if it is the same around all answers; answers that are all 0 have only one place."""
    intervals: NumberIntervals | None = number_intervals(np.zeros(len(residuals)), residuals, COVERAGE, groups)
    assert intervals is not None
    return intervals.half_widths[0]


def of_largest(residuals: np.ndarray, groups: np.ndarray) -> float:
    """The half width if only the largest residual of a group counts, as the least probable true label does for sets."""
    scores = 1 - residuals / 10  # between 0 and 1
    found = conformal_threshold(np.stack([scores, 1 - scores], axis=1), np.zeros(len(scores), int), COVERAGE, groups)
    return 10 * (1 - found.min_probability)


if __name__ == "__main__":
    main()
