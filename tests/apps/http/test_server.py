"""The socket that a server listens on, and how the server begins and ends."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

from headstart.apps.http.server import listen, serve_forever

STARTS = 15


def app_of(on_start: Callable[[], object] = lambda: None) -> FastAPI:
    """An application that calls something when it starts."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        on_start()
        yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def root() -> str:
        return "here"

    return app


def test_answers_are_not_held_back() -> None:
    """A connection sends what is written to it at once: an answer's body does not wait until its head is acknowledged."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def answers_of_one_start() -> list[str]:
    """What is answered to somebody who connected before the server began, and to others as soon as its address is told."""
    answers, tasks = list[str](), list[asyncio.Future[None]]()
    with listen("127.0.0.1", 0) as listener:
        place = listener.getsockname()
        early = socket.create_connection(place)

        async def ask(connections: list[socket.socket]) -> None:
            for connection in connections:
                with connection:
                    found = await asyncio.to_thread(connection.recv, 9999)
                    answers.append(found.decode())
            async with httpx.AsyncClient(trust_env=False) as client:
                answers.append((await client.get(f"http://{place[0]}:{place[1]}/")).text)
            signal.raise_signal(signal.SIGTERM)

        def ready() -> None:
            connections = [early, socket.create_connection(place)]
            for connection in connections:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            tasks.append(asyncio.ensure_future(ask(connections)))

        serve_forever(app_of(), listener, ready, grace=1)
    return answers


def test_an_address_that_is_told_answers() -> None:
    """Whoever connects as soon as the address is told, or before, is answered and never refused; at many starts."""
    for _ in range(STARTS):
        answers = answers_of_one_start()
        assert len(answers) == 3 and all(answer == '"here"' or " 200 OK" in answer for answer in answers)


def test_a_server_that_is_ended_while_it_starts() -> None:
    """It tells no address, ends as it would otherwise, and says once that it ends."""
    told: list[str] = []
    with listen("127.0.0.1", 0) as listener:
        serve_forever(
            app_of(lambda: signal.raise_signal(signal.SIGTERM)),
            listener,
            lambda: told.append("ready"),
            grace=1,
            on_end=lambda: told.append("end"),
        )
    assert told == ["end"]
