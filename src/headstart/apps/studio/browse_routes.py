"""Requests that look: the project, its columns, orders and rows, and the pictures."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import Response

from headstart.apps.http.limits import Problem
from headstart.apps.studio.session import Session
from headstart.apps.studio.shown import MOST_ROWS, SHOWN_COLUMNS, checked_rows, row_as_json, sentences_of
from headstart.data.browser_images import browser_image
from headstart.data.unreadable import UnreadableImage
from headstart.errors import HeadstartError
from headstart.labelling.findings_by_row import CHECK_NAMES
from headstart.labelling.orders import Order, rows_of
from headstart.model.thumbnails import MEDIA_TYPE, SIDES_PX, ChangedImage

FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}  # the name holds the digest of what is shown
BINARY = "application/octet-stream"


def browsing(session: Session) -> APIRouter:
    """The routes."""
    router, bench = APIRouter(), session.bench

    @router.get("/api/project", summary="The project: its classes, checks and folders, and how far the images are read")
    async def project() -> dict[str, Any]:
        return session.as_json()

    @router.get("/api/columns/{name}", summary="One value for each row, as a little-endian array")
    async def column(name: str, request: Request) -> Response:
        if name not in SHOWN_COLUMNS:
            raise Problem(404, f"there is no column {name}", f"one of {', '.join(SHOWN_COLUMNS)}")
        values = bench.catalogue.columns[name]
        content = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
        tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
        headers = {"X-Dtype": values.dtype.name, "ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=BINARY, headers=headers)

    @router.post("/api/orders", summary="The rows that pass a filter, sorted, as little-endian uint32")
    async def orders(order: Order) -> Response:
        found = await asyncio.to_thread(ordered, session, order)
        return Response(found.astype("<u4").tobytes(), media_type=BINARY)

    @router.post("/api/rows", summary=f"What is known of up to {MOST_ROWS} rows")
    async def rows(rows: Annotated[list[int], Body(embed=True, max_length=MOST_ROWS)]) -> list[dict[str, Any]]:
        chosen = checked_rows(bench.catalogue, rows)
        sentences = sentences_of(bench, set(chosen))
        return [row_as_json(bench, row, sentences) for row in chosen]

    @router.get("/api/neighbours/{row}", summary="The rows that are most like one")
    async def neighbours(
        row: int, n: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 12, labelled: bool = False
    ) -> list[dict[str, Any]]:
        (row,) = checked_rows(bench.catalogue, [row])
        found = await asyncio.to_thread(bench.nearest_to, row, n, labelled=labelled)
        return [{"row": other, "similarity": round(similarity, 4)} for other, similarity in found]

    @router.get("/api/map", summary="Two numbers in 0 .. 1 for each row, as little-endian float32; 202 while the map is made")
    async def picture_map() -> Response:
        if bench.places is None:
            bench.begin_map()
            return Response(status_code=202, headers={"Retry-After": "1"})
        return Response(bench.places.astype("<f4").tobytes(), media_type=BINARY)

    return router


def showing(session: Session) -> APIRouter:
    """The routes of the pictures."""
    router, bench = APIRouter(), session.bench

    @router.get("/images/{digest}/thumbnail", summary="A small picture")
    async def thumbnail(digest: str, side: int = SIDES_PX[0]) -> Response:
        if side not in SIDES_PX:
            raise Problem(422, f"there are no thumbnails of {side} px", f"one of {', '.join(map(str, SIDES_PX))}")
        row = session.row_with(digest)
        read = bench.catalogue.candidates[row].read
        return await asyncio.to_thread(_shown, lambda: (session.thumbnails.get(digest, read, side), MEDIA_TYPE))

    @router.get("/images/{digest}", summary="The picture as a browser can show it")
    async def picture(digest: str) -> Response:
        def made() -> tuple[bytes, str]:
            image = browser_image(session.checked_bytes(digest), channels=bench.backbone.preprocess.channels)
            return image.content, image.media_type

        return await asyncio.to_thread(_shown, made)

    return router


def ordered(session: Session, order: Order) -> np.ndarray:
    """The rows of an order. Raises Problem."""
    similarity, like = None, order.filter.like
    if like is not None:
        checked_rows(session.bench.catalogue, [like])
        similarity = session.bench.likeness_to(like)
    try:
        return rows_of(session.bench.catalogue, order, CHECK_NAMES, similarity)
    except HeadstartError as error:
        raise Problem(422, error.message, error.hint or "see /docs") from error


def _shown(made: Callable[[], tuple[bytes, str]]) -> Response:
    """What `made` gives as the answer; what is wrong with the file is told. Raises Problem."""
    try:
        content, media_type = made()
    except ChangedImage as error:
        raise Problem(410, f"the file has changed: {error.reason}", "end the studio and start it again") from error
    except UnreadableImage as error:
        raise Problem(404, f"the file cannot be read: {error.reason}", "look whether it is still there") from error
    headers = FOREVER | {"X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=media_type, headers=headers)
