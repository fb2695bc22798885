"""Which views of each image the network sees: given, or found out on a few training images."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from headstart.audit.twins import find_twins
from headstart.data.dataset import LabelledImage, choosing
from headstart.data.label_sets import label_matrix, labels_in, rarest_labels
from headstart.data.number_sources import NUMBER
from headstart.data.number_strata import strata_of
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate, Skipped, Sources
from headstart.data.splits import are_numbers, fold_count, groups_by_looks, spread_order
from headstart.fitting.feature_table import FeatureTable
from headstart.model.extractor import mean_of_views
from headstart.model.feature_store import FeatureStore
from headstart.model.features import ScannedImage, Work, scan_rows
from headstart.model.kept_miniatures import Miniatures
from headstart.model.pretrained import Backbone
from headstart.progress import Progress
from headstart.schema import Count, NotNegative, Positive, Schema
from headstart.settings import Effort, TaskName, TrainSettings
from headstart.tasks.kinds import task_named
from headstart.tasks.one_number import Numbers
from headstart.tasks.task import LearningTask

SAMPLE, SAMPLE_OF_CLASS = 300, 4  # training images that the views are compared on, in total and at least per class
SAMPLE_SHARE = 0.5  # of train, at most: the rest is what a val is split off
FEWEST = 40  # with fewer images a comparison says nothing
# Above this many images, one pass over each: a fixed number, because a choice that looks at the clock would give another model
# on a slower machine.
MOST_IMAGES_FOR_MORE = 20_000
# Standard errors of the mean difference in log loss: by which views that cost more must be better, and by which, with --effort
# thorough, fewer views must be better than all. On four sets all views were best on average, but a picture and its mirror image
# must not be averaged where they are two classes.
NOISE, SHOWN = 0.5, 2.0
VIEWS: dict[Effort, tuple[str, ...]] = {
    "quick": (),  # those of the backbone
    "normal": ("crop", "whole", "crop+whole"),
    "thorough": ("crop", "whole", "crop+whole", "crop+whole+mirrored"),
}
STAGE = "choosing the views"


class ViewTrial(Schema):
    """How well a probe on some views did."""

    view: str
    n_views: Positive  # passes through the network for each image
    log_loss: NotNegative  # on held-out images of the sample; of numbers the squared error, in variances
    worse: float  # mean difference in log loss to the best trial
    worse_se: NotNegative  # its standard error


class ViewChoice(Schema):
    """The views that are used, and why."""

    view: str
    why: str  # a sentence
    n_images: Count = 0  # training images that they were compared on
    trials: tuple[ViewTrial, ...] = ()


@dataclass(frozen=True, slots=True)
class ChosenViews:
    """The views of a run and the images that the choice has looked at."""

    backbone: Backbone  # with these views
    choice: ViewChoice
    seen: frozenset[str] = frozenset()  # paths of images
    work: Work = field(default_factory=Work)


def own_views(backbone: Backbone, why: str = "as the network was opened") -> ChosenViews:
    """The views that the backbone already has."""
    return ChosenViews(backbone, ViewChoice(view=backbone.preprocess.view_name, why=why))


def choose_views(
    backbone: Backbone,
    sources: Sequence[Sources],
    settings: TrainSettings,
    progress: Progress,
    known: ViewChoice | None = None,
    store: FeatureStore | None = None,
) -> ChosenViews:
    """The views that the settings name or, if they name none, those that do best on a few images.

    Candidates are compared on at most about 300 images of train, never of val or test, by the log loss of held-out answers; a
    choice `known` from before is kept. Views that cost more passes must be better than the best cheaper ones beyond noise.
    """
    if backbone.frozen is None:
        return own_views(backbone, "the classic procedure's")
    if settings.view is not None:
        return own_views(backbone, "it was asked for")
    if settings.effort == "quick":
        return own_views(backbone, "--effort quick takes one pass over each image")
    candidates = [candidate for source in sources for candidate in source.candidates if candidate.split in (None, "train")]
    if len(candidates) > MOST_IMAGES_FOR_MORE:
        return own_views(backbone, f"above {MOST_IMAGES_FOR_MORE:,} images, one pass over each")
    sample: list[Candidate] = []
    if SAMPLE_SHARE * len(candidates) >= FEWEST:
        sample = sample_of(candidates, settings.seed, settings.task)
    if len(sample) < FEWEST:
        return own_views(backbone, "there are too few images to compare views on")
    work = Work()
    choice = known or _compared(sample, backbone, settings, progress, work, store or FeatureStore())
    seen = frozenset(candidate.path for candidate in sample) if choice.trials else frozenset()
    return ChosenViews(backbone.seen_as(choice.view), choice, seen, work)


def sample_of(candidates: Sequence[Candidate], seed: int, task: TaskName = "single-label") -> list[Candidate]:
    """The images that views are compared on: some of each class, groups as a whole, the same for the same seed.

    Of several labels an image is of the rarest, of numbers of its tenth.
    """
    labels, names, _ = _to_learn([candidate.label or "" for candidate in candidates], task)
    kinds = rarest_labels(labels) if labels.ndim == 2 else labels
    if are_numbers(labels):
        kinds = strata_of(labels, np.arange(len(labels)))
    members: dict[str, list[int]] = {}  # an image without a group is a group of its own
    for i, candidate in enumerate(candidates):
        members.setdefault(f"group {candidate.group}" if candidate.group else f"image {i}", []).append(i)
    groups = list(members.values())
    first = kinds[[group[0] for group in groups]]
    most = min(max(SAMPLE, SAMPLE_OF_CLASS * len(names)), int(SAMPLE_SHARE * len(candidates)))
    taken: list[int] = []
    for number in spread_order(first, seed).tolist():
        if len(taken) + len(groups[number]) <= most:
            taken += groups[number]
    return [candidates[i] for i in sorted(taken)]


def _to_learn(texts: Sequence[str], name: TaskName) -> tuple[np.ndarray, tuple[str, ...], LearningTask]:
    """The labels of images as `Dataset.labels` has them, the names of the network's outputs, and the task."""
    if name == "regression":
        numbers = np.array([float(text) for text in texts], np.float64)
        return numbers, (NUMBER,), Numbers.like(numbers)
    names = labels_in(texts) if name == "multi-label" else tuple(sorted(set(texts)))
    code = {label: i for i, label in enumerate(names)}
    labels = label_matrix(texts, names) if name == "multi-label" else np.array([code[text] for text in texts], np.int64)
    return labels, names, task_named(name, ())


