"""The studio while its project opens: the page is there at once, and what asks for images waits until they are listed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager, suppress

from fastapi import FastAPI

from headstart.apps.http.access import Access
from headstart.apps.http.basics import add_errors
from headstart.apps.http.gate import Gate
from headstart.apps.http.later import Later
from headstart.apps.http.limits import Limits, Problem
from headstart.apps.studio.session import Session
from headstart.apps.studio.studio_app import build_studio, page_of
from headstart.errors import HeadstartError
from headstart.threads import begun

WAIT_SECONDS = 20.0  # that a request waits for the project to open; then it is told to ask again
FIRST_SECONDS = 0.5  # that the first image has to be read in: then the page begins with pictures
SEE = "see the terminal that the studio was started in"


class Opening:
    """Opens a session in a thread of its own."""

    def __init__(self, opens: AbstractContextManager[Session]) -> None:
        self._stack = ExitStack()
        self.session = begun(lambda: self._stack.enter_context(opens))

    def opened_within(self, seconds: float) -> Session | None:
        """The session, or None if it takes longer. Raises what opening it raised."""
        with suppress(TimeoutError):
            return self.session.result(seconds)
        return None

    def has_failed(self) -> bool:
        """Whether there will be no session."""
        return self.session.done() and self.session.exception() is not None

    def close(self) -> None:
        """Closes the session. What is still being opened is given up. Raises what opening it raised."""
        if self.session.done():
            self.session.result()
            self._stack.close()


class EarlyPage:
    """The studio of a session, and before that its page alone. `on_open` is called with the session."""

    def __init__(self, opening: Opening, access: Access, limits: Limits, on_open: Callable[[Session], None]) -> None:
        self._opening, self._access, self._on_open = opening, access, on_open
        listing = Problem(503, "the images are still being listed", "ask again in a moment", {"Retry-After": "1"})
        self.app = Later(listing, WAIT_SECONDS)
        self._loop: asyncio.AbstractEventLoop | None = None
        shell = FastAPI(lifespan=self._lifespan, docs_url=None, redoc_url=None, openapi_url=None)
        shell.add_middleware(Gate, access=access, n_requests=limits.requests, on_answer=lambda *_: None)
        add_errors(shell)
        shell.include_router(page_of(access))
        shell.mount("/", self.app.wait)
        self.app.before = shell

    def end(self) -> None:
        """Sends all away who wait: the server is about to end."""
        if not self._opening.session.done() and self._loop is not None:
            self._loop.call_soon_threadsafe(self.app.give_up, Problem(503, "the studio is ending", "start it again"))
        elif not self._opening.has_failed():
            self._opening.session.result().waiting.end()

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            following = asyncio.create_task(self._follow(stack))
            try:
                yield
            finally:
                following.cancel()

    async def _follow(self, stack: AsyncExitStack) -> None:
        opened = asyncio.wrap_future(self._opening.session)
        try:
            await asyncio.wait([opened])
        finally:
            opened.cancel()  # where nobody waits any more; it changes nothing else
        error = opened.exception()
        if error is not None:
            told = ("the project cannot be opened", SEE)
            if isinstance(error, HeadstartError):
                told = (error.message, error.hint or SEE)
            self.app.give_up(Problem(500, *told))
            return
        session = opened.result()
        studio = build_studio(session, self._access)
        await stack.enter_async_context(studio.router.lifespan_context(studio))
        await session.waiting.until(lambda: session.bench.catalogue.n_read > 0, FIRST_SECONDS)
        self.app.begin(studio)
        self._on_open(session)
