"""What a server does with a request: reads its images and gets them answered. It also replaces models."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from headstart.apps.http.limits import Limits, Problem, Room
from headstart.apps.http.uploads import Body, read_images
from headstart.apps.serving.counters import Counters
from headstart.apps.serving.models import Loaded, Served, load
from headstart.apps.serving.workers import Workers
from headstart.artifact.predictor import Prediction
from headstart.data.images import Fault
from headstart.errors import HeadstartError

LOG = logging.getLogger("headstart.serving")
# What is wrong with an image -> the status, and what to do.
FAULTS: dict[Fault, tuple[int, str]] = {
    "damaged": (422, "open it in a viewer and save it again"),
    "type": (415, "send a JPEG, PNG, WebP, BMP, TIFF, PPM or AVIF"),
    "size": (413, "make it smaller before it is sent"),
}


class Service:
    """The models of one server and all that their requests share. Call `start` first and `stop` last."""

    def __init__(self, models: Mapping[str, Served], limits: Limits) -> None:
        self.models = models
        self.limits = limits
        self.metrics = Counters()
        self._room = Room(limits)
        self._workers: Workers | None = None
        self._reloading = asyncio.Lock()

    @property
    def workers(self) -> Workers:
        """The threads that answer. Raises Problem before the start and after the end."""
        if self._workers is None:
            raise Problem(503, "the server is not ready", "try again in a second", {"Retry-After": "1"})
        return self._workers

    @property
    def is_ready(self) -> bool:
        """Whether requests can be answered."""
        return self._workers is not None

    def start(self) -> None:
        """Starts the threads; in the event loop's thread."""
        self._workers = workers = Workers(self.limits, self.metrics.batch)
        self.metrics.watch("headstart_waiting_images", "Images accepted and not started", lambda: workers.n_waiting)
        self.metrics.watch("headstart_waiting_bytes", "Memory taken by request bodies, in bytes", lambda: self._room.taken)
        for served in self.models.values():
            self.metrics.serving(served.name, served.loaded.digest)

    def stop(self) -> None:
        """Ends the threads after they have answered what was accepted."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def model(self, name: str | None) -> Served:
        """The model of this name; without one, the only model. Raises Problem."""
        if name is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        if name is None or name not in self.models:
            what = "there is more than one model" if name is None else f"there is no model {name!r}"
            raise Problem(404, what, "one of: " + ", ".join(f"/models/{known}" for known in self.models))
        return self.models[name]

    async def answer(self, request: Request, name: str | None) -> dict[str, Any]:
        """The predictions for the images in a request. Raises Problem."""
        served = self.model(name)
        self.workers.check_room()  # before the body is read
        body = Body(self._room)
        try:
            images = await read_images(request, body, self.limits)
            loaded = served.loaded
            answers = self.workers.submit(loaded.predictor, images)
            predictions = await self._in_time(answers)
        finally:
            body.give_back()
        for prediction in predictions:
            self.metrics.prediction(served.name, prediction)
        if all(prediction.probabilities is None for prediction in predictions):
            raise refusal(predictions)
        return {
            "model": served.name,
            "digest": loaded.digest,
            "predictions": [prediction.as_json() for prediction in predictions],
        }

    async def _in_time(self, answers: "list[asyncio.Future[Prediction]]") -> list[Prediction]:
        seconds = self.limits.answer_seconds
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.gather(*answers)
        except BaseException as error:
            self.workers.give_up(answers)
            if isinstance(error, TimeoutError):
                hint = "send fewer images at a time, or try again later"
                raise Problem(504, f"no answer within {seconds:g} seconds", hint) from None
            if isinstance(error, HeadstartError):
                raise Problem(503, error.message, error.hint) from error
            raise

    async def reload_and_log(self) -> None:
        """Reads every model again, and writes to the log what came of it."""
        try:
            for model in await self.reload():
                LOG.info("%s %s: %s", model["name"], "replaced" if model["changed"] else "unchanged", model["digest"][:12])
        except Problem as problem:
            LOG.error("%s (%s)", problem.message, problem.hint)

    async def reload(self) -> list[dict[str, Any]]:
        """Reads every model again while requests go on. Raises Problem if one cannot be used; all old ones then stay."""
        async with self._reloading:
            fresh = {}
            for served in self.models.values():
                try:
                    fresh[served.name] = await asyncio.to_thread(load, served.place, served.device)
                except HeadstartError as error:
                    self.metrics.reload(served.name, "refused")
                    message = f"{served.name} stays as it was: {error.message}"
                    raise Problem(409, message, error.hint or "put a complete model in its place") from error
            return [self._replace(served, fresh[served.name]) for served in self.models.values()]

    def _replace(self, served: Served, loaded: Loaded) -> dict[str, Any]:
        before, served.loaded = served.loaded.digest, loaded
        changed = before != loaded.digest
        self.metrics.reload(served.name, "changed" if changed else "unchanged")
        if changed:
            self.metrics.retired(served.name, before)
            self.metrics.serving(served.name, loaded.digest)
        return {"name": served.name, "digest": loaded.digest, "changed": changed}


def refusal(predictions: list[Prediction]) -> Problem:
    """Why none of the images could be read."""
    first = predictions[0]
    status, hint = FAULTS[first.fault or "damaged"]
    message = first.error if not first.path else f"{first.path}: {first.error}"
    if len(predictions) > 1:
        message = f"none of {len(predictions)} images could be read; {message}"
    return Problem(status, message, hint)
