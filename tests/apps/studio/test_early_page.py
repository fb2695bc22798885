"""The page is there before the images are listed."""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from conftest import COLOURS, PATIENCE_SECONDS, TINY, wait_until
from playwright.sync_api import expect, sync_playwright
from starlette.testclient import TestClient

from apps.conftest import Result
from apps.studio.conftest import draw
from apps.studio.test_page import CHROMIUM
from headstart.apps.commands import studio as command
from headstart.apps.http.access import Access
from headstart.apps.http.limits import Limits
from headstart.apps.http.server import listen
from headstart.apps.studio import early_page, session_opening
from headstart.apps.studio.early_page import EarlyPage, Opening
from headstart.apps.studio.session import Session
from headstart.apps.studio.session_opening import open_session
from headstart.apps.studio.studio_app import PAGES
from headstart.errors import DataError, HeadstartError
from headstart.settings import TrainSettings

TOKEN = "a-token-of-24-characters"


@dataclass
class Slow:
    """A project that is open when a test says so."""

    opens: Callable[[], AbstractContextManager[Session]]
    may_open: threading.Event = field(default_factory=threading.Event)
    told: list[Session] = field(default_factory=list)

    def page(self, token: str = "") -> EarlyPage:
        """Its application."""
        self.opening = Opening(self._open())
        access = Access.of("127.0.0.1", is_public=False, token=token, pages=PAGES)
        return EarlyPage(self.opening, access, Limits(), self.told.append)

    @contextmanager
    def _open(self) -> Iterator[Session]:
        self.may_open.wait()
        with self.opens() as session:
            yield session


@pytest.fixture
def slow(tmp_path: Path, tiny_weights: Path) -> Slow:
    """One of drawn shapes."""
    data = draw(tmp_path / "shapes", dict.fromkeys(COLOURS, 3))
    settings = TrainSettings.of(effort="quick", backbone=TINY, weights=tiny_weights)
    return Slow(lambda: open_session(str(data), tmp_path / "project", settings, Limits()))


def client_of(early: EarlyPage, token: str = "") -> TestClient:
    """Asks it."""
    return TestClient(early.app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {token}"} if token else {})


def in_thread(ask: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """What is asked in a thread, and what came of it."""
    came: list[Any] = []
    thread = threading.Thread(target=lambda: came.append(ask()))
    thread.start()
    return thread, came


def test_a_request_waits_until_the_project_is_open(slow: Slow) -> None:
    """The page and its files are there at once; what asks for images is answered as soon as they are listed."""
    with client_of(early := slow.page()) as client:
        assert client.get("/api/project", headers={"Host": "evil.example"}).status_code == 421
        assert client.get("/").status_code == client.get("/page/main.js").status_code == 200
        thread, came = in_thread(lambda: client.post("/api/orders", json={"sort": "path"}))
        assert client.get("/page/style.css").status_code == 200 and not came and not slow.told
        slow.may_open.set()
        thread.join()
        assert came[0].status_code == 200
        assert client.get("/api/project").json()["n_images"] == 9 and client.get("/").status_code == 200
        assert {"/api/orders", "/api/project"} <= client.get("/openapi.json").json()["paths"].keys()
        wait_until(lambda: slow.told)
        assert slow.told[0].bench.n_read <= 9
        assert gc.get_freeze_count(), "the images are looked through for garbage again and again"
        early.end()
    slow.opening.close()
    assert not gc.get_freeze_count()


def test_what_takes_long_is_told(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is not kept for ever: the answer says to ask again."""
    monkeypatch.setattr(early_page, "WAIT_SECONDS", 0)
    with client_of(slow.page()) as client:
        answer = client.get("/api/project")
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"
        assert answer.json() == {"error": "the images are still being listed", "hint": "ask again in a moment"}
        assert client.post("/api/login").status_code == 204
        slow.may_open.set()
        wait_until(lambda: client.get("/api/project").status_code == 200)
    slow.opening.close()


def test_nobody_waits_who_may_not_ask(slow: Slow) -> None:
    """The token is checked before a request waits, and after it."""
    with client_of(slow.page(TOKEN)) as client:
        assert client.get("/").status_code == 200
        for _ in range(2):
            assert client.get("/api/project").status_code == 401
            slow.may_open.set()
            wait_until(lambda: slow.told)
        assert client.get("/api/project", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    slow.opening.close()


@pytest.mark.parametrize("error", [DataError("there is no image in x", hint="give another"), ZeroDivisionError()])
def test_a_project_that_cannot_be_opened_is_told(error: Exception) -> None:
    """The page learns why; so does who closes it."""

    @contextmanager
    def fails() -> Iterator[Session]:
        raise error
        yield

    slow = Slow(fails)
    with client_of(slow.page()) as client:
        thread, came = in_thread(lambda: client.get("/api/project"))
        assert not slow.opening.has_failed()
        slow.may_open.set()
        thread.join()
        assert came[0].status_code == 500
        assert ("there is no image in x" in came[0].json()["error"]) == isinstance(error, HeadstartError)
        assert slow.opening.has_failed() and not slow.told
    with pytest.raises(type(error)):
        slow.opening.close()


def test_who_waits_is_sent_away_at_the_end(slow: Slow) -> None:
    """Ctrl-C while the images are listed ends the studio at once."""
    with client_of(early := slow.page()) as client:
        thread, came = in_thread(lambda: client.get("/api/project"))
        early.end()
        thread.join()
        assert came[0].status_code == 503 and "ending" in came[0].json()["error"]
    slow.opening.close()
    assert not slow.opening.session.done()
    slow.may_open.set()
    slow.opening.session.result(PATIENCE_SECONDS)
    slow.opening.close()


def test_the_command_ends_where_no_project_opens(
    headstart: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The address is printed before; then comes the sentence, with exit code 1."""
    said = threading.Event()

    @contextmanager
    def fails(*_: object) -> Iterator[Session]:
        said.wait()
        raise DataError("there is no image in x", hint="give another")
        yield

    say = command.say

    def noted(text: str) -> None:
        say(text)
        said.set()

    monkeypatch.setattr(command, "say", noted)
    monkeypatch.setattr(session_opening, "open_session", fails)
    monkeypatch.setattr(command, "PATIENCE_SECONDS", 0)
    result = headstart("studio", tmp_path / "photos", "--port", 0, "--no-browser")
    assert result.code == 1
    assert result.err.splitlines() == ["error: there is no image in x", " hint: give another"]
    assert result.out.startswith("photos at http://127.0.0.1:") and "are being listed" in result.out


@pytest.mark.process
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_the_page_waits(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is going on, and shows the images when they are listed."""
    monkeypatch.setattr(early_page, "WAIT_SECONDS", 0)
    with listen("127.0.0.1", 0) as listener, sync_playwright() as playwright:
        server = uvicorn.Server(uvicorn.Config(slow.page().app, log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        expect(page.get_by_text("the images are still being listed …")).to_be_visible()
        slow.may_open.set()
        expect(page.locator(".tile.loaded").first).to_be_visible()
        browser.close()
        slow.told[0].waiting.end()
        server.should_exit = True
        thread.join()
    slow.opening.close()