def _compared(
    sample: Sequence[Candidate],
    backbone: Backbone,
    settings: TrainSettings,
    progress: Progress,
    work: Work,
    store: FeatureStore,
) -> ViewChoice:
    assert backbone.frozen is not None
    own, views = backbone.preprocess.view_name, VIEWS[settings.effort]
    every = backbone.preprocess.seen_as("+".join(dict.fromkeys(part for view in views for part in view.split("+"))))
    rows = _rows(sample, replace(backbone, preprocess=every), settings, progress, work, store)
    labels, names, task = _to_learn([row.image.label for row in rows], settings.task)
    if len(rows) < FEWEST or (np.ptp(labels) == 0 if are_numbers(labels) else len(names) < 2):
        return ViewChoice(view=own, why="there are too few images to compare views on")
    last = np.stack([row.vectors[0, : backbone.frozen.n_last] for row in rows])
    groups = _groups([row.image for row in rows], rows, last, backbone.preprocess)
    if fold_count(labels, groups) < 2:
        return ViewChoice(view=own, why="a class is too small to compare views on held-out images")
    place = {one.digest(): number for number, one in enumerate(every.one_by_one())}
    losses = []
    for number, view in enumerate(views, start=1):
        parts = [place[one.digest()] for one in backbone.preprocess.seen_as(view).one_by_one()]
        vectors = np.stack([mean_of_views(row.vectors[parts]) for row in rows])
        table = FeatureTable(vectors, labels, groups, len(names), settings.balance, task, names)
        probe = table.fit(np.arange(len(rows)), settings.seed)
        assert probe.held_out is not None  # there are folds
        losses.append(task.losses(probe.held_out, labels[probe.held]))
        progress(STAGE, number, len(views))
    n_views = [backbone.preprocess.seen_as(view).n_views for view in views]
    measure = "squared error" if are_numbers(labels) else "log loss"
    return choice_between(views, n_views, np.stack(losses), thorough=settings.effort == "thorough", measure=measure)


def choice_between(
    views: Sequence[str], n_views: Sequence[int], losses: np.ndarray, *, thorough: bool = False, measure: str = "log loss"
) -> ViewChoice:
    """The choice by (n_candidates, n_images) held-out log losses, of candidates in the order of what they cost.

    A cheaper one is given up for one that is better beyond noise; if `thorough`, the last for one that is shown to be better.
    """
    best = _best_of(losses) if thorough else 0
    for other in range(1, len(views) * (not thorough)):
        gain = losses[best] - losses[other]
        dearer = n_views[other] > n_views[best]
        if gain.mean() > (NOISE * _standard_error(gain) if dearer else 0.0):
            best = other
    trials = tuple(
        ViewTrial(
            view=view,
            n_views=n,
            log_loss=float(loss.mean()),
            worse=float((loss - losses[best]).mean()),
            worse_se=_standard_error(loss - losses[best]),
        )
        for view, n, loss in zip(views, n_views, losses, strict=True)
    )
    others = ", ".join(f"{trial.log_loss:.3f} for {trial.view}" for i, trial in enumerate(trials) if i != best)
    why = f"held-out {measure} {trials[best].log_loss:.3f}, and {others}"
    return ViewChoice(view=views[best], why=why, n_images=losses.shape[1], trials=trials)


def _best_of(losses: np.ndarray) -> int:
    """The last candidate, unless others are shown to be better: then the best of these."""
    shown = [i for i, gain in enumerate(losses[-1] - losses) if gain.mean() > SHOWN * _standard_error(gain)]
    return min(shown, key=lambda i: float(losses[i].mean()), default=len(losses) - 1)


def _standard_error(differences: np.ndarray) -> float:
    return float(differences.std() / np.sqrt(len(differences)))


def _rows(
    sample: Sequence[Candidate],
    backbone: Backbone,
    settings: TrainSettings,
    progress: Progress,
    work: Work,
    store: FeatureStore,
) -> list[ScannedImage]:
    assert backbone.frozen is not None
    found = scan_rows(
        sample,
        backbone.preprocess,
        backbone.frozen.extractor,
        store=store,
        workers=settings.workers,
        progress=progress,
        stage=STAGE,
        work=work,
    )
    return [row for row in found if not isinstance(row, Skipped)]


def _groups(
    images: Sequence[LabelledImage], rows: Sequence[ScannedImage], vectors: np.ndarray, preprocess: Preprocess
) -> np.ndarray:
    images = choosing(images, preprocess.channels)
    miniatures = Miniatures.stored(images, preprocess)
    twins = find_twins(images, tuple(row.facts for row in rows), vectors, miniatures=miniatures)
    return groups_by_looks(images, twins.pairs())[0]
