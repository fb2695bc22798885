"""The HTTP interface of a studio and its page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from headstart import __version__
from headstart.apps.http.access import COOKIE, Access
from headstart.apps.http.basics import add_docs, add_errors
from headstart.apps.http.bodies import Bodies
from headstart.apps.http.gate import Gate, refused
from headstart.apps.http.limits import Problem
from headstart.apps.studio.browse_routes import browsing, showing
from headstart.apps.studio.decision_routes import deciding, reviewing, telling
from headstart.apps.studio.run_routes import training, trying
from headstart.apps.studio.session import Session

PAGES = ("/", "/page/")  # need no token: nothing of the project is in them
OF_IMAGES = frozenset({"/api/try", "/api/explain"})  # the body is an image
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; frame-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def build_studio(session: Session, access: Access) -> FastAPI:
    """The application that answers for a session to those whom `access` lets in."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        session.start()
        try:
            yield
        finally:
            session.stop()

    app = FastAPI(title="headstart studio", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Bodies, limits=session.limits, room=session.room, of_images=OF_IMAGES)
    app.add_middleware(Gate, access=access, n_requests=session.limits.requests, on_answer=lambda *_: None)
    add_errors(app)

    @app.exception_handler(RequestValidationError)
    async def on_wrong_request(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return refused(Problem(422, "the request's body is not JSON", "GET /docs describes all requests"))
        place = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return refused(Problem(422, f"{place}: {first['msg'].lower()}", "GET /docs describes all requests"))

    for routes in (browsing, showing, deciding, telling, reviewing, training, trying):
        app.include_router(routes(session))
    app.include_router(page_of(access))
    add_docs(app)
    return app


def page_of(access: Access) -> APIRouter:
    """The routes of the page's files, and of the token that it keeps."""
    router, folder = APIRouter(), files("headstart.apps.studio").joinpath("page")
    names = {entry.name for entry in folder.iterdir()}

    def file(name: str) -> Response:
        ending = name[name.rfind(".") :]
        if name not in names or ending not in MEDIA_TYPES:
            raise Problem(404, f"the page has no file {name}", "open /")
        return Response(folder.joinpath(name).read_bytes(), media_type=MEDIA_TYPES[ending], headers=PAGE_HEADERS)

    @router.get("/", include_in_schema=False)
    async def index() -> Response:
        return file("index.html")

    @router.get("/page/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        return file(name)

    @router.post("/api/login", summary="With the token in the header: set the cookie that pictures are asked with")
    async def login() -> Response:
        response = Response(status_code=204)
        if access.token:
            response.set_cookie(COOKIE, access.token, httponly=True, samesite="strict")
        return response

    return router
