"""What every request passes: it is counted, timed, let in or refused."""

import hmac
import time
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from headstart.apps.serving.limits import Problem
from headstart.apps.serving.service import Service

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = {"/", "/healthz", "/readyz", "/docs", "/openapi.json"}  # what needs no token: nothing of the model is in it
WATCHED = {"/healthz", "/readyz", "/metrics"}  # answered however much there is to do: busy is not dead


class Gate:
    """ASGI middleware: the token, the number of requests in work, the metrics."""

    def __init__(self, app: "ASGIApp", service: Service, token: str) -> None:
        self.app, self.service, self.token = app, service, token.encode()
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
            return Problem(503, f"{self.service.limits.requests} requests are in work already", hint, {"Retry-After": "1"})
        if self.token and scope["path"] not in OPEN and not self._knows_token(scope):
            hint = "send the header Authorization: Bearer TOKEN"
            return Problem(401, "the token is missing or not the right one", hint, {"WWW-Authenticate": "Bearer"})
        return None

    def _knows_token(self, scope: "Scope") -> bool:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, token = given.partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(token.strip(), self.token)


def refused(problem: Problem) -> JSONResponse:
    """The answer to a request that is refused."""
    return JSONResponse(problem.as_json(), problem.status, problem.headers)
