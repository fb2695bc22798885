"""Pixels for training, kept at the size that crops are cut from."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data import pixels
from headstart.data.dataset import LabelledImage
from headstart.data.pixels import CachedPixels, allocate, kept_size
from headstart.data.preprocess import Preprocess
from headstart.errors import DataError

SMALL = Preprocess(size_px=32, resize_px=40, interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def saved(path: Path, size: tuple[int, int]) -> LabelledImage:
    image = Image.fromarray(np.random.default_rng(size).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    image.save(path)
    return LabelledImage(path.name, path, "a", None, None, path.name, *size)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((80, 60), (53, 40)),
        ((60, 80), (40, 53)),
        ((10, 10), (40, 40)),
        ((300, 100), (120, 40)),
        ((301, 100), (120, 40)),
        ((3000, 40), (120, 40)),
        ((40, 3000), (40, 120)),
        ((1, 1), (40, 40)),
    ],
)
def test_kept_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    """The shorter side is met, and of a strip only three times that is kept."""
    assert kept_size(*size, 40) == expected


def test_cached_pixels_in_any_order(tmp_path: Path) -> None:
    """Images of all shapes are kept at the shorter side that crops are cut from, each in its own place."""
    sizes = [(80, 60), (60, 80), (40, 40), (7, 9)]
    images = [saved(tmp_path / f"{i}.png", size) for i, size in enumerate(sizes)]
    cache = CachedPixels(images, SMALL)
    for i in (2, 0, 3, 1):
        cache.put(i, cache.shape(SMALL.decode(images[i].file.read_bytes())))
    for i, size in enumerate(sizes):
        expected = Image.open(images[i].file).resize(kept_size(*size, 40), Image.Resampling.BICUBIC)
        assert (cache[i] == np.asarray(expected)).all()
        assert cache[i].dtype == np.uint8


@pytest.mark.parametrize(("size", "box"), [((400, 40), (140, 0, 260, 40)), ((40, 400), (0, 140, 40, 260))])
def test_of_a_strip_the_middle_is_kept(tmp_path: Path, size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    """A panorama is kept as its middle, undistorted."""
    image = saved(tmp_path / "a.png", size)
    cache = CachedPixels([image], SMALL)
    cache.put(0, cache.shape(SMALL.decode(image.file.read_bytes())))
    assert (cache[0] == np.asarray(Image.open(image.file).crop(box))).all()


def test_reduced_image_fits_the_recorded_size(tmp_path: Path) -> None:
    """A picture that was decoded at a quarter fills the place that its full size reserved."""
    image = saved(tmp_path / "a.jpg", (1201, 803))
    decoded = SMALL.decode(image.file.read_bytes())
    assert decoded.rgb.width < 400
    cache = CachedPixels([image], SMALL)
    cache.put(0, cache.shape(decoded))
    whole = Image.open(image.file).resize(kept_size(1201, 803, 40), Image.Resampling.BICUBIC)
    assert np.abs(cache[0].astype(int) - np.asarray(whole)).mean() < 8


@pytest.mark.parametrize("size", [(60, 80), (120, 40), (7, 9)])
def test_an_image_that_has_another_size_by_now(tmp_path: Path, size: tuple[int, int]) -> None:
    """An image whose form has changed since it was scanned is an error with its path; its pixels take no other's place."""
    image = saved(tmp_path / "a.png", (80, 60))
    cache = CachedPixels([image], SMALL)
    saved(image.file, size)
    with pytest.raises(DataError) as caught:
        cache.put(0, cache.shape(SMALL.decode(image.file.read_bytes())))
    assert caught.value.message == "a.png has changed its size since it was scanned"
    assert caught.value.hint == "do not change the images while training runs"


def test_large_arrays_go_to_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Beyond the limit pixels lie in an unnamed temporary file, written and read like memory."""
    assert type(allocate((10,))) is np.ndarray
    monkeypatch.setattr(pixels, "MEMORY_BYTES", 99)
    array = allocate((10, 10))
    assert isinstance(array, np.memmap)
    array[:] = 7
    assert (array.shape, array.dtype, int(array.sum())) == ((10, 10), np.uint8, 700)


def test_no_room_for_the_pixels() -> None:
    """Pixels that no disk can hold are an error with the ways out."""
    with pytest.raises(DataError, match="GiB of pixels do not fit into") as caught:
        allocate((1 << 62,))
    assert "--image-size" in caught.value.hint


# Two arrays of 6 MB on a disk of 8 MB: the first is filled, the second cannot be had.
FILL_THE_DISK = """
import os, sys
from headstart.data import pixels
from headstart.errors import DataError

def cannot(*_):
    raise OSError(95, "Operation not supported")

if sys.argv[1] == "no reservation":
    os.posix_fallocate = cannot
elif sys.argv[1] == "no such call" and hasattr(os, "posix_fallocate"):
    del os.posix_fallocate
pixels.MEMORY_BYTES = 0
first = pixels.allocate((6 << 20,))
first[:] = 7
assert int(first[::1000].min()) == 7
try:
    second = pixels.allocate((6 << 20,))
    second[:] = 7
except DataError as error:
    print(error.message, error.hint, sep="|")
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
@pytest.mark.parametrize("way", ["reserved", "no reservation", "no such call"])
def test_a_full_disk_is_an_error_not_a_crash(small_disk: Path, way: str) -> None:
    """What a disk has no room for is refused before it is written to, and the sentence says how much is missing where."""
    ran = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, way],
        env=os.environ | {"TMPDIR": str(small_disk)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    message, hint = ran.stdout.strip().split("|")
    assert message == f"0.1 GiB of pixels do not fit into {small_disk}: 0.1 GiB are missing"
    assert "TMPDIR" in hint


FILE_LIMIT = """
import resource
from headstart.data import pixels
from headstart.errors import DataError

pixels.MEMORY_BYTES = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    pixels.allocate((6 << 20,))[:] = 7
except DataError as error:
    print(error.message)
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a process's files")
def test_a_limit_on_files_is_an_error(tmp_path: Path) -> None:
    """Where the system refuses a file of that size for another reason than a full disk, the sentence says which."""
    ran = subprocess.run(
        [sys.executable, "-c", FILE_LIMIT],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == f"0.1 GiB of pixels do not fit into {tmp_path}: File too large"
