"""A clock that goes on with work, so that tests of limits on time depend on no machine."""

from collections.abc import Mapping


class WorkClock:
    """A clock on which each report of progress takes some seconds, by how its stage begins; all else takes none."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self.seconds, self.now = dict(seconds), 0.0
        self.stages: list[str] = []  # in the order in which they began

    def __call__(self) -> float:
        return self.now

    def progress(self, stage: str, done: int, total: int) -> None:
        """To be given as the progress function of the work."""
        if not self.stages or self.stages[-1] != stage:
            self.stages.append(stage)
        self.now += next((seconds for start, seconds in self.seconds.items() if stage.startswith(start)), 0.0)
