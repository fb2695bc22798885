"""An S3 on the loopback for tests, and a way to it on which some requests go wrong."""

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = "photos"


@dataclass
class ObjectStorage:
    """A bucket, and where it is."""

    endpoint: str
    client: Any  # boto3's

    def put(self, key: str, data: bytes) -> str:
        """Puts an object; returns its address."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)
        return f"s3://{BUCKET}/{key}"

    def put_folder(self, folder: Path, key: str) -> str:
        """Puts the files of a folder; returns its address."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.put(f"{key}/{file.relative_to(folder).as_posix()}", file.read_bytes())
        return f"s3://{BUCKET}/{key}"

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of the objects."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]


@contextmanager
def object_storage() -> Iterator[ObjectStorage]:
    """A server with an empty bucket; the environment of the block names it."""
    boto3 = pytest.importorskip("boto3")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": endpoint}).items():
            patch.setenv(name, value)
        httpx.post(f"{endpoint}/moto-api/reset").raise_for_status()  # what an earlier server of this process had
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield ObjectStorage(endpoint, client)
    server.stop()
    connect_anew()


def connect_anew() -> None:
    """Has the next request use a connection of its own: the environment names another way to a storage."""
    s3fs = pytest.importorskip("s3fs")
    from headstart.addresses import filesystems

    filesystems._filesystem.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


KINDS = ("503", "reset", "cut", "late")
MOST_FAULTS = 4  # of the same request: fewer than it is tried
DENIED = b"<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist.</Message></Error>"


class _Faulty(BaseHTTPRequestHandler):
    """Hands requests on, but for a share that is refused, cut off, or never answered."""

    protocol_version = "HTTP/1.1"
    way: "Way"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.way.fault_of(f"{self.command} {self.path}")
        if fault == "503":
            self._answer(503)
            return
        if fault == "403":
            self._answer(403, DENIED)
            return
        if fault in ("reset", "late"):
            if fault == "late":
                self.connection.recv(1)  # until the other side has had enough
            self.close_connection = True
            self.connection.close()
            return
        connection = HTTPConnection(self.way.endpoint.removeprefix("http://"), timeout=60)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(data)))
        self.end_headers()
        if fault == "cut":
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(data)

    do_PUT = do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815 - the names of http.server

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@dataclass
class Way:
    """A way to an S3 on which a share of the requests goes wrong."""

    endpoint: str
    share: float
    kinds: Sequence[str]
    draw: random.Random
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # what went wrong
    _of_request: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_of(self, request: str) -> str:
        """What goes wrong with a request; "" if nothing does."""
        with self._lock:
            self.requests.append(request)
            if self.draw.random() >= self.share or (self.share < 1 and self._of_request[request] == MOST_FAULTS):
                return ""
            self._of_request[request] += 1
            self.faults.append(self.draw.choice(self.kinds))
            return self.faults[-1]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of connections that are broken off."""


@contextmanager
def faulty_way(
    endpoint: str, share: float, kinds: Sequence[str] = KINDS[:3], seed: int = 0, variable: str = "AWS_ENDPOINT_URL"
) -> Iterator[Way]:
    """This variable of the environment names, in the block, this way to the endpoint."""
    way = Way(endpoint, share, kinds, random.Random(seed))
    server = _Server(("127.0.0.1", 0), type("Faulty", (_Faulty,), {"way": way}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable, f"http://127.0.0.1:{server.server_port}")
        yield way
    server.shutdown()
    server.server_close()
    thread.join()
