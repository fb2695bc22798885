"""The store under home(): features and facts of images by content, in Parquet tables that any tool opens.

A part file is written aside and renamed, so a reader never sees half of one and two processes never meet; what both computed
is there twice, which does no harm. A row's key is all that changes its value. Checksums of the pages are verified; a damaged
part is reported, removed and computed anew. A part that the operating system does not let us read now is left alone.
"""

import json
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from headstart.data.facts import FACTS_VERSION, ImageFacts
from headstart.data.images import pixels_version
from headstart.data.preprocess import Preprocess
from headstart.errors import HeadstartWarning, SettingsError
from headstart.model.digest_index import DigestIndex, as_digests
from headstart.model.extractor import Extractor
from headstart.storage import atomic_write, home, sha256_of_bytes

FEATURES, FACTS = "features", "facts"
ROW_BITS = 32  # of a place, for the row in a part; the part's number is above
DEFAULT_LIMIT = "10 GB"
COLUMN_TYPES = {"image": pyarrow.string()} | {
    field.name: {int: pyarrow.uint64(), float: pyarrow.float64(), str: pyarrow.string()}[type(field.default)]
    for field in fields(ImageFacts)
}
LISTED_SHARE = 0.01  # of the limit: after so many new bytes the folders are listed again, which finds what others have added
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """All that changes a feature vector, besides the image."""

    backbone: str
    weights_sha256: str
    preprocess: str  # Preprocess.digest()
    engine: str
    precision: str
    pixels_version: str


@dataclass(frozen=True, slots=True)
class FactSpace:
    """All that changes the facts of an image, besides the image."""

    facts_version: int
    decode_px: int  # the shorter side that a reduced JPEG keeps at least
    pixels_version: str


class Table:
    """The rows of one space, found by the SHA-256 of the image's bytes.

    The index is made once, of the parts that are there then, and grows by what this process adds: what others add meanwhile is
    computed again.
    """

    def __init__(self, folder: Path, space: FeatureSpace | FactSpace) -> None:
        self._folder = folder
        self._space = {name: pyarrow.scalar(value) for name, value in asdict(space).items()}
        self._key = sha256_of_bytes(json.dumps(asdict(space), sort_keys=True).encode())[:16]
        self._index = DigestIndex()
        self._parts: list[Path] = []
        self._told = False  # that a part cannot be read: where one cannot, most cannot
        found = []
        for part in sorted(folder.glob(f"{self._key}-*.parquet")):
            digests = self._digests_of(part)
            if digests is not None:
                found.append((digests, self._places(part, len(digests))))
        if found:
            self._index.add(*(np.concatenate(columns) for columns in zip(*found, strict=True)))

    def find(self, digests: Sequence[str]) -> np.ndarray:
        """(n,) int64: a number for each digest that `read` understands, -1 for what is not stored, "" among it."""
        found = np.full(len(digests), -1, np.int64)
        asked = np.flatnonzero([bool(digest) for digest in digests])
        found[asked] = self._index.find(as_digests([digests[i] for i in asked.tolist()]))
        return found

    def read(self, found: np.ndarray, columns: Sequence[str]) -> tuple[np.ndarray, pyarrow.Table]:
        """The rows numbered `found`: (which of them could be read, their columns in that order)."""
        part_of, row_of = found >> ROW_BITS, found & ((1 << ROW_BITS) - 1)
        readable = np.zeros(len(found), dtype=bool)
        tables, order, lost = [], [], []
        for part in np.unique(part_of).tolist():
            wanted = np.flatnonzero(part_of == part)
            rows = self._read_part(self._parts[part], columns)
            if rows is None:
                lost.append(part)
                continue
            with suppress(OSError):  # another process has made room, or home() is read-only
                os.utime(self._parts[part])  # used now: the oldest goes first when the store is full
            tables.append(rows.take(pyarrow.array(row_of[wanted])))
            order.append(wanted)
            readable[wanted] = True
        if lost:
            self._index.keep(np.setdiff1d(np.arange(len(self._parts)), lost), ROW_BITS)
        if not tables:
            return readable, pyarrow.table({name: [] for name in columns})
        back = np.argsort(np.concatenate(order), kind="stable")
        return readable, pyarrow.concat_tables(tables).take(pyarrow.array(back))

    def add(self, digests: Sequence[str], columns: dict[str, pyarrow.Array]) -> int:
        """Writes a part of new rows; returns its bytes."""
        content = {"image": pyarrow.array(digests, pyarrow.string())} | columns
        constant = {
            name: pyarrow.DictionaryArray.from_arrays(
                pyarrow.array(np.zeros(len(digests), np.int32)), pyarrow.array([value.as_py()], value.type)
            )
            for name, value in self._space.items()
        }
        # The digest keeps two writers apart.
        stamp = sha256_of_bytes("".join(digests).encode() + os.urandom(8))[:12]
        part = self._folder / f"{self._key}-{stamp}.parquet"
        with atomic_write(part, durable=False) as aside:  # a damaged part is computed anew
            pyarrow.parquet.write_table(
                pyarrow.table(content | constant),
                aside,
                compression="none",  # features hardly shrink
                use_dictionary=list(constant),
                write_page_checksum=True,
                write_statistics=False,
            )
            n_bytes = aside.stat().st_size
        self._index.add(as_digests(digests), self._places(part, len(digests)))
        return n_bytes

    def _places(self, part: Path, n_rows: int) -> np.ndarray:
        """(n_rows,) int64 of a part that is new: its number, and below it the row's."""
        self._parts.append(part)
        return (np.int64(len(self._parts) - 1) << ROW_BITS) + np.arange(n_rows, dtype=np.int64)

    def _digests_of(self, part: Path) -> np.ndarray | None:
        table = self._read_part(part, ["image"])
        if table is None:
            return None
        try:
            return as_digests(table.column("image").to_pylist())
        except (TypeError, ValueError) as error:
            _remove_damaged(part, str(error))
            return None

    def _read_part(self, part: Path, columns: Sequence[str]) -> pyarrow.Table | None:
        """Columns of a part; None where it is gone, damaged (then it is removed) or cannot be read now (then it stays)."""
        try:
            with part.open(
                "rb"
            ) as file:  # not pyarrow: of its OSErrors one cannot tell a damaged page from a full table of files
                try:
                    table = pyarrow.parquet.ParquetFile(file, page_checksum_verification=True).read(columns=list(columns))
                except (OSError, pyarrow.ArrowException) as error:
                    if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
                        raise  # the operating system's, passed on by pyarrow, which itself sets no errno
                    _remove_damaged(part, str(error).splitlines()[0])
                    return None
        except FileNotFoundError:  # another process has made room
            return None
        except (OSError, MemoryError) as failure:  # too many open files, no permission, a network drive that is away ...
            self._tell_unreadable(part, failure)
            return None
        for name in columns:
            if name not in table.column_names or not _is_as_written(name, table.schema.field(name).type):
                _remove_damaged(part, f"it has no column {name} of the right type")
                return None
        return table

    def _tell_unreadable(self, part: Path, failure: OSError | MemoryError) -> None:
        if self._told:
            return
        self._told = True
        reason = (failure.strerror if isinstance(failure, OSError) else "") or str(failure) or type(failure).__name__
        message = f"a part of the store cannot be read now, its images are computed anew: {part}: {reason}"
        warnings.warn(message, HeadstartWarning, stacklevel=2)


