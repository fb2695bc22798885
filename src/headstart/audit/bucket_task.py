"""The comparison of the points of buckets as a task of workers: numbers of points in, what is near out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow

from headstart.audit.buckets import Bucket
from headstart.audit.shared_points import SharedPoints
from headstart.errors import HeadstartError
from headstart.jobs.crew import Compute
from headstart.model.arrow_columns import ragged, ragged_cells
from headstart.model.features import Work
from headstart.model.features_on_disk import FeaturesOnDisk
from headstart.storage import sha256_of_bytes
from headstart.threads import one_blas_thread

TABLE_VERSION = 1  # raised with every change of what is found or of its columns: parts of another version are computed again


@dataclass(frozen=True, slots=True)
class BucketTask:
    """Compares points; those of this process it has open, others open them where they are."""

    points: FeaturesOnDisk | SharedPoints
    key: str
    on_gpu: bool = False

    @classmethod
    def of(cls, points: FeaturesOnDisk | SharedPoints, digest: str) -> "BucketTask":
        """The task for points with this digest."""
        return cls(points, sha256_of_bytes(f"buckets {TABLE_VERSION} {digest}".encode()))

    def packed(self) -> tuple["BucketTask", dict[str, bytes]]:
        """The task as it is; it needs nothing else."""
        return self, {}

    def open(self, n_threads: int) -> Compute:
        """What compares, in one thread. Raises HeadstartError if the points are not there."""
        points = self.points.opened() if isinstance(self.points, SharedPoints) else self.points

        def compute(buckets: Sequence[Bucket]) -> tuple[pyarrow.Table, Work]:
            with one_blas_thread():
                rows = [bucket.found(points[bucket.rows]) for bucket in buckets]
            columns = (ragged(cells) for cells in zip(*rows, strict=True))
            return pyarrow.table(dict(zip(buckets[0].COLUMNS, columns, strict=True))), Work()

        return compute

    def given_up(self, reason: str) -> pyarrow.Table:
        """Nothing: without a bucket, twins would be missing. Raises HeadstartError."""
        raise HeadstartError(f"images could not be compared: {reason}", hint="name fewer workers, or give them more memory")


def found_in(table: pyarrow.Table, bucket: Bucket) -> list[tuple[np.ndarray, ...]]:
    """What was found in each bucket of a part, of which this is one."""
    return list(zip(*(ragged_cells(table.column(name)) for name in bucket.COLUMNS), strict=True))
