"""The bodies of requests that decide or ask: read whole, within limits, before anything is made of them."""

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request

from headstart.apps.http.gate import refused
from headstart.apps.http.limits import MEGABYTE, Limits, Problem, Room
from headstart.apps.http.uploads import Body

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 16 * MEGABYTE  # of one body: a million rows by their numbers take half of it
HOW_MANY = "name fewer rows, or an order in place of them"


class Bodies:
    """ASGI middleware for requests with a body, but for those to the paths of images, which have limits of their own."""

    def __init__(self, app: "ASGIApp", limits: Limits, room: Room, of_images: frozenset[str]) -> None:
        self.app, self.limits, self.room, self.of_images = app, limits, room, of_images

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Passes a request on with its body, or refuses it."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD") or scope["path"] in self.of_images:
            await self.app(scope, receive, send)
            return
        body = Body(self.room)
        try:
            try:
                async with asyncio.timeout(self.limits.upload_seconds):
                    data = await _read(Request(scope, receive), body, self.limits)
            except Problem as problem:
                await refused(problem)(scope, receive, send)
            except TimeoutError:
                what = f"the request did not arrive within {self.limits.upload_seconds:g} seconds"
                await refused(Problem(408, what, HOW_MANY, {"Connection": "close"}))(scope, receive, send)
            except ClientDisconnect:
                return
            else:
                await self.app(scope, _replayed(data, receive), send)
        finally:
            body.give_back()


async def _read(request: Request, body: Body, limits: Limits) -> bytes:
    """The body. Raises Problem, if it is only somewhat too large when all of it has come: a browser hears no answer before."""
    chunks, n_bytes = [], int(request.headers.get("content-length", 0))  # the server accepts only digits
    if n_bytes <= limits.request_bytes:
        n_bytes = 0
        async for chunk in request.stream():
            n_bytes += len(chunk)
            if n_bytes > limits.request_bytes:
                break
            if n_bytes <= MOST_BYTES:
                body.take(len(chunk))
                chunks.append(chunk)
    if n_bytes > MOST_BYTES:
        raise Problem(413, f"a request of more than {MOST_BYTES:,} bytes", HOW_MANY, {"Connection": "close"})
    return b"".join(chunks)


def _replayed(data: bytes, receive: "Receive") -> "Receive":
    """The body as one message; then what else the client sends, as that it is gone."""
    is_given = False

    async def message() -> "Message":
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": data, "more_body": False}

    return message
