"""What a server does not take on: each limit has a status of its own, said with what to do; nothing brings it down."""

import asyncio
import io
import random
import socket
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import numpy as np
import pytest
from conftest import PATIENCE_SECONDS, SavedRun
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from apps.serving.conftest import Running
from headstart.apps.http.limits import Limits, Problem, Room
from headstart.apps.serving.workers import Workers
from headstart.artifact.predictor import Predictor

Serve = Callable[..., Running]
REFUSALS = {400, 408, 413, 415, 422, 429, 503, 504}


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is this large and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def encoded(format: str, size: tuple[int, int] = (64, 48)) -> bytes:
    """An image of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


def zipped() -> bytes:
    """A zip archive that holds an image."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.jpg", encoded("JPEG"))
    return file.getvalue()


def assert_refused(response: httpx.Response, status: int, *words: str) -> None:
    """This status, and a JSON error that says what to do."""
    assert response.status_code == status, response.text
    problem = response.json()
    assert set(problem) == {"error", "hint"} and problem["error"] and problem["hint"]
    for word in words:
        assert word in problem["error"] + problem["hint"]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 422, "no image"),
        (b"hello", 415, "text file"),
        (zipped(), 415, "zip"),
        (b"GIF89a" + bytes(100), 415, "GIF"),
        (encoded("JPEG")[:600], 422, "damaged"),
        (encoded("PNG")[:20], 422, "damaged"),
        (png_header(50_000, 50_000), 413, "64 million"),
        (png_header(500, 500), 422, "damaged"),
    ],
)
def test_bad_images(server: Running, body: bytes, status: int, word: str) -> None:
    """What is wrong with an image has its status: too large, of another type, damaged."""
    assert_refused(server.predict(body), status, word)


def test_a_form_of_bad_images(server: Running) -> None:
    """Where none of several can be read, the first one's reason is the answer; a form without files holds no image."""
    files = [("images", ("a.jpg", b"hello")), ("images", ("b.jpg", b""))]
    assert_refused(server.client.post("/predict", files=files), 415, "none of 2", "a.jpg")
    assert_refused(server.client.post("/predict", data={"a": "b"}, files={"x": (None, b"y")}), 422, "no image")
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert_refused(server.predict(b"--x\r\nnonsense", **broken), 422, "no image")
    assert_refused(server.predict(b"nonsense", **broken), 422, "form cannot be read")
    assert_refused(server.predict(b"--x--", **{"Content-Type": "multipart/form-data"}), 422, "form cannot be read")


def test_sizes(serve: Serve, saved_run: SavedRun) -> None:
    """An image, a request and the number of images in it have limits: 413, also where the length is not announced."""
    server = serve(saved_run.run, "--max-image-mb", 0.1, "--max-request-mb", 0.3, "--max-megapixels", 1)
    assert_refused(server.predict(bytes(200_000)), 413, "200,000 bytes; the limit is 100,000")
    assert_refused(server.predict(bytes(400_000)), 413, "400,000")
    assert_refused(server.client.post("/predict", content=iter([bytes(100_000)] * 5)), 413, "more than 300,000 bytes")
    assert_refused(server.predict(png_header(1001, 1000)), 413, "1 million")
    assert_refused(server.client.post("/predict", files=[("a", ("a.png", b"x"))] * 65), 413, "the limit is 64")
    assert server.predict(encoded("PNG")).status_code == 200


def test_places_and_methods_that_do_not_exist(server: Running) -> None:
    """JSON, as for every error."""
    assert_refused(server.client.get("/nothing"), 404, "/docs")
    assert_refused(server.client.get("/predict"), 405, "/docs")


def test_an_upload_that_stalls(serve: Serve, saved_run: SavedRun) -> None:
    """Who announces an image and does not send it is told so after the time that it may take."""
    server = serve(saved_run.run, "--timeout", 0.5)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))  # until the server closes the connection
    assert b" 408 " in answer.splitlines()[0] and b"0.5 seconds" in answer
    assert server.client.get("/healthz").status_code == 200


