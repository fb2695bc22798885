"""Threads that answer images in batches: while one decodes, another runs the network.

Measured on two cores with EfficientNet-Lite0: the network is fastest if each thread runs it on its own image (see
model/engines.py), so a batch only saves the handing over between threads. On a GPU the network computes a batch as a whole.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headstart.apps.http.limits import Limits, overloaded
from headstart.artifact.predictor import Prediction, Predictor
from headstart.errors import HeadstartError
from headstart.threads import cores

GPU_WAIT_SECONDS = 0.005  # a batch of a GPU takes about as long as this
LOG = logging.getLogger("headstart.serving")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An image that was accepted."""

    predictor: Predictor
    name: str
    data: bytes
    answer: "asyncio.Future[Prediction]"


class Workers:
    """Answers what is submitted; created and closed in the event loop's thread."""

    def __init__(self, limits: Limits, on_batch: Callable[[int], None] = lambda n: None) -> None:
        self._limits, self._on_batch = limits, on_batch
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._turn = threading.Lock()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._threads = [
            threading.Thread(target=self._work, name=f"headstart-answers-{i}", daemon=True) for i in range(min(16, cores()))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def n_waiting(self) -> int:
        """Images that are accepted and not started."""
        return len(self._waiting)

    def check_room(self, n_images: int = 1) -> None:
        """Raises Problem if `n_images` more are too many."""
        if self.n_waiting + n_images > self._limits.waiting_images:
            raise overloaded(f"{self.n_waiting} images are waiting already")

    def submit(self, predictor: Predictor, files: Sequence[tuple[str, bytes]]) -> "list[asyncio.Future[Prediction]]":
        """The future answers for (name, bytes of an image file) each. Raises Problem if too many are waiting."""
        self.check_room(len(files))
        waiting = [_Waiting(predictor, name, data, self._loop.create_future()) for name, data in files]
        with self._changed:
            self._waiting.extend(waiting)
            self._changed.notify()
        return [entry.answer for entry in waiting]

    def give_up(self, answers: "Sequence[asyncio.Future[Prediction]]") -> None:
        """Drops images whose answers nobody waits for any longer."""
        for answer in answers:
            answer.cancel()
        with self._changed:
            left = [entry for entry in self._waiting if not entry.answer.cancelled()]
            self._waiting.clear()
            self._waiting.extend(left)

    def close(self) -> None:
        """Ends the threads once nothing is waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            answers = self._answers(batch)
            self._on_batch(len(batch))
            self._loop.call_soon_threadsafe(_deliver, batch, answers)

    def _next_batch(self) -> list[_Waiting]:
        """What one thread answers next, for one model; empty when the server ends."""
        batch: list[_Waiting] = []
        with self._turn, self._changed:  # one thread at a time collects: two would share what comes while they wait
            while not batch:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return []
                predictor = self._waiting[0].predictor
                for _ in range(self._size_of_batch(predictor)):
                    if self._waiting[0].predictor is not predictor:
                        break
                    entry = self._waiting.popleft()
                    if not entry.answer.cancelled():  # the client has not given up
                        batch.append(entry)
        return batch

    def _size_of_batch(self, predictor: Predictor) -> int:
        """How many of the waiting images are taken, after waiting for more if that is worth it."""
        seconds = self._limits.batch_wait_seconds
        if seconds is None:
            seconds = GPU_WAIT_SECONDS if predictor.extractor.takes_batches else 0.0
        if not seconds:  # a fair share, so that no thread is without work
            return min(-(-len(self._waiting) // len(self._threads)), self._limits.batch_images)
        until = time.monotonic() + seconds
        while len(self._waiting) < self._limits.batch_images and not self._closed:
            left = until - time.monotonic()
            if left <= 0:
                break
            self._changed.wait(left)
        return min(len(self._waiting), self._limits.batch_images)

    def _answers(self, batch: Sequence[_Waiting]) -> "list[Prediction | Exception]":
        try:
            files = ((entry.name, entry.data) for entry in batch)
            return [*batch[0].predictor.predict_bytes(files, self._limits.image_pixels)]
        except Exception as error:  # of the model, or a defect; neither may end a thread that others wait for
            if len(batch) > 1:  # answering each alone shows which image it is
                return [answer for entry in batch for answer in self._answers([entry])]
            if not isinstance(error, HeadstartError):
                LOG.exception("an image could not be answered")
            return [error]


def _deliver(batch: Sequence[_Waiting], answers: "Sequence[Prediction | Exception]") -> None:
    for entry, answer in zip(batch, answers, strict=True):
        if entry.answer.done():  # its request has given up meanwhile
            continue
        if isinstance(answer, Exception):
            entry.answer.set_exception(answer)
        else:
            entry.answer.set_result(answer)
