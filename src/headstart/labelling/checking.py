"""The audit's checks of a project: of many images in a process of their own, beside which the page stays quick."""

import multiprocessing
import threading
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from headstart.data.preprocess import Preprocess
from headstart.errors import HeadstartError
from headstart.labelling.catalogue import Catalogue
from headstart.labelling.checking_process import Sent, answer
from headstart.labelling.findings_by_row import FindingsByRow, find_by_row
from headstart.model.features_on_disk import FeaturesOnDisk

FEW = 1_000  # images of which the checks take less time than a process needs to start


class Checking:
    """Runs the checks. `stop` may be called from another thread."""

    def __init__(self) -> None:
        self._process: SpawnProcess | None = None
        self._ended = False
        self._starting = threading.Lock()

    def find(self, catalogue: Catalogue, n_last: int, preprocess: Preprocess) -> FindingsByRow | None:
        """What the checks find; features count up to the `n_last` first. None if it was stopped.

        Raises HeadstartError if their process ends without a result, as when the system has no memory left.
        """
        if len(catalogue) <= FEW or not isinstance(catalogue.vectors, FeaturesOnDisk):
            return find_by_row(catalogue, n_last, preprocess)
        sent = Sent.of(catalogue, catalogue.vectors, n_last, preprocess)
        with self._starting:
            if self._ended:
                return None
            process, pipe = _started()
            self._process = process
        with pipe:
            found = _asked(sent, pipe)
        process.join()
        if found is None and not self._ended:
            raise HeadstartError(
                f"the checks of the images have stopped: their process ended with {process.exitcode}",
                hint="all else goes on; start the studio again to have them repeated",
            )
        return found

    def stop(self) -> None:
        """Ends the checks, and begins none."""
        with self._starting:
            self._ended = True
            if self._process is not None:
                self._process.terminate()


def _started() -> tuple[SpawnProcess, Connection]:
    """A process that answers through the pipe."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=answer, args=(theirs,), name="headstart-checks", daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _asked(sent: Sent, pipe: Connection) -> FindingsByRow | None:
    """The answer of the process; None if it ends before."""
    try:
        pipe.send(sent)
        found: FindingsByRow = pipe.recv()
    except (EOFError, OSError):  # its end of the pipe is closed
        return None
    return found