def test_more_than_can_wait(serve: Serve, saved_run: SavedRun) -> None:
    """Too many at once: some are told to come back, all others are answered; afterwards there is room again."""
    server = serve(saved_run.run, "--max-queue", 3)
    photo = encoded("PNG", (1500, 1500))

    def ask(_: int) -> httpx.Response:
        return server.predict(photo)

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(ask, range(96)))
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert_refused(refused, 429, "waiting already")
    assert refused.headers["retry-after"] == "1"
    assert server.predict(photo).status_code == 200


def test_memory_for_what_waits_is_bounded() -> None:
    """Bytes are taken and given back; what is not free is refused."""
    room = Room(Limits(waiting_bytes=100))
    room.take(70)
    with pytest.raises(Problem) as refused:
        room.take(31)
    assert refused.value.status == 429 and room.taken == 70
    room.give_back(70)
    room.take(100)


def held(predictor: Predictor, gate: threading.Event) -> Predictor:
    """The same predictor, which computes nothing before the gate opens."""
    compute_at_once = predictor.extractor.compute

    def compute(views: np.ndarray) -> np.ndarray:
        assert gate.wait(PATIENCE_SECONDS)
        return compute_at_once(views)

    slow = replace(predictor.extractor, compute=compute)
    return Predictor(predictor.classes, predictor.preprocess, slow, predictor.head, predictor.manifest, predictor.doubts)


def test_who_gave_up_is_not_computed(saved_run: SavedRun) -> None:
    """An answer that nobody waits for any more is left out of the next batch; the others come in order."""
    gate = threading.Event()
    predictor = held(Predictor.load(saved_run.run), gate)
    photo, batches = encoded("PNG"), []

    async def main() -> list[str]:
        workers = Workers(Limits(batch_images=4), batches.append)
        answers = workers.submit(predictor, [(str(i), photo) for i in range(30)])
        for answer in answers[10:]:
            answer.cancel()
        gate.set()
        found = [(await answer).path for answer in answers[:10]]
        await asyncio.to_thread(workers.close)
        return found

    assert asyncio.run(main()) == [str(i) for i in range(10)]
    assert 10 <= sum(batches) <= 18 and max(batches) <= 4


def test_batches_wait_for_more_where_they_are_told_to(saved_run: SavedRun) -> None:
    """With a time to wait, images that come one after the other are answered together, as soon as they are enough."""
    predictor, photo, batches = Predictor.load(saved_run.run), encoded("PNG"), []

    async def main() -> None:
        workers = Workers(Limits(batch_images=4, batch_wait_seconds=PATIENCE_SECONDS), batches.append)
        answers = []
        for i in range(8):
            answers += workers.submit(predictor, [(str(i), photo)])
            await asyncio.sleep(0.01)
        await asyncio.gather(*answers)
        await asyncio.to_thread(workers.close)

    asyncio.run(main())
    assert batches == [4, 4]


