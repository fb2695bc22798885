"""A project while it is open: its images, the log of decisions, and the threads that keep model and findings up to date."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from headstart.data.label_log import LabelLog
from headstart.data.sources import Skipped
from headstart.errors import HeadstartError
from headstart.labelling.catalogue import COLUMNS, NO_CLASS, Catalogue
from headstart.labelling.checking import Checking
from headstart.labelling.decision_book import DecisionBook
from headstart.labelling.findings_by_row import CHECK_NAMES, FindingsByRow
from headstart.labelling.live_model import LiveFit, LiveModel
from headstart.labelling.map_file import kept_map
from headstart.labelling.next_queue import QUEUE as NEXT_QUEUE
from headstart.labelling.next_queue import STALE, NextQueue, open_for_labels
from headstart.labelling.queues import LABEL_ERROR, Item, Queue, items_of, queues
from headstart.labelling.review_sample import QUEUE as REVIEW_QUEUE
from headstart.labelling.review_sample import ReviewSample, keep_sample, kept_sample
from headstart.labelling.sketches import Sketches
from headstart.labelling.stability import StabilityWatch
from headstart.labelling.unfamiliar import FamiliarityWatch
from headstart.model.feature_store import FeatureStore
from headstart.model.features import scan_rows
from headstart.model.features_on_disk import FeaturesOnDisk, SomeFeatures
from headstart.model.pretrained import Backbone

LOG = logging.getLogger("headstart.studio")
MAP, SAMPLE = "map.npz", "sample.npz"  # in the folder of a project
FEATURES = "features.tmp"  # there too, as long as the project is open
END_SECONDS = 20.0  # that the threads have to end; they change no file that could be left half written
FIRST = 128  # images that are read together at first: as many as a page shows
NEAREST, OF_CLASS = 60, 6  # labelled rows that are looked at, and shown of each class
NEXT = ("What to label next", "Images without a label: those that teach the model most come first.")
REVIEW = (
    "A sample to check",
    "The model's mistakes and a random sample of its right answers: what the accuracy is without wrong labels.",
)
QUEUES = (NEXT_QUEUE, LABEL_ERROR, *CHECK_NAMES, REVIEW_QUEUE)


@dataclass
class Workbench:
    """Called from the threads of a server. `on_change` is called, from any thread, after something has changed."""

    catalogue: Catalogue
    keys: Sequence[str]  # of each row: its path in the log
    log: LabelLog
    backbone: Backbone
    folder: Path  # of the project: keeps the map and the sample for a review
    store: FeatureStore = field(default_factory=FeatureStore)
    on_change: Callable[[], None] = lambda: None
    fit: LiveFit | None = None
    version: int = 0  # of what the model and the checks say
    fitting: bool = False
    findings: FindingsByRow | None = None
    sketches: Sketches | None = None
    next: NextQueue = field(default_factory=NextQueue)
    sample: ReviewSample | None = None
    history: list[tuple[int, float]] = field(default_factory=list)  # (labels, accuracy) of each fit
    scanned: bool = False
    places: np.ndarray | None = None  # (n, 2) float32 in 0 .. 1: the map; NaN for rows that cannot be read
    notes: tuple[str, ...] = ()  # on the images, and on decisions whose images are not where they were
    problem: str = ""  # why the threads have stopped

    def __post_init__(self) -> None:
        self._ended, self._wanted = threading.Event(), threading.Event()
        self._model = LiveModel(self._n_stage_features, on_chosen=self._wanted.set)
        self._familiarity, self._stability = FamiliarityWatch(), StabilityWatch()
        self._checking = Checking()
        self.book = DecisionBook(self.catalogue, self.keys, self.log)
        self._drawing = threading.Lock()
        self._mapping = threading.Lock()
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=f"headstart-studio-{work.__name__}", daemon=True)
            for work in (self._scan, self._follow)
        ]

    @property
    def n_last(self) -> int:
        """How many features, the first, are those of the last layer."""
        assert self.backbone.frozen is not None
        return self.backbone.frozen.n_last

    @property
    def _n_stage_features(self) -> int:
        assert self.backbone.frozen is not None
        return self.backbone.frozen.n_features - self.backbone.frozen.n_last

    def start(self) -> None:
        """Begins to read the images and to follow the decisions."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the threads; what they compute is given up."""
        self._ended.set()
        self._wanted.set()
        self._model.stop()
        self._checking.stop()
        end = time.monotonic() + END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        if isinstance(self.catalogue.vectors, FeaturesOnDisk):
            self.catalogue.vectors.remove()

    def changed(self) -> None:
        """Has the model follow what was decided."""
        self._wanted.set()
        self.on_change()

    @property
    def n_read(self) -> int:
        """How many images are read; the last one counts when what was found is noted, so that nobody misses the end."""
        return self.catalogue.n_read if self.scanned else min(self.catalogue.n_read, len(self.catalogue) - 1)

    @property
    def map_version(self) -> int:
        """0 until the map is made, then 1."""
        return int(self.places is not None)

    def begin_map(self) -> None:
        """Has the map made, once all images are read; `places` is set when it is done."""
        if self.scanned and self._mapping.acquire(blocking=False):
            thread = threading.Thread(target=self._guarded, args=(self._map,), name="headstart-studio-map", daemon=True)
            self._threads.append(thread)
            thread.start()

    # What waits for a decision

    def queues(self) -> list[Queue]:
        """All queues that have or had something in them."""
        found = queues(self.catalogue, self.findings, self.book.settled)
        done = self.book.settled.of(NEXT_QUEUE)
        n_open = int(open_for_labels(self.catalogue, done).sum())
        if n_open or done:
            found.insert(0, Queue(NEXT_QUEUE, *NEXT, n_open, len(done)))
        if self.fit is not None and self.fit.held_out is not None:
            n_waiting, done = len(self.items(REVIEW_QUEUE)), self.book.settled.of(REVIEW_QUEUE)
            found.append(Queue(REVIEW_QUEUE, *REVIEW, n_waiting, len(done)))
        return found

    def items(self, queue: str, n: int | None = None) -> list[Item]:
        """The first `n` that wait in a queue, or all; of images to label next as many as are asked for."""
        done = self.book.settled.of(queue)
        if queue == NEXT_QUEUE:
            return self.next.items(self.catalogue, self.fit, done, n or 1)
        if queue == REVIEW_QUEUE:
            sample = self.review()
            rows = sample.waiting(done)[:n] if sample else []
            return [Item(row, None, None, "is one of a sample: is its label right?") for row in rows]
        return items_of(self.catalogue, queue, self.findings, self.book.settled)[:n]

    def review(self) -> ReviewSample | None:
        """The sample for a review; None while there is no model.

        It is drawn when it is first asked for, and anew when the labels have grown, as long as nobody has begun to review it.
        """
        with self._drawing:
            if self.sample is None and self.scanned:
                self.sample = kept_sample(self.folder / SAMPLE, self.catalogue)
            fit = self.fit
            if fit is not None and (self.sample is None or self._is_outgrown(self.sample, fit)):
                groups = self.findings.groups if self.findings else np.arange(len(self.catalogue))
                drawn = ReviewSample.of(fit, groups)
                if drawn is not None:
                    self.sample = drawn
                    keep_sample(self.folder / SAMPLE, drawn, self.catalogue)
            return self.sample

    def _is_outgrown(self, sample: ReviewSample, fit: LiveFit) -> bool:
        begun = self.book.settled.of(REVIEW_QUEUE).intersection(sample.rows[sample.chosen].tolist())
        return not begun and len(fit.rows) > STALE * len(sample.rows)

    # What is alike

    def likeness_to(self, row: int) -> np.ndarray | None:
        """(n,) float32: about the cosine of each row's features to those of one; None until the images are read."""
        return self.sketches.to(self.catalogue.vectors[row]) if self.sketches else None

    def nearest_to(self, row: int, n: int, *, labelled: bool = False) -> list[tuple[int, float]]:
        """(row, similarity) of the rows most like one, of all or of those with a label."""
        if self.sketches is None or not self.catalogue.readable()[row]:
            return []
        among = self.catalogue.labelled() if labelled else np.flatnonzero(self.catalogue.readable())
        return self.sketches.nearest(self.catalogue.vectors, self.catalogue.vectors[row], n, among[among != row])

    def nearest_by_class(self, row: int) -> dict[int, list[int]]:
        """Class -> the labelled rows most like one, the nearest first: what speaks for each class."""
        labelled = self.catalogue.labelled()
        return self._by_class(self.catalogue.vectors[row], labelled[labelled != row]) if self.sketches else {}

    def nearest_by_class_to(self, vector: np.ndarray) -> dict[int, list[int]]:
        """The same for the (n_features,) features of an image that is not of the project."""
        return self._by_class(vector, self.catalogue.labelled())

    def _by_class(self, vector: np.ndarray, among: np.ndarray) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        if self.sketches is None:
            return found
        labels = self.catalogue.columns["label"]
        for other, _ in self.sketches.nearest(self.catalogue.vectors, vector, NEAREST, among):
            of_class = found.setdefault(int(labels[other]), [])
            if len(of_class) < OF_CLASS:
                of_class.append(other)
        return found

    # What goes on beside

    def _guarded(self, work: Callable[[], None]) -> None:
        """Does a part of what goes on beside; a failure is told."""
        try:
            work()
            return
        except HeadstartError as error:
            self.problem = f"{error.message} ({error.hint})" if error.hint else error.message
        except Exception:
            self.problem = "a part of the studio has stopped: see its log, and please report it"
            LOG.exception("%s has failed", threading.current_thread().name)
        self.on_change()

    def _scan(self) -> None:
        frozen, candidates = self.backbone.frozen, self.catalogue.candidates
        assert frozen is not None
        told = 0.0
        self.catalogue.vectors = FeaturesOnDisk(self.folder / FEATURES, len(candidates), frozen.n_features, is_new=True)
        rows = scan_rows(candidates, self.backbone.preprocess, frozen.extractor, store=self.store, first=FIRST)
        for row, found in enumerate(rows):
            if self._ended.is_set():
                return
            if isinstance(found, Skipped):
                self.catalogue.give_up(row, found.reason)
            else:
                with self.catalogue.lock:  # nobody decides on a row between its being read and what was decided on it before
                    self.catalogue.fill(row, found.image, found.facts, found.vector)
                    self.book.place(row)
            if time.monotonic() - told > 0.25:
                told = time.monotonic()
                self.on_change()
        self.store.release()
        self.notes = (*self.notes, *self.book.find_moved().notes(self.keys))
        self.scanned = True
        self.changed()
        if self.catalogue.readable().any() and not self._ended.is_set():
            self.sketches = Sketches.of(self.catalogue.vectors, self.catalogue.readable())
            self._check()

    def _check(self) -> None:
        found = self._checking.find(self.catalogue, self.n_last, self.backbone.preprocess)
        if found is not None:
            self.findings = found
            self.catalogue.columns["findings"][:] = found.bits()
            self.version += 1
            self.changed()

    def _map(self) -> None:
        catalogue, network = self.catalogue, self.backbone
        rows = np.flatnonzero(catalogue.readable())
        places = np.full((len(catalogue), 2), np.nan, np.float32)
        if rows.size:
            space = f"{network.spec.timm_name} {network.weights.sha256} {network.preprocess.digest()}"
            vectors = SomeFeatures(catalogue.vectors, rows, self.n_last)
            places[rows] = kept_map(self.folder / MAP, space, [catalogue.digest(row) for row in rows.tolist()], vectors).places
        self.places = places
        self.on_change()

    def _follow(self) -> None:
        while not self._ended.is_set():
            self._wanted.wait()
            self._wanted.clear()
            if self.scanned and not self._ended.is_set():
                self._guarded(self._fit)
                self.fitting = False

    def _fit(self) -> None:
        catalogue = self.catalogue
        with catalogue.lock:
            rows = catalogue.labelled()
            labels, classes = catalogue.columns["label"][rows].astype(np.int64), list(catalogue.classes)
        if len(np.unique(labels)) < 2:
            self._forget_fit()
            return
        groups = self.findings.groups[rows] if self.findings else rows
        self.fitting = True
        fit = self._model.fit(catalogue.vectors, rows, labels, groups, classes)
        predicted, confidence = fit.answers(catalogue.vectors)
        suspicion, found = np.full(len(catalogue), np.nan, np.float32), fit.suspicion()
        if found is not None:
            suspicion[rows] = found
        columns, readable = catalogue.columns, catalogue.readable()
        columns["predicted"][:] = np.where(readable, predicted, NO_CLASS)
        columns["confidence"][:] = np.where(readable, confidence, np.nan)
        columns["suspicion"][:] = suspicion
        self.fit, self.fitting = fit, False
        self.version += 1
        if fit.evaluation is not None:
            self._note_accuracy(len(rows), fit.evaluation.accuracy)
        self.on_change()
        self._judge_others(rows, labels, groups)
        self._judge_labels(fit)

    def _judge_others(self, rows: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> None:
        """Says how unlike the labelled rows those without a label are."""
        others = np.flatnonzero(open_for_labels(self.catalogue, set()))
        found = self._familiarity.judge(self._of_last_layer, rows, labels, groups, others)
        if found is not None:
            column = np.full(len(self.catalogue), np.nan, np.float32)
            column[others] = found
            self.catalogue.columns["unfamiliar"][:] = column
            self.on_change()

    @property
    def _of_last_layer(self) -> SomeFeatures:
        return SomeFeatures(self.catalogue.vectors, np.arange(len(self.catalogue)), self.n_last)

    def unfamiliarity_of(self, vector: np.ndarray) -> float | None:
        """How unlike the labelled rows an image of (n_features,) features is; above 1: unfamiliar. None: there are too few."""
        fit = self.fit
        if fit is None:
            return None
        groups = self.findings.groups[fit.rows] if self.findings else fit.rows
        return self._familiarity.judge_image(vector[: self.n_last], self._of_last_layer, fit.rows, fit.labels, groups)

    def _judge_labels(self, fit: LiveFit) -> None:
        """Says whether there are enough labels; not while a decision waits for the next fit."""
        if self._wanted.is_set() or not self._stability.is_due(fit):
            return
        usable = self.catalogue.readable() & (self.catalogue.columns["excluded"] == 0)
        answers = np.where(usable, self.catalogue.columns["predicted"], NO_CLASS)
        order = np.array([self.book.of_row(row).number for row in fit.rows.tolist()])
        said = self.enough() is not None
        self._stability.judge(self._model, fit, self.catalogue.vectors, answers, order)
        if said != (self.enough() is not None):
            self.version += 1
            self.on_change()

    def enough(self) -> str | None:
        """Why there are enough labels for now, in a sentence; None if there are not, or if that is not known yet."""
        labels = self.catalogue.columns["label"][self.catalogue.labelled()]
        return self._stability.enough(np.bincount(labels, minlength=len(self.catalogue.classes)))

    def _forget_fit(self) -> None:
        """Without labels of two classes there is no model: what the last one said counts no more."""
        if self.fit is not None:
            self.fit = None
            self._stability.forget()
            for name in ("predicted", "confidence", "suspicion"):
                self.catalogue.columns[name][:] = COLUMNS[name][1]
            self.version += 1
            self.on_change()

    def _note_accuracy(self, n_labelled: int, accuracy: float) -> None:
        """One point of the curve for each number of labels: the latest."""
        if self.history and self.history[-1][0] == n_labelled:
            self.history.pop()
        self.history.append((n_labelled, accuracy))
