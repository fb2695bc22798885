"""The images in a request's body: the body itself, or the files of a form."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from headstart.apps.http.limits import Limits, Problem, Room
from headstart.data.sources import printable

FORM = "multipart/form-data"
SEND_LESS = "send smaller images, or fewer in a request"
HOW_TO_SEND = "send the bytes of an image as the body, or a form with one or more files"


@dataclass(slots=True)
class Body:
    """What has been read of a request, and the room it takes until it is answered."""

    room: Room
    taken: int = 0

    def take(self, n_bytes: int) -> None:
        """Takes room for bytes that came. Raises Problem."""
        self.room.take(n_bytes)
        self.taken += n_bytes

    def give_back(self) -> None:
        """Returns all of it."""
        self.room.give_back(self.taken)
        self.taken = 0


async def read_images(request: Request, body: Body, limits: Limits) -> list[tuple[str, bytes]]:
    """(name, bytes) of each image in the request, in order. Raises Problem."""
    try:
        async with asyncio.timeout(limits.upload_seconds):
            files = await _files_of(request, body, limits)
    except TimeoutError:
        what = f"the images did not arrive within {limits.upload_seconds:g} seconds"
        raise Problem(408, what, SEND_LESS, {"Connection": "close"}) from None
    except ClientDisconnect:
        raise Problem(400, "the connection ended before the images had arrived", "send them again") from None
    if not files:
        raise Problem(422, "the request contains no image", HOW_TO_SEND)
    for name, data in files:
        if len(data) > limits.image_bytes:
            shown = f"{name}: " if name else ""
            raise Problem(413, f"{shown}{len(data):,} bytes; the limit is {limits.image_bytes:,}", "send a smaller image")
    return files


def _too_many(limits: Limits) -> Problem:
    return Problem(413, f"too many images in a request; the limit is {limits.request_images}", "send fewer at a time")


async def _files_of(request: Request, body: Body, limits: Limits) -> list[tuple[str, bytes]]:
    stream = _bounded(request, body, limits)
    if request.headers.get("content-type", "").split(";")[0].strip().lower() == FORM:
        return await _files_of_form(request, stream, limits)
    data = b"".join([chunk async for chunk in stream])
    return [("", data)] if data else []


async def _bounded(request: Request, body: Body, limits: Limits) -> AsyncGenerator[bytes, None]:
    """The body's chunks, as long as they stay within the limits; a body announced as larger is refused before it is read."""
    announced = _announced(request)
    if announced > limits.request_bytes:
        raise Problem(413, f"a request of {announced:,} bytes; the limit is {limits.request_bytes:,}", SEND_LESS)
    async for chunk in request.stream():
        body.take(len(chunk))  # what came, not what was announced: anyone can announce a lot
        if body.taken > limits.request_bytes:
            raise Problem(413, f"a request of more than {limits.request_bytes:,} bytes", SEND_LESS)
        if chunk:
            yield chunk


def _announced(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    if not text.isdecimal():
        raise Problem(400, "Content-Length is not a number", HOW_TO_SEND)
    return int(text[:20])


async def _files_of_form(request: Request, stream: AsyncGenerator[bytes, None], limits: Limits) -> list[tuple[str, bytes]]:
    parser = MultiPartParser(request.headers, stream, max_files=limits.request_images, max_fields=100)
    parser.spool_max_size = limits.request_bytes  # stays in memory, which is bounded already
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            raise _too_many(limits) from None
        raise Problem(422, f"the form cannot be read: {error.message}", HOW_TO_SEND) from None
    except UnicodeError as error:
        raise Problem(422, f"the form cannot be read: {error}", "send it in UTF-8") from None
    try:
        uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        return [(printable(upload.filename or ""), await upload.read()) for upload in uploads]
    finally:
        await form.close()
