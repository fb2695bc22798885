"""An application that is there later than its server: until then another answers, and has requests wait."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from headstart.apps.http.gate import refused
from headstart.apps.http.limits import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Later:
    """ASGI application: `before`, and from `begin` on another. Used in the event loop's thread.

    `before` answers what it can, and mounts `wait` for the rest.
    """

    before: "ASGIApp"  # set before the server starts; its lifespan is that of the server

    def __init__(self, problem: Problem, seconds: float) -> None:
        """After so many seconds a request that waits gets the `problem`."""
        self._problem, self._seconds = problem, seconds
        self._app: ASGIApp | None = None
        self._changed = asyncio.Event()

    def begin(self, app: "ASGIApp") -> None:
        """Has `app` answer from now on, also those who wait."""
        self._app = app
        self._changed.set()

    def give_up(self, problem: Problem) -> None:
        """Sends those who wait away, and all who come."""
        self._problem = problem
        self._changed.set()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answers."""
        is_there = self._app is not None and scope["type"] != "lifespan"
        await (self._app if is_there and self._app else self.before)(scope, receive, send)

    async def wait(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answers as soon as the other application is there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await self._changed.wait()
        await (refused(self._problem) if self._app is None else self._app)(scope, receive, send)
