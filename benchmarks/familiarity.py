"""Measures how unfamiliar images are told from familiar ones: which distance does it best, and how many false alarms there are.

    python benchmarks/familiarity.py hymenoptera_data sign_digits elpv monkeys10   # 20 minutes on two cores
    python benchmarks/familiarity.py a.npz b.npz --columns 1280 80 112 192 320 --only alarms          # 1 minute

A data set is a folder, a name of the catalog, or an .npz file with the arrays vectors, labels, groups (numbers) and split
(train, val or nothing), for features from elsewhere. `--columns` are the numbers of
features of the last layer and of each stage, if there are stages. Three measurements:

- far: a model of one set, the images of each other set: AUROC against its own val images (a fifth, if the set has no val);
- near: a model of all classes but one, the images of the class left out, for each class in turn: the mean AUROC;
- alarms: the share of familiar images that are called unfamiliar at the stated 1 %. On the given val, in five folds, and on
  what is left of a set when 50 to 2,000 images were drawn to train on (groups whole): mean, standard deviation, and how often
  it is within 0.3 to 2 %. Thresholds: the quantile, the conformal quantile (the ceil(0.99 (n + 1))-th distance), headstart's
  fitted tail, and headstart's as a whole.

Distances, on features of the last layer, of all together, or of last layer and stages at the same length each: the mean
cosine distance to 1, 5 or 10 neighbours (Sun et al. 2022), also on standardised features; Mahalanobis distance to the nearest
class mean on features of length 1 (Mueller and Hein 2025), the covariance shrunk by 0.1 or 0.7 towards a multiple of the
identity, and relative to that of all classes (Ren et al. 2021); headstart's own; and its sum with -log of the probe's largest
probability.

Expect: far 0.98 or more in the last layer; the highest mean of near with neighbours there; 0.3 to 2 % of false alarms in most
draws of 500 images or more. The tables are in docs/trust.md. Prints a line for each and writes results/familiarity.json.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import log_softmax
from scipy.stats import rankdata

from headstart.data.given import open_given
from headstart.data.splits import folds
from headstart.fitting.scanned import scan_given
from headstart.model.familiarity import FALSE_ALARMS, Familiarity, exceeded_by, familiarity_of
from headstart.model.probe import fit_probe
from headstart.progress import silent
from headstart.settings import TrainSettings

RESULTS = Path(__file__).parent / "results"
SIZES = (50, 120, 250, 500, 1000, 2000)
WITHIN = (0.003, 0.02)  # where the share of false alarms should be

Distance = Callable[[np.ndarray], np.ndarray]  # (n, n_features) vectors -> (n,) the larger, the less familiar
Fit = Callable[["Images"], Distance]


@dataclass(frozen=True, slots=True)
class Images:
    """Images by their features."""

    name: str
    vectors: np.ndarray  # (n, n_features) float32
    labels: np.ndarray  # (n,) int64
    groups: np.ndarray  # (n,) int64
    split: np.ndarray  # (n,) text: train, val or nothing

    def part(self, rows: np.ndarray) -> "Images":
        """Some of them."""
        return Images(self.name, self.vectors[rows], self.labels[rows], self.groups[rows], self.split[rows])

    def halves(self) -> tuple["Images", "Images"]:
        """Train and val, as they came or made."""
        if (self.split == "val").any():
            return self.part(self.split == "train"), self.part(self.split == "val")
        fit, held = next(iter(folds(self.labels, self.groups, 5, 0)))
        return self.part(fit), self.part(held)


def main() -> None:
    """Measures what --only names, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="data sets: folders, names of the catalog, or .npz files")
    parser.add_argument("--columns", nargs="*", type=int, help="features of the last layer and of each stage")
    parser.add_argument("--only", nargs="*", choices=["far", "near", "alarms"], default=["far", "near", "alarms"])
    parser.add_argument("--draws", type=int, default=40, help="of train, for each size (alarms)")
    options = parser.parse_args()
    sets = [images_of(name) for name in options.data]
    columns = options.columns or [sets[0].vectors.shape[1]]
    results: dict[str, object] = {}
    if {"far", "near"} & set(options.only):
        for name, fit in candidates(columns).items():
            row = {"far": far(fit, sets) if "far" in options.only else {}}
            row["near"] = {one.name: near(fit, one) for one in sets} if "near" in options.only else {}
            results[name] = row
            print(f"{name:28}", *(f"{kind} {of} {value:.4f} " for kind in row for of, value in row[kind].items()), flush=True)
    if "alarms" in options.only:
        results["alarms"] = {one.name: list(alarms(one, columns[0], options.draws)) for one in sets}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "familiarity.json").write_text(json.dumps(results, indent=1) + "\n")


