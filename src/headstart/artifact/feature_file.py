"""The features of a data set as a Parquet table: path, label, split, vector."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from headstart.model.features import ScannedImage
from headstart.storage import atomic_write

ROWS_TOGETHER = 1024  # 5 MB of features: memory holds one group


def write_embedding(file: Path, rows: Iterable[ScannedImage], n_features: int) -> int:
    """Writes one row per image, completely or not at all; returns the number of rows. A missing label or split is null."""
    vector = pyarrow.list_(pyarrow.float32(), n_features)
    text = pyarrow.string()
    schema = pyarrow.schema([("path", text), ("label", text), ("split", text), ("vector", vector)])
    source, n_rows = iter(rows), 0
    with atomic_write(file) as aside, pyarrow.parquet.ParquetWriter(aside, schema, compression="none") as writer:
        while group := list(islice(source, ROWS_TOGETHER)):
            flat = pyarrow.array(np.concatenate([row.vector for row in group]))
            columns = [
                [row.image.path for row in group],
                [row.image.label or None for row in group],
                [row.image.split for row in group],
                pyarrow.FixedSizeListArray.from_arrays(flat, n_features),
            ]
            writer.write_table(pyarrow.table(columns, schema=schema))
            n_rows += len(group)
    return n_rows
