"""A studio ends on Ctrl-C and SIGTERM whoever is connected: with exit code 0, the tables written, and no traceback."""

import csv
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from conftest import PATIENCE_SECONDS
from playwright.sync_api import sync_playwright

from apps.studio.conftest import Studio, draw

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.process


@pytest.fixture
def studio(open_studio: Callable[..., Studio], tmp_path: Path) -> Studio:
    """One with a decision."""
    studio = open_studio(draw(tmp_path / "shapes", {"circles": 2, "squares": 2}))
    studio.decide([0], "relabel", label="squares")
    return studio


def ended(studio: Studio, *signals: signal.Signals) -> None:
    """Ends it, and looks at how it did."""
    for one in signals:
        studio.process.send_signal(one)
    _, err = studio.process.communicate(timeout=PATIENCE_SECONDS)
    assert studio.process.returncode == 0, err
    assert "Traceback" not in err, err
    with (studio.project / "labels.csv").open(encoding="utf-8") as table:
        assert [row["label"] for row in csv.DictReader(table)] == ["squares", "circles", "squares", "squares"]
    assert (studio.project / "exclude.csv").is_file()


def sent(studio: Studio, text: str) -> socket.socket:
    """A connection on which this was sent."""
    url = httpx.URL(studio.url)
    connection = socket.create_connection((url.host, url.port))
    connection.settimeout(PATIENCE_SECONDS)
    connection.sendall(text.replace("\n", "\r\n").replace("HOST", f"Host: {url.host}:{url.port}").encode())
    return connection


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_others_are_connected(studio: Studio, number: signal.Signals) -> None:
    """A window that waits for changes is answered, half a request is not waited for but answered, and an idle one is closed."""
    waits = sent(studio, "GET /api/changes?since=9&n_read=4 HTTP/1.1\nHOST\n\n")
    half_body = sent(studio, "POST /api/try HTTP/1.1\nHOST\nContent-Length: 100000\n\nhalf")
    half_head = sent(studio, "GET /api/project HTT")
    idle = sent(studio, "GET /api/project HTTP/1.1\nHOST\n\n")
    assert idle.recv(1000).startswith(b"HTTP/1.1 200")
    ended(studio, number)
    assert waits.recv(1000).startswith(b"HTTP/1.1 200")
    assert half_body.recv(1000).startswith(b"HTTP/1.1 503")
    for connection in (waits, half_body, half_head, idle):
        connection.close()


def test_a_second_ctrl_c(studio: Studio) -> None:
    """Who is impatient does not lose the tables, and sees no traceback."""
    half_body = sent(studio, "POST /api/try HTTP/1.1\nHOST\nContent-Length: 100000\n\nhalf")
    ended(studio, signal.SIGINT, signal.SIGINT)
    half_body.close()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: install the system's package chromium")
def test_a_page_is_open(studio: Studio) -> None:
    """A browser that follows the changes keeps no studio from ending."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        with page.expect_request("**/api/changes*"):
            page.goto(studio.url)
        ended(studio, signal.SIGINT)
        browser.close()
