"""How often the 95 % intervals hold the truth, by simulation: of an accuracy whose images come in groups, and of --cv.

    python benchmarks/coverage.py accuracy              # 4 minutes on one core
    python benchmarks/coverage.py accuracy --few        # the same with 2 to 7 groups, where the words are "too few groups"
    python benchmarks/coverage.py cv sign_digits elpv   # 4 minutes and the features of both

`accuracy` draws right and wrong answers in 8, 12, 30 and 60 groups, all of 10 images, of 1 to 30, or one of 100 and the others
of 10; at true accuracies of 0.7, 0.9 and 0.97 and correlations within groups of 0.2, 0.5 and 0.9. There are many ways to be
alike, and an interval cannot know which one it is up against, so four are drawn:

- beta: each group has an accuracy of its own, drawn from a beta distribution (the beta-binomial);
- threshold: an image is right if the sum of a normal number of its group and one of its own is below a threshold;
- whole: a group is right or wrong as a whole with this probability, otherwise its images are unrelated;
- copies: each image repeats the answer of its group with the square root of this probability, otherwise it is unrelated.

It prints a line for each number, kind and size of groups, and writes results/coverage-<groups>.json.
Expect (4,000 draws): nothing below 0.93; 0.94 to 0.99 for even and for uneven groups; 0.94 to 1.00 beside a dominant group,
highest at an accuracy of 0.7. The table is in docs/trust.md. With 2 to 7 groups: 0.90 to 1.00.

`cv` draws 40 subsamples of a real data set, cross-validates a probe on each in 5 folds, twice (--cv 5x2), and compares the
interval with the accuracy on all other images of the probe that is fitted on the whole subsample. Expect 36 or more of 40.
"""

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

from headstart.data.given import open_given
from headstart.evaluation.intervals import share_interval
from headstart.fitting.feature_table import FeatureTable
from headstart.fitting.repeated_fits import cross_validate_repeatedly
from headstart.fitting.scanned import scan_given
from headstart.progress import silent
from headstart.settings import TrainSettings

RESULTS = Path(__file__).parent / "results"
NUMBERS, FEW = (8, 12, 30, 60), (2, 3, 5, 7)
SIZES = ("even", "1 to 30", "one of 100")
ACCURACIES = (0.7, 0.9, 0.97)
CORRELATIONS = (0.2, 0.5, 0.9)
KINDS = ("beta", "threshold", "whole", "copies")
SUBSAMPLES = 40


