"""Thumbnails: each made once, kept by content below a limit, made anew where anything is wrong with what was kept."""

import io
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from headstart.data.images import EXIF_ORIENTATION, UnreadableImage
from headstart.errors import HeadstartError, HeadstartWarning
from headstart.model import packs
from headstart.model.thumbnails import ChangedImage, Thumbnails, clear_thumbnails, thumbnails_size
from headstart.storage import sha256_of_bytes


def picture(number: int = 0, size: tuple[int, int] = (60, 40), **options: object) -> bytes:
    """A file of noise: every number gives another one."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


class Files:
    """The files of some pictures, and how often they were read."""

    def __init__(self, n: int) -> None:
        self.n_read = 0
        self._content = {sha256_of_bytes(data): data for data in map(picture, range(n))}

    def shown_by(self, thumbnails: Thumbnails) -> list[bytes]:
        return [thumbnails.get(digest, lambda data=data: self.read(data), 160) for digest, data in self._content.items()]

    def read(self, data: bytes) -> bytes:
        self.n_read += 1
        return data


def get(thumbnails: Thumbnails, data: bytes, side_px: int = 160) -> Image.Image:
    return Image.open(io.BytesIO(thumbnails.get(sha256_of_bytes(data), lambda: data, side_px)))


def kept_in(home: Path) -> list[Path]:
    return sorted((home / "thumbnails").iterdir())


@pytest.mark.parametrize("side_px", [160, 320])
def test_a_thumbnail_is_the_whole_picture(side_px: int) -> None:
    """It is upright, its longer side is what was asked for, and what is transparent is white."""
    assert get(Thumbnails(), picture(size=(800, 400)), side_px).size == (side_px, side_px // 2)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    assert get(Thumbnails(), picture(size=(800, 400), exif=exif), side_px).size == (side_px // 2, side_px)
    clear = io.BytesIO()
    Image.new("RGBA", (30, 20), (0, 0, 0, 0)).save(clear, "PNG")
    assert get(Thumbnails(), clear.getvalue(), side_px).getpixel((10, 10)) == (255, 255, 255)


def test_a_small_picture_is_not_enlarged() -> None:
    """One of fewer pixels keeps them; the longest strip still has a width."""
    assert get(Thumbnails(), picture()).size == (60, 40)
    assert get(Thumbnails(), picture(size=(3000, 1))).size == (160, 1)


def test_no_metadata_is_taken_along() -> None:
    """What a file says of itself does not make its thumbnail larger."""
    said = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "told " * 5000
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (20, 20)).save(said, "JPEG", comment=b"said " * 10_000, exif=exif, icc_profile=profile)
    assert len(Thumbnails().get(sha256_of_bytes(said.getvalue()), said.getvalue, 160)) < 1000


def test_each_is_made_once(own_home: Path) -> None:
    """The file is read the first time only, also by the next process; other bytes and the other size have their own."""
    files, thumbnails = Files(5), Thumbnails()
    first = files.shown_by(thumbnails)
    assert files.shown_by(thumbnails) == files.shown_by(Thumbnails()) == first
    assert files.n_read == 5
    assert len(set(first)) == 5
    assert get(thumbnails, picture(0, (400, 400)), 160).size == (160, 160)
    assert get(thumbnails, picture(0, (400, 400)), 320).size == (320, 320)
    assert thumbnails_size() == (7, sum(file.stat().st_size for file in kept_in(own_home)))


def test_threads_that_ask_at_once_wait_for_one() -> None:
    """Sixteen threads that want the same thumbnail read its file once, and all get it."""
    thumbnails, data, n_read = Thumbnails(), picture(), []
    start = threading.Barrier(16)

    def ask() -> bytes:
        start.wait()
        return thumbnails.get(sha256_of_bytes(data), lambda: n_read.append(1) or data, 160)

    with ThreadPoolExecutor(16) as pool:
        found = {future.result() for future in [pool.submit(ask) for _ in range(16)]}
    assert (len(found), len(n_read)) == (1, 1)


def test_many_threads_and_many_thumbnails(tmp_path: Path) -> None:
    """Threads that make and read at once each get the right one."""
    thumbnails, wanted = Thumbnails(), Thumbnails(tmp_path)
    content = {sha256_of_bytes(data): data for data in map(picture, range(60))}
    right = {digest: wanted.get(digest, lambda data=data: data, 160) for digest, data in content.items()}
    asked = [digest for digest in content for _ in range(5)]
    with ThreadPoolExecutor(8) as pool:
        for digest, found in zip(asked, pool.map(lambda d: thumbnails.get(d, lambda: content[d], 160), asked), strict=True):
            assert found == right[digest]


def test_what_cannot_be_read_has_no_thumbnail(own_home: Path) -> None:
    """Its reason is raised, and nothing is kept."""
    with pytest.raises(UnreadableImage, match="a text file"):
        get(Thumbnails(), b"no image, but text of some length")
    assert thumbnails_size() == (0, 0)


def test_a_file_that_changed() -> None:
    """Bytes that are not those of the digest are told, and never shown as what they replaced."""
    thumbnails = Thumbnails()
    with pytest.raises(ChangedImage):
        thumbnails.get(sha256_of_bytes(picture(0)), lambda: picture(1), 160)
    assert thumbnails_size() == (0, 0)


def test_a_size_that_there_is_not() -> None:
    """Any other size is an error, so that nobody fills the store with sizes."""
    with pytest.raises(HeadstartError, match="no thumbnails of 161 px"):
        get(Thumbnails(), picture(), 161)


def test_damage_is_found(own_home: Path) -> None:
    """Whatever byte of a kept thumbnail or of its slot is damaged: it is said, and the thumbnail is made anew, the same."""
    files = Files(2)
    first = files.shown_by(Thumbnails())
    (file,) = kept_in(own_home)
    sound = file.read_bytes()
    end = packs.TABLE_BYTES + len(first[0])
    for at in (33, 37, 41, packs.TABLE_BYTES, packs.TABLE_BYTES + 100, end - 1):
        for kept in kept_in(own_home):
            kept.unlink()
        file.write_bytes(sound[:at] + bytes([sound[at] ^ 0x15]) + sound[at + 1 :])
        thumbnails = Thumbnails()
        with pytest.warns(HeadstartWarning, match="damaged"):
            assert files.shown_by(thumbnails) == first
        assert files.shown_by(thumbnails) == files.shown_by(Thumbnails()) == first


@pytest.mark.parametrize("left", [0, 10, 43, 44, 5000])
def test_half_of_a_pack(left: int, own_home: Path) -> None:
    """What a power cut leaves of a file is no thumbnail."""
    files = Files(2)
    first = files.shown_by(Thumbnails())
    (file,) = kept_in(own_home)
    os.truncate(file, left)
    thumbnails = Thumbnails()
    if left < 44:
        assert files.shown_by(thumbnails) == first
    else:
        with pytest.warns(HeadstartWarning, match="damaged"):
            assert files.shown_by(thumbnails) == first
    assert files.shown_by(Thumbnails()) == first


def test_a_thumbnail_under_another_digest(own_home: Path) -> None:
    """A slot whose digest was damaged into that of another image does not show the wrong picture."""
    get(Thumbnails(), picture(0))
    (file,) = kept_in(own_home)
    sound = file.read_bytes()
    other = bytes.fromhex(sha256_of_bytes(picture(1)))
    file.write_bytes(other + sound[32:])
    with pytest.warns(HeadstartWarning, match="damaged"):
        shown = get(Thumbnails(), picture(1))
    assert np.array_equal(np.asarray(shown), np.asarray(get(Thumbnails(Path(own_home / "other")), picture(1))))


def test_clearing_below_a_process_that_uses_them(own_home: Path) -> None:
    """What was cleared is made anew, in a new file."""
    files, thumbnails = Files(3), Thumbnails()
    first = files.shown_by(thumbnails)
    clear_thumbnails()
    assert thumbnails_size() == (0, 0)
    assert files.shown_by(thumbnails) == files.shown_by(thumbnails) == first
    assert files.n_read == 6
    assert thumbnails_size()[0] == 3


def test_the_limit(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thumbnails stay below a quarter of the limit; the oldest files go first, one that was used just now stays."""
    monkeypatch.setattr(packs, "SLOTS", 4)
    monkeypatch.setattr(packs, "TABLE_BYTES", 4 * packs.SLOT.itemsize)
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "400 KB")
    thumbnails, most = Thumbnails(), 0
    for number in range(80):
        get(thumbnails, picture(number))
        for file in kept_in(own_home):
            if number % 4 == 3:
                os.utime(file, ns=(0, file.stat().st_mtime_ns - 10**12))
        most = max(most, thumbnails_size()[1])
        if number % 8 == 0 and number:
            get(Thumbnails(), picture(0))
    assert 50_000 < most <= 100_000
    asked = []
    for number in (0, 40, 79):
        thumbnails.get(sha256_of_bytes(picture(number)), lambda number=number: asked.append(number) or picture(number), 160)
    assert asked == [40]


