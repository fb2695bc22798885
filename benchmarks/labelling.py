"""Labels that `next_images` asks for against labels at random: accuracy by number of labels, by simulation.

    python benchmarks/labelling.py sign_digits monkeys10 elpv    # 3 minutes on one core, and the features
    python benchmarks/labelling.py photos.npz --seeds 5          # vectors, labels and groups (and n_stage_features) from a file
    python benchmarks/labelling.py sign_digits --seeds 12 --enough     # when the studio says that there are enough labels

For each seed 30 % of the groups are held out. From the others labels are bought, from 1 a class to 500, a third more each time:
at random, or the images that `next_images` names after a probe was fitted to the labels so far. A probe (strength 1e-2) of the
labels is tested on the images held out. Prints, for each number of labels, the mean accuracy with random labels and how many
points more the asked-for ones give, with the standard error over the seeds. Writes results/labelling.json and draws
docs/images/labelling.png.

With --enough the studio's own model, on the features that the studio uses, is fitted anew as somebody labels what is asked for,
each time that the labels have grown by a twentieth. Prints when it first says that there are enough, and what twice as many
labels, or all, add to the accuracy on images held out.

Expect nothing below random by more than twice the standard error, and 1 to 7 points more on average; most with few labels.
"""

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from feature_sets import HELD_OUT, Images, read

from headstart.labelling.catalogue import NO_CLASS
from headstart.labelling.live_model import LiveFit, LiveModel
from headstart.labelling.next_images import next_images
from headstart.labelling.next_queue import AT_ONCE, STALE
from headstart.labelling.stability import GROWN, StabilityWatch
from headstart.model.probe import fit_probe
from headstart.tasks.probabilities import softmax

RESULTS = Path(__file__).parent / "results"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "labelling.png"
MOST, GROWTH, STRENGTH = 500, 1.35, 1e-2
JUDGED = 1 + GROWN


def main() -> None:
    """Simulates, prints, writes and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="folders, names of the catalog, or .npz files of vectors, labels, groups")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--enough", action="store_true")
    options = parser.parse_args()
    results = []
    for data in options.data:
        images = read(data, "quick" if options.enough else "normal")
        if options.enough:
            tell_when_enough(images, options.seeds)
        else:
            results.append(compare(images, options.seeds))
    if results:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "labelling.json").write_text(json.dumps(results) + "\n", encoding="utf-8")
        draw(results)


def budgets(n_classes: int) -> list[int]:
    """Numbers of labels, from one a class to MOST."""
    found = [n_classes]
    while found[-1] < MOST:
        found.append(min(MOST, max(found[-1] + n_classes, int(found[-1] * GROWTH))))
    return found


def probabilities_of(images: Images, rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(n_asked, n_classes) by a probe of the labels of `rows`; a class without a label has probability 0."""
    present, labels = np.unique(images.labels[rows], return_inverse=True)
    found = np.zeros((len(asked), images.n_classes))
    if len(present) == 1:
        found[:, present[0]] = 1
        return found
    probe = fit_probe(images.vectors, labels, images.groups[rows], len(present), rows=rows, strength=STRENGTH)
    found[:, present] = softmax(probe.head.logits(images.vectors[asked]))
    return found


