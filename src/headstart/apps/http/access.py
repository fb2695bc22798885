"""Who may use a server: the token, the names a request may be addressed to, the web pages that may send one.

A server without a token that listens on a loopback address is meant for the people of this machine. Their browser reaches it
too, on behalf of any page they have open. Two checks keep such pages out. The Host header stops DNS rebinding, where a page's
own name is made to point to 127.0.0.1 and the browser takes the answers for that page's own. The Origin header stops a POST
that a page sends without reading the answer. With a token neither is needed: another page does not know it.
"""

import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from headstart.apps.http.limits import Problem
from headstart.errors import SettingsError

DOCS_ASSETS = "/docs/assets"
# What needs no token, by the beginning of its path if it ends with a slash: nothing of a model or of images is in it.
OPEN = ("/healthz", "/readyz", "/docs", "/openapi.json", f"{DOCS_ASSETS}/")
COOKIE = "headstart_token"  # for what a page cannot send a header with, such as the images that it shows
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}  # they change nothing, and a browser shows their answers to no other page
ANY_ORIGIN = "*"


@dataclass(frozen=True, slots=True)
class Call:
    """What of a request decides whether it is let in; a header that was not sent is None."""

    method: str
    path: str
    host: str | None
    origin: str | None
    authorization: str | None
    cookie: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one server."""

    token: str = ""  # "" where none is asked for
    origins: tuple[str, ...] = ()  # of the web pages elsewhere that may use it
    hosts: frozenset[str] | None = None  # host names a request may be addressed to, beside loopback ones; None: any
    any_address: bool = False  # whether a request may also be addressed to any IP address: only a name can be rebound
    open_paths: tuple[str, ...] = OPEN

    @classmethod
    def of(
        cls,
        host: str,
        *,
        is_public: bool,
        token: str = "",
        origins: Iterable[str] = (),
        names: Iterable[str] = (),
        pages: Iterable[str] = ("/",),
    ) -> "Access":
        """The rules of a server started with `--host host`; `names` are those of --allow-host. Raises SettingsError.

        `pages` are the paths of its page, which needs no token.

        Without a token, a server on a loopback address answers to loopback names and to those given. Any other answers to every
        name, for nobody can list the names of containers, proxies and services that lead to it; unless --allow-host lists them.
        """
        allowed = [_checked_name(name) for name in names]
        of_pages = (*OPEN, *pages)
        if not allowed and (token or is_public):
            return cls(token, tuple(origins), open_paths=of_pages)
        hosts = frozenset([*allowed, _name_in(host)]) - {""}
        return cls(token, tuple(origins), hosts, any_address=is_public, open_paths=of_pages)

    def problem(self, call: Call) -> Problem | None:
        """Why a request is refused; None where it is let in."""
        if not self._answers_to(call.host):
            hint = "ask for localhost or 127.0.0.1, or start the server with --allow-host NAME"
            return Problem(421, f"this server does not answer to the name {call.host!r}", hint)
        if self.token:
            if self._is_open(call.path) or self._knows_token(call):
                return None
            hint = "send the header Authorization: Bearer TOKEN"
            return Problem(401, "the token is missing or wrong", hint, {"WWW-Authenticate": "Bearer"})
        if call.method not in SAFE_METHODS and not self._is_welcome(call):
            hint = "if it should be able to, start the server with --cors ORIGIN"
            return Problem(403, f"the web page at {call.origin!r} may not use this server", hint)
        return None

    def _answers_to(self, host: str | None) -> bool:
        if self.hosts is None or host is None:  # browsers always send it; simple health checks over HTTP/1.0 do not
            return True
        name = _name_in(host)
        if name in self.hosts or name == "localhost":
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.any_address

    def _is_open(self, path: str) -> bool:
        return any(
            path == known or (len(known) > 1 and known[-1] == "/" and path.startswith(known)) for known in self.open_paths
        )

    def _knows_token(self, call: Call) -> bool:
        kind, _, token = (call.authorization or "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(token.strip()):
            return True
        # A browser sends a cookie on behalf of any page, so it opens nothing that could be changed.
        return call.method in SAFE_METHODS and call.cookie is not None and self._is_token(call.cookie)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _is_welcome(self, call: Call) -> bool:
        """Whether the page that sent a request is this server's own, or one of --cors; programs send no origin."""
        if call.origin is None or call.origin in self.origins or ANY_ORIGIN in self.origins:
            return True
        # The scheme does not count: behind a proxy the page is at https, and the server is not.
        return call.host is not None and call.origin.partition("://")[2].lower() == call.host.lower() != ""


def _name_in(host: str) -> str:
    """The host in a Host header, without its port, the brackets of an IPv6 address and the root's dot: "[::1]:80" -> "::1"."""
    name, bracket, _ = host.strip().lower().removeprefix("[").partition("]")
    return name if bracket or name.count(":") > 1 else name.partition(":")[0].removesuffix(".")


def _checked_name(given: str) -> str:
    name = _name_in(given)
    if not name or set(given) & set("/*@, "):
        raise SettingsError(f"--allow-host: {given!r} is not a host name", hint="give the name alone: photos.example.org")
    return name
