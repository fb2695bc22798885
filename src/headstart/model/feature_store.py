"""The store under home(): features and facts of images by content, in Parquet tables that any tool can open.

A part file is written under a temporary name and renamed, so readers never see half a file and processes do not conflict. Rows
that two processes both computed are stored twice, which does no harm. A row's key includes everything that changes its value.
Page checksums are verified; a damaged part is reported, removed and recomputed. A part that the operating system currently
does not let us read is left alone.
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
from headstart.data.preprocess import Preprocess
from headstart.errors import HeadstartWarning, SettingsError
from headstart.model.arrow_columns import cells, constant, lists, numbers, texts
from headstart.model.digest_index import DigestIndex, as_digests
from headstart.model.extractor import Extractor
from headstart.storage import atomic_write, files_in, home, sha256_of_bytes

FEATURES, FACTS = "features", "facts"
THUMBNAILS = "thumbnails"  # the third folder that the limit is for; model/thumbnails.py keeps it
ROW_BITS = 32  # of a place, for the row within a part; the higher bits are the part's number
DEFAULT_LIMIT = "10 GB"
NUMBERS = {int: np.uint64, float: np.float64}
COLUMN_TYPES = {"image": pyarrow.string()} | {
    field.name: {int: pyarrow.uint64(), float: pyarrow.float64(), str: pyarrow.string()}[type(field.default)]
    for field in fields(ImageFacts)
}
LISTED_SHARE = 0.01  # of the limit: after this many new bytes the folders are listed again, to see what others added
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """Everything that changes a feature vector, besides the image."""

    backbone: str
    weights_sha256: str
    preprocess: str  # Preprocess.digest()
    engine: str
    precision: str
    pixels_version: str
    stages: str = ""  # besides the last layer, separated by spaces; earlier versions have none


@dataclass(frozen=True, slots=True)
class FactSpace:
    """Everything that changes the facts of an image, besides the image."""

    facts_version: int
    decode_px: int  # minimum shorter side of a JPEG decoded at reduced size
    pixels_version: str


class Table:
    """The rows of one space, looked up by the SHA-256 of the image's bytes.

    The index is built once from the existing parts and grows with the rows this process adds. Rows that other processes add in
    the meantime are recomputed.
    """

    def __init__(self, folder: Path, space: FeatureSpace | FactSpace) -> None:
        self._folder = folder
        named = {name: value for name, value in asdict(space).items() if name != "stages" or value}
        self._space: dict[str, str | int] = named
        self._key = sha256_of_bytes(json.dumps(named, sort_keys=True).encode())[:16]
        self._index = DigestIndex()
        self._parts: list[Path] = []
        self._told = False  # whether an unreadable part was reported: if one is unreadable, most are
        found = []
        for part in sorted(folder.glob(f"{self._key}-*.parquet")):
            digests = self._digests_of(part)
            if digests is not None:
                found.append((digests, self._places(part, len(digests))))
        if found:
            self._index.add(*(np.concatenate(columns) for columns in zip(*found, strict=True)))

    def find(self, digests: Sequence[str]) -> np.ndarray:
        """(n,) int64: the place of each digest, for `read`; -1 if it is not stored or is ""."""
        found = np.full(len(digests), -1, np.int64)
        asked = np.flatnonzero([bool(digest) for digest in digests])
        found[asked] = self._index.find(as_digests([digests[i] for i in asked.tolist()]))
        return found

    def read(self, found: np.ndarray, columns: Sequence[str]) -> tuple[np.ndarray, list[np.ndarray]]:
        """The rows at the places `found`: (which of them could be read, the cells of their columns in that order)."""
        part_of, row_of = found >> ROW_BITS, found & ((1 << ROW_BITS) - 1)
        readable = np.zeros(len(found), dtype=bool)
        parts, order, lost = [], [], []
        for part in np.unique(part_of).tolist():
            wanted = np.flatnonzero(part_of == part)
            rows = self._read_part(self._parts[part], columns)
            if rows is None:
                lost.append(part)
                continue
            with suppress(OSError):  # another process has freed space, or home() is read-only
                os.utime(self._parts[part])  # marks it as used: the oldest is removed first when the store is full
            parts.append([cells(rows.column(name))[row_of[wanted]] for name in columns])
            order.append(wanted)
            readable[wanted] = True
        if lost:
            self._index.keep(np.setdiff1d(np.arange(len(self._parts)), lost), ROW_BITS)
        if not parts:
            return readable, [np.empty(0, object) for _ in columns]
        back = np.argsort(np.concatenate(order), kind="stable")
        return readable, [np.concatenate(column)[back] for column in zip(*parts, strict=True)]

    def add(self, digests: Sequence[str], columns: dict[str, pyarrow.Array]) -> int:
        """Writes a part with new rows; returns its size in bytes."""
        content = {"image": texts(digests)} | columns
        of_space = {name: constant(value, len(digests)) for name, value in self._space.items()}
        # A unique name for each writer.
        stamp = sha256_of_bytes("".join(digests).encode() + os.urandom(8))[:12]
        part = self._folder / f"{self._key}-{stamp}.parquet"
        with atomic_write(part, durable=False) as aside:  # a damaged part is recomputed
            pyarrow.parquet.write_table(
                pyarrow.table(content | of_space),
                aside,
                compression="none",  # features hardly shrink
                use_dictionary=list(of_space),
                write_page_checksum=True,
                write_statistics=False,
            )
            n_bytes = aside.stat().st_size
        self._index.add(as_digests(digests), self._places(part, len(digests)))
        return n_bytes

    def _places(self, part: Path, n_rows: int) -> np.ndarray:
        """(n_rows,) int64: the places of a new part's rows, with the part's number in the high bits."""
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
        """Columns of a part; None if it is gone, damaged (it is then removed) or currently unreadable (it then stays)."""
        try:
            with part.open(
                "rb"
            ) as file:  # not opened by pyarrow: its OSErrors do not tell a damaged page from too many open files
                try:
                    table = pyarrow.parquet.ParquetFile(file, page_checksum_verification=True).read(columns=list(columns))
                except (OSError, pyarrow.ArrowException) as error:
                    if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
                        raise  # an operating system error; pyarrow's own errors have no errno
                    _remove_damaged(part, str(error).splitlines()[0])
                    return None
        except FileNotFoundError:  # another process has freed space
            return None
        except (OSError, MemoryError) as failure:  # too many open files, no permission, a disconnected network drive ...
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
        message = f"a part of the store cannot be read now, so its images are recomputed: {part}: {reason}"
        warnings.warn(message, HeadstartWarning, stacklevel=2)


def _is_as_written(column: str, found: pyarrow.DataType) -> bool:
    if column == "vector":
        return pyarrow.types.is_fixed_size_list(found) and found.value_type == pyarrow.float32()
    return bool(found == COLUMN_TYPES[column])


def _remove_damaged(part: Path, reason: str) -> None:
    message = f"a part of the store is damaged and will be recomputed: {part.name}: {reason}"
    warnings.warn(message, HeadstartWarning, stacklevel=2)
    with suppress(OSError):  # home() is read-only, or another process was faster
        part.unlink()


class Shelf:
    """The part of a store for one preprocessing and one extractor."""

    def __init__(self, store: "FeatureStore", preprocess: Preprocess, extractor: Extractor | None) -> None:
        self._store = store
        self._fact_space = FactSpace(FACTS_VERSION, preprocess.decode_px, preprocess.pixels_version)
        self._feature_spaces: tuple[FeatureSpace, ...] = ()  # one for each view
        if extractor is not None and extractor.kept_as is not None:
            network = extractor.kept_as
            self._feature_spaces = tuple(
                FeatureSpace(
                    backbone=network.backbone,
                    weights_sha256=network.weights_sha256,
                    preprocess=view.digest(),
                    engine=extractor.engine.name,
                    precision=extractor.engine.precision,
                    pixels_version=preprocess.pixels_version,
                    stages=" ".join(network.stages),
                )
                for view in preprocess.one_by_one()
            )
        self._can_write = True

    @property
    def key(self) -> str:
        """A digest of everything that changes a fact or a feature, besides the image."""
        spaces = [asdict(self._fact_space), *map(asdict, self._feature_spaces)]
        return sha256_of_bytes(json.dumps(spaces, sort_keys=True).encode())

    def facts(self, digests: Sequence[str]) -> dict[str, ImageFacts]:
        """The stored facts among `digests`."""
        return self._store.facts(self._fact_space, digests)

    def prepare(self) -> None:
        """Reads the indexes of what is stored, so that whoever asks first need not wait for that."""
        self._store.prepare(self._fact_space)
        for space in self._feature_spaces:
            self._store.prepare(space)

    def vectors(self, digests: Sequence[str]) -> tuple[dict[str, np.ndarray], ...]:
        """For each view the stored vectors among `digests`, (n_features,) float32; () if the features are not stored."""
        return tuple(self._store.vectors(space, digests) for space in self._feature_spaces)

    def keep(self, facts: dict[str, ImageFacts], vectors: dict[str, np.ndarray]) -> None:
        """Stores new facts, and the vectors of all views of each image.

        If home() cannot be written to, warns once and stores nothing.
        """
        if not self._can_write:
            return
        try:
            known = self._store.facts(self._fact_space, list(facts))
            new = [digest for digest in facts if digest not in known]
            if new:
                self._store.add_facts(self._fact_space, new, [facts[digest] for digest in new])
            for number, space in enumerate(self._feature_spaces):
                self._keep_view(space, {digest: of_views[number] for digest, of_views in vectors.items()})
        except OSError as error:
            self._can_write = False
            message = f"features are not stored, because {self._store.root} cannot be written to: {error.strerror or error}"
            warnings.warn(message, HeadstartWarning, stacklevel=2)

    def _keep_view(self, space: FeatureSpace, vectors: dict[str, np.ndarray]) -> None:
        known = self._store.vectors(space, list(vectors)) if len(self._feature_spaces) > 1 else {}  # from a run with one view
        new = [digest for digest in vectors if digest not in known]
        if new:
            self._store.add_vectors(space, new, np.stack([vectors[digest] for digest in new]))


class FeatureStore:
    """Features and facts under home(), limited to HEADSTART_CACHE_LIMIT."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or home()
        self.limit = cache_limit()
        self._tables: dict[FeatureSpace | FactSpace, Table] = {}
        self._listed: int | None = None  # bytes when the folders were last listed, ...
        self._unlisted = 0  # ... and bytes written since

    def shelf(self, preprocess: Preprocess, extractor: Extractor | None) -> Shelf:
        """The shelf for this preprocessing and extractor."""
        return Shelf(self, preprocess, extractor)

    def prepare(self, space: FeatureSpace | FactSpace) -> None:
        """Reads the index of a space."""
        self._table(space)

    def release(self) -> None:
        """Gives the system back the memory that reading took: some 70 MB, which Arrow would keep for the next time."""
        pyarrow.default_memory_pool().release_unused()

    def vectors(self, space: FeatureSpace, digests: Sequence[str]) -> dict[str, np.ndarray]:
        """The stored vectors among `digests`: digest -> (n_features,) float32."""
        return self._stored(space, digests, ["vector"], lambda columns: columns[0])

    def facts(self, space: FactSpace, digests: Sequence[str]) -> dict[str, ImageFacts]:
        """The stored facts among `digests`."""
        names = [field.name for field in fields(ImageFacts)]
        return self._stored(
            space,
            digests,
            names,
            lambda columns: [ImageFacts(*row) for row in zip(*(column.tolist() for column in columns), strict=True)],
        )

    def add_vectors(self, space: FeatureSpace, digests: Sequence[str], vectors: np.ndarray) -> None:
        """Stores (n, n_features) float32 vectors."""
        self._unlisted += self._table(space).add(digests, {"vector": lists(vectors)})
        if self._listed is None or self._listed + self._unlisted > self.limit or self._unlisted > LISTED_SHARE * self.limit:
            self._listed, self._unlisted = make_room(self.root, self.limit), 0

    def add_facts(self, space: FactSpace, digests: Sequence[str], facts: Sequence[ImageFacts]) -> None:
        """Stores facts."""
        columns = zip(*(astuple(entry) for entry in facts), strict=True)
        self._unlisted += self._table(space).add(
            digests,
            {
                field.name: texts(values)
                if isinstance(field.default, str)
                else numbers(np.array(values, NUMBERS[type(field.default)]))
                for field, values in zip(fields(ImageFacts), columns, strict=True)
            },
        )

    def _stored(
        self,
        space: FeatureSpace | FactSpace,
        digests: Sequence[str],
        columns: Sequence[str],
        values_of: Callable[[list[np.ndarray]], Iterable[Any]],
    ) -> dict[str, Any]:
        table = self._table(space)
        found = table.find(digests)
        wanted = np.flatnonzero(found >= 0)
        readable, cells_of = table.read(found[wanted], columns)
        return dict(zip((digests[i] for i in wanted[readable]), values_of(cells_of), strict=True))

    def _table(self, space: FeatureSpace | FactSpace) -> Table:
        if space not in self._tables:
            folder = FEATURES if isinstance(space, FeatureSpace) else FACTS
            self._tables[space] = Table(self.root / folder, space)
        return self._tables[space]


