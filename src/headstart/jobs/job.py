"""A job: shards go to workers, their parts come back in order; what is finished is not computed again."""

import time
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow

from headstart.errors import HeadstartError, HeadstartWarning
from headstart.jobs.crew import Crew, Ended, Finished, Task
from headstart.jobs.parts import Parts
from headstart.jobs.shards import MOST_IMAGES, Item, Shard
from headstart.model.features import STAGE, Work
from headstart.progress import Progress, silent

AHEAD = 16  # shards for each worker that may be finished before their turn comes: memory holds their items
TRIES = 2  # of a shard whose workers end, before it is halved
# Workers that end in a row, besides all that there are at once: more than one bad image of a shard explains.
MOST_ENDED = TRIES * (MOST_IMAGES.bit_length() + 2)
MOST_DAMAGED = 3  # times that the part of one shard may be damaged
GIVEN_UP = "the process that read it was ended each time ({}): it may need too much memory"


@dataclass(slots=True, eq=False)
class _Turn:
    """A shard whose turn will come."""

    shard: Shard[Any]
    is_finished: bool = False
    n_ended: int = 0  # workers that ended over it
    n_damaged: int = 0  # parts of it that were damaged


@dataclass(slots=True)
class Job:
    """The work on some shards, in their order."""

    task: Task
    crew: Crew
    parts: Parts
    total: int = 0  # items; 0: unknown
    stage: str = STAGE
    progress: Progress = silent
    work: Work = field(default_factory=Work)  # of all workers together
    _turns: deque[_Turn] = field(default_factory=deque)  # in order; those that were yielded are gone
    _open: deque[_Turn] = field(default_factory=deque)  # those that wait for a worker
    _given: list[_Turn] = field(default_factory=list)  # those that a worker has
    _n_done: int = 0  # items
    _warned: set[str] = field(default_factory=set)
    _most_workers: int = 0  # that there were at a time
    _n_ended: int = 0  # workers that ended since the last one finished a shard

    def run(self, shards: Iterable[Shard[Item]]) -> Generator[tuple[Shard[Item], pyarrow.Table], None, None]:
        """Yields each shard, perhaps in parts, with its result: a row for each item. Raises HeadstartError."""
        began, source = time.perf_counter(), iter(shards)
        coming = next(source, None)
        while coming is not None or self._turns:
            self.work.wall_seconds = time.perf_counter() - began
            self._most_workers = max(self._most_workers, self.crew.n_workers)
            if self._open and self.crew.has_room():
                turn = self._open.popleft()
                self._given.append(turn)
                self.crew.give(turn.shard)
            elif self._turns and self._turns[0].is_finished:
                yield from self._result(self._turns[0])
            elif coming is not None and not self._is_far_ahead:
                self._turns.append(_Turn(coming))
                self._begin(self._turns[-1])
                coming = next(source, None)
            else:
                for came in self.crew.wait():
                    self._note(came)

    @property
    def _is_far_ahead(self) -> bool:
        """Whether the workers have enough to do before more items are looked at."""
        return len(self._open) >= self.crew.n_workers or len(self._turns) >= AHEAD * self.crew.n_workers

    def _begin(self, turn: _Turn) -> None:
        """Takes the part of a shard if it is there, else has it wait for a worker."""
        if self.parts.has(turn.shard.digest):
            self.work.stored += len(turn.shard.items)
            self._finish(turn)
        elif self.parts.is_split(turn.shard.digest):
            self._halve(turn)
        else:
            self._open.append(turn)

    def _halve(self, turn: _Turn) -> None:
        halves = [_Turn(half) for half in turn.shard.halves(self.task.key)]
        place = self._turns.index(turn)
        self._turns.rotate(-place)
        self._turns.popleft()
        self._turns.extendleft(reversed(halves))
        self._turns.rotate(place)
        for half in halves:
            self._begin(half)

    def _finish(self, turn: _Turn) -> None:
        turn.is_finished = True
        self._n_done += len(turn.shard.items)
        self.progress(self.stage, self._n_done, self.total)

    def _note(self, came: Finished | Ended) -> None:
        """Goes on after a worker has finished a shard, or ended over it."""
        turn = next(turn for turn in self._given if turn.shard is came.shard)
        self._given.remove(turn)
        if isinstance(came, Finished):
            self._n_ended = 0
            self.work.add(came.work)
            self._warn(came.warned)
            self._finish(turn)
            return
        turn.n_ended += 1
        self._n_ended += 1
        if self._n_ended > MOST_ENDED + self._most_workers:
            raise HeadstartError(
                f"the workers end before they finish anything ({came.reason})",
                hint="look whether the machine has memory for them, or name fewer",
            )
        if turn.n_ended < TRIES:
            self._open.appendleft(turn)
        elif len(turn.shard.items) > 1:
            self.parts.note_split(turn.shard.digest)
            self._halve(turn)
        else:
            self.parts.write(turn.shard.digest, self.task.given_up(GIVEN_UP.format(came.reason)))
            self._finish(turn)

    def _warn(self, texts: Iterable[str]) -> None:
        """Passes on what workers warned of: once, however many of them did."""
        for text in texts:
            if text not in self._warned:
                self._warned.add(text)
                warnings.warn(text, HeadstartWarning, stacklevel=2)

    def _result(self, turn: _Turn) -> Iterator[tuple[Shard[Any], pyarrow.Table]]:
        """The shard with its result; if its part is damaged nothing, and it is computed again."""
        n_items = len(turn.shard.items)
        table = self.parts.read(turn.shard.digest, n_items)
        if table is not None:
            self._turns.popleft()
            yield turn.shard, table
            return
        turn.is_finished, turn.n_damaged = False, turn.n_damaged + 1
        if turn.n_damaged > MOST_DAMAGED:
            raise HeadstartError(
                f"what workers wrote to {self.parts.shown} is not there, or damaged",
                hint=self.parts.remedy,
            )
        self._n_done -= n_items
        self._open.appendleft(turn)
