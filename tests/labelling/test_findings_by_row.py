"""What the audit says of rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.data.facts import ImageFacts
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate
from headstart.labelling.catalogue import NO_CLASS, READ, UNREADABLE, Catalogue
from headstart.labelling.findings_by_row import CHECK_NAMES, find_by_row

N = 60
PREPROCESS = Preprocess(size_px=32, resize_px=36, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)
FACTS = ImageFacts(
    format="JPEG", mode="RGB", width=200, height=150, red=90, green=90, blue=90, brightness=90, contrast=40, sharpness=200
)


def catalogue(labels: list[str | None], splits: dict[int, str] | None = None) -> Catalogue:
    """Rows that are read, and unlike each other."""
    rng = np.random.default_rng(0)
    candidates = [
        Candidate(f"{i:02}.jpg", Path(f"{i:02}.jpg"), label, (splits or {}).get(i, "train")) for i, label in enumerate(labels)
    ]
    made = Catalogue.of(candidates)
    made.vectors = rng.normal(size=(len(labels), 40)).astype(np.float16)
    made.digests[:] = rng.integers(256, size=made.digests.shape)
    for row in range(len(labels)):
        made.describe(row, replace(FACTS, dhash=int(rng.integers(2**63))))
    made.columns["state"][:] = READ
    made.columns["width"][:], made.columns["height"][:] = 200, 150
    made.n_read = len(labels)
    return made


def copy_row(made: Catalogue, row: int, of: int) -> None:
    """Makes a row the same file as another."""
    made.vectors[row], made.digests[row] = made.vectors[of], made.digests[of]
    made.columns["dhash"][row] = made.columns["dhash"][of]


def labelled(n: int = N) -> list[str | None]:
    """Two classes in turn."""
    return ["a" if i % 2 else "b" for i in range(n)]


def test_a_copy_in_another_class_is_a_conflict() -> None:
    """Both rows of a contradiction are named, carry its bit and are related; others are not."""
    made = catalogue(labelled())
    copy_row(made, 11, of=4)
    found = find_by_row(made, 30, PREPROCESS)
    (one,) = found.of_check("conflict")
    assert {one.row, one.other} == {4, 11}
    bit = 1 << CHECK_NAMES.index("conflict")
    assert np.flatnonzero(found.bits() & bit).tolist() == [4, 11]
    assert found.groups[4] == found.groups[11]
    assert len(np.unique(found.groups)) == N - 1


def test_a_copy_in_val_is_a_leak() -> None:
    """A picture in train and val is reported with both rows."""
    made = catalogue(labelled(), {10: "val", 20: "val"})
    copy_row(made, 10, of=4)
    assert {(one.row, one.other) for one in find_by_row(made, 30, PREPROCESS).of_check("leak")} <= {(10, 4), (4, 10)}
    assert find_by_row(made, 30, PREPROCESS).of_check("leak")


def test_an_image_without_a_label_contradicts_none() -> None:
    """An unlabelled copy is no conflict, but related."""
    labels = labelled()
    labels[11] = None
    made = catalogue(labels)
    copy_row(made, 11, of=4)
    found = find_by_row(made, 30, PREPROCESS)
    assert made.columns["label"][11] == NO_CLASS
    assert not found.of_check("conflict")
    assert found.groups[4] == found.groups[11]


def test_rows_that_are_left_out_are_alone() -> None:
    """What cannot be read or is excluded has no finding, and is related to nothing."""
    made = catalogue(labelled())
    for row in (11, 13):
        copy_row(made, row, of=4)
    made.columns["excluded"][11] = 1
    made.columns["state"][13] = UNREADABLE
    found = find_by_row(made, 30, PREPROCESS)
    assert not found.of_check("conflict")
    assert np.bincount(np.unique(found.groups, return_inverse=True)[1]).max() == 1


def test_features_of_many_images_are_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same twins are found by short projections: the copy, and the one that differs a little."""
    made = catalogue(labelled(400))
    rng = np.random.default_rng(1)
    made.vectors = rng.normal(size=(400, 900)).astype(np.float16)
    copy_row(made, 11, of=4)
    made.vectors[21] = made.vectors[40] + 0.05 * rng.normal(size=900)
    made.columns["dhash"][21] = made.columns["dhash"][40]
    whole = find_by_row(made, 900, PREPROCESS)
    monkeypatch.setattr("headstart.audit.comparable.MANY", 100)
    short = find_by_row(made, 900, PREPROCESS)
    for found in (whole, short):
        assert {frozenset((one.row, one.other)) for one in found.of_check("conflict")} == {
            frozenset((4, 11)),
            frozenset((21, 40)),
        }
    assert np.array_equal(np.bincount(whole.groups), np.bincount(short.groups))
