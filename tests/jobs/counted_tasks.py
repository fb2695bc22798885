"""Tasks that tests give to workers: they note each image that they compute, and do what its content says."""

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow

from headstart.data.sources import Candidate
from headstart.errors import HeadstartError, HeadstartWarning
from headstart.model.features import Work

Compute = Callable[[Sequence[Candidate]], tuple[pyarrow.Table, Work]]


@dataclass(frozen=True)
class Reading:
    """Reads files as text. A file may say: end (the process), refuse, fail, warn, or wait (while there is no file `go`)."""

    notes: Path  # a folder with a file for each image that was computed, with a line each time
    ends_at_once: bool = False
    key: str = "reading"
    on_gpu: bool = False

    def packed(self) -> tuple["Reading", Mapping[str, bytes]]:
        return self, {}

    def open(self, n_threads: int) -> Compute:
        if self.ends_at_once:
            os._exit(9)

        def compute(candidates: Sequence[Candidate]) -> tuple[pyarrow.Table, Work]:
            found = [self._read(candidate) for candidate in candidates]
            return pyarrow.table({"text": found}), Work(computed=len(found))

        return compute

    def given_up(self, reason: str) -> pyarrow.Table:
        return pyarrow.table({"text": [reason]})

    def _read(self, candidate: Candidate) -> str:
        text = candidate.read().decode()
        if text == "end":
            os._exit(9)
        if text == "refuse":
            raise HeadstartError("this is refused", hint="give another")
        if text == "warn":
            warnings.warn("an image is odd", HeadstartWarning, stacklevel=2)
        if text == "fail":
            raise ValueError("a fault")
        (self.notes / f"pid-{os.getpid()}").touch()
        while text == "wait" and not (self.notes / "go").exists():
            time.sleep(0.01)
        with (self.notes / candidate.file.name).open("a") as file:
            file.write("computed\n")
        return text
