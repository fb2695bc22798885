"""The scan as a task of workers: files in, facts and features out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow

from headstart.data.miniatures import MINIATURES_VERSION
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate, Skipped
from headstart.jobs.crew import Compute
from headstart.jobs.luggage import packed_luggage
from headstart.jobs.scan_table import TABLE_VERSION, table_of
from headstart.model.extractor import Extractor
from headstart.model.feature_store import FeatureStore
from headstart.model.features import Work, scan_rows
from headstart.model.frozen import with_preprocess
from headstart.model.pretrained import Backbone, open_backbone
from headstart.progress import silent
from headstart.settings import TrainSettings
from headstart.storage import home, sha256_of_bytes, sha256_of_file

BROUGHT = "brought"  # the folder of home() for weights that came along with a task


@dataclass(frozen=True, slots=True)
class ScanTask:
    """Computes the features of a backbone that the settings name, of the views of a preprocessing."""

    settings: TrainSettings
    preprocess: Preprocess
    key: str
    n_features: int  # of all views together
    compiled: tuple[Path, ...]  # the files of the compiled form
    weights: Path
    on_gpu: bool
    brought_weights: str = ""  # below home(), where the weights were brought along to another machine
    with_miniatures: bool = False  # whether each image's comes with it, where pictures are compared afterwards

    @classmethod
    def of(cls, backbone: Backbone, settings: TrainSettings, *, with_miniatures: bool = False) -> "ScanTask":
        """The task for an open backbone, which has features."""
        frozen = backbone.frozen
        assert frozen is not None
        width = frozen.n_features * backbone.preprocess.n_views
        graph = frozen.extractor.graph
        compiled = () if graph is None else tuple(sorted(file for file in graph.parent.iterdir() if file.is_file()))
        shelf = FeatureStore().shelf(backbone.preprocess, frozen.extractor)
        also = f" miniatures {MINIATURES_VERSION}" if with_miniatures else ""
        key = sha256_of_bytes(f"{TABLE_VERSION} {shelf.key}{also}".encode())
        weights, on_gpu = backbone.weights.path, frozen.extractor.on_gpu
        return cls(settings, backbone.preprocess, key, width, compiled, weights, on_gpu, with_miniatures=with_miniatures)

    def packed(self) -> tuple["ScanTask", Mapping[str, bytes]]:
        """The task as it is on another machine, and the files of home() that it needs there: weights and compiled form."""
        weights = f"{BROUGHT}/{sha256_of_file(self.weights)}{self.weights.suffix}"
        return replace(self, brought_weights=weights), packed_luggage(self.compiled) | {weights: self.weights.read_bytes()}

    def open(self, n_threads: int) -> Compute:
        """What computes: the backbone is opened once, in the worker. Raises HeadstartError."""
        weights = {"weights": home() / self.brought_weights} if self.brought_weights else {}
        frozen = open_backbone(self.settings.model_copy(update=weights), silent).frozen
        assert frozen is not None
        extractor = with_preprocess(frozen, self.preprocess).extractor
        return scanner(self.preprocess, extractor, self.n_features, n_threads, with_miniatures=self.with_miniatures)

    def given_up(self, reason: str) -> pyarrow.Table:
        """The row of an image that cannot be computed, and why."""
        return table_of([Skipped("", reason)], self.n_features, with_miniatures=self.with_miniatures)


def scanner(
    preprocess: Preprocess, extractor: Extractor, n_features: int, n_threads: int, *, with_miniatures: bool = False
) -> Compute:
    """What scans images in a worker; `n_features` are those of all views together."""
    store = FeatureStore()

    def compute(candidates: Sequence[Candidate]) -> tuple[pyarrow.Table, Work]:
        work = Work()
        found = scan_rows(
            candidates,
            preprocess,
            extractor,
            store=store,
            workers=n_threads,
            work=work,
            with_miniatures=with_miniatures,
        )
        rows = list(found)
        return table_of(rows, n_features, with_miniatures=with_miniatures), work

    return compute
