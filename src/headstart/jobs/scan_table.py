"""What a scan finds of each image, as the rows of a table, and back."""

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import pyarrow

from headstart.data.facts import ImageFacts
from headstart.data.miniatures import ROW_BYTES, packed, unpacked
from headstart.data.sources import Candidate, Skipped
from headstart.model.arrow_columns import cells, fixed_bytes, lists, numbers, texts
from headstart.model.features import ScannedImage, row_of
from headstart.model.pipeline import Opened

TABLE_VERSION = 2  # raised with every change here: parts of another version are computed again
PROBLEM, DIGEST, GROUP, VECTORS, MINIATURES = "problem", "image", "group", "vectors", "miniatures"
FACTS = {field.name: type(field.default) for field in fields(ImageFacts) if field.name != PROBLEM}
NUMBERS = {int: np.uint64, float: np.float64}


def table_of(rows: Sequence[ScannedImage | Skipped], n_features: int, *, with_miniatures: bool = False) -> pyarrow.Table:
    """A row for each image: why it cannot be read ("" if it can), its digest, its facts, and all views' vectors in a row.

    `n_features` are those of all views together; the vectors of what cannot be read are zeros. So are miniatures that
    are not known; they are in the table only if they were asked for.
    """
    images = [None if isinstance(row, Skipped) else row for row in rows]
    facts = [ImageFacts() if image is None else image.facts for image in images]
    vectors = np.zeros((len(rows), n_features), np.float32)
    for vector, image in zip(vectors, images, strict=True):
        if image is not None:
            vector[:] = image.vectors.ravel()
    columns = {
        PROBLEM: texts([row.reason if isinstance(row, Skipped) else "" for row in rows]),
        DIGEST: texts(["" if image is None else image.image.sha256 for image in images]),
        GROUP: texts(["" if image is None else image.image.group or "" for image in images]),
        VECTORS: lists(vectors),
    }
    if with_miniatures:
        small = np.zeros((len(rows), ROW_BYTES), np.uint8)
        for row, image in zip(small, images, strict=True):
            if image is not None and image.miniature is not None:
                row[:] = image.miniature
        columns[MINIATURES] = fixed_bytes(packed(small))
    for name, kind in FACTS.items():
        values = [getattr(fact, name) for fact in facts]
        columns[name] = texts(values) if kind is str else numbers(np.array(values, NUMBERS[kind]))
    return pyarrow.table(columns)


def rows_of(table: pyarrow.Table, candidates: Sequence[Candidate], n_views: int) -> Iterator[ScannedImage | Skipped]:
    """Yields the candidates' rows, as the scan found them."""
    problems, digests, groups, vectors = (cells(table.column(name)) for name in (PROBLEM, DIGEST, GROUP, VECTORS))
    facts = zip(*(table.column(name).to_pylist() for name in FACTS), strict=True)
    has_miniatures = MINIATURES in table.column_names
    small = unpacked(cells(table.column(MINIATURES))) if has_miniatures else [None] * len(candidates)
    columns = (candidates, problems, digests, groups, vectors, small, facts)
    for candidate, problem, digest, group, of_views, miniature, values in zip(*columns, strict=True):
        fact = ImageFacts(problem, **dict(zip(FACTS, values, strict=True)))
        views = of_views.reshape(n_views, -1)
        yield row_of(candidate, Opened(problem, sha256=digest, group=group, facts=fact, miniature=miniature, vectors=views))
