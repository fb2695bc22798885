"""Who may use a server: other web pages may not use one without a token, whatever name or origin they come with."""

from collections.abc import Callable

import httpx
import pytest
from conftest import SavedRun

from apps.conftest import Result, assert_explained
from apps.serving.conftest import Running
from headstart.apps.serving.access import Access, Call
from headstart.errors import SettingsError

Serve = Callable[..., Running]
LOCAL = Access.of("127.0.0.1", is_public=False)


def call(host: str | None = "localhost:8000", method: str = "GET", **more: str) -> Call:
    """A request to /model."""
    return Call(method, "/model", host, more.get("origin"), more.get("authorization"))


def status(access: Access, request: Call) -> int | None:
    """What a request is refused with; None where it is let in."""
    problem = access.problem(request)
    assert problem is None or (problem.message and problem.hint)
    return problem.status if problem else None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *[(host, None) for host in ("localhost", "LocalHost:80", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "localhost.")],
        (None, None),  # HTTP/1.0 without it, as simple health checks send
        *[(host, 421) for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example")],
        *[(host, 421) for host in ("", ":8000", "192.168.1.7:8000", "[fe80::1]", "127.0.0.1@evil.example", "\xff", "[", "]")],
    ],
)
def test_a_local_server_answers_to_local_names_alone(host: str | None, expected: int | None) -> None:
    """A name that a web page made to point here (DNS rebinding) is refused, for reading and for writing."""
    assert status(LOCAL, call(host)) == status(LOCAL, call(host, "POST")) == expected


def test_names_that_the_owner_gave() -> None:
    """The name of --host and those of --allow-host are answered to, whatever the port, upper or lower case."""
    access = Access.of("mybox", is_public=False, names=["Photos.example.org", "[fd00::7]"])
    for host in ("mybox:8000", "photos.example.org", "PHOTOS.example.org:443", "[fd00::7]:80", "127.0.0.1"):
        assert status(access, call(host)) is None, host
    assert status(access, call("other.example.org")) == 421


def test_where_the_host_header_is_free() -> None:
    """With a token, or at a public address, every name leads here; --allow-host ends that, but not for addresses."""
    for access in (Access.of("127.0.0.1", is_public=False, token="s"), Access.of("0.0.0.0", is_public=True)):
        assert status(access, call("photos.example.org", authorization="Bearer s")) is None
    named = Access.of("0.0.0.0", is_public=True, names=["photos.example.org"])
    assert [status(named, call(host)) for host in ("photos.example.org", "10.0.0.7:8000", "other.example")] == [None, None, 421]
    locked = Access.of("127.0.0.1", is_public=False, token="s", names=["photos.example.org"])
    assert status(locked, call("other.example", authorization="Bearer s")) == 421


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://evil.example", "localhost:8000", 403),
        ("http://localhost:3000", "localhost:8000", 403),  # another server of this machine
        ("null", "localhost:8000", 403),  # a page in a frame without rights, or a local file
        ("http://[", "localhost:8000", 403),
        ("", "localhost:8000", 403),
        ("http://localhost:8000", "localhost:8000", None),
        ("https://localhost:8000", "LOCALHOST:8000", None),  # through a proxy that speaks TLS
        ("http://shop.example", "localhost:8000", None),
    ],
)
def test_posts_of_other_pages(origin: str, host: str, expected: int | None) -> None:
    """Without a token only the server's own page and those of --cors may POST; a token is asked of every page alike."""
    access = Access.of("127.0.0.1", is_public=False, origins=["http://shop.example"])
    assert status(access, call(host, "POST", origin=origin)) == expected
    assert status(access, call(host, "GET", origin=origin)) is None
    token = Access.of("127.0.0.1", is_public=False, token="s3cret")
    assert status(token, call(host, "POST", origin=origin)) == 401
    assert status(token, call(host, "POST", origin=origin, authorization="bearer s3cret")) is None


@pytest.mark.parametrize("name", ["", "https://photos.example.org", "*", "a b", ":80"])
def test_what_is_no_name(name: str) -> None:
    """--allow-host takes a name, not an address of a page."""
    with pytest.raises(SettingsError, match="is not a host name"):
        Access.of("127.0.0.1", is_public=False, names=[name])


def test_a_server_refuses_what_it_should(server: Running, photo: bytes) -> None:
    """Over a real connection: 421 and 403 with a sentence and a hint; addresses, programs and the own page are answered."""
    port = server.url.rpartition(":")[2]
    for place in ("/", "/model", "/healthz"):
        refused = server.client.get(place, headers={"Host": f"evil.example:{port}"})
        assert refused.status_code == 421 and set(refused.json()) == {"error", "hint"}
        assert "evil.example" in refused.json()["error"] and "--allow-host" in refused.json()["hint"]
    refused = server.predict(photo, Origin="http://evil.example")
    assert refused.status_code == 403 and "--cors" in refused.json()["hint"]
    assert server.predict(photo, Origin=server.url).status_code == 200
    assert httpx.get(f"http://localhost:{port}/readyz", trust_env=False).status_code == 200


def test_the_options(serve: Serve, headstart: Callable[..., Result], saved_run: SavedRun, photo: bytes) -> None:
    """--allow-host adds a name, --cors an origin; an --allow-host that is no name is an error before anything is loaded."""
    server = serve(saved_run.run, "--allow-host", "photos.example.org", "--cors", "http://shop.example")
    assert server.client.get("/model", headers={"Host": "photos.example.org"}).status_code == 200
    assert server.predict(photo, Origin="http://shop.example").status_code == 200
    assert server.predict(photo, Origin="http://evil.example").status_code == 403
    assert_explained(headstart("serve", saved_run.run, "--port", 0, "--allow-host", "http://x"), "is not a host name")
