"""The audit's checks of a project: of many images in a process of their own, beside which the page stays quick."""

import pickle
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from headstart.data.sources import Candidate
from headstart.errors import HeadstartError
from headstart.labelling.catalogue import Catalogue
from headstart.labelling.features_on_disk import FeaturesOnDisk
from headstart.labelling.findings_by_row import FindingsByRow, find_by_row

FEW = 1_000  # images of which the checks take less time than a process needs to start
PROCESS = "headstart.labelling.checking_process"


@dataclass(frozen=True, slots=True)
class Sent:
    """What the process of the checks is told of a project; it reads the features from their file."""

    paths: list[str]
    files: list[str]
    groups: list[str | None]
    classes: list[str]
    formats: list[str]
    columns: dict[str, np.ndarray]
    digests: np.ndarray
    features: str
    n_features: int
    n_last: int

    @classmethod
    def of(cls, catalogue: Catalogue, features: FeaturesOnDisk, n_last: int) -> "Sent":
        """Of a project as it is now."""
        candidates = catalogue.candidates
        return cls(
            [candidate.path for candidate in candidates],
            [str(candidate.file) for candidate in candidates],
            [candidate.group for candidate in candidates],
            list(catalogue.classes),
            list(catalogue.formats),
            {name: values.copy() for name, values in catalogue.columns.items()},
            catalogue.digests,
            str(features.path),
            features.shape[1],
            n_last,
        )

    def catalogue(self) -> Catalogue:
        """The project, as far as the checks need it."""
        columns = zip(self.paths, self.files, self.groups, strict=True)
        candidates = [Candidate(path, Path(file), group=group) for path, file, group in columns]
        found = Catalogue(candidates, self.classes, [], self.columns, self.digests, formats=self.formats)
        found.vectors = FeaturesOnDisk(Path(self.features), len(candidates), self.n_features)
        return found


class Checking:
    """Runs the checks. `stop` may be called from another thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._starting = threading.Lock()

    def find(self, catalogue: Catalogue, n_last: int) -> FindingsByRow | None:
        """What the checks find; features count up to the `n_last` first. None if it was stopped.

        Raises HeadstartError if their process ends without a result, as when the system has no memory left.
        """
        if len(catalogue) <= FEW or not isinstance(catalogue.vectors, FeaturesOnDisk):
            return find_by_row(catalogue, n_last)
        sent = Sent.of(catalogue, catalogue.vectors, n_last)
        with self._starting:
            if self._ended:
                return None
            self._process = process = _started()
        assert process.stdin is not None and process.stdout is not None
        with process:
            found = _asked(sent, process.stdin, process.stdout)
        if found is None and not self._ended:
            raise HeadstartError(
                f"the checks of the images have stopped: their process ended with {process.returncode}",
                hint="all else goes on; start the studio again to have them repeated",
            )
        return found

    def stop(self) -> None:
        """Ends the checks, and begins none."""
        with self._starting:
            self._ended = True
            if self._process is not None:
                self._process.terminate()


def _started() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", PROCESS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in the terminal is the studio's, which ends the checks
        creationflags=getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),  # on Windows; elsewhere the process sees to it
    )


def _asked(sent: Sent, question: IO[bytes], answer: IO[bytes]) -> FindingsByRow | None:
    """The answer of the process; None if it ends before. stdin stays open until then: the process ends when it is closed."""
    # Pickled: both ends are this program, and nobody is between them.
    try:
        with suppress(OSError):  # it has ended before it has read everything: so there is no answer
            pickle.dump(sent, question, pickle.HIGHEST_PROTOCOL)
            question.flush()
        found: FindingsByRow = pickle.load(answer)
    except (EOFError, pickle.UnpicklingError):
        return None
    finally:
        with suppress(OSError):
            question.close()
    return found