def test_no_room_at_all(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit of 0 thumbnails are made, and not kept."""
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "0")
    assert get(Thumbnails(), picture()).size == (60, 40)
    assert thumbnails_size() == (0, 0)


def test_features_and_thumbnails_share_the_limit(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old features make room for thumbnails, so that all together stay below the limit."""
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "2 MB")
    for number in range(3):
        (own_home / "features").mkdir(exist_ok=True)
        (own_home / "features" / f"{number}.parquet").write_bytes(bytes(700_000))
        os.utime(own_home / "features" / f"{number}.parquet", (number, number))
    get(Thumbnails(), picture())
    assert [file.name for file in sorted((own_home / "features").iterdir())] == ["1.parquet", "2.parquet"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no folders that are read-only")
def test_a_home_that_cannot_be_written_to(tmp_path: Path) -> None:
    """It is said once, and thumbnails are made without being kept."""
    (tmp_path / "file").touch()
    thumbnails = Thumbnails(tmp_path / "file")
    with pytest.warns(HeadstartWarning, match="cannot be written to"):
        assert get(thumbnails, picture()).size == (60, 40)
    assert get(thumbnails, picture()).size == (60, 40)


FORKING = """
import os, sys
from test_thumbnails import Files, Thumbnails
first, second, thumbnails = Files(6), Files(12), Thumbnails()
first.shown_by(thumbnails)
child = os.fork()
shown = second.shown_by(thumbnails)
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
again = Thumbnails()
assert second.shown_by(again) == shown
assert second.n_read == 6, second.n_read
"""


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forks_write_beside_each_other(own_home: Path) -> None:
    """A process and its fork that both make thumbnails damage nothing of each other's."""
    command = [sys.executable, "-W", "error::headstart.errors.HeadstartWarning", "-c", FORKING]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
