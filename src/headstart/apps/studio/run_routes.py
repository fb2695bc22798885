"""Requests that train, and try what was learnt."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headstart.apps.http.limits import Problem
from headstart.apps.http.uploads import Body, read_images
from headstart.apps.studio.runs import REPORT
from headstart.apps.studio.session import Session
from headstart.apps.studio.shown import checked_rows

# A report is a page of its own, with images inside; it may do nothing but show itself.
REPORT_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class RowWish(BaseModel):
    """A row of the project."""

    row: int


class RunWish(BaseModel):
    """The settings of a run that the page offers."""

    model_config = ConfigDict(extra="forbid")

    strategy: Literal["probe", "finetune", "auto"] = "auto"
    effort: Literal["quick", "normal", "thorough"] = "normal"
    time_budget: Annotated[float, Field(gt=0, le=86_400)] | None = None


def training(session: Session) -> APIRouter:
    """The routes of the runs."""
    router = APIRouter()

    @router.get("/api/runs", summary="All runs of the project, the latest first")
    async def runs() -> list[dict[str, Any]]:
        return [run.as_json() for run in session.runs.all()]

    @router.post("/api/runs", summary="Train on the images as they are labelled now")
    async def start(wish: RunWish) -> dict[str, Any]:
        own = session.settings
        network = {"backbone": own.backbone, "weights": own.weights and str(own.weights), "offline": own.offline}
        chosen = {name: value for name in ("channels", "every") if (value := getattr(own, name)) is not None}
        settings = wish.model_dump(exclude_none=True) | network | chosen | {"labels": str(session.project.folder)}
        return (await asyncio.to_thread(session.runs.start, session.data, settings)).as_json()

    @router.post("/api/runs/{name}/cancel", summary="End a run")
    async def cancel(name: str) -> dict[str, Any]:
        return (await asyncio.to_thread(session.runs.cancel, name)).as_json()

    @router.get("/runs/{name}/report.html", summary="The report of a run")
    async def report(name: str) -> HTMLResponse:
        file = session.project.runs / session.runs.named(name).name / REPORT
        try:
            text = await asyncio.to_thread(file.read_text, encoding="utf-8")
        except OSError as error:
            raise Problem(404, f"the run {name} has no report", "wait until it has ended") from error
        return HTMLResponse(text, headers=REPORT_HEADERS)

    return router


def trying(session: Session) -> APIRouter:
    """The routes that answer for an image that is not of the project."""
    router = APIRouter()

    @router.post("/api/try", summary="What the model beside you says of an image")
    async def answer(request: Request) -> dict[str, Any]:
        async with _image_in(request, session) as data:
            return await asyncio.to_thread(session.answer, data)

    @router.post("/api/explain", summary="Where in an image, or in that of a row, the answer comes from")
    async def explained(request: Request) -> dict[str, Any]:
        if request.headers.get("content-type", "").startswith("application/json"):
            try:
                wish = RowWish.model_validate_json(await request.body())
            except ValidationError as error:
                raise Problem(422, "the body is neither an image nor a row", 'send {"row": 0}') from error
            (row,) = checked_rows(session.bench.catalogue, [wish.row])
            return await asyncio.to_thread(
                lambda: session.explain(session.checked_bytes(session.bench.catalogue.digest(row)), row)
            )
        async with _image_in(request, session) as data:
            return await asyncio.to_thread(session.explain, data)

    return router


@asynccontextmanager
async def _image_in(request: Request, session: Session) -> AsyncIterator[bytes]:
    """The bytes of the first image of a request, which take up room while the block runs. Raises Problem."""
    body = Body(session.room)
    try:
        ((_, data), *_) = await read_images(request, body, session.limits)
        yield data
    finally:
        body.give_back()
