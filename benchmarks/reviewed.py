"""How often the interval of an accuracy with wrong labels taken out holds the truth, by simulation.

    python benchmarks/reviewed.py               # 500 reviews a case: 6 minutes on one core
    python benchmarks/reviewed.py --runs 2000

Draws 400, 1,000 or 2,000 images in 2 or 10 classes, a model that is right on 80, 90 or 98 % of them, and labels of which 5 or
10 % are wrong, in two ways: at random, or two times in three where the model errs alike (people and models confuse the same
pictures). 200 images are reviewed as `plan_review` says. Prints for each case the mean of the naive and of the corrected
accuracy minus the true one, and how often the intervals hold the truth: the one for new images the model's true accuracy, the
one for these images the share that the model got right among them. Writes results/reviewed.json.

Expect 0.93 to 0.98 for new images and a bias below 0.15 points. The interval for these very images holds the truth more often:
always, where all mistakes were reviewed and no agreement hides a wrong label.
"""

import argparse
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.evaluation.review_plan import plan_review
from headstart.evaluation.reviewed import correct_accuracy

RESULTS = Path(__file__).parent / "results"
BUDGET = 200
ALIKE = 2 / 3  # of wrong labels of the second kind, those that are the model's mistake as well, as far as it makes mistakes


@dataclass(frozen=True, slots=True)
class Case:
    """What is simulated."""

    n: int
    n_classes: int
    accuracy: float
    wrong_labels: float
    alike: bool  # whether labels tend to be wrong where the model is, and as it is


def draw(case: Case, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) true classes, predicted ones and labels."""
    truth = rng.integers(case.n_classes, size=case.n)
    predicted, labels = truth.copy(), truth.copy()
    errs = rng.random(case.n) >= case.accuracy
    predicted[errs] = other(truth[errs], case.n_classes, rng)
    if case.alike:
        alike = min(ALIKE * case.wrong_labels, 0.8 * (1 - case.accuracy))  # share of all images
        mistaken = np.where(errs, alike / (1 - case.accuracy), (case.wrong_labels - alike) / case.accuracy)
        wrong = rng.random(case.n) < mistaken
        labels[wrong] = np.where(errs, predicted, other(truth, case.n_classes, rng))[wrong]
    else:
        wrong = rng.random(case.n) < case.wrong_labels
        labels[wrong] = other(truth[wrong], case.n_classes, rng)
    return truth, predicted, labels


def other(classes: np.ndarray, n_classes: int, rng: np.random.Generator) -> np.ndarray:
    """A class for each, drawn from the others."""
    return (classes + rng.integers(1, n_classes, size=len(classes))) % n_classes


def simulate(case: Case, runs: int, seed: int = 0, budget: int = BUDGET) -> dict[str, float]:
    """Bias of both accuracies and coverage of both intervals."""
    rng = np.random.default_rng(seed)
    found = []
    for run in range(runs):
        truth, predicted, labels = draw(case, rng)
        rows = plan_review(predicted, labels, budget=budget, seed=run).rows
        result = correct_accuracy(predicted, labels, rows, truth[rows])
        of_these = float((predicted == truth).mean())
        (low, high), (these_low, these_high) = result.accuracy_ci95, result.of_these_ci95
        found.append(
            (
                result.naive - of_these,
                result.accuracy - of_these,
                low <= case.accuracy <= high,
                these_low <= of_these <= these_high,
                (high - low) / 2,
            )
        )
    names = ("naive_bias", "bias", "coverage_new", "coverage_these", "half_width")
    return dict(zip(names, np.mean(found, axis=0).tolist(), strict=True))


def cases() -> list[Case]:
    """All combinations."""
    values = itertools.product((400, 1000, 2000), (2, 10), (0.8, 0.9, 0.98), (0.05, 0.1), (False, True))
    return [Case(*value) for value in values]


def main() -> None:
    """Prints and writes every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500, help="of each case")
    options = parser.parse_args()
    print("images  classes  accuracy  wrong  alike   naive bias    bias   coverage (new)  (these)  half width")
    rows = []
    for number, case in enumerate(cases()):
        f = simulate(case, options.runs, seed=number)
        rows.append({**{name: getattr(case, name) for name in Case.__slots__}, **f})
        print(
            f"{case.n:6}  {case.n_classes:7}  {case.accuracy:8}  {case.wrong_labels:5}  {case.alike!s:5}   "
            f"{100 * f['naive_bias']:10.2f}  {100 * f['bias']:6.2f}   "
            f"{f['coverage_new']:14.3f}  {f['coverage_these']:7.3f}  {100 * f['half_width']:10.2f}",
            flush=True,
        )
    RESULTS.mkdir(exist_ok=True)
    content = {"runs": options.runs, "budget": BUDGET, "cases": rows}
    (RESULTS / "reviewed.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