def _is_as_written(column: str, found: pyarrow.DataType) -> bool:
    if column == "vector":
        return pyarrow.types.is_fixed_size_list(found) and found.value_type == pyarrow.float32()
    return bool(found == COLUMN_TYPES[column])


def _remove_damaged(part: Path, reason: str) -> None:
    message = f"a part of the store is damaged and is computed anew: {part.name}: {reason}"
    warnings.warn(message, HeadstartWarning, stacklevel=2)
    with suppress(OSError):  # home() is read-only, or another process was faster
        part.unlink()


class Shelf:
    """The part of a store that one preprocessing and one extractor use."""

    def __init__(self, store: "FeatureStore", preprocess: Preprocess, extractor: Extractor | None) -> None:
        self._store = store
        self._fact_space = FactSpace(FACTS_VERSION, preprocess.decode_px, pixels_version())
        self._feature_space: FeatureSpace | None = None
        if extractor is not None and extractor.kept_as is not None:
            self._feature_space = FeatureSpace(
                backbone=extractor.kept_as.backbone,
                weights_sha256=extractor.kept_as.weights_sha256,
                preprocess=preprocess.digest(),
                engine=extractor.engine.name,
                precision=extractor.engine.precision,
                pixels_version=pixels_version(),
            )
        self._can_write = True

    def facts(self, digests: Sequence[str]) -> dict[str, ImageFacts]:
        """What is stored of the facts of images."""
        return self._store.facts(self._fact_space, digests)

    def vectors(self, digests: Sequence[str]) -> dict[str, np.ndarray]:
        """What is stored of their vectors."""
        return self._store.vectors(self._feature_space, digests) if self._feature_space else {}

    def keep(self, facts: dict[str, ImageFacts], vectors: dict[str, np.ndarray]) -> None:
        """Stores what is new of both. Where home() cannot be written to, that is told once and nothing is kept."""
        if not self._can_write:
            return
        try:
            known = self._store.facts(self._fact_space, list(facts))
            new = [digest for digest in facts if digest not in known]
            if new:
                self._store.add_facts(self._fact_space, new, [facts[digest] for digest in new])
            if vectors and self._feature_space:
                self._store.add_vectors(self._feature_space, list(vectors), np.stack(list(vectors.values())))
        except OSError as error:
            self._can_write = False
            message = f"features are not kept, {self._store.root} cannot be written to: {error.strerror or error}"
            warnings.warn(message, HeadstartWarning, stacklevel=2)


