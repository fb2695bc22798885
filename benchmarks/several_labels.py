"""Several labels an image: the probe beside scikit-learn, and whether promised precisions hold on other images.

    python benchmarks/several_labels.py make FOLDER monkeys10 sign_digits    # pictures of 2 to 4 of their pictures side by side
    python benchmarks/several_labels.py compare FOLDER/labels.csv            # six minutes on one core, and the features
    python benchmarks/several_labels.py promise FOLDER/labels.csv

`compare` holds out 30 % of the images for each seed, every label by its share, and prints the macro-averaged average precision
of the probe as `train` fits it, and of scikit-learn's one-vs-rest logistic regression on the same features, standardised: with
its default strength, and with the strength of a few that is best on the very images held out, which nobody can know before.

`promise` fits on half of the images with --target-precision and prints how many of the promised precisions are broken on the
other half, of all labels and seeds; chance breaks some there that hold on all images there are.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from headstart.data.given import open_given
from headstart.data.splits import hold_out
from headstart.evaluation.label_thresholds import ThresholdRule
from headstart.evaluation.precision_recall import average_precision
from headstart.fitting.feature_table import FeatureTable
from headstart.fitting.scanned import Scanned, scan_given
from headstart.model.label_probes import fit_label_probes
from headstart.settings import TrainSettings

SIDE = 320  # px of a picture among others
SEEDS, PROMISE_SEEDS = 3, 20
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
TARGET = 0.8


def main() -> None:
    """Makes, or measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("folder", type=Path)
    making.add_argument("data", nargs="+", type=Path)
    for name in ("compare", "promise"):
        commands.add_parser(name).add_argument("table", type=Path)
    given = parser.parse_args()
    if given.command == "make":
        make(given.folder, given.data)
    else:
        {"compare": compare, "promise": promise}[given.command](scanned(given.table))


def make(folder: Path, data: list[Path]) -> None:
    """Writes the pictures and labels.csv; each picture of the data sets is used once."""
    rng = np.random.default_rng(0)
    files = [sorted(file for file in place.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png")) for place in data]
    left = [[one[i] for i in rng.permutation(len(one))] for one in files]
    folder.mkdir(parents=True)
    with (folder / "labels.csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["path", "labels"])
        for number in range(sum(map(len, left))):
            sets = [int(rng.integers(len(left))) for _ in range(int(rng.choice([2, 2, 3, 4])))]
            parts = [left[i].pop() for i in sets if left[i]]
            if len(parts) < 2:
                break
            whole = Image.new("RGB", (2 * SIDE, SIDE * -(-len(parts) // 2)))
            for place, part in enumerate(parts):
                with Image.open(part) as image:
                    whole.paste(ImageOps.fit(image.convert("RGB"), (SIDE, SIDE)), (SIDE * (place % 2), SIDE * (place // 2)))
            whole.save(folder / f"{number:04}.jpg", quality=90)
            rows.writerow([f"{number:04}.jpg", "|".join(sorted({part.parent.name for part in parts}))])


def scanned(table: Path) -> Scanned:
    """The images with their features."""
    settings = TrainSettings.of(task="multi-label", strategy="probe", view="whole")
    with open_given(table, settings) as sources:
        return scan_given(sources, settings)


def compare(images: Scanned) -> None:
    """Prints a line for each seed."""
    table = images.table()
    for seed in range(SEEDS):
        held = hold_out(table.labels, table.groups, 0.3, seed, table.names)
        rows, test = np.flatnonzero(~held), np.flatnonzero(held)
        own = macro(table, table.fit(rows, seed).head.logits_of(table.vectors, test), test)
        vectors = np.asarray(table.vectors[:])
        scale = StandardScaler().fit(vectors[rows])
        found = {}
        for strength in STRENGTHS:
            other = OneVsRestClassifier(LogisticRegression(C=strength, max_iter=1000))
            other.fit(scale.transform(vectors[rows]), table.labels[rows])
            found[strength] = macro(table, other.decision_function(scale.transform(vectors[test])), test)
        best = max(found, key=found.__getitem__)
        print(
            f"seed {seed}: {len(rows)} + {len(test)} images, {len(table.names)} labels: macro-AP {own:.4f}; scikit-learn "
            f"{found[1.0]:.4f} by default, {found[best]:.4f} at its best C of {best:g}",
            flush=True,
        )


def macro(table: FeatureTable, scores: np.ndarray, rows: np.ndarray) -> float:
    """The mean average precision of the labels."""
    return float(np.mean([average_precision(scores[:, i], table.labels[rows, i] == 1) for i in range(len(table.names))]))


def promise(images: Scanned) -> None:
    """Prints how many promises there were, and how many were broken on the other half."""
    table = images.table().of_last_layer()  # in half of the time
    promised = broken = said_rightly = n_said = 0
    for seed in range(PROMISE_SEEDS):
        held = hold_out(table.labels, table.groups, 0.5, seed, table.names)
        rows, test = np.flatnonzero(~held), np.flatnonzero(held)
        probes = fit_label_probes(
            table.vectors,
            table.labels[rows],
            table.groups[rows],
            table.names,
            ThresholdRule("precision", TARGET),
            rows=rows,
            seed=seed,
        )
        answers = table.deciding_as(probes).task.decide(table.task.probabilities(probes.head.logits_of(table.vectors, test)))
        for i, one in enumerate(probes.thresholds):
            if one.promised and answers[:, i].any():
                right = table.labels[test[answers[:, i]], i] == 1
                promised, broken = promised + 1, broken + (right.mean() < TARGET)
                said_rightly, n_said = said_rightly + int(right.sum()), n_said + len(right)
        print(
            f"after seed {seed}: {promised} promises of a precision of {TARGET}, {broken} broken on the other half; "
            f"{said_rightly / max(n_said, 1):.3f} of {n_said} labels said are right",
            flush=True,
        )


if __name__ == "__main__":
    main()
