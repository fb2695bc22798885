"""A limit on the time that work may take, watched while the work goes on."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from headstart.errors import HeadstartError

Clock = Callable[[], float]  # seconds since some moment


class OutOfTimeError(HeadstartError):
    """Work that says nothing when unfinished was ended by its deadline."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment by which work must be finished, on a clock that can be given."""

    seconds: float  # from `began` to the deadline; infinity: there is no limit
    began: float  # what the clock said
    clock: Clock = time.perf_counter

    def spent(self) -> float:
        """Seconds since the work began."""
        return self.clock() - self.began

    def left(self) -> float:
        """Seconds until the deadline; negative if it has passed."""
        return self.seconds - self.spent()

    def before(self, seconds: float) -> "Deadline":
        """The deadline of a part, after which `seconds` of other work must still fit."""
        return replace(self, seconds=self.seconds - seconds)


NEVER = Deadline(math.inf, 0.0)
