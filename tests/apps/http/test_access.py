"""Who may use a server: other web pages may not use one without a token, whatever name or origin they come with."""

import pytest

from headstart.apps.http.access import Access, Call
from headstart.errors import SettingsError

LOCAL = Access.of("127.0.0.1", is_public=False)


def call(host: str | None = "localhost:8000", method: str = "GET", **more: str) -> Call:
    """A request to /model."""
    return Call(method, "/model", host, more.get("origin"), more.get("authorization"), more.get("cookie"))


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


def test_a_cookie_opens_what_changes_nothing() -> None:
    """Images of a page carry the token in a cookie; a browser sends it for any page, so it does not open a POST."""
    access = Access.of("127.0.0.1", is_public=False, token="s3cret")
    assert status(access, call(cookie="s3cret")) is None
    assert status(access, call(cookie="wrong")) == status(access, call()) == 401
    assert status(access, call(method="POST", cookie="s3cret", origin="http://localhost:8000")) == 401


def test_what_needs_no_token() -> None:
    """Pages are open, by their beginning if they end with a slash; what lies beside them is not."""
    access = Access.of("127.0.0.1", is_public=False, token="s3cret", pages=("/", "/page/"))
    opened = {
        path: access.problem(Call("GET", path, "localhost", None, None)) is None
        for path in ("/", "/page/app.js", "/docs", "/healthz", "/page", "/pages/x", "/model", "/docs/x", "//")
    }
    assert [path for path, is_open in opened.items() if is_open] == ["/", "/page/app.js", "/docs", "/healthz"]
