"""Who may use a server that runs: other web pages may not, whatever name or origin they come with."""

from collections.abc import Callable

import httpx
from conftest import SavedRun

from apps.conftest import Result, assert_explained
from apps.serving.conftest import Running

Serve = Callable[..., Running]


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
