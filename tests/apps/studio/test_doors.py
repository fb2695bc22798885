"""Who may use a studio, and with what: hosts, origins, the token, headers, bodies."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import PATIENCE_SECONDS, SavedRun

from apps.studio.conftest import Studio, studio_of

TOKEN = "a-token-of-24-characters"
JSON = {"X-Window": "me", "Content-Type": "application/json"}
POSTS = ("/api/decisions", "/api/undo", "/api/redo", "/api/classes", "/api/export", "/api/orders", "/api/rows", "/api/runs")


@pytest.fixture(scope="module")
def guarded(saved_run: SavedRun, tmp_path_factory: pytest.TempPathFactory, home: Path, tiny_weights: Path) -> Iterator[Studio]:
    """A studio with a token."""
    project = tmp_path_factory.mktemp("guarded") / "project"
    with studio_of(saved_run.data / "val", project, home=home, weights=tiny_weights, token=TOKEN) as started:
        yield started


def told(answer: httpx.Response, status: int) -> str:
    """The sentence of a refusal."""
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error", "hint"} and all(answer.json().values())
    return str(answer.json()["error"])


@pytest.mark.parametrize("path", ["/", "/api/project", "/api/columns/label", "/page/main.js", "/docs", "/api/map"])
def test_a_foreign_host(studio: Studio, path: str) -> None:
    """A name that was made to point here is not answered to."""
    told(studio.client.get(path, headers={"Host": "evil.example"}), 421)


@pytest.mark.parametrize("path", POSTS)
def test_a_foreign_page(studio: Studio, path: str) -> None:
    """Another page cannot send what changes something; this one can."""
    last = studio.last
    for origin in ("https://evil.example", "null", studio.url.replace("127.0.0.1", "127.0.0.1.evil.example")):
        told(studio.client.post(path, json={}, headers=JSON | {"Origin": origin}), 403)
    assert studio.last == last and not studio.get("/api/runs")
    own = studio.client.post("/api/orders", json={}, headers={"Origin": studio.url})
    assert own.status_code == 200


def test_the_page(studio: Studio, guarded: Studio) -> None:
    """The page may only do what it brings along, and is shown before the token is known."""
    for server in (studio, guarded):
        with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS, trust_env=False) as anybody:
            for path, kind in (
                ("/", "text/html"),
                ("/page/main.js", "text/javascript"),
                ("/page/style.css", "text/css"),
                ("/page/icon.svg", "image/svg+xml"),
            ):
                answer = anybody.get(path)
                assert answer.status_code == 200 and answer.headers["Content-Type"].startswith(kind)
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
                assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_no_document_says_what_is_not_so(studio: Studio) -> None:
    """Every request of the page is described."""
    paths = studio.get("/openapi.json")["paths"]
    assert {"/api/decisions", "/api/queues/{name}", "/api/columns/{name}", "/images/{digest}/thumbnail"} <= set(paths)
    assert studio.client.get("/docs").status_code == 200


@pytest.mark.parametrize("path", ["/api/project", "/api/columns/label", "/api/map", "/api/changes?since=0", "/api/runs"])
def test_the_token(guarded: Studio, path: str) -> None:
    """Nothing of the project is told without the token, or with another."""
    with httpx.Client(base_url=guarded.url, timeout=PATIENCE_SECONDS, trust_env=False) as anybody:
        told(anybody.get(path), 401)
        for wrong in (f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer", "Bearer \xe9"):
            told(anybody.get(path, headers={b"Authorization": wrong.encode("latin-1")}), 401)
    assert guarded.client.get(path, params={"since": -1} if "changes" in path else {}).status_code in (200, 202)


def test_the_cookie(guarded: Studio) -> None:
    """With the cookie that a login sets pictures are shown, and nothing can be changed."""
    digest = guarded.row(0)["digest"]
    with httpx.Client(base_url=guarded.url, timeout=PATIENCE_SECONDS, trust_env=False) as browser:
        told(browser.get(f"/images/{digest}/thumbnail"), 401)
        told(browser.post("/api/login"), 401)
        told(browser.post("/api/login", headers={"Authorization": "Bearer other"}), 401)
        assert not browser.cookies
        answer = browser.post("/api/login", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 204
        cookie = answer.headers["Set-Cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert browser.get(f"/images/{digest}/thumbnail").headers["Content-Type"] == "image/jpeg"
        assert browser.get(f"/images/{digest}").status_code == 200
        told(browser.post("/api/undo", headers={"X-Window": "me"}), 401)
        told(browser.post("/api/orders", json={}), 401)


@pytest.mark.parametrize("path", ["/api/decisions", "/api/undo", "/api/redo", "/api/classes"])
def test_a_window_has_a_name(studio: Studio, path: str) -> None:
    """Who decides must be known."""
    body = {"rows": [0], "why": "keep", "expected": 0, "name": "stars"}
    if path.endswith("classes"):
        body = {"name": "stars"}
    assert "X-Window" in told(studio.client.post(path, json=body), 422)
    told(studio.client.post(path, json=body, headers={"X-Window": ""}), 422)
    told(studio.client.post(path, json=body, headers={"X-Window": "x" * 81}), 422)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"rows=1", b"\xff\xfe", b'{"rows": [1e999]}', b"[" * 100_000, b'{"rows": [' + b"9" * 5000 + b"]}", b"null"],
)
@pytest.mark.parametrize("path", ["/api/decisions", "/api/orders", "/api/rows"])
def test_a_body_that_is_no_request(studio: Studio, path: str, body: bytes) -> None:
    """What cannot be understood is refused with a sentence."""
    answer = studio.client.post(path, content=body, headers=JSON)
    assert answer.status_code in (400, 422), answer.text
    told(answer, answer.status_code)


@pytest.mark.parametrize("path", ["/api/decisions", "/api/orders", "/api/undo", "/api/runs"])
def test_a_body_that_is_too_large(studio: Studio, path: str) -> None:
    """More than 16 MB are not read, whether they are announced or come unannounced."""

    def endless() -> Iterator[bytes]:
        for _ in range(17):
            yield b" " * 1_000_000

    for content in (b" " * 16_000_001, endless()):
        assert "16,000,000" in told(studio.client.post(path, content=content, headers=JSON), 413)
    assert studio.order() == list(range(36))


def test_a_large_body(studio: Studio) -> None:
    """A million rows fit."""
    rows = list(range(36)) * 28_000
    answer = studio.client.post("/api/decisions", json={"rows": rows, "why": "relabel", "expected": 0}, headers=JSON)
    assert answer.status_code == 200, answer.text
    studio.post("/api/undo")


def test_methods(studio: Studio) -> None:
    """What is read cannot be written to, and the other way round."""
    told(studio.client.post("/api/project", json={}), 405)
    told(studio.client.get("/api/decisions"), 405)
    told(studio.client.delete("/api/runs"), 405)


def test_many_that_wait(studio: Studio) -> None:
    """Windows that wait for changes do not keep others waiting."""
    found = studio.get("/api/project")
    query = f"since={found['last']}&model={found['model']}&n_read=36&map={found['map']}"
    with httpx.Client(base_url=studio.url, timeout=PATIENCE_SECONDS, trust_env=False) as client:
        waiting = [threading.Thread(target=client.get, args=(f"/api/changes?{query}",), daemon=True) for _ in range(40)]
        for thread in waiting:
            thread.start()
        assert studio.order() == list(range(36))
        studio.post("/api/classes", {"name": "told"})
        studio.decide([0], "keep")
        for thread in waiting:
            thread.join()
