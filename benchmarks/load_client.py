"""Posts photographs to a server and measures the answers. It is a separate process, so its own work can be measured.

    python benchmarks/load_client.py URL FOLDER --clients 16 --seconds 60            each client waits for its answer
    python benchmarks/load_client.py URL FOLDER --rate 600 --seconds 30              600 requests a second, without waiting

Prints one JSON object: requests by status, seconds, its own processor seconds, latencies, the number of answers in each second.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

MAX_CONNECTIONS = 400  # of an open loop: more requests wait in the client, as in a browser


@dataclass(slots=True)
class Record:
    """What was measured."""

    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)  # seconds, of answers with 200
    ends: list[float] = field(default_factory=list)  # seconds after the start, of answers with 200


class Client:
    """One connection that is kept open, and opened again if it ended."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, request: bytes) -> str:
        """Sends a whole request; returns the status of the answer, or the name of the error."""
        try:
            if self.streams is None:
                self.streams = await asyncio.open_connection(self.host, self.port)
            reader, writer = self.streams
            writer.write(request)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            return head[9:12].decode()
        except (OSError, asyncio.IncompleteReadError) as error:
            self.streams = None
            return type(error).__name__


async def closed_loop(clients: list[Client], requests: list[bytes], seconds: float, min_requests: int, record: Record) -> None:
    """Each client sends its next request when the last one is answered."""
    numbers, began = count(), time.perf_counter()

    async def work(client: Client) -> None:
        while time.perf_counter() - began < seconds or len(record.latencies) < min_requests:
            await timed(client, requests[next(numbers) % len(requests)], began, record)

    await asyncio.gather(*(work(client) for client in clients))


async def open_loop(clients: list[Client], requests: list[bytes], seconds: float, rate: float, record: Record) -> None:
    """A request every 1 / rate seconds, whether or not earlier ones were answered."""
    free: asyncio.Queue[Client] = asyncio.Queue()
    for client in clients:
        free.put_nowait(client)
    began, tasks = time.perf_counter(), set()

    async def send(client: Client, request: bytes) -> None:
        await timed(client, request, began, record)
        free.put_nowait(client)

    for number in count():
        wait = began + number / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        if time.perf_counter() - began > seconds:
            break
        task = asyncio.create_task(send(await free.get(), requests[number % len(requests)]))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)


async def timed(client: Client, request: bytes, began: float, record: Record) -> None:
    """Sends a request and records its status and latency."""
    sent = time.perf_counter()
    status = await client.post(request)
    ended = time.perf_counter()
    record.statuses[status] += 1
    if status == "200":
        record.latencies.append(ended - sent)
        record.ends.append(ended - began)


def main() -> None:
    """Runs one load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--min-requests", type=int, default=0, help="go on until so many were answered")
    parser.add_argument("--rate", type=float, help="requests a second; clients do not wait for answers")
    options = parser.parse_args()
    host, port = options.url.removeprefix("http://").split(":")
    files = sorted(file for file in options.photographs.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    head = "POST /predict HTTP/1.1\r\nHost: {}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"
    bodies = [file.read_bytes() for file in files]
    requests = [head.format(host, len(body)).encode() + body for body in bodies]
    record, began, processor = Record(), time.perf_counter(), time.process_time()
    clients = [Client(host, int(port)) for _ in range(MAX_CONNECTIONS if options.rate else options.clients)]
    if options.rate:
        asyncio.run(open_loop(clients, requests, options.seconds, options.rate, record))
    else:
        asyncio.run(closed_loop(clients, requests, options.seconds, options.min_requests, record))
    latencies = np.array(record.latencies or [np.nan])
    print(
        json.dumps(
            {
                "statuses": dict(record.statuses),
                "seconds": time.perf_counter() - began,
                "processor_seconds": time.process_time() - processor,
                "p50_ms": 1000 * float(np.quantile(latencies, 0.5)),
                "p99_ms": 1000 * float(np.quantile(latencies, 0.99)),
                "answered_each_second": np.bincount(np.array(record.ends, dtype=int)).tolist() if record.ends else [],
            }
        )
    )


if __name__ == "__main__":
    main()
