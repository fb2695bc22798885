"""A data set after the one pass over its files: the starting point of every fit, audit and comparison."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from headstart.audit.twins import Twins, find_twins
from headstart.data.class_counts import labels_given
from headstart.data.dataset import Dataset, LabelledImage, choosing, training_dataset
from headstart.data.facts import ImageFacts, notes_on
from headstart.data.label_sets import known_labels
from headstart.data.patients import by_patient
from headstart.data.sources import Skipped, Sources
from headstart.data.splits import groups_by_looks
from headstart.evaluation.label_thresholds import ThresholdRule
from headstart.fitting.earlier import Extended
from headstart.fitting.feature_table import FeatureTable
from headstart.fitting.levels import levels_found
from headstart.fitting.view_choice import ViewChoice, choose_views, own_views
from headstart.jobs.parts import Parts
from headstart.jobs.scanning import scan_where_told
from headstart.model.feature_store import FeatureStore
from headstart.model.features import Scan, Work
from headstart.model.features_on_disk import Features, first_columns
from headstart.model.kept_miniatures import Miniatures
from headstart.model.pretrained import Backbone, open_backbone
from headstart.progress import Progress, silent
from headstart.settings import TrainSettings
from headstart.tasks.kinds import task_of
from headstart.tasks.one_number import Numbers
from headstart.tasks.task import LearningTask

MakeDataset = Callable[[str, Sequence[LabelledImage], Sequence[Skipped], Sequence[Sources]], Dataset]


@dataclass(frozen=True, slots=True)
class Scanned:
    """The readable images of a data set and everything known about them before fitting."""

    settings: TrainSettings
    backbone: Backbone
    dataset: Dataset
    facts: tuple[ImageFacts, ...]  # of the images, in the order of `dataset.images`
    vectors: Features  # (n_images, n_features) float32; n_features is 0 if the recipe does not use features
    twins: Twins  # splits made here keep twins together; a split that came with the data may not
    groups: np.ndarray  # (n_images,) int64: related images, including twins
    work: Work  # how much the pass had to compute
    views: ViewChoice  # what the network sees of each image
    compared_on: np.ndarray  # (n_images,) bool: the images that views were compared on
    seconds: dict[str, float]  # stage -> seconds
    extended: Extended | None = None  # the finished run that they are added to

    def table(self) -> FeatureTable:
        """The features with labels and groups, as folds and fits need them."""
        dataset, settings = self.dataset, self.settings
        return FeatureTable(
            self.vectors,
            dataset.labels,
            self.groups,
            len(dataset.classes),
            settings.balance,
            self.task,
            dataset.classes,
            dataset.strata,
            ThresholdRule.of(settings.target_precision, settings.target_recall),
            self.n_stage_features,
        )

    @property
    def task(self) -> LearningTask:
        """What an answer is."""
        if self.dataset.number:
            of_train = [image.split in (None, "train") for image in self.dataset.images]
            return Numbers.like(self.dataset.labels[of_train])
        return task_of(self.settings).knowing(self.dataset.classes)

    @property
    def n_stage_features(self) -> int:
        """How many of the features, the last, come from earlier stages of the network."""
        return self.vectors.shape[1] - self.backbone.frozen.n_last if self.backbone.frozen else 0


def scan_given(
    sources: Sequence[Sources],
    settings: TrainSettings,
    progress: Progress = silent,
    *,
    make_dataset: MakeDataset = training_dataset,
    compare_views: bool = True,
    known_views: ViewChoice | None = None,
    parts: Parts | None = None,
) -> Scanned:
    """Opens the backbone and every candidate once, with the views that the settings name.

    If they name none, they are those found to be best, unless `compare_views` is False, or those found before, `known_views`.
    `parts` is where workers elsewhere put what they finish; without it that is below home(). Raises DataError if `make_dataset`
    refuses the images found, or the task their classes.
    """
    began = time.perf_counter()
    task = task_of(settings)
    task.in_order(labels_given(sources))  # refuses what does not fit the data before anything is computed
    levels = levels_found(sources, settings)
    backbone = open_backbone(settings, progress).choosing(levels.channels)
    opened = time.perf_counter()
    chosen, store = own_views(backbone), FeatureStore()
    if compare_views:
        chosen = choose_views(backbone, sources, settings, progress, known_views, store)
    backbone, settings = chosen.backbone, settings.model_copy(update={"view": chosen.choice.view})
    compared = time.perf_counter()
    candidates = [candidate for source in sources for candidate in source.candidates]
    found = scan_where_told(candidates, backbone, settings, store, progress, parts)
    skipped = (*(entry for source in sources for entry in source.skipped), *found.skipped)
    patients = by_patient(choosing(found.images, levels.channels))
    dataset = make_dataset(sources[0].name, patients.images, skipped, sources)
    twins = _twins_in(dataset, found, backbone, settings, parts, progress)
    groups, told = groups_by_looks(dataset.images, twins.pairs())
    notes = (*dataset.notes, *patients.notes, *levels.notes, *notes_on(found.facts), *([told] if told else []))
    classes = task.in_order(dataset.classes)
    dataset = replace(dataset, classes=classes, notes=notes, labels_used=sources[0].labels_used)
    seconds = {"load": opened - began, "views": compared - opened, "scan": time.perf_counter() - compared}
    return Scanned(
        settings,
        backbone,
        dataset,
        found.facts,
        found.vectors,
        twins,
        groups,
        found.work.after(chosen.work),
        chosen.choice,
        np.array([image.path in chosen.seen for image in dataset.images], bool),
        seconds,
    )


def _twins_in(
    dataset: Dataset, found: Scan, backbone: Backbone, settings: TrainSettings, parts: Parts | None, progress: Progress
) -> Twins:
    """The images of a data set that show the same picture or scene."""
    n_last = backbone.frozen.n_last if backbone.frozen else 0
    # A scene whose frames have different numbers is one all the same; frames of different classes are not. That a label is not
    # known of one of two frames is no difference.
    by_looks: Sequence[LabelledImage] = dataset.images
    if dataset.number or dataset.several:
        by_looks = [replace(image, label="" if dataset.number else known_labels(image.label)) for image in dataset.images]
    return find_twins(
        by_looks,
        found.facts,
        first_columns(found.vectors, n_last),
        miniatures=Miniatures.stored(dataset.images, backbone.preprocess, found.miniatures),
        workplace=settings.workplace,
        parts=parts and parts.beside("twins"),
        progress=progress,
    )