class FeatureStore:
    """Features and facts under home(), kept below HEADSTART_CACHE_LIMIT."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or home()
        self.limit = cache_limit()
        self._tables: dict[FeatureSpace | FactSpace, Table] = {}
        self._listed: int | None = None  # bytes when the folders were last listed, ...
        self._unlisted = 0  # ... and what was written since

    def shelf(self, preprocess: Preprocess, extractor: Extractor | None) -> Shelf:
        """What is stored for this preprocessing and this extractor."""
        return Shelf(self, preprocess, extractor)

    def vectors(self, space: FeatureSpace, digests: Sequence[str]) -> dict[str, np.ndarray]:
        """The stored vectors among `digests`: digest -> (n_features,) float32."""
        return self._stored(space, digests, ["vector"], lambda rows: _matrix(rows.column("vector")))

    def facts(self, space: FactSpace, digests: Sequence[str]) -> dict[str, ImageFacts]:
        """The stored facts among `digests`."""
        names = [field.name for field in fields(ImageFacts)]
        return self._stored(
            space,
            digests,
            names,
            lambda rows: [ImageFacts(*cells) for cells in zip(*(rows.column(name).to_pylist() for name in names), strict=True)],
        )

    def add_vectors(self, space: FeatureSpace, digests: Sequence[str], vectors: np.ndarray) -> None:
        """Keeps (n, n_features) float32 vectors."""
        flat = pyarrow.array(np.ascontiguousarray(vectors, np.float32).ravel())
        column = pyarrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        self._unlisted += self._table(space).add(digests, {"vector": column})
        if self._listed is None or self._listed + self._unlisted > self.limit or self._unlisted > LISTED_SHARE * self.limit:
            self._make_room()

    def add_facts(self, space: FactSpace, digests: Sequence[str], facts: Sequence[ImageFacts]) -> None:
        """Keeps facts."""
        columns = zip(*(astuple(entry) for entry in facts), strict=True)
        self._unlisted += self._table(space).add(
            digests,
            {
                field.name: pyarrow.array(cells, COLUMN_TYPES[field.name])
                for field, cells in zip(fields(ImageFacts), columns, strict=True)
            },
        )

    def _stored(
        self,
        space: FeatureSpace | FactSpace,
        digests: Sequence[str],
        columns: Sequence[str],
        values_of: Callable[[pyarrow.Table], Iterable[Any]],
    ) -> dict[str, Any]:
        table = self._table(space)
        found = table.find(digests)
        wanted = np.flatnonzero(found >= 0)
        readable, rows = table.read(found[wanted], columns)
        return dict(zip((digests[i] for i in wanted[readable]), values_of(rows), strict=True))

    def _table(self, space: FeatureSpace | FactSpace) -> Table:
        if space not in self._tables:
            folder = FEATURES if isinstance(space, FeatureSpace) else FACTS
            self._tables[space] = Table(self.root / folder, space)
        return self._tables[space]

    def _make_room(self) -> None:
        """Removes the parts that were not used for longest until the rest is below the limit."""
        parts = sorted((found for folder in (FEATURES, FACTS) for found in _files(self.root / folder)), key=lambda f: f[1])
        total = sum(size for _, _, size in parts)
        for part, _, size in parts[:-1]:  # the one just written stays
            if total <= self.limit:
                break
            part.unlink(missing_ok=True)
            total -= size
        self._listed, self._unlisted = total, 0


def store_size(root: Path | None = None) -> dict[str, tuple[int, int]]:
    """Kind -> (number of files, bytes) of what is under home()."""
    return {
        kind: (len(found), sum(size for _, _, size in found))
        for kind in (FEATURES, FACTS)
        for found in [list(_files((root or home()) / kind))]
    }


def clear_store(root: Path | None = None) -> None:
    """Removes all features and facts, also what killed processes left half written."""
    for kind in (FEATURES, FACTS):
        for part, _, _ in _files((root or home()) / kind):
            part.unlink(missing_ok=True)


def cache_limit() -> int:
    """HEADSTART_CACHE_LIMIT in bytes: a number, perhaps with KB, MB, GB or TB. Raises SettingsError."""
    given = os.environ.get("HEADSTART_CACHE_LIMIT", "") or DEFAULT_LIMIT
    number = given.strip().upper().rstrip("KMGTB ")
    unit = given.strip().upper().removeprefix(number).strip()
    try:
        limit = int(float(number) * UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        limit = -1
    if limit < 0:
        raise SettingsError(f"HEADSTART_CACHE_LIMIT cannot be {given!r}", hint="a size such as 500 MB or 10 GB")
    return limit


def _files(folder: Path) -> Sequence[tuple[Path, float, int]]:
    """(file, time of last use, bytes) of each file in a folder, half-written ones too."""
    found = []
    for file in folder.glob("*") if folder.is_dir() else ():
        try:
            status = file.stat()
        except FileNotFoundError:  # another process has made room
            continue
        found.append((file, status.st_mtime, status.st_size))
    return found


def _matrix(column: pyarrow.ChunkedArray) -> np.ndarray:
    """(n, n_features) float32 of a column of fixed-size lists, copied: pyarrow's own memory, once taken, is not given back."""
    if len(column) == 0:
        return np.empty((0, 0), np.float32)
    lists = column.combine_chunks()
    return np.array(lists.flatten().to_numpy(zero_copy_only=False)).reshape(len(lists), -1)
