"""Requests that wait until something has changed."""

import asyncio
from collections.abc import Callable


class Waiting:
    """Wakes all who wait; `wake` may be called from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._ended = False

    def start(self) -> None:
        """Called once, in the event loop's thread."""
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        """Lets all who wait look again."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def end(self) -> None:
        """Sends all away who wait, now and later: the server is about to end."""
        self._ended = True
        self.wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, is_so: Callable[[], bool], seconds: float) -> None:
        """Returns when `is_so`, after so many seconds, or when the server ends."""
        try:
            async with asyncio.timeout(seconds):
                while not self._ended and not is_so():
                    await self._changed.wait()
        except TimeoutError:
            return
