"""Downloads from a real server on this machine that breaks, refuses and lies."""

import hashlib
import random
import socket
from pathlib import Path

import pytest
from conftest import FileServer

from headstart.download import TRIES, download
from headstart.errors import DownloadError

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(file_server: FileServer) -> FileServer:
    file_server.content = CONTENT
    return file_server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "set.zip"


def part_of(target: Path) -> Path:
    return target.with_name("set.zip.part")


def test_whole_file(server: FileServer, target: Path) -> None:
    """A file is fetched in one request, nothing is left beside it, and progress ends at its size."""
    seen = []
    assert download(server.url, target, sha256=SHA256, progress=lambda *step: seen.append(step)) == target
    assert target.read_bytes() == CONTENT
    assert server.asked == [None]
    assert [path.name for path in target.parent.iterdir()] == ["set.zip"]
    assert seen[-1] == ("downloading set.zip", len(CONTENT), len(CONTENT))


def test_first_digits_of_the_digest_are_enough(server: FileServer, target: Path) -> None:
    """A digest may be given by its first digits, as torch hub has it in file names."""
    assert download(server.url, target, sha256=SHA256[:8]).read_bytes() == CONTENT


def test_goes_on_where_it_stopped(server: FileServer, target: Path) -> None:
    """What an earlier try left is kept, and only the rest is asked for."""
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT[:1000])
    assert download(server.url, target, sha256=SHA256).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]


def test_server_without_ranges_starts_again(server: FileServer, target: Path) -> None:
    """A server that ignores Range sends the whole file, and it takes the place of the part."""
    server.ranges = False
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT[:1000])
    assert download(server.url, target, sha256=SHA256).read_bytes() == CONTENT


def test_whole_part_is_not_fetched_again(server: FileServer, target: Path) -> None:
    """A part that is the whole file already is taken as it is when the server has nothing more to send."""
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT)
    assert download(server.url, target, sha256=SHA256).read_bytes() == CONTENT
    assert not part_of(target).exists()


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_connection_is_taken_up_again(server: FileServer, target: Path, ranges: bool) -> None:
    """A connection that breaks in the middle is taken up again by itself."""
    server.breaks, server.ranges = [100_000, 50_000], ranges
    assert download(server.url, target, sha256=SHA256).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=150000-" if ranges else "bytes=50000-"]


def test_connection_that_keeps_breaking_is_finished_later(server: FileServer, target: Path) -> None:
    """If every attempt breaks, the sentence says so, and the next call resumes the download."""
    server.breaks = [10_000] * TRIES
    with pytest.raises(DownloadError, match="cannot be reached") as caught:
        download(server.url, target, sha256=SHA256)
    assert "the next attempt resumes the download" in caught.value.hint
    assert part_of(target).stat().st_size == 10_000 * TRIES
    assert not target.exists()
    assert download(server.url, target, sha256=SHA256).read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={10_000 * TRIES}-"


def test_wrong_file_is_removed(server: FileServer, target: Path) -> None:
    """A file with another digest is never put in place, and its remains do not spoil the next attempt."""
    with pytest.raises(DownloadError, match="is not the expected file") as caught:
        download(server.url, target, sha256="0" * 64)
    assert SHA256[:16] in caught.value.message
    assert caught.value.hint.startswith("try again")
    assert list(target.parent.iterdir()) == []


def test_wrong_file_leaves_the_old_one(server: FileServer, target: Path) -> None:
    """A failed download does not touch the file that was there."""
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(DownloadError):
        download(server.url, target, sha256="0" * 64)
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("status", [404, 403, 500])
def test_refusal_is_said_at_once(server: FileServer, target: Path, status: int) -> None:
    """An answer such as 404 is reported with its number, without further tries."""
    server.status = status
    with pytest.raises(DownloadError, match=f"set.zip answered {status}") as caught:
        download(server.url, target, sha256=SHA256)
    assert "download the file yourself" in caught.value.hint
    assert len(server.asked) == 1


def test_unreachable(target: Path) -> None:
    """No server at the address: the sentence names it and the hint says to check the network."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/set.zip"
    with pytest.raises(DownloadError) as caught:
        download(url, target, sha256=SHA256)
    assert caught.value.message.startswith(f"{url} cannot be reached: ")
    assert caught.value.hint.startswith("check the network")


def test_silent_server_times_out(target: Path) -> None:
    """A server that accepts and says nothing is given up after the time-out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/set.zip"
        with pytest.raises(DownloadError, match="cannot be reached: timed out"):
            download(url, target, sha256=SHA256, timeout_seconds=0.2)


def test_progress_can_cancel(server: FileServer, target: Path) -> None:
    """Raising from progress stops the download; what has come waits for the next try."""

    def cancel(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(server.url, target, sha256=SHA256, progress=cancel)
    assert part_of(target).exists()
    assert not target.exists()
    assert download(server.url, target, sha256=SHA256).read_bytes() == CONTENT
