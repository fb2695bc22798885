"""An S3 on the loopback for tests, and a way to it on which some requests go wrong."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


class _Faulty(BaseHTTPRequestHandler):
    """Hands requests on, but for a share that is refused, cut off or answered too late."""

    protocol_version = "HTTP/1.1"
    target: str
    share: float
    draw: random.Random
    lock = threading.Lock()
    kinds: list[str]

    def do_GET(self) -> None:
        with self.lock:
            goes_wrong, kind = self.draw.random() < self.share, self.draw.choice(["503", "reset", "cut"])
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if goes_wrong:
            self.kinds.append(kind)
        if goes_wrong and kind == "503":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if goes_wrong and kind == "reset":
            self.close_connection = True
            self.connection.close()
            return
        connection = HTTPConnection(self.target.removeprefix("http://"), timeout=60)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(data)))
        self.end_headers()
        if goes_wrong:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(data)

    do_PUT = do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815 - the names of http.server

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def faulty_way(endpoint: str, share: float, seed: int = 0) -> Iterator[list[str]]:
    """Yields what went wrong so far, of requests to the endpoint that the environment of the block names instead."""
    kinds: list[str] = []
    handler = type("Faulty", (_Faulty,), {"target": endpoint, "share": share, "draw": random.Random(seed), "kinds": kinds})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield kinds
    server.shutdown()
    server.server_close()
    thread.join()