def bad_bodies() -> Iterator[tuple[bytes, dict[str, str]]]:
    """500 and more bodies that no well-meaning client sends, with their headers."""
    rng = random.Random(0)
    good = {name: encoded(name) for name in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")}
    for data in good.values():
        for _ in range(35):
            yield data[: rng.randrange(len(data))], {}
        for _ in range(30):
            flipped = bytearray(data)
            for _ in range(rng.randrange(1, 40)):
                flipped[rng.randrange(len(data))] = rng.randrange(256)
            yield bytes(flipped), {}
    for start in (
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF0000WEBP",
        b"II*\0",
        b"MM\0*",
        b"P6 ",
        b"BM",
        b"GIF8",
        b"PK\3\4",
    ):
        for length in (0, 1, 50, 5000):
            yield start + rng.randbytes(length), {"Content-Type": rng.choice(["image/jpeg", "text/html", "x", ""])}
    for side in (20_000, 50_000, 2**31 - 1):
        yield png_header(side, side), {}
        yield b"P6 %d %d 255\n" % (side, side) + bytes(100), {}
        yield b"BM" + struct.pack("<IHHIIiiHHIIIIII", 54, 0, 0, 54, 40, side % 2**31, side % 2**31, 1, 24, 0, 0, 0, 0, 0, 0), {}
    yield zlib.compress(bytes(10**7)), {"Content-Encoding": "deflate"}
    yield zipped(), {"Content-Type": "image/jpeg"}
    for boundary in ("x", "", "a" * 70, "a b"):
        for _ in range(20):
            parts = rng.choice(
                [b"--x\r\n", b"--x--", b"\r\n\r\n", b"--", b"Content-Disposition: form-data; name=a; filename=b\r\n"]
            )
            body = b"".join(parts + rng.randbytes(rng.randrange(40)) for _ in range(rng.randrange(6)))
            yield body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    part = b'--x\r\nContent-Disposition: form-data; name="a"; filename="NAME"\r\n\r\n' + good["PNG"] + b"\r\n--x--\r\n"
    for charset in ("undefined", "utf-7", "raw_unicode_escape", "utf-16", "idna", "nonsense", "utf-8"):
        for name in (b"a.png", b"+2AA-", b"\\ud800", b"\xff\xfe", b"a" * 5000):
            yield part.replace(b"NAME", name), {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
    for headers in ({"X-Long": "a" * 30_000}, {"Content-Type": "a" * 9000}, {f"X-{i}": "b" * 50 for i in range(100)}):
        yield good["PNG"], headers


def test_bad_bodies(serve: Serve, saved_run: SavedRun) -> None:
    """Hundreds of broken, lying and hostile bodies: each is refused or answered, none is a defect, memory stays bounded."""
    server = serve(saved_run.run)
    assert server.predict(encoded("PNG")).status_code == 200
    before, n = server.rss_mb(), 0
    for body, headers in bad_bodies():
        n += 1
        response = server.predict(body, **headers)
        assert response.status_code in REFUSALS | {200}, (response.status_code, body[:60], headers)
    assert n >= 500
    assert server.rss_mb() < before + 250
    assert server.predict(encoded("PNG")).status_code == 200


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=300) | st.binary(max_size=200).map(lambda data: encoded("PNG")[:200] + data),
    kind=st.sampled_from(["image/png", "multipart/form-data; boundary=x", "multipart/form-data", "application/json"]),
)
def test_any_body(server: Running, body: bytes, kind: str) -> None:
    """Whatever is sent, the answer is one that can be understood."""
    response = server.predict(body, **{"Content-Type": kind})
    assert response.status_code in REFUSALS | {200}
    assert response.json()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x00\x01\x02",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_what_is_no_http(server: Running, request_bytes: bytes) -> None:
    """Lines that are no request, or headers without end: 4xx or a closed connection, and the server goes on."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection:
        try:
            connection.sendall(request_bytes)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4096)
        except OSError:  # the server has closed it, which each of the three can notice first
            answer = b""
    assert answer == b"" or answer.split(b" ")[1][:1] == b"4"
    assert server.client.get("/healthz").status_code == 200


@pytest.mark.slow
def test_a_connection_without_a_request_is_closed(server: Running) -> None:
    """Who connects and says nothing, or half a head, holds no place for ever; about fifteen seconds."""
    host, port = server.url.removeprefix("http://").split(":")
    silent, slow = (socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) for _ in range(2))
    with silent, slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost:")
        assert silent.recv(100) == b"" and slow.recv(100) == b""


@pytest.mark.slow
def test_large_images_are_decoded_one_at_a_time(serve: Serve, saved_run: SavedRun) -> None:
    """Sixteen images of 16 million pixels with transparency at once are answered in the memory that one takes."""
    server = serve(saved_run.run, "--timeout", PATIENCE_SECONDS)
    file = io.BytesIO()
    Image.new("RGBA", (4000, 4000), (200, 30, 90, 128)).save(file, "PNG", compress_level=1)
    assert server.predict(file.getvalue()).status_code == 200
    peaks, ended = [server.rss_mb()], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            peaks.append(server.rss_mb())

    with ThreadPoolExecutor(17) as pool:
        watching = pool.submit(watch)
        try:
            answers = list(pool.map(lambda _: server.predict(file.getvalue()).status_code, range(16)))
        finally:
            ended.set()
        watching.result()
    assert answers == [200] * 16
    assert max(peaks) < 250 + 16 * 16 + 16 * 8  # MB: the process, one image at its peak, one that is resized


def test_the_page_of_a_stranger_cannot_be_framed(server: Running) -> None:
    """The page allows nothing from elsewhere."""
    page = server.client.get("/")
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text and "https://" not in page.text