def make_room(root: Path, limit: int) -> int:
    """Removes the least recently used parts until the rest, with the thumbnails, is below the limit.

    Returns the bytes that are left.
    """
    parts = sorted((found for folder in (FEATURES, FACTS) for found in files_in(root / folder)), key=lambda f: f[1])
    total = sum(size for _, _, size in (*parts, *files_in(root / THUMBNAILS)))
    for part, _, size in parts[:-1]:  # the one just written stays
        if total <= limit:
            break
        part.unlink(missing_ok=True)
        total -= size
    return total


def store_size(root: Path | None = None) -> dict[str, tuple[int, int]]:
    """Kind -> (number of files, bytes) of the store under home()."""
    return {
        kind: (len(found), sum(size for _, _, size in found))
        for kind in (FEATURES, FACTS)
        for found in [list(files_in((root or home()) / kind))]
    }


def clear_store(root: Path | None = None) -> None:
    """Removes all features and facts, including files that killed processes left half-written."""
    for kind in (FEATURES, FACTS):
        for part, _, _ in files_in((root or home()) / kind):
            part.unlink(missing_ok=True)


def cache_limit() -> int:
    """HEADSTART_CACHE_LIMIT in bytes: a number with an optional KB, MB, GB or TB. Raises SettingsError."""
    given = os.environ.get("HEADSTART_CACHE_LIMIT", "") or DEFAULT_LIMIT
    number = given.strip().upper().rstrip("KMGTB ")
    unit = given.strip().upper().removeprefix(number).strip()
    try:
        limit = int(float(number) * UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        limit = -1
    if limit < 0:
        raise SettingsError(f"HEADSTART_CACHE_LIMIT cannot be {given!r}", hint="use a size such as 500 MB or 10 GB")
    return limit
