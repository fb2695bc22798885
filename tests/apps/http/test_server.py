"""The socket that a server listens on."""

import socket

from headstart.apps.http.server import listen


def test_answers_are_not_held_back() -> None:
    """A connection sends what is written to it at once: an answer's body does not wait until its head is acknowledged."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
