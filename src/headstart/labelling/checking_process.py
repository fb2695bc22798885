"""The process of labelling/checking.py, and what it is told. It ends when the studio does, also when that was killed."""

from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from headstart.child_processes import live_with_parent
from headstart.data.image_files import BoxInFile
from headstart.data.preprocess import Preprocess
from headstart.data.remote_file import RemoteFile
from headstart.data.sources import Candidate
from headstart.labelling.catalogue import Catalogue
from headstart.labelling.findings_by_row import find_by_row
from headstart.machine import step_back
from headstart.model.features_on_disk import FeaturesOnDisk
from headstart.threads import one_blas_thread


@dataclass(frozen=True, slots=True)
class Sent:
    """What the process of the checks is told of a project; it reads the features from their file."""

    paths: list[str]
    files: list[str | RemoteFile | BoxInFile]  # as text: 100,000 paths take long to pickle
    groups: list[str | None]
    classes: list[str]
    formats: list[str]
    columns: dict[str, np.ndarray]
    digests: np.ndarray
    features: str
    n_features: int
    n_last: int
    channels: str
    preprocess: Preprocess

    @classmethod
    def of(cls, catalogue: Catalogue, features: FeaturesOnDisk, n_last: int, preprocess: Preprocess) -> "Sent":
        """Of a project as it is now."""
        candidates = catalogue.candidates
        return cls(
            [candidate.path for candidate in candidates],
            [str(file) if isinstance(file := candidate.file, Path) else file for candidate in candidates],
            [candidate.group for candidate in candidates],
            list(catalogue.classes),
            list(catalogue.formats),
            {name: values.copy() for name, values in catalogue.columns.items()},
            catalogue.digests,
            str(features.path),
            features.shape[1],
            n_last,
            catalogue.channels,
            preprocess,
        )

    def catalogue(self) -> Catalogue:
        """The project, as far as the checks need it."""
        columns = zip(self.paths, self.files, self.groups, strict=True)
        candidates = [
            Candidate(path, Path(file) if isinstance(file, str) else file, group=group) for path, file, group in columns
        ]
        found = Catalogue(
            candidates, self.classes, [], self.columns, self.digests, formats=self.formats, channels=self.channels
        )
        found.vectors = FeaturesOnDisk(Path(self.features), len(candidates), self.n_features)
        return found


def answer(pipe: Connection) -> None:
    """Reads a project from the pipe, and writes what the checks find to it."""
    step_back()  # the page comes first
    live_with_parent()
    sent: Sent = pipe.recv()
    with one_blas_thread():
        pipe.send(find_by_row(sent.catalogue(), sent.n_last, sent.preprocess))