def main() -> None:
    """Measures what the command names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    accuracy = commands.add_parser("accuracy")
    accuracy.add_argument("--draws", type=int, default=4000, help="of each case")
    accuracy.add_argument("--few", action="store_true", help="2 to 7 groups")
    cv = commands.add_parser("cv")
    cv.add_argument("data", nargs="+", help="data sets: folders, or names of the catalog")
    cv.add_argument("--images", nargs="*", type=int, default=[150, 300], help="in a subsample")
    options = parser.parse_args()
    if options.what == "cv":
        for data, n_images in itertools.product(options.data, options.images):
            tell_of_folds(data, n_images)
    else:
        measure_accuracy(FEW if options.few else NUMBERS, options.draws)


def measure_accuracy(numbers: Sequence[int], draws: int) -> None:
    """Prints and writes the coverage of every case."""
    print(f"{'sizes':<11} groups  right  " + "  ".join(f"{kind:^17}" for kind in KINDS))
    print(" " * 26 + "  ".join("  ".join(f"{c:5}" for c in CORRELATIONS) for _ in KINDS))
    rows = []
    for sizes, n_groups, accuracy in itertools.product(SIZES, numbers, ACCURACIES):
        found = {
            kind: [coverage(sizes, n_groups, accuracy, kind, c, draws, seed=i) for i, c in enumerate(CORRELATIONS)]
            for kind in KINDS
        }
        rows.append({"sizes": sizes, "groups": n_groups, "accuracy": accuracy, "coverage": found})
        shown = "  ".join("  ".join(f"{share:.3f}" for share in found[kind]) for kind in KINDS)
        print(f"{sizes:<11} {n_groups:6}  {accuracy:5}  {shown}", flush=True)
    for kind in KINDS:
        shares = np.array([row["coverage"][kind] for row in rows])
        print(
            f"{kind:<10} {shares.min():.3f} to {shares.max():.3f}, {(shares < 0.93).sum()} below 0.93 and "
            f"{(shares > 0.98).sum()} above 0.98 of {shares.size}"
        )
    (RESULTS / f"coverage-{min(numbers)}-to-{max(numbers)}.json").write_text(
        json.dumps(rows, indent=1) + "\n", encoding="utf-8"
    )


def coverage(sizes: str, n_groups: int, accuracy: float, kind: str, correlation: float, draws: int, seed: int = 0) -> float:
    """The share of `draws` whose interval holds the true accuracy."""
    rng = np.random.default_rng([seed, n_groups, round(100 * accuracy)])
    held = 0
    for _ in range(draws):
        right, groups = grouped_answers(sizes_of(sizes, n_groups, rng), accuracy, kind, correlation, rng)
        low, high = share_interval(right, groups)
        held += low <= accuracy <= high
    return held / draws


def sizes_of(sizes: str, n_groups: int, rng: np.random.Generator) -> np.ndarray:
    """(n_groups,) the number of images in each group."""
    if sizes == "1 to 30":
        return rng.integers(1, 31, n_groups)
    of_each = np.full(n_groups, 10)
    of_each[0] = 100 if sizes == "one of 100" else 10
    return of_each


def grouped_answers(
    sizes: np.ndarray, accuracy: float, kind: str, correlation: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool whether each image is right, and (n,) the group it is of."""
    n_groups, groups = len(sizes), np.repeat(np.arange(len(sizes)), sizes)
    if kind == "beta":
        spread = (1 - correlation) / correlation
        of_group = rng.beta(accuracy * spread, (1 - accuracy) * spread, n_groups)
    elif kind == "threshold":
        shared = np.sqrt(correlation) * rng.normal(size=n_groups)
        of_group = ndtr((ndtri(accuracy) - shared) / np.sqrt(1 - correlation))
    else:
        whole = rng.random(n_groups) < accuracy
        if kind == "whole":
            of_group = np.where(rng.random(n_groups) < correlation, whole, accuracy)
        else:
            of_group = np.sqrt(correlation) * whole + (1 - np.sqrt(correlation)) * accuracy
    return rng.random(len(groups)) < of_group[groups], groups


def tell_of_folds(data: str, n_images: int) -> None:
    """Prints how often the interval of --cv 5x2 holds the accuracy on the images outside of the subsample."""
    settings = TrainSettings(strategy="probe")
    with open_given(data, settings, silent) as sources:
        table = scan_given(sources, settings, silent).table()
    intervals, truths, means = [], [], []
    for seed in range(SUBSAMPLES):
        rows = np.sort(np.random.default_rng([seed, n_images]).choice(len(table.labels), n_images, replace=False))
        interval, mean, truth = _subsample(table, rows, seed)
        intervals.append(interval)
        means.append(mean)
        truths.append(truth)
    low, high = np.array(intervals).T
    for name, truth in (("that probe's", np.array(truths)), ("the mean", np.full(SUBSAMPLES, np.mean(truths)))):
        held = (low <= truth) & (truth <= high)
        print(f"{Path(data).name} {n_images} images: {name} accuracy is held {held.sum()} times in {SUBSAMPLES}")
    print(f"  estimates {np.mean(means):.4f}, truth {np.mean(truths):.4f}, mean width {(high - low).mean():.3f}", flush=True)


def _subsample(table: FeatureTable, rows: np.ndarray, seed: int) -> tuple[tuple[float, float], float, float]:
    """The interval and the mean of --cv 5x2 on `rows`, and the accuracy of a probe fitted on them on all unrelated images."""
    others = np.flatnonzero(~np.isin(table.groups, table.groups[rows]))
    summary = cross_validate_repeatedly(table, rows, 5, 2, seed, silent).summary
    answers = table.fit(rows, seed).head.logits(table.vectors[others]).argmax(axis=1)
    return summary.accuracy_ci95, summary.accuracy, float((answers == table.labels[others]).mean())


if __name__ == "__main__":
    main()
