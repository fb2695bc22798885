"""Scripted people who know the truth: one repairs wrong labels, one labels the images that the studio asks for."""

from dataclasses import dataclass

import numpy as np
from studio_benches import Images, open_bench, wait_for_fit

from headstart.labelling.next_queue import QUEUE, NextQueue
from headstart.labelling.queues import LABEL_ERROR
from headstart.labelling.workbench import Workbench
from headstart.model.pretrained import Backbone
from headstart.model.probe import fit_probe

WHO = "somebody"


@dataclass(frozen=True, slots=True)
class Repaired:
    """How far a reviewer came."""

    n_wrong: int
    n_looked_at: int
    n_repaired: int

    @property
    def share(self) -> float:
        """Of the wrong labels, those that are right now."""
        return self.n_repaired / self.n_wrong


def repair(images: Images, network: Backbone, seed: int, share: float = 0.05, looks: float = 2.0) -> Repaired:
    """What somebody repairs who decides on the first images of the queue, `looks` times as many as labels were made wrong.

    The queue is that of the newest fit at each decision.
    """
    rng, n, n_classes = np.random.default_rng(seed), len(images.labels), len(images.classes)
    wrong = rng.permutation(n)[: round(share * n)]
    labels = images.labels.copy()
    labels[wrong] = (labels[wrong] + rng.integers(1, n_classes, size=len(wrong))) % n_classes
    n_looked_at = 0
    with open_bench(images.with_labels([images.classes[label] for label in labels]), network) as bench:
        classes = bench.catalogue.classes
        while n_looked_at < looks * len(wrong) and (items := bench.items(LABEL_ERROR, 1)):
            row = items[0].row
            truth, n_looked_at, version = images.classes[images.labels[row]], n_looked_at + 1, bench.version
            is_right = classes[bench.catalogue.columns["label"][row]] == truth
            why = f"{'keep' if is_right else 'relabel'}:{LABEL_ERROR}"
            _decide(bench, row, why, truth)
            if not is_right:
                wait_for_fit(bench, version)
        now = np.array([classes[label] for label in bench.catalogue.columns["label"]])
    truth_of_wrong = np.array(images.classes)[images.labels[wrong]]
    return Repaired(len(wrong), n_looked_at, int((now[wrong] == truth_of_wrong).sum()))


@dataclass(frozen=True, slots=True)
class Taught:
    """How good the models are after some labels."""

    n_labels: int
    probe: float  # accuracy of one as `train` fits it
    beside: float  # of the studio's own
    at_random: float  # of a probe of as many images that were drawn


def teach(train: Images, val: Images, network: Backbone, seed: int, n_labels: int = 40) -> Taught:
    """The accuracy on `val` after somebody has labelled so many images of the queue, from none."""
    train = train.rows(np.random.default_rng(seed).permutation(len(train.labels)))
    with open_bench(train.with_labels([None] * len(train.labels)), network) as bench:
        bench.next = NextQueue(seed)
        for _ in range(n_labels):
            _label_next(bench, train)
        rows = bench.catalogue.labelled()
        n_stages = train.vectors.shape[1] - bench.n_last
        assert bench.fit is not None
        answers = np.array(bench.catalogue.classes)[bench.fit.head.logits(val.vectors).argmax(axis=1)]
    beside = float((answers == np.array(val.classes)[val.labels]).mean())
    drawn = np.arange(n_labels)  # the images are in random order
    return Taught(len(rows), _accuracy(train, rows, val, n_stages), beside, _accuracy(train, drawn, val, n_stages))


def _accuracy(train: Images, rows: np.ndarray, val: Images, n_stages: int) -> float:
    """Of a probe of some images, as `train` fits it."""
    labels, groups = train.labels[rows], np.arange(len(rows))
    probe = fit_probe(train.vectors, labels, groups, len(train.classes), rows=rows, n_stage_features=n_stages)
    return float((probe.head.logits(val.vectors).argmax(axis=1) == val.labels).mean())


def _label_next(bench: Workbench, train: Images) -> None:
    (item,) = bench.items(QUEUE, 1)
    version, columns = bench.version, bench.catalogue.columns
    _decide(bench, item.row, f"label:{QUEUE}", train.classes[train.labels[item.row]])
    if len(np.unique(columns["label"][columns["label"] >= 0])) > 1:
        wait_for_fit(bench, version)


def _decide(bench: Workbench, row: int, why: str, label: str) -> None:
    """As a request does."""
    bench.book.decide([row], who=WHO, why=why, seen=bench.book.last, label=label)
    bench.changed()
