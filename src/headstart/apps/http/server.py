"""The process that serves: its socket, its signals, how it ends."""

import asyncio
import contextlib
import ipaddress
import signal
import socket
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from headstart.apps.http.gate import refused
from headstart.apps.http.limits import Limits, Problem
from headstart.errors import SettingsError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEEP_ALIVE_SECONDS = 30
HEAD_SECONDS = 15.0  # until the head of a request has arrived
MAX_CONNECTIONS = 800  # fewer than the files a process may open, which are 1,024 in many places


def serve_forever(
    app: "ASGIApp",
    listener: socket.socket,
    on_ready: Callable[[], None],
    *,
    grace: int,
    on_hangup: Callable[[], Awaitable[None]] | None = None,
    on_end: Callable[[], None] = lambda: None,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Answers requests until SIGTERM, Ctrl-C or `is_over()`, then finishes what it accepted, in at most `grace` seconds.

    `on_ready` is called when requests are answered; `listener` takes connections before that, which wait. A second Ctrl-C ends
    at once. SIGHUP calls `on_hangup` while requests go on. `on_end` is called when the end begins.
    """
    config = uvicorn.Config(
        _Answered(app),
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace,
    )
    _Server(config, on_ready, on_hangup, on_end, is_over).run(sockets=[listener])


def grace_seconds(limits: Limits) -> int:
    """How long the server, when it ends, waits for accepted requests: as long as an answer may take."""
    return round(limits.upload_seconds + limits.answer_seconds) + 1


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address that takes connections at once; port 0 is any free one. Raises SettingsError."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=1024)
    except socket.gaierror as error:
        raise SettingsError(f"{host} is not an address of this machine: {error.strerror}", hint="--host 127.0.0.1") from error
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{host}:{port} cannot be used: {reason}", hint="choose another --port or --host") from error
    # Connections inherit it. Otherwise the system holds the body of an answer back until the client has acknowledged the head,
    # which takes 40 ms: asyncio sets it only for sockets that name their protocol, and these do not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def is_public(address: str) -> bool:
    """Whether other machines may reach a server bound to this IP address."""
    return not ipaddress.ip_address(address).is_loopback


class _Protocol(H11Protocol):
    """uvicorn's protocol over h11, which limits the size of a request's head; this also limits its time and the connections."""

    _given_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_between_requests:
            self._expect_head()
        else:
            self._expect_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    @property
    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._given_up is None:
            self._given_up = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _expect_nothing(self) -> None:
        if self._given_up is not None:
            self._given_up.cancel()
            self._given_up = None

    def _give_up(self) -> None:
        self._given_up = None
        if self._is_between_requests:
            self.transport.close()


class _Answered:
    """An application whose requests are answered also where they are given up because the server ends."""

    def __init__(self, app: "ASGIApp") -> None:
        self.app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        begun = False

        async def noting(message: "Message") -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            if not begun:
                await refused(Problem(503, "the server is ending", "send the request again when it is back"))(
                    scope, receive, send
                )


class _Server(uvicorn.Server):
    """uvicorn's server with the signals of a service: SIGHUP does its work beside, and a requested end is not a failure."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        on_hangup: Callable[[], Awaitable[None]] | None,
        on_end: Callable[[], None],
        is_over: Callable[[], bool],
    ) -> None:
        super().__init__(config)
        self.on_ready, self.on_hangup, self.on_end, self.is_over = on_ready, on_hangup, on_end, is_over
        self.beside: set[asyncio.Future[None]] = set()  # a task that nobody holds may be collected

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP") and self.on_hangup is not None:
            with contextlib.suppress(NotImplementedError, RuntimeError):  # Windows' loop; a thread that is not the main one
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.begin_beside)
        if not self.should_exit:  # a signal may have come meanwhile: then nobody is to be told of an address
            self.on_ready()

    async def on_tick(self, counter: int) -> bool:
        """Whether to end; asked several times a second."""
        if self.is_over() and not self.should_exit:
            self.should_exit = True
            self.on_end()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.force_exit:  # the application ends in order all the same, which is quick: it only waits for nobody
            await self.lifespan.shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends gracefully; uvicorn's own method would raise the signal again afterwards and end with a failure."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        self.on_end()

    def begin_beside(self) -> None:
        """Begins what SIGHUP asks for."""
        if self.on_hangup is not None:
            task = asyncio.ensure_future(self.on_hangup())
            self.beside.add(task)
            task.add_done_callback(self.beside.discard)
