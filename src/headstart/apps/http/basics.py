"""What every application of a server has: errors as a sentence and a hint, and the description of its endpoints."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from headstart.apps.http.access import DOCS_ASSETS
from headstart.apps.http.gate import refused
from headstart.apps.http.limits import Problem

DOCS_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def add_errors(app: FastAPI) -> None:
    """Has every failure answered as a Problem."""

    @app.exception_handler(Problem)
    async def on_problem(_: Request, problem: Problem) -> JSONResponse:
        return refused(problem)

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
        what = f"{request.method} {request.url.path}: {HTTPStatus(error.status_code).phrase.lower()}"
        return refused(Problem(error.status_code, what, "GET /docs lists all endpoints", dict(error.headers or {})))

    @app.exception_handler(Exception)
    async def on_defect(request: Request, _: Exception) -> JSONResponse:  # what it was is in the log
        return refused(
            Problem(500, f"{request.method} {request.url.path}: internal error", "see the server's log, and please report it")
        )


def add_docs(app: FastAPI) -> None:
    """Swagger UI, from a package instead of a CDN: it works without a network, and no other host learns that it was opened."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="openapi.json",  # relative, so that it also works behind a proxy that adds a path
            title=app.title,
            swagger_js_url=f"{DOCS_ASSETS[1:]}/swagger-ui-bundle.js",
            swagger_css_url=f"{DOCS_ASSETS[1:]}/swagger-ui.css",
            swagger_favicon_url=f"{DOCS_ASSETS[1:]}/favicon-32x32.png",
            swagger_ui_parameters={"validatorUrl": None},  # else it would ask a validator on the network
        )
        page.headers.update(DOCS_HEADERS)
        return page

    app.mount(DOCS_ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]))
