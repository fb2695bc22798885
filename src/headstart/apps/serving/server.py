"""The process that serves: its socket, its signals, how it ends."""

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from headstart.apps.serving.limits import Limits, Problem
from headstart.apps.serving.service import Service
from headstart.errors import SettingsError

LOG = logging.getLogger("headstart.serving")
KEEP_ALIVE_SECONDS = 30
HEAD_SECONDS = 15.0  # until the head of a request has arrived
MAX_CONNECTIONS = 800  # fewer than the files a process may open, which are 1,024 in many places


def serve_forever(app: FastAPI, service: Service, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Answers requests until SIGTERM or Ctrl-C, then finishes what it accepted. A second Ctrl-C ends at once."""
    limits = service.limits
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace_seconds(limits),
    )
    _Server(config, service, on_ready).run(sockets=[listener])


def grace_seconds(limits: Limits) -> int:
    """How long the server, when it ends, waits for accepted requests: as long as an answer may take."""
    return round(limits.upload_seconds + limits.answer_seconds) + 1


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address; port 0 is any free one. Raises SettingsError."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except socket.gaierror as error:
        raise SettingsError(f"{host} is not an address of this machine: {error.strerror}", hint="--host 127.0.0.1") from error
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{host}:{port} cannot be used: {reason}", hint="choose another --port or --host") from error


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


class _Server(uvicorn.Server):
    """uvicorn's server with the signals of a service: SIGHUP reads the models again, and a requested end is not a failure."""

    def __init__(self, config: uvicorn.Config, service: Service, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.service, self.on_ready = service, on_ready
        self.reloads: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            with contextlib.suppress(NotImplementedError, RuntimeError):  # Windows' loop; a thread that is not the main one
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.begin_reload)
        self.on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends gracefully; uvicorn's own method would raise the signal again afterwards and end with a failure."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    def begin_reload(self) -> None:
        """Reads the models again while requests go on."""
        task = asyncio.get_running_loop().create_task(self._reload())
        self.reloads.add(task)
        task.add_done_callback(self.reloads.discard)

    async def _reload(self) -> None:
        try:
            for model in await self.service.reload():
                LOG.info("%s %s: %s", model["name"], "replaced" if model["changed"] else "unchanged", model["digest"][:12])
        except Problem as problem:
            LOG.error("%s (%s)", problem.message, problem.hint)