def images_of(name: str) -> Images:
    """The features of a data set, computed by headstart or read from an .npz file."""
    if name.endswith(".npz"):
        with np.load(name) as found:
            return Images(Path(name).stem, *(found[key] for key in ("vectors", "labels", "groups", "split")))
    settings = TrainSettings()
    with open_given(name, settings, silent) as sources:
        scanned = scan_given(sources, settings)
    dataset = scanned.dataset
    split = np.array([image.split or "" for image in dataset.images])
    return Images(dataset.name, scanned.vectors, dataset.labels, scanned.groups, split)


def candidates(columns: Sequence[int]) -> dict[str, Fit]:
    """Name -> a way to tell how unfamiliar an image is."""
    n_last = columns[0]
    edges = np.cumsum([0, *columns])
    parts = [slice(*pair) for pair in pairwise(edges.tolist())]
    features: dict[str, Distance] = {"last": lambda vectors: unit(vectors[:, :n_last])}
    if len(parts) > 1:
        features["all"] = unit
        features["last+stages"] = lambda vectors: unit(np.hstack([unit(vectors[:, :n_last]), unit(vectors[:, n_last:])]))
        features["each part"] = lambda vectors: unit(np.hstack([unit(vectors[:, part]) for part in parts]))
    found: dict[str, Fit] = {"headstart": headstart(n_last)}
    for name, feature in features.items():
        for k in (1, 5, 10):
            found[f"{k} neighbours, {name}"] = neighbours(feature, k)
        for shrinkage in (0.1, 0.7):
            found[f"Mahalanobis {shrinkage}, {name}"] = mahalanobis(feature, shrinkage)
        found[f"relative Mahalanobis, {name}"] = relative_mahalanobis(feature, 0.1)
    found["5 neighbours, standardised"] = standardised
    found["headstart - log probability"] = with_probability(n_last)
    return found


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def headstart(n_last: int) -> Fit:
    """What a probe's bundle does."""
    return lambda train: of_headstart(train, n_last).distances


def of_headstart(train: Images, n_last: int) -> Familiarity:
    """The familiarity of a probe trained on these images."""
    return familiarity_of(train.vectors, train.labels, train.groups, n_last=n_last)


def neighbours(feature: Distance, k: int) -> Fit:
    """One minus the mean cosine to the nearest training images."""

    def fit(train: Images) -> Distance:
        references = feature(train.vectors)
        return lambda vectors: nearest_mean(1 - feature(vectors) @ references.T, k)

    return fit


def standardised(train: Images) -> Distance:
    """Five neighbours, each feature with mean 0 and deviation 1 among the training images."""
    mean, deviation = train.vectors.mean(axis=0), train.vectors.std(axis=0)
    deviation = np.maximum(deviation, 1e-3 * deviation.mean())
    return neighbours(lambda vectors: unit((vectors - mean) / deviation), 5)(train)


def nearest_mean(distances: np.ndarray, k: int = 5) -> np.ndarray:
    """(n,) the mean of each row's k smallest."""
    k = min(k, distances.shape[1])
    return np.partition(distances, k - 1, axis=1)[:, :k].mean(axis=1)


def mahalanobis(feature: Distance, shrinkage: float) -> Fit:
    """The squared distance to the nearest class mean, by the covariance within classes."""

    def fit(train: Images) -> Distance:
        vectors = feature(train.vectors)
        classes, of_image = np.unique(train.labels, return_inverse=True)
        means = np.stack([vectors[train.labels == label].mean(axis=0) for label in classes])
        whitening = whitening_of(vectors - means[of_image], shrinkage)
        centres = means @ whitening

        def distance(new: np.ndarray) -> np.ndarray:
            white = feature(new) @ whitening
            return ((white**2).sum(axis=1)[:, None] - 2 * white @ centres.T + (centres**2).sum(axis=1)).min(axis=1)

        return distance

    return fit


def relative_mahalanobis(feature: Distance, shrinkage: float) -> Fit:
    """The same less the squared distance to the mean of all."""

    def fit(train: Images) -> Distance:
        within = mahalanobis(feature, shrinkage)(train)
        one_class = Images(train.name, train.vectors, np.zeros_like(train.labels), train.groups, train.split)
        overall = mahalanobis(feature, shrinkage)(one_class)
        return lambda vectors: within(vectors) - overall(vectors)

    return fit


def whitening_of(residuals: np.ndarray, shrinkage: float) -> np.ndarray:
    """A matrix W with W W' = inverse of the shrunk covariance."""
    n, size = residuals.shape
    covariance = (1 - shrinkage) * (residuals.T @ residuals) / n
    covariance.flat[:: size + 1] += shrinkage * float((residuals**2).sum()) / n / size
    lower = cholesky(covariance, lower=True)
    return np.asarray(solve_triangular(lower, np.eye(size, dtype=covariance.dtype), lower=True).T)