def split(images: Images, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to label and rows to test on."""
    groups = np.random.default_rng(seed).permutation(np.unique(images.groups))
    held = np.isin(images.groups, groups[: int(HELD_OUT * len(groups))])
    return np.flatnonzero(~held), np.flatnonzero(held)


def labelled_sets(images: Images, pool: np.ndarray, seed: int, *, at_random: bool) -> list[np.ndarray]:
    """The labelled rows at each budget."""
    if at_random:
        order = np.random.default_rng([seed, 1]).permutation(pool)
        return [order[:budget] for budget in budgets(images.n_classes)]
    known = np.full(len(images.labels), -1)
    probabilities, found = None, []
    for budget in budgets(images.n_classes):
        n = budget - int((known >= 0).sum())
        rows = next_images(images.vectors, known, probabilities, n, seed=seed, candidates=pool)
        known[rows] = images.labels[rows]
        labelled = np.flatnonzero(known >= 0)
        probabilities = probabilities_of(images, labelled, np.arange(len(known)))
        found.append(labelled)
    return found


def compare(images: Images, n_seeds: int) -> dict[str, object]:
    """Accuracies of both ways for every seed and budget; prints their means."""
    found = np.zeros((2, n_seeds, len(budgets(images.n_classes))))
    for seed in range(n_seeds):
        pool, test = split(images, seed)
        for way in (0, 1):
            for i, rows in enumerate(labelled_sets(images, pool, seed, at_random=way == 0)):
                found[way, seed, i] = (probabilities_of(images, rows, test).argmax(axis=1) == images.labels[test]).mean()
    gains = 100 * (found[1] - found[0])
    errors = gains.std(axis=0, ddof=1) / np.sqrt(n_seeds)
    print(f"{images.name}: {gains.mean():+.2f} points on average\nlabels  random  more points  error")
    for i, budget in enumerate(budgets(images.n_classes)):
        print(f"{budget:6}  {100 * found[0, :, i].mean():6.1f}  {gains[:, i].mean():+11.2f}  {errors[i]:5.2f}", flush=True)
    ways = {"random": found[0].tolist(), "next_images": found[1].tolist()}
    return {"name": images.name, "labels": budgets(images.n_classes), **ways}


def tell_when_enough(images: Images, n_seeds: int) -> None:
    """Prints for each seed when the studio first says that there are enough, the accuracy then and with twice the labels."""
    said, gains = [], []
    for seed in range(n_seeds):
        person = Labeller.of(images, seed)
        while person.says is None and person.label_more(JUDGED):
            pass
        n, accuracy = len(person.labelled()), person.accuracy()
        if person.says is None:
            print(f"{images.name} seed {seed}: never, up to all {n}: {accuracy:.3f}", flush=True)
            continue
        assert person.fit is not None and person.fit.evaluation is not None
        own = f"{person.fit.evaluation.accuracy:.3f}"
        while len(person.labelled()) < 2 * n and person.label_more(STALE, most=2 * n):
            pass
        said.append(n)
        gains.append(100 * (person.accuracy() - accuracy))
        more = f"with {len(person.labelled())} {person.accuracy():.3f}"
        print(
            f"{images.name} seed {seed}: at {n} of {len(person.pool)}, {accuracy:.3f} (cross-validated {own}); {more}",
            flush=True,
        )
    if said:
        print(
            f"{images.name}: said in {len(said)} of {n_seeds}, at {np.median(said):.0f} labels ({min(said)} to {max(said)}); "
            f"twice as many gain {np.median(gains):+.1f} points (median), {np.mean(gains):+.1f} (mean), "
            f"{np.quantile(gains, 0.9):+.1f} (90th percentile)",
            flush=True,
        )


@dataclass
class Labeller:
    """Somebody who knows the truth and labels what the studio asks for, beside its model."""

    images: Images
    vectors: np.ndarray  # (n, n_features) float16, as the studio keeps them
    pool: np.ndarray  # rows that may be labelled
    test: np.ndarray
    model: LiveModel
    seed: int
    order: list[int] = field(default_factory=list)  # rows in the order in which they were labelled
    watch: StabilityWatch = field(default_factory=StabilityWatch)
    fit: LiveFit | None = None
    says: str | None = None  # that there are enough

    @classmethod
    def of(cls, images: Images, seed: int) -> "Labeller":
        """One with no label yet."""
        pool, test = split(images, seed)
        model = LiveModel(images.n_stage_features, seed)
        return cls(images, images.vectors.astype(np.float16), pool, test, model, seed)

    def labelled(self) -> np.ndarray:
        """Rows with a label."""
        return np.sort(np.array(self.order, np.int64))

    def accuracy(self) -> float:
        """On the images held out."""
        assert self.fit is not None
        answers = self.fit.head.logits(self.images.vectors[self.test]).argmax(axis=1)
        return float((answers == self.images.labels[self.test]).mean())

    def label_more(self, growth: float, most: int = 10**9) -> bool:
        """Labels until there are `growth` times as many, chosen anew where the studio does so; False if none is left."""
        n = min(most, len(self.pool), max(len(self.order) + 1, int(growth * len(self.order))))
        while len(self.order) < n:
            known = np.full(len(self.images.labels), -1)
            known[self.order] = self.images.labels[self.order]
            probabilities = None
            if self.fit is not None:
                probabilities = self.fit.probabilities(self.images.vectors)[:, np.unique(self.fit.labels)]
            chosen = next_images(self.images.vectors, known, probabilities, AT_ONCE, self.seed, self.pool)
            self.order += chosen[: n - len(self.order)].tolist()
        self._follow()
        return len(self.order) < len(self.pool)

    def _follow(self) -> None:
        rows, images = self.labelled(), self.images
        labels, numbers = images.labels[rows], [str(number) for number in range(images.n_classes)]
        if len(np.unique(labels)) < 2:
            return
        for _ in range(2):  # with the strength of before, and with the one that is chosen for these labels
            self.fit = self.model.fit(self.vectors, rows, labels, images.groups[rows], numbers)
            self.model.choice.wait()
        if self.watch.is_due(self.fit):
            answers = self.fit.answers(self.vectors)[0]
            answers[self.test] = NO_CLASS  # the studio does not have them
            order = np.argsort(self.order)
            self.watch.judge(self.model, self.fit, self.vectors, answers, order)
        self.says = self.watch.enough(np.bincount(labels, minlength=images.n_classes))


def draw(results: list[dict[str, object]]) -> None:
    """A panel for each set: the mean accuracy of both ways, and the band of two standard errors."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(results), figsize=(3.2 * len(results), 2.7), squeeze=False, layout="constrained")
    for axis, result in zip(axes[0], results, strict=True):
        for way, name, colour in (("random", "at random", "#888888"), ("next_images", "asked for", "#0b6e99")):
            accuracies = 100 * np.array(result[way])
            mean, error = accuracies.mean(axis=0), accuracies.std(axis=0, ddof=1) / np.sqrt(len(accuracies))
            axis.fill_between(result["labels"], mean - 2 * error, mean + 2 * error, color=colour, alpha=0.2, linewidth=0)
            axis.plot(result["labels"], mean, color=colour, label=name)
        axis.set(title=result["name"], xlabel="labels", xscale="log")
        axis.set_xticks([n for n in (2, 5, 10, 20, 50, 100, 200, 500) if n >= result["labels"][0]])
        axis.xaxis.set_major_formatter("{x:.0f}")
        axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("accuracy, %")
    axes[0][-1].legend(loc="lower right", frameon=False)
    figure.savefig(PICTURE, dpi=90)


if __name__ == "__main__":
    main()
