"""onnxruntime-web is taken from where the user says, whole and unchanged, or an export says how to get it."""

import hashlib
import io
import json
import tarfile
from base64 import b64encode
from pathlib import Path

import pytest
from conftest import FileServer

from headstart.artifact import web_runtime as module
from headstart.artifact.web_runtime import PACKAGE, PARTS, REGISTRY_VARIABLE, VERSION, web_runtime
from headstart.errors import DownloadError, HeadstartError, SettingsError
from headstart.storage import home

CONTENTS = {name: f"content of {name}".encode() for name in PARTS}


def package(name: str = PACKAGE, parts: dict[str, bytes] = CONTENTS) -> bytes:
    """An npm package."""
    file = io.BytesIO()
    about = {"package.json": json.dumps({"name": name, "version": "9.9.9"}).encode()}
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for path, content in (about | parts).items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def registry(file_server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """An npm registry on this machine that has the package that is expected."""
    file_server.content = package()
    monkeypatch.setattr(module, "INTEGRITY", b64encode(hashlib.sha512(file_server.content).digest()).decode())
    monkeypatch.setenv(REGISTRY_VARIABLE, file_server.url.removesuffix("files/set.zip"))
    return file_server


def test_it_is_downloaded_once(registry: FileServer) -> None:
    """npm's own variable names the registry; the second export asks nobody, nor does one that is offline."""
    for offline in (False, False, True):
        found = web_runtime(offline=offline)
        assert found.files == {here: CONTENTS[name] for name, here in PARTS.items()}
        assert found.version == "9.9.9"
    assert len(registry.asked) == 1
    assert any(b"MIT" in notice for notice in found.notices.values())


def test_another_file_is_refused(registry: FileServer) -> None:
    """What has not the digest that npm published is not used and not kept."""
    registry.content = package(parts=CONTENTS | {next(iter(PARTS)): b"something else"})
    with pytest.raises(DownloadError, match="is not the expected file: its SHA-512"):
        web_runtime()
    assert not list((home() / "downloads").iterdir())


def test_a_kept_file_that_was_damaged_is_downloaded_again(registry: FileServer) -> None:
    """A bit that flipped on the disk is noticed."""
    web_runtime()
    (home() / "downloads" / f"{PACKAGE}-{VERSION}.tgz").write_bytes(b"damaged")
    assert web_runtime().version == "9.9.9"


@pytest.mark.parametrize("why", ["offline", "404", "nobody", "no address"])
def test_without_it_the_ways_to_get_it_are_told(registry: FileServer, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence and a hint."""
    registry.status = 404 if why == "404" else 200
    if why in ("nobody", "no address"):
        monkeypatch.setenv(REGISTRY_VARIABLE, "http://127.0.0.1:1" if why == "nobody" else "file:///etc")
    with pytest.raises(HeadstartError) as refusal:
        web_runtime(offline=why == "offline")
    assert "npm pack" in refusal.value.hint or "https://" in refusal.value.hint


def test_a_file_or_folder_of_the_users_own(tmp_path: Path) -> None:
    """The .tgz, and what npm makes of it, give the same; nobody is asked."""
    file, folder = tmp_path / "given.tgz", tmp_path / "unpacked"
    file.write_bytes(package())
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")
    assert web_runtime(file, offline=True) == web_runtime(folder / "package", offline=True)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (package(name="left-pad"), "is not the npm package"),
        (package(parts={}), "has no dist/"),
        (b"no archive", "cannot be unpacked"),
        (package()[:200], "cannot be unpacked"),
        (None, "there is no"),
    ],
)
def test_what_is_something_else_is_refused(content: bytes | None, told: str, tmp_path: Path) -> None:
    """Another package, another version, no archive, half of one, nothing."""
    if content is not None:
        (tmp_path / "given.tgz").write_bytes(content)
    with pytest.raises(SettingsError, match=told):
        web_runtime(tmp_path / "given.tgz")