def with_probability(n_last: int) -> Fit:
    """Headstart's distance, as standard deviations of its logarithm among train, plus -log of the largest probability."""

    def fit(train: Images) -> Distance:
        distance = of_headstart(train, n_last).distances
        classes, labels = np.unique(train.labels, return_inverse=True)
        own = np.log(own_distances(train, n_last) + 1e-6)
        if len(classes) < 2:
            return distance
        head = fit_probe(train.vectors, labels, train.groups, len(classes)).head

        def both(vectors: np.ndarray) -> np.ndarray:
            doubt = -log_softmax(head.logits(vectors), axis=1).max(axis=1)
            return np.asarray((np.log(distance(vectors) + 1e-6) - own.mean()) / own.std() + doubt)

        return both

    return fit


def own_distances(train: Images, n_last: int) -> np.ndarray:
    """(n,) of each training image to the five nearest of other groups."""
    directions = unit(train.vectors[:, :n_last])
    distances = 1 - directions @ directions.T
    distances[train.groups[:, None] == train.groups[None]] = 2
    return nearest_mean(distances)


def far(fit: Fit, sets: Sequence[Images]) -> dict[str, float]:
    """Set > other set -> AUROC of the other set's images against the first one's val images."""
    found = {}
    for one in sets:
        train, val = one.halves()
        distance = fit(train)
        familiar = distance(val.vectors)
        for other in sets:
            if other is not one:
                found[f"{one.name} > {other.name}"] = auroc(distance(other.vectors), familiar)
    return found


def near(fit: Fit, images: Images) -> float:
    """The mean AUROC over the classes, each left out in turn."""
    train, val = images.halves()
    found = []
    for label in np.unique(images.labels):
        distance = fit(train.part(train.labels != label))
        familiar = distance(val.vectors[val.labels != label])
        found.append(auroc(distance(images.vectors[images.labels == label]), familiar))
    return float(np.mean(found))


def auroc(unfamiliar: np.ndarray, familiar: np.ndarray) -> float:
    """The chance that an unfamiliar image is farther than a familiar one."""
    n, m = len(unfamiliar), len(familiar)
    return float((rankdata(np.concatenate([unfamiliar, familiar]))[:n].sum() - n * (n + 1) / 2) / (n * m))


def alarms(images: Images, n_last: int, draws: int) -> Iterator[dict[str, object]]:
    """The shares of false alarms on the given val, in folds and on redrawn ones, printed and yielded."""
    train, val = images.halves()
    for name, share in false_alarms(train, val, n_last).items():
        print(f"alarms {images.name:16} val of {len(val.labels):5}: {name:10} {share:.2%}", flush=True)
        yield {"threshold": name, "trained_on": len(train.labels), "val": len(val.labels), "share": share}
    for seed in range(3):
        parts = [(images.part(fit), images.part(held)) for fit, held in folds(images.labels, images.groups, 5, seed)]
        share = sum(false_alarms(*part, n_last)["headstart"] * len(part[1].labels) for part in parts) / len(images.labels)
        print(f"alarms {images.name:16} five folds, seed {seed}: headstart  {share:.2%}", flush=True)
        yield {"threshold": "headstart", "folds": 5, "seed": seed, "share": share}
    rng = np.random.default_rng(0)
    groups = np.unique(images.groups)
    for size in (size for size in SIZES if size <= 0.8 * len(images.labels)):
        found: dict[str, list[float]] = {}
        for _ in range(draws):
            drawn = rng.permutation(groups)[: round(len(groups) * size / len(images.labels))]
            is_train = np.isin(images.groups, drawn)
            for name, share in false_alarms(images.part(is_train), images.part(~is_train), n_last).items():
                found.setdefault(name, []).append(share)
        for name, shares in found.items():
            within = float(np.mean([WITHIN[0] <= share <= WITHIN[1] for share in shares]))
            mean, spread = float(np.mean(shares)), float(np.std(shares))
            print(
                f"alarms {images.name:16} drawn {size:5}: {name:10} {mean:.2%} ± {spread:.2%}, within {within:.0%}", flush=True
            )
            yield {"threshold": name, "trained_on": size, "mean": mean, "deviation": spread, "within": within}


def false_alarms(train: Images, new: Images, n_last: int) -> dict[str, float]:
    """Threshold -> share of new images above it."""
    own, new_distances = (
        own_distances(train, n_last),
        neighbours(lambda vectors: unit(vectors[:, :n_last]), 5)(train)(new.vectors),
    )
    rank = min(int(np.ceil((len(own) + 1) * (1 - FALSE_ALARMS))), len(own))
    thresholds = {
        "quantile": float(np.quantile(own, 1 - FALSE_ALARMS)),
        "conformal": float(np.sort(own)[rank - 1]),
        "tail": exceeded_by(own, FALSE_ALARMS),
    }
    found = {name: float((new_distances > threshold).mean()) for name, threshold in thresholds.items()}
    familiarity = of_headstart(train, n_last)
    return found | {"headstart": float((familiarity.distances(new.vectors) > familiarity.threshold).mean())}


if __name__ == "__main__":
    main()
