"""What a probe of few labels gains if its features are standardised steadily: accuracy and log loss by number of labels.

    python benchmarks/few_labels.py hymenoptera_data monkeys10 elpv sign_digits    # ten minutes on one core, and the features

For each seed 30 % of the groups are held out, and of the others so many labels are drawn at random. A probe as `train` fits it
is compared, on the images held out, with one whose features have the standard deviation of the labelled images alone. Prints
both accuracies and log losses, and the mean difference of the accuracies in points with its standard error.

Expect 4 to 9 points more with 20 labels (1.6 for ants and bees, 2 less for solar cells, at a lower log loss), up to 4 more with
40, and nothing with all images. With labels that the studio's queue asked for it is more: one image in which a feature is far
off that hardly varied among the forty decides alone (python benchmarks/studio.py few).
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from feature_sets import HELD_OUT, Images, read

from headstart.model import probe
from headstart.model.softmax_regression import standardise
from headstart.tasks.probabilities import softmax

NUMBERS = {10: 20, 20: 20, 40: 20, 80: 12, 160: 8, None: 8}  # labels (None: all) -> seeds
LEAST = 1e-6  # probability of a class, for the log loss: some have no label


def main() -> None:
    """Fits and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="as for labelling.py")
    for data in parser.parse_args().data:
        images = read(data, "quick")
        for n, seeds in NUMBERS.items():
            if n is None or n >= 2 * images.n_classes:
                compare(images, n, seeds)


def compare(images: Images, n: int | None, n_seeds: int) -> None:
    """Prints a line."""
    found = np.zeros((2, n_seeds, 2))
    for seed in range(n_seeds):
        rng = np.random.default_rng(seed)
        groups = rng.permutation(np.unique(images.groups))
        held = np.isin(images.groups, groups[: int(HELD_OUT * len(groups))])
        rows, test = np.sort(rng.permutation(np.flatnonzero(~held))[:n]), np.flatnonzero(held)
        found[1, seed] = measured(images, rows, test)
        with unsteady():
            found[0, seed] = measured(images, rows, test)
    (before, loss_before), (accuracy, loss) = found.mean(axis=1)
    gains = 100 * (found[1, :, 0] - found[0, :, 0])
    print(
        f"{images.name} {'all' if n is None else n:>4} labels: {100 * before:.1f} -> {100 * accuracy:.1f} "
        f"({gains.mean():+.2f}, standard error {gains.std(ddof=1) / np.sqrt(n_seeds):.2f}), "
        f"least {100 * found[0, :, 0].min():.1f} -> {100 * found[1, :, 0].min():.1f}, log loss {loss_before:.3f} -> {loss:.3f}",
        flush=True,
    )


def measured(images: Images, rows: np.ndarray, test: np.ndarray) -> tuple[float, float]:
    """Accuracy and log loss of a probe of some labels on other images."""
    present, labels = np.unique(images.labels[rows], return_inverse=True)
    groups, stages = images.groups[rows], images.n_stage_features
    fitted = probe.fit_probe(images.vectors, labels, groups, len(present), rows=rows, n_stage_features=stages)
    probabilities = np.zeros((len(test), images.n_classes))
    probabilities[:, present] = softmax(fitted.head.logits(images.vectors[test]))
    labels = images.labels[test]
    losses = -np.log(np.maximum(probabilities[np.arange(len(test)), labels], LEAST))
    return float((probabilities.argmax(axis=1) == labels).mean()), float(losses.mean())


@contextmanager
def unsteady() -> Iterator[None]:
    """While it is open, features are standardised by the labelled images alone."""

    def by_themselves(*arguments: Any, **options: Any) -> Any:
        return standardise(*arguments, **options | {"steady": False})

    probe.standardise = by_themselves
    try:
        yield
    finally:
        probe.standardise = standardise


if __name__ == "__main__":
    main()
