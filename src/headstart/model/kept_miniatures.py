"""The miniatures of images: from where they came along, from the store, or, where there is none, from the files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from headstart.data.dataset import LabelledImage
from headstart.data.facts import miniature_in
from headstart.data.images import UnreadableImage, decode, read_bytes
from headstart.data.miniatures import ROW_BYTES, SIDE
from headstart.data.preprocess import Preprocess
from headstart.model.feature_store import FeatureStore, Shelf
from headstart.model.features_on_disk import Features
from headstart.storage import sha256_of_bytes
from headstart.threads import map_in_threads


@dataclass(frozen=True, slots=True)
class Miniatures:
    """Those of some images, looked up when they are asked for. Without a shelf, all are made of the files, and none is kept."""

    images: Sequence[LabelledImage]
    preprocess: Preprocess | None = None  # how a scan decodes them: the same miniatures, whoever makes them
    shelf: Shelf | None = None
    came_along: Features | None = None  # (n, ROW_BYTES) uint8 that other processes found; a row of zeros says nothing
    rows: np.ndarray | None = None  # (n_images,) int64: the row of each image there; None: in their order

    @classmethod
    def stored(
        cls, images: Sequence[LabelledImage], preprocess: Preprocess, came_along: Features | None = None
    ) -> "Miniatures":
        """Those in the store as it is now, which other processes may have filled; what it lacks is made and put there."""
        return cls(images, preprocess, FeatureStore().shelf(preprocess, None), came_along)

    def some(self, numbers: np.ndarray) -> "Miniatures":
        """Those of the images with these numbers."""
        rows = numbers if self.rows is None else self.rows[numbers]
        return replace(self, images=[self.images[i] for i in numbers.tolist()], rows=rows)

    def of(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, ROW_BYTES) uint8 of the images with these numbers, and (n,) bool: which of them have one.

        What is no longer the file that was scanned, or can no longer be read, has none.
        """
        rows, known = np.zeros((len(numbers), ROW_BYTES), np.uint8), np.zeros(len(numbers), bool)
        if self.came_along is not None:
            rows = self.came_along[numbers if self.rows is None else self.rows[numbers]]
            known[:] = rows.any(axis=1)
        if self.shelf is not None and not known.all():
            lacking = np.flatnonzero(~known)
            rows[lacking], known[lacking] = self.shelf.miniatures([self.images[i].sha256 for i in numbers[lacking].tolist()])
        lacking = np.flatnonzero(~known)
        made = {}
        images = [self.images[i] for i in numbers[lacking].tolist()]
        for at, image, row in zip(lacking.tolist(), images, map_in_threads(self._made, images), strict=True):
            if row is not None:
                made[image.sha256] = rows[at] = row
                known[at] = True
        if self.shelf is not None and made:
            self.shelf.keep({}, {}, made)
        return rows, known

    def _made(self, image: LabelledImage) -> np.ndarray | None:
        try:
            data = read_bytes(image.file)
            if sha256_of_bytes(data) != image.sha256:
                return None
            if self.preprocess is None:
                return miniature_in(decode(data, shorter_side_px=SIDE, channels=image.channels))
            return miniature_in(self.preprocess.decode(data))
        except UnreadableImage:
            return None
