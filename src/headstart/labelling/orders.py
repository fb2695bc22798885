"""Which rows a person wants to see, and in which order."""

from typing import Literal

import numpy as np
from pydantic import ConfigDict, Field

from headstart.errors import DataError, did_you_mean
from headstart.labelling.catalogue import NO_CLASS, SPLITS, Catalogue
from headstart.schema import Count, Schema

Sort = Literal[
    "order", "path", "confidence", "suspicion", "unfamiliar", "brightness", "sharpness", "size", "random", "like"
]  # like: by similarity to the row `like` of the filter


class Filter(Schema):
    """Conditions that all must hold; one that is left out always does. Classes are given by number, -1: no label."""

    model_config = ConfigDict(extra="forbid")

    label: tuple[int, ...] | None = None
    given: tuple[int, ...] | None = None
    predicted: tuple[int, ...] | None = None
    split: tuple[Literal["", "train", "val", "test"], ...] | None = None
    folder: tuple[str, ...] | None = None
    right: bool | None = None  # whether the model's answer is the label; of rows that have both
    confidence: tuple[float, float] | None = None  # of the model's answer, from and to
    finding: tuple[str, ...] | None = None  # names of checks, any of which found something
    unfamiliar: bool | None = None
    unlabelled: bool | None = None
    excluded: bool | None = None
    decided: bool | None = None  # whether a person decided on it
    rows: tuple[Count, ...] | None = None
    like: Count | None = None  # the row that others are compared with, where they are sorted by it


class Order(Schema):
    """A filter and a sort."""

    model_config = ConfigDict(extra="forbid")

    filter: Filter = Field(default_factory=Filter)
    sort: Sort = "order"
    descending: bool = False


def rows_of(catalogue: Catalogue, order: Order, checks: tuple[str, ...], similarity: np.ndarray | None = None) -> np.ndarray:
    """(n_found,) uint32: the rows that pass the filter, in order; those without a value come last.

    `checks` are the names of the bits of the column `findings`. `similarity` (n,) float32 is needed for the sort "like".
    Raises DataError.
    """
    found = np.flatnonzero(_passing(catalogue, order.filter, checks))
    if order.sort != "order":
        found = found[_ranked(catalogue, order, found, similarity)]
    elif order.descending:
        found = found[::-1]
    return found.astype(np.uint32)


def _passing(catalogue: Catalogue, wanted: Filter, checks: tuple[str, ...]) -> np.ndarray:
    """(n,) bool."""
    columns, passing = catalogue.columns, catalogue.readable()
    for name, values in (
        ("label", wanted.label),
        ("given", wanted.given),
        ("predicted", wanted.predicted),
        ("folder", None if wanted.folder is None else _numbers(wanted.folder, catalogue.folders)),
        ("split", None if wanted.split is None else tuple(SPLITS.index(split) for split in wanted.split)),
    ):
        if values is not None:
            passing &= np.isin(columns[name], values)
    for name, flag in (("excluded", wanted.excluded), ("decided", wanted.decided)):
        if flag is not None:
            passing &= columns[name].astype(bool) == flag
    if wanted.right is not None:
        both = (columns["label"] != NO_CLASS) & (columns["predicted"] != NO_CLASS)
        passing &= both & ((columns["label"] == columns["predicted"]) == wanted.right)
    if wanted.confidence is not None:
        low, high = wanted.confidence
        passing &= (columns["confidence"] >= low) & (columns["confidence"] <= high)
    if wanted.unfamiliar is not None:
        passing &= (columns["unfamiliar"] > 1) == wanted.unfamiliar
    if wanted.unlabelled is not None:
        passing &= (columns["label"] == NO_CLASS) == wanted.unlabelled
    if wanted.finding is not None:
        passing &= (columns["findings"] & np.uint32(_bits(wanted.finding, checks))) != 0
    if wanted.rows is not None:
        chosen = np.zeros(len(catalogue), bool)
        rows = np.array(wanted.rows, np.int64)
        chosen[rows[rows < len(catalogue)]] = True
        passing &= chosen
    return passing


def _numbers(names: tuple[str, ...], all_names: list[str]) -> tuple[int, ...]:
    """Where the names are; one that is unknown matches nothing."""
    return tuple(all_names.index(name) for name in names if name in all_names)


def _bits(names: tuple[str, ...], checks: tuple[str, ...]) -> int:
    for name in names:
        if name not in checks:
            raise DataError(f"there is no check {name!r}", hint=did_you_mean(name, list(checks)))
    return sum(1 << checks.index(name) for name in set(names))


def _ranked(catalogue: Catalogue, order: Order, found: np.ndarray, similarity: np.ndarray | None) -> np.ndarray:
    """Where each of the found rows comes: ties in their own order, rows without a value last."""
    if order.sort == "path":
        ranked = np.array(sorted(range(len(found)), key=lambda i: catalogue.candidates[int(found[i])].path), np.int64)
        return ranked[::-1] if order.descending else ranked
    if order.sort == "random":
        return np.random.default_rng(len(found)).permutation(len(found))
    if order.sort == "size":
        values = catalogue.columns["width"][found].astype(np.float32) * catalogue.columns["height"][found]
    elif order.sort == "like":
        if similarity is None:
            raise DataError("there is no picture to compare with", hint="give the row `like` in the filter")
        values = similarity[found]
    else:
        values = catalogue.columns[order.sort][found]
    return _stable_order(-values if order.descending else values)


def _stable_order(values: np.ndarray) -> np.ndarray:
    """(n,) int64: the order of (n,) float32 values, ties in their own order, NaN last: `argsort`, in a tenth of its time.

    A value and its place become one whole number, and numbers are sorted by the processor's vector instructions.
    """
    bits = (values.astype(np.float32) + np.float32(0)).view(np.uint32)  # + 0: minus zero is zero
    # Larger floats have larger bits; of negative ones it is the other way round.
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
    keys[np.isnan(values)] = np.iinfo(np.uint32).max
    keys = keys << np.uint64(32) | np.arange(len(keys), dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(np.iinfo(np.uint32).max)).astype(np.int64)
