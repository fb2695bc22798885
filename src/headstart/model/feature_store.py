"""The store under home(): features, facts and miniatures of images by content, and the likeness of pairs of them, in Parquet
tables that any tool can open.

A row's key includes everything that changes its value. What earlier versions stored is used: they had no miniatures, and those
are made when they are needed (model/kept_miniatures.py).
"""

import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from headstart.data.facts import FACTS_VERSION, ImageFacts
from headstart.data.miniatures import (
    LIKENESS_VERSION,
    MINIATURES_VERSION,
    ROW_BYTES,
    LikenessSpace,
    MiniatureSpace,
    packed,
    unpacked,
)
from headstart.data.preprocess import Preprocess
from headstart.errors import HeadstartWarning, SettingsError
from headstart.model.arrow_columns import fixed_bytes, lists, numbers, texts
from headstart.model.extractor import Extractor
from headstart.model.store_table import LIKENESS, MINIATURE, VECTOR, Table
from headstart.storage import files_in, home, sha256_of_bytes

FEATURES, FACTS, MINIATURES, LIKENESSES = KINDS = ("features", "facts", "miniatures", "likenesses")
THUMBNAILS = "thumbnails"  # another folder that the limit is for; model/thumbnails.py keeps it
DEFAULT_LIMIT = "10 GB"
NUMBERS = {int: np.uint64, float: np.float64}
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


Space = FeatureSpace | FactSpace | MiniatureSpace | LikenessSpace
FOLDERS = {FeatureSpace: FEATURES, FactSpace: FACTS, MiniatureSpace: MINIATURES, LikenessSpace: LIKENESSES}


