"""What every request passes through: it is counted, timed, let in or refused."""

import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from headstart.apps.http.access import COOKIE, Access, Call
from headstart.apps.http.limits import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

WATCHED = {"/healthz", "/readyz", "/metrics"}  # answered however much there is to do: busy is not dead
OnAnswer = Callable[[str, int, float], None]  # called with the endpoint, the status and the seconds of each request


class Gate:
    """ASGI middleware: who may ask, the number of requests in work, who is told of the answers."""

    def __init__(self, app: "ASGIApp", access: Access, n_requests: int, on_answer: OnAnswer) -> None:
        self.app, self.access, self.n_requests, self.on_answer = app, access, n_requests, on_answer
        self.n_inside = 0

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Passes a request on, or refuses it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noting_send(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.n_inside += 1
        try:
            problem = self._problem(scope)
            if problem is not None:
                await refused(problem)(scope, receive, noting_send)
            else:
                await self.app(scope, receive, noting_send)
        finally:
            self.n_inside -= 1
            route = scope.get("route")  # of the application, where one was found
            endpoint = route.path if route is not None else "other"
            self.on_answer(endpoint, status, time.perf_counter() - began)

    def _problem(self, scope: "Scope") -> Problem | None:
        if self.n_inside > self.n_requests and scope["path"] not in WATCHED:
            hint = "send fewer at a time"
            return Problem(503, f"the server is working on {self.n_requests} requests already", hint, {"Retry-After": "1"})
        return self.access.problem(_call_of(scope))


def _call_of(scope: "Scope") -> Call:
    headers = {name: value.decode("latin-1") for name, value in reversed(scope["headers"])}  # of several, the first
    host, origin, authorization = (headers.get(name) for name in (b"host", b"origin", b"authorization"))
    return Call(scope["method"], scope["path"], host, origin, authorization, _token_in(headers.get(b"cookie", "")))


def _token_in(cookies: str) -> str | None:
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def refused(problem: Problem) -> JSONResponse:
    """The answer to a request that is refused."""
    return JSONResponse(problem.as_json(), problem.status, problem.headers)
