"""Points in a file that all workers of a job reach, beside its parts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.addresses.address import address_in, joined
from headstart.errors import HeadstartError
from headstart.jobs.parts import Parts
from headstart.model.features import SCANS
from headstart.model.features_on_disk import Features, FeaturesOnDisk
from headstart.storage import atomic_write, home

BLOCK = 65_536  # rows of an object: 68 MB


@dataclass(frozen=True, slots=True)
class SharedPoints:
    """(n, n_columns) float32 in a file of a folder, or in objects of BLOCK rows below an address."""

    place: str
    shape: tuple[int, int]
    remedy: str  # what to do if a worker does not find them

    @classmethod
    def written(cls, points: Features, parts: Parts) -> "SharedPoints":
        """Puts them to the parts of a job. Raises HeadstartError."""
        shared = cls(str(parts.place), (len(points), points.shape[1]), parts.remedy)
        if (address := address_in(shared.place)) is not None:
            from headstart.addresses.filesystems import put_bytes

            for start in shared._starts:
                put_bytes(points[start : start + BLOCK].tobytes(), shared._object(address, start))
            return shared
        with atomic_write(shared._file, durable=False) as aside:
            shared._write(points, aside)
        return shared

    def opened(self) -> FeaturesOnDisk:
        """The points; those at an address are copied to this machine first. Raises HeadstartError."""
        if (address := address_in(self.place)) is None:
            if not self._file.is_file():
                raise HeadstartError(f"the features in {self.place} are not there on every machine", hint=self.remedy)
            return FeaturesOnDisk(self._file, *self.shape, dtype=np.float32)
        from headstart.addresses.filesystems import read_or_none

        copy = FeaturesOnDisk.nameless(home() / SCANS, *self.shape, np.float32)
        for start in self._starts:
            data = read_or_none(self._object(address, start))
            n_rows = min(BLOCK, self.shape[0] - start)
            if data is None or len(data) != 4 * n_rows * self.shape[1]:
                raise HeadstartError(f"the features in {self.place} are gone, or damaged", hint=self.remedy)
            copy[start] = np.frombuffer(data, np.float32).reshape(n_rows, -1)
        copy.close()
        return copy

    def _write(self, points: Features, file: Path) -> None:
        made = FeaturesOnDisk(file, *self.shape, is_new=True, dtype=np.float32)
        for start in self._starts:
            made[start] = points[start : start + BLOCK]
        made.close()

    @property
    def _starts(self) -> range:
        return range(0, self.shape[0], BLOCK)

    @property
    def _file(self) -> Path:
        return Path(self.place) / "points"

    def _object(self, address: str, start: int) -> str:
        return joined(address, f"points-{start // BLOCK:06d}")
