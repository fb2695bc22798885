"""Parquet files with images inside, as the `datasets` library and others write them."""

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import draw_shape

SHAPES = ("circles", "squares", "triangles")


def picture(label: str, seed: int) -> bytes:
    """A drawn shape as PNG."""
    made = BytesIO()
    draw_shape(label, np.random.default_rng([seed, len(label)])).save(made, "PNG")
    return made.getvalue()


def pictures(n: int, start: int = 0) -> tuple[list[bytes], list[int]]:
    """Images and the numbers of their classes, which take turns."""
    labels = [i % len(SHAPES) for i in range(start, start + n)]
    return [picture(SHAPES[label], i) for i, label in enumerate(labels, start)], labels


def records(images: Sequence[bytes | None], paths: Sequence[str | None] | None = None) -> list[dict[str, Any]]:
    """Images as `datasets` has them: bytes and the name of the file that they were."""
    return [{"bytes": data, "path": paths[i] if paths else f"{i}.png"} for i, data in enumerate(images)]


def features(**columns: Sequence[str] | None) -> dict[bytes, bytes]:
    """What `datasets` writes into the schema: names of classes for columns of numbers."""
    kinds = {
        name: {"_type": "Image"} if names is None else {"names": list(names), "_type": "ClassLabel"}
        for name, names in columns.items()
    }
    return {b"huggingface": json.dumps({"info": {"features": kinds}}).encode()}


def write_parquet(file: Path, columns: Mapping[str, Any], about: Mapping[bytes, bytes] | None = None, group: int = 4) -> Path:
    """A file with so many rows in a row group."""
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    made = pyarrow.table(dict(columns))
    file.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(made.replace_schema_metadata(about) if about else made, file, row_group_size=group)
    return file


def write_shards(folder: Path, n_train: int = 24, n_test: int = 9) -> Path:
    """train and test in data/, as a data set of the hub has them."""
    for split, n, start in (("train", n_train, 0), ("test", n_test, 1000)):
        images, labels = pictures(n, start)
        half = n // 2
        for i, part in enumerate((slice(None, half), slice(half, None))):
            columns = {"image": records(images[part]), "label": labels[part]}
            file = folder / "data" / f"{split}-0000{i}-of-00002.parquet"
            write_parquet(file, columns, features(image=None, label=SHAPES))
    (folder / "README.md").write_text("# shapes\n")
    return folder
