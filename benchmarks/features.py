"""What of each picture the probe should see: the table by which the defaults were chosen, on any data sets.

    python benchmarks/features.py photos elpv hymenoptera                 # 10 minutes on two cores, mostly features
    python benchmarks/features.py DATA ... --size 224 --size 288          # other sizes beside them

A column is a data set: accuracy and log loss of a probe, the strength of its penalty chosen inside train. If the data come with
a val split, it is measured there, otherwise by 5-fold cross-validation with near-duplicates and groups kept together. A row is
a way to see the images; `passes` is the cost, relative to one pass at the backbone's own size. The first row is what headstart
did before it had stages and views. The last rows are what `--effort normal` and `thorough` choose: the choice looks at some 300
images of train, as in a run. `mean` is the mean accuracy over the sets.

Features are computed once and kept in the store. Writes results/features.json.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.data.given import open_given
from headstart.data.sources import Skipped, Sources
from headstart.fitting.scanned import Scanned, scan_given
from headstart.fitting.view_choice import choose_views
from headstart.model.extractor import mean_of_views
from headstart.model.feature_store import FeatureStore
from headstart.model.features import scan_rows
from headstart.model.pretrained import open_backbone
from headstart.model.probe import cross_validate, fit_probe
from headstart.progress import silent
from headstart.settings import TrainSettings
from headstart.tasks.probabilities import cross_entropies, softmax

RESULTS = Path(__file__).parent / "results"
EVERY = "crop+whole+mirrored"
# (name, parts of EVERY, whether the stages are used)
ROWS: tuple[tuple[str, tuple[int, ...], bool], ...] = (
    ("crop, last layer alone", (0,), False),
    ("whole, last layer alone", (2,), False),
    ("crop", (0,), True),
    ("whole", (2,), True),
    ("crop+mirrored", (0, 1), True),
    ("whole+mirrored", (2, 3), True),
    ("crop+whole", (0, 2), True),
    ("crop+whole+mirrored", (0, 1, 2, 3), True),
)
VIEWS = {name: parts for name, parts, stages in ROWS if stages}
EFFORTS = ("normal", "thorough")


@dataclass(frozen=True)
class Result:
    """A row of the table for one data set."""

    name: str
    passes: float
    accuracy: float
    log_loss: float


@dataclass(frozen=True)
class Seen:
    """A data set with the features of every view."""

    scanned: Scanned
    views: np.ndarray  # (n_images, 4, n_features) float32: crop, its mirror image, whole, its mirror image
    n_last: int

    def vectors(self, parts: Sequence[int], *, stages: bool) -> np.ndarray:
        """(n_images, n_features) float32: the mean of some views."""
        found = mean_of_views(self.views[:, list(parts)])
        return found if stages else found[:, : self.n_last]


def main() -> None:
    """Prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="data sets: folders, tables, archives, or names of the catalog")
    parser.add_argument("--size", type=int, action="append", help="side of the input in pixels; default: the backbone's own")
    parser.add_argument("--backbone", default=TrainSettings().backbone)
    options = parser.parse_args()
    results = {}
    for data in options.data:
        results[Path(data).name] = found = list(measure(data, options.backbone, options.size or [None]))
        for row in found:
            print(f"{Path(data).name:<20} {row.name:<28} {row.passes:4.1f} {row.accuracy:.4f} {row.log_loss:.4f}", flush=True)
    print_table(results)
    RESULTS.mkdir(exist_ok=True)
    rows = {data: [vars(row) for row in found] for data, found in results.items()}
    (RESULTS / "features.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measure(data: str, backbone: str, sizes: Sequence[int | None]) -> Iterator[Result]:
    """The rows of one data set."""
    for size in sizes:
        settings = TrainSettings(strategy="probe", backbone=backbone, image_size=size)
        with open_given(data, settings, silent) as sources:
            seen = _seen(sources, settings)
            own = open_backbone(TrainSettings(backbone=backbone), silent).preprocess.size_px
            cost = ((size or own) / own) ** 2
            for name, parts, stages in ROWS:
                label = name if size is None else f"{name}, {size} px"
                yield Result(label, cost * len(parts), *_measured(seen, seen.vectors(parts, stages=stages)))
            if size is None:
                for effort in EFFORTS:
                    wanted = settings.model_copy(update={"effort": effort})
                    chosen = choose_views(open_backbone(wanted, silent), sources, wanted, silent).choice.view
                    parts = VIEWS[chosen]
                    vectors = seen.vectors(parts, stages=True)
                    yield Result(f"--effort {effort}: {chosen}", len(parts), *_measured(seen, vectors))


def _seen(sources: Sequence[Sources], settings: TrainSettings) -> Seen:
    scanned = scan_given(sources, settings.model_copy(update={"view": EVERY}), silent)
    frozen = scanned.backbone.frozen
    assert frozen is not None
    rows = (
        row
        for source in sources
        for row in scan_rows(source.candidates, scanned.backbone.preprocess, frozen.extractor, store=FeatureStore())
        if not isinstance(row, Skipped)
    )
    return Seen(scanned, np.stack([row.vectors for row in rows]), frozen.n_last)


def _measured(seen: Seen, vectors: np.ndarray) -> tuple[float, float]:
    """Accuracy and log loss on val, or by cross-validation."""
    dataset, groups = seen.scanned.dataset, seen.scanned.groups
    labels, n_classes = dataset.labels, len(dataset.classes)
    train, val = dataset.indices_of("train"), dataset.indices_of("val")
    if val.size:
        head = fit_probe(vectors[train], labels[train], groups[train], n_classes).head
        probabilities, truth = softmax(head.logits(vectors[val])), labels[val]
    else:
        found = cross_validate(vectors, labels, groups, n_classes)
        probabilities, truth = found.probabilities, labels[found.held]
    losses = cross_entropies(np.log(np.maximum(probabilities, 1e-12)), truth)
    return float((probabilities.argmax(axis=1) == truth).mean()), float(losses.mean())


def print_table(results: dict[str, list[Result]]) -> None:
    """One line for each way, one column for each data set."""
    name_of: Callable[[Result], str] = lambda row: row.name.split(":")[0]  # noqa: E731 - without what was chosen
    names = list(dict.fromkeys(name_of(row) for rows in results.values() for row in rows))
    print(f"\n{'':<28} passes   mean  " + "  ".join(f"{data[:16]:>16}" for data in results))
    for name in names:
        rows = [next(row for row in found if name_of(row) == name) for found in results.values()]
        shown = "  ".join(f"{row.accuracy:8.4f}/{row.log_loss:6.4f} " for row in rows)
        passes = f"{np.mean([row.passes for row in rows]):6.1f}"
        print(f"{name:<28} {passes} {np.mean([row.accuracy for row in rows]):.4f}  {shown}")


if __name__ == "__main__":
    main()