class Shelf:
    """The part of a store for one preprocessing and one extractor."""

    def __init__(self, store: "FeatureStore", preprocess: Preprocess, extractor: Extractor | None) -> None:
        self._store = store
        self._fact_space = FactSpace(FACTS_VERSION, preprocess.decode_px, preprocess.pixels_version)
        self._miniature_space = MiniatureSpace(MINIATURES_VERSION, preprocess.decode_px, preprocess.pixels_version)
        self._likeness_space = LikenessSpace(
            LIKENESS_VERSION, MINIATURES_VERSION, preprocess.decode_px, preprocess.pixels_version
        )
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

    def miniatures(self, digests: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(n, ROW_BYTES) uint8, zeros where there is none; and (n,) bool: which of the miniatures are stored."""
        return self._store.miniatures(self._miniature_space, digests)

    def likenesses(self, pairs: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(n,) float32, zero where there is none; and (n,) bool: of which pairs, by their digests, the likeness is stored."""
        return self._store.likenesses(self._likeness_space, pairs)

    def prepare(self) -> None:
        """Reads the indexes of what is stored, so that whoever asks first need not wait for that."""
        self._store.prepare(self._fact_space)
        for space in self._feature_spaces:
            self._store.prepare(space)

    def vectors(self, digests: Sequence[str]) -> tuple[dict[str, np.ndarray], ...]:
        """For each view the stored vectors among `digests`, (n_features,) float32; () if the features are not stored."""
        return tuple(self._store.vectors(space, digests) for space in self._feature_spaces)

    def keep(
        self,
        facts: Mapping[str, ImageFacts],
        vectors: Mapping[str, np.ndarray],
        miniatures: Mapping[str, np.ndarray],
    ) -> None:
        """Stores new facts and miniatures, and the vectors of all views of each image.

        If home() cannot be written to, warns once and stores nothing.
        """
        self._write(lambda: self._keep(facts, vectors, miniatures))

    def keep_likenesses(self, pairs: Sequence[str], likeness: np.ndarray) -> None:
        """Stores the (n,) float32 likeness of new pairs, each of them once. As `keep` does if home() cannot be written to."""
        new = dict(zip(pairs, likeness.tolist(), strict=True))
        if new:
            values = np.array(list(new.values()), np.float32)
            self._write(lambda: self._store.add_likenesses(self._likeness_space, list(new), values))

    def _write(self, write: Callable[[], None]) -> None:
        if not self._can_write:
            return
        try:
            write()
        except OSError as error:
            self._can_write = False
            message = f"features are not stored, because {self._store.root} cannot be written to: {error.strerror or error}"
            warnings.warn(message, HeadstartWarning, stacklevel=2)

    def _keep(
        self,
        facts: Mapping[str, ImageFacts],
        vectors: Mapping[str, np.ndarray],
        miniatures: Mapping[str, np.ndarray],
    ) -> None:
        new = self._store.not_stored(self._fact_space, list(facts))
        if new:
            self._store.add_facts(self._fact_space, new, [facts[digest] for digest in new])
        new = self._store.not_stored(self._miniature_space, list(miniatures))
        if new:
            self._store.add_miniatures(self._miniature_space, new, np.stack([miniatures[digest] for digest in new]))
        for number, space in enumerate(self._feature_spaces):
            self._keep_view(space, {digest: of_views[number] for digest, of_views in vectors.items()})

    def _keep_view(self, space: FeatureSpace, vectors: dict[str, np.ndarray]) -> None:
        new = list(vectors)
        if len(self._feature_spaces) > 1:  # a run with one view may have stored some
            new = self._store.not_stored(space, new)
        if new:
            self._store.add_vectors(space, new, np.stack([vectors[digest] for digest in new]))


class FeatureStore:
    """Features, facts and miniatures under home(), limited to HEADSTART_CACHE_LIMIT."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or home()
        self.limit = cache_limit()
        self._tables: dict[Space, Table] = {}
        self._listed: int | None = None  # bytes when the folders were last listed, ...
        self._unlisted = 0  # ... and bytes written since

    def shelf(self, preprocess: Preprocess, extractor: Extractor | None) -> Shelf:
        """The shelf for this preprocessing and extractor."""
        return Shelf(self, preprocess, extractor)

    def prepare(self, space: Space) -> None:
        """Reads the index of a space."""
        self._table(space)

    def release(self) -> None:
        """Gives the system back the memory that reading took: some 70 MB, which Arrow would keep for the next time."""
        pyarrow.default_memory_pool().release_unused()

    def vectors(self, space: FeatureSpace, digests: Sequence[str]) -> dict[str, np.ndarray]:
        """The stored vectors among `digests`: digest -> (n_features,) float32."""
        return self._stored(space, digests, [VECTOR], lambda columns: columns[0])

    def miniatures(self, space: MiniatureSpace, digests: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(n, ROW_BYTES) uint8, zeros where there is none; and (n,) bool: which of the miniatures are stored."""
        rows = np.zeros((len(digests), ROW_BYTES), np.uint8)
        is_stored, stored = self._column(space, digests, MINIATURE)
        if len(stored):
            rows[is_stored] = unpacked(stored)
        return rows, is_stored

    def likenesses(self, space: LikenessSpace, pairs: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(n,) float32, zero where there is none; and (n,) bool: of which pairs, by their digests, the likeness is stored."""
        is_stored, stored = self._column(space, pairs, LIKENESS)
        likeness = np.zeros(len(pairs), np.float32)
        likeness[is_stored] = stored.astype(np.float32)
        return likeness, is_stored

    def not_stored(self, space: Space, digests: Sequence[str]) -> list[str]:
        """Those of the digests of which nothing is stored."""
        found = self._table(space).find(digests)
        return [digest for digest, place in zip(digests, found.tolist(), strict=True) if place < 0]

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
        self._wrote(self._table(space).add(digests, {VECTOR: lists(vectors)}))

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

    def add_miniatures(self, space: MiniatureSpace, digests: Sequence[str], rows: np.ndarray) -> None:
        """Stores (n, ROW_BYTES) uint8 miniatures."""
        self._wrote(self._table(space).add(digests, {MINIATURE: fixed_bytes(packed(rows))}))

    def add_likenesses(self, space: LikenessSpace, pairs: Sequence[str], likeness: np.ndarray) -> None:
        """Stores the (n,) float32 likeness of pairs, by their digests."""
        self._wrote(self._table(space).add(pairs, {LIKENESS: numbers(likeness)}))

    def _column(self, space: Space, digests: Sequence[str], name: str) -> tuple[np.ndarray, np.ndarray]:
        """(n,) bool: which of the digests are stored; and the cells of these in a column."""
        table = self._table(space)
        found = table.find(digests)
        is_stored = found >= 0
        readable, (stored,) = table.read(found[is_stored], [name])
        is_stored[is_stored] = readable
        return is_stored, stored

    def _wrote(self, n_bytes: int) -> None:
        """Keeps the limit after a part was written; few bytes need no look at the folders."""
        self._unlisted += n_bytes
        if self._listed is None or self._listed + self._unlisted > self.limit or self._unlisted > LISTED_SHARE * self.limit:
            self._listed, self._unlisted = make_room(self.root, self.limit), 0

    def _stored(
        self,
        space: Space,
        digests: Sequence[str],
        columns: Sequence[str],
        values_of: Callable[[list[np.ndarray]], Iterable[Any]],
    ) -> dict[str, Any]:
        table = self._table(space)
        found = table.find(digests)
        wanted = np.flatnonzero(found >= 0)
        readable, cells_of = table.read(found[wanted], columns)
        return dict(zip((digests[i] for i in wanted[readable]), values_of(cells_of), strict=True))

    def _table(self, space: Space) -> Table:
        if space not in self._tables:
            named = {name: value for name, value in asdict(space).items() if name != "stages" or value}
            self._tables[space] = Table(self.root / FOLDERS[type(space)], named)
        return self._tables[space]


def make_room(root: Path, limit: int) -> int:
    """Removes the least recently used parts until the rest, with the thumbnails, is below the limit.

    Returns the bytes that are left.
    """
    parts = sorted((found for folder in KINDS for found in files_in(root / folder)), key=lambda f: f[1])
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
        for kind in KINDS
        for found in [list(files_in((root or home()) / kind))]
    }


def clear_store(root: Path | None = None) -> None:
    """Removes all features, facts and miniatures, including files that killed processes left half-written."""
    for kind in KINDS:
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
