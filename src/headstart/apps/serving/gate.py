"""What every request passes through: it is counted, timed, let in or refused."""

import time
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from headstart.apps.serving.access import Access, Call
from headstart.apps.serving.limits import Problem
from headstart.apps.serving.service import Service

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

WATCHED = {"/healthz", "/readyz", "/metrics"}  # answered however much there is to do: busy is not dead


class Gate:
    """ASGI middleware: who may ask, the number of requests in work, the metrics."""

    def __init__(self, app: "ASGIApp", service: Service, access: Access) -> None:
        self.app, self.service, self.access = app, service, access
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
            self.service.metrics.request(endpoint, status, time.perf_counter() - began)

    def _problem(self, scope: "Scope") -> Problem | None:
        if self.n_inside > self.service.limits.requests and scope["path"] not in WATCHED:
            hint = "send fewer at a time"
            return Problem(
                503, f"the server is working on {self.service.limits.requests} requests already", hint, {"Retry-After": "1"}
            )
        return self.access.problem(_call_of(scope))


def _call_of(scope: "Scope") -> Call:
    headers = {name: value.decode("latin-1") for name, value in reversed(scope["headers"])}  # of several, the first
    host, origin, authorization = (headers.get(name) for name in (b"host", b"origin", b"authorization"))
    return Call(scope["method"], scope["path"], host, origin, authorization)


def refused(problem: Problem) -> JSONResponse:
    """The answer to a request that is refused."""
    return JSONResponse(problem.as_json(), problem.status, problem.headers)
