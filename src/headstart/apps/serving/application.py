"""The HTTP interface of a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict
from starlette.middleware.cors import CORSMiddleware

from headstart import __version__
from headstart.apps.http.access import Access
from headstart.apps.http.basics import add_docs, add_errors
from headstart.apps.http.gate import Gate
from headstart.apps.http.limits import Problem
from headstart.apps.serving.models import as_json
from headstart.apps.serving.service import Service

PAGE = Path(__file__).with_name("page.html")
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
IMAGE = {"type": "string", "format": "binary"}
FORM = {"type": "object", "properties": {"images": {"type": "array", "items": IMAGE}}}
BODY = {"required": True, "content": {"image/*": {"schema": IMAGE}, "multipart/form-data": {"schema": FORM}}}


class PredictionModel(BaseModel):
    """The answer for one image, or the reason why it could not be read, as `Prediction.as_json` gives it."""

    model_config = ConfigDict(extra="forbid")

    path: str
    predicted: str | float | None = None  # a number if the model's answers are numbers
    low: float | None = None  # of the interval around a number
    high: float | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    labels: list[str] | None = None
    unsure: bool | None = None
    set: list[str] | None = None
    unfamiliar: bool | None = None
    distance: float | None = None
    error: str | None = None


class AnswerModel(BaseModel):
    """The answers for the images of a request, in their order."""

    model_config = ConfigDict(extra="forbid")

    model: str
    digest: str
    predictions: list[PredictionModel]


class RefusalModel(BaseModel):
    """What is wrong, and what to do."""

    error: str
    hint: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": RefusalModel, "description": description}
    for status, description in (
        (400, "the connection ended too early"),
        (401, "the token is missing or wrong"),
        (403, "another web page sent it"),
        (404, "no such model"),
        (408, "the images did not arrive in time"),
        (413, "an image or the request is too large"),
        (415, "not an image of a supported type"),
        (421, "it is addressed to a name that is not the server's"),
        (422, "no image, or a damaged one"),
        (429, "too many images are waiting"),
        (503, "too many requests, or the model cannot answer"),
        (504, "no answer in time"),
    )
}


def build_application(service: Service, access: Access) -> FastAPI:
    """The application that answers for a service to those whom `access` lets in."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.stop()

    app = FastAPI(title="headstart", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Gate, access=access, n_requests=service.limits.requests, on_answer=service.metrics.request)
    if access.origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(access.origins), allow_methods=["*"], allow_headers=["*"])
    add_errors(app)
    _add_predicting(app, service)
    _add_state(app, service, has_token=bool(access.token))
    add_docs(app)
    return app


def _add_predicting(app: FastAPI, service: Service) -> None:
    options: dict[str, Any] = {"response_model": AnswerModel, "responses": REFUSALS, "openapi_extra": {"requestBody": BODY}}

    @app.post("/predict", summary="Classify images with the only model", **options)
    async def predict(request: Request) -> JSONResponse:
        return JSONResponse(await service.answer(request, None))

    @app.post("/models/{name}/predict", summary="Classify images with a model", **options)
    async def predict_with(request: Request, name: str) -> JSONResponse:
        return JSONResponse(await service.answer(request, name))


def _add_state(app: FastAPI, service: Service, *, has_token: bool) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers=PAGE_HEADERS)

    @app.get("/models", summary="All models")
    async def models() -> list[dict[str, Any]]:
        return [
            {"name": served.name, "digest": served.loaded.digest, "classes": list(served.loaded.predictor.classes)}
            for served in service.models.values()
        ]

    @app.get("/model", summary="Details of the only model")
    async def model() -> dict[str, Any]:
        return as_json(service.model(None))

    @app.get("/models/{name}", summary="Details of a model")
    async def model_of(name: str) -> dict[str, Any]:
        return as_json(service.model(name))

    @app.get("/healthz", summary="Whether the process is running")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="Whether the server can answer requests")
    async def readyz() -> dict[str, str]:
        if not service.is_ready:
            raise Problem(503, "the server is not ready", "try again in a second")
        return {"status": "ready"}

    @app.get("/metrics", summary="Counters for Prometheus")
    async def metrics() -> Response:
        return Response(service.metrics.as_text(), media_type=service.metrics.content_type)

    @app.post("/reload", summary="Read the models again")
    async def reload() -> dict[str, Any]:
        if not has_token:
            raise Problem(
                403, "/reload works only on a server with a token", "start it with --token-file, or send SIGHUP to it"
            )
        return {"models": await service.reload()}
