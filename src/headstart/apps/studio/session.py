"""What the requests of one studio share."""

import logging
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from headstart.apps.http.limits import Limits, Problem, Room
from headstart.apps.studio.runs import Runs
from headstart.apps.studio.waiting import Waiting
from headstart.audit.checks import check_named
from headstart.data.sources import Sources
from headstart.data.unreadable import UnreadableImage
from headstart.errors import DataError, HeadstartError, SettingsError
from headstart.labelling.catalogue import NO_CLASS, READ, SPLITS
from headstart.labelling.findings_by_row import CHECK_NAMES
from headstart.labelling.live_model import LiveFit
from headstart.labelling.project import Project
from headstart.labelling.workbench import Workbench
from headstart.model.activation_maps import ActivationMaps
from headstart.model.explanation import WHAT_IT_SAYS, Explainer, maps_of
from headstart.model.extractor import Frozen
from headstart.model.pipeline import Pipeline
from headstart.model.thumbnails import ChangedImage, Thumbnails
from headstart.settings import TrainSettings
from headstart.storage import sha256_of_bytes
from headstart.tasks.probabilities import softmax

LOG = logging.getLogger("headstart.studio")
DIGEST = re.compile("[0-9a-f]{64}")
NEAREST_CLASSES = 3  # of which nearest training images are shown


@dataclass
class Session:
    """A project that is open in a server."""

    name: str
    data: str  # as the user named it
    sources: Sequence[Sources]
    project: Project
    bench: Workbench
    settings: TrainSettings  # of the backbone
    runs: Runs
    limits: Limits
    thumbnails: Thumbnails = field(default_factory=Thumbnails)
    waiting: Waiting = field(default_factory=Waiting)
    room: Room = field(init=False)  # for the bodies of requests
    _rows: dict[bytes, int] = field(default_factory=dict)  # digest -> a row
    _known: int = 0  # rows that `_rows` was made from
    _finding: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.room = Room(self.limits)

    def start(self) -> None:
        """Begins to read the images; in the event loop's thread."""
        self.waiting.start()
        self.bench.on_change = self.runs.on_change = self.waiting.wake
        self.bench.start()

    def stop(self) -> None:
        """Ends what goes on beside, and writes the tables."""
        self.runs.stop()
        self.bench.stop()
        try:
            self.export()
        except HeadstartError as error:
            LOG.warning("the tables were not written; the labels are kept in the project: %s", error.message)

    def export(self) -> dict[str, Any]:
        """Writes labels.csv and exclude.csv. Raises HeadstartError."""
        bench, catalogue = self.bench, self.bench.catalogue
        if not bench.scanned:
            raise DataError("the images are still being read", hint="wait until all of them are")
        digests = {candidate.path: catalogue.digest(row) for row, candidate in enumerate(catalogue.candidates)}
        tables = self.project.export(self.sources, lambda candidates: [digests[candidate.path] for candidate in candidates])
        return {"labels": str(tables.labels), "exclude": str(tables.exclude)}

    def row_with(self, digest: str) -> int:
        """A row whose file has this SHA-256. Raises Problem."""
        catalogue = self.bench.catalogue
        with self._finding:
            for row in range(self._known, catalogue.n_read):  # rows are read in their order
                if catalogue.columns["state"][row] == READ:
                    self._rows.setdefault(catalogue.digests[row].tobytes(), row)
            self._known = max(self._known, catalogue.n_read)
            found = self._rows.get(bytes.fromhex(digest)) if DIGEST.fullmatch(digest) else None
        if found is None:
            raise Problem(404, "no image of this project has this digest", "ask /api/rows for digests")
        return found

    def checked_bytes(self, digest: str) -> bytes:
        """The bytes of the file with this SHA-256. Raises Problem, and UnreadableImage if it is gone or has changed."""
        data = self.bench.catalogue.candidates[self.row_with(digest)].read()
        if sha256_of_bytes(data) != digest:
            raise ChangedImage
        return data

    def answer(self, data: bytes) -> dict[str, Any]:
        """What the model beside the person says of the bytes of an image. Raises Problem."""
        bench = self.bench
        fit, frozen = self._model()
        (opened,) = Pipeline(bench.backbone.preprocess, frozen.extractor).run_here([data], self.limits.image_pixels)
        if opened.vector is None:
            raise Problem(422, f"the image cannot be read: {opened.problem}", "send another")
        probabilities = softmax(fit.head.logits(opened.vector[None]))[0]
        best = np.argsort(-probabilities)[:NEAREST_CLASSES].tolist()
        of_class, unfamiliarity = bench.nearest_by_class_to(opened.vector), bench.unfamiliarity_of(opened.vector)
        return {
            "predicted": best[0],
            "probability": float(probabilities[best[0]]),
            "probabilities": probabilities.tolist(),
            "unfamiliar": None if unfamiliarity is None else unfamiliarity > 1,
            "nearest": [{"class": number, "rows": of_class.get(number, [])} for number in best],
        }

    def explain(self, data: bytes, row: int | None = None) -> dict[str, Any]:
        """Where in the bytes of an image the model's answer comes from, or the answer for a row. Raises Problem."""
        fit, frozen = self._model()
        predicted = NO_CLASS if row is None else int(self.bench.catalogue.columns["predicted"][row])
        number = None if predicted == NO_CLASS else predicted
        try:
            explainer = Explainer(fit.head, frozen.preprocess, frozen.extractor, self._maps)
            found = explainer.explain(data, np.unique(fit.labels), number)
        except UnreadableImage as error:
            raise Problem(422, f"the image cannot be read: {error.reason}", "send another") from error
        except SettingsError as error:
            raise Problem(409, error.message, error.hint or "use another backbone") from error
        name = self.bench.catalogue.class_name(found.number)
        return {"class": name, "map": found.shares.tolist(), "sentence": WHAT_IT_SAYS.format(name)}

    @cached_property
    def _maps(self) -> ActivationMaps:
        """Of the network, which stays the same while the heads on it change. Raises SettingsError."""
        return maps_of(self._model()[1].extractor)

    def _model(self) -> tuple[LiveFit, Frozen]:
        """The fit of this moment and its network. Raises Problem."""
        fit, frozen = self.bench.fit, self.bench.backbone.frozen
        if fit is None or frozen is None:
            raise Problem(409, "there is no model yet", "label some images of two classes first")
        return fit, frozen

    def as_json(self) -> dict[str, Any]:
        """What the page must know first."""
        bench, catalogue = self.bench, self.bench.catalogue
        checks = [check_named(name) for name in CHECK_NAMES]
        splits = [SPLITS[i] for i in np.unique(catalogue.columns["split"]).tolist() if i]
        return {
            "name": self.name,
            "data": self.data,
            "project": str(self.project.folder),
            "classes": list(catalogue.classes),
            "checks": [{"name": check.name, "title": check.title, "meaning": check.meaning} for check in checks],
            "folders": catalogue.folders,
            "splits": splits,
            "n_images": len(catalogue),
            "n_read": bench.n_read,
            "n_readable": int((catalogue.columns["state"] == READ).sum()),
            "scanning": not bench.scanned,
            "problem": bench.problem or None,
            "notes": list(bench.notes),
            "last": bench.book.last,
            "model": bench.version,
            "map": bench.map_version,
            "has_val": "val" in splits,
        }
