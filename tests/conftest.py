"""Fixtures of the whole suite: a home of its own for each test, drawn images, and the real ones where they are at hand."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# One thread for torch and BLAS, here, in the workers of -n and in the processes that tests start: these share the machine, and
# runs that are compared with each other must see the same number. Set before numpy is loaded, which reads it once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import numpy as np
import pytest
from filelock import FileLock
from PIL import Image, ImageDraw

from headstart.machine import has_cuda

SHARED = Path(__file__).parents[2] / "shared" / "data"
PATIENCE_SECONDS = 300  # for what only hangs where something is wrong: no machine is as busy
TINY = "timm/test_resnet"  # the smallest network of timm that has batch norm and one linear layer at its end
# A machine that pauses for a second is no reason for a test to fail: what must be fast has a benchmark.
# The same examples every time: a landing is no game of chance. `--hypothesis-profile search` looks for new ones.
hypothesis.settings.register_profile("headstart", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile("headstart")
COLOURS = {"circles": (200, 60, 40), "squares": (40, 80, 200), "triangles": (60, 160, 60)}


# A test with one of these starts a process, and is marked so.
STARTS_PROCESSES = {"process", "start", "signalled", "without", "serve", "server", "browser", "studio", "open_studio"}
COSTLY = ("process", "slow")  # what `make fast` leaves out


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what starts processes by its fixtures, and skips what wants a GPU where there is none."""
    for item in items:
        if STARTS_PROCESSES & set(getattr(item, "fixturenames", ())):
            item.add_marker("process")
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu and not has_cuda():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="there is no NVIDIA GPU here"))


def wait_until(is_so: Callable[[], object], process: "subprocess.Popen[str] | None" = None) -> None:
    """Returns as soon as it is so; fails where `process` ends before, or where it never comes about."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert process is None or process.poll() is None, "the process has ended"
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.01)


# The command in a process that sends itself a signal at the `count`th event of this name, of Python's audit events, whose first
# two arguments hold `word`: Ctrl-C or kill -9 in the middle of something, and no clock decides in the middle of what.
SIGNALS_ITSELF = """
import os, signal, sys
name, event, word, count = sys.argv[1:5]
left = int(count)
def watch(now, arguments):
    global left
    if now == event and word in " ".join(map(str, arguments[:2])):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.Signals[name])
sys.addaudithook(watch)
from headstart.apps.main import run
run(sys.argv[5:])
"""


STARTED: list[str] = []  # the command lines of Python that the test at hand has started


def note_process(event: str, arguments: tuple[object, ...]) -> None:
    """Python tells every process that is started to its audit hooks."""
    if event == "subprocess.Popen" and "python" in Path(str(arguments[0])).name:
        STARTED.append(str(arguments[1]))


sys.addaudithook(note_process)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A test that starts Python says so by a mark: `make fast` stays fast."""
    STARTED.clear()
    yield
    if STARTED and not any(item.get_closest_marker(mark) for mark in COSTLY):
        pytest.fail(f"mark it `process`: it started {STARTED[0][:200]}", pytrace=False)


MakeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Call it as made_once("name", make): a folder that all workers of -n share; the first one to ask calls make(folder)."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def lend(name: str, make: Callable[[Path], object]) -> Path:
        folder, is_made = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not is_made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # left by a worker that failed
                folder.mkdir()
                make(folder)
                is_made.touch()
        return folder

    return lend


@pytest.fixture(scope="session")
def compiled_forms(made_once: MakeOnce) -> Path:
    """Compiled networks are shared by all tests: each takes seconds to make, and none is ever changed."""
    return made_once("compiled forms", lambda folder: None)


def lend_compiled_forms(home: Path, compiled_forms: Path) -> None:
    """Makes `home` keep its compiled networks with those of the other tests."""
    (home / "compiled").symlink_to(compiled_forms, target_is_directory=True)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, compiled_forms: Path) -> Path:
    """Nothing else a test keeps is seen by another or by the user; no test reaches a model hub."""
    home = tmp_path_factory.mktemp("home")
    lend_compiled_forms(home, compiled_forms)
    monkeypatch.setenv("HEADSTART_HOME", str(home))
    monkeypatch.setenv("TORCH_HOME", str(home / "torch"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HEADSTART_HYMENOPTERA", raising=False)
    return home


@pytest.fixture(scope="session")
def tiny_weights(made_once: MakeOnce) -> Path:
    """Weights for TINY: random, the same in every run, with batch statistics as drawn shapes have them."""
    return made_once("tiny", lambda folder: write_tiny_weights(folder / "tiny.safetensors")) / "tiny.safetensors"


def write_tiny_weights(file: Path) -> None:
    """What fixture tiny_weights gives."""
    import safetensors.torch
    import timm
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = timm.create_model(TINY.removeprefix("timm/"))
    rng = np.random.default_rng(0)
    drawn = [np.asarray(draw_shape(label, rng, (64, 64))) for label in sorted(COLOURS) for _ in range(16)]
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None  # the plain mean of what passes through
    with torch.no_grad():
        module.train()(torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 127.5 - 1)
    safetensors.torch.save_file(module.state_dict(), file)


@pytest.fixture
def shared() -> Path:
    """The folder of real images, which is not part of the project."""
    if not SHARED.is_dir():
        pytest.skip(f"the real images are not at hand: there is no {SHARED}")
    return SHARED


def draw_shape(label: str, rng: np.random.Generator, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """A circle, square or triangle of its class's colour at a random place on a grey ground with noise."""
    width, height = size
    ground = rng.normal(150, 20, (height, width, 3)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(ground)
    draw = ImageDraw.Draw(image)
    side = int(rng.integers(height // 3, height // 2))
    x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
    colour = tuple(int(c) for c in np.clip(np.array(COLOURS[label]) + rng.normal(0, 20, 3), 0, 255))
    if label == "circles":
        draw.ellipse([x, y, x + side, y + side], fill=colour)
    elif label == "squares":
        draw.rectangle([x, y, x + side, y + side], fill=colour)
    else:
        draw.polygon([(x, y + side), (x + side, y + side), (x + side // 2, y)], fill=colour)
    return image


@pytest.fixture
def draw_classes(tmp_path: Path) -> Callable[..., Path]:
    """Call it as draw_classes({"circles": 5, "squares": 5}, "name/train"): draws a folder of classes and returns it."""

    def draw(counts: dict[str, int], name: str = "shapes", seed: int = 0) -> Path:
        rng = np.random.default_rng([seed, *name.encode()])
        folder = tmp_path / name
        for label, count in counts.items():
            (folder / label).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                draw_shape(label, rng).save(folder / label / f"{label}-{i}.png")
        return folder

    return draw


@pytest.fixture
def folder_of_nobody() -> Iterator[Path]:
    """A folder to work in as a user whom permissions bind: root becomes nobody for the length of the test."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions are POSIX's")
    is_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory(prefix="headstart-nobody-") as name:
        if is_root:
            Path(name).chmod(0o777)
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if is_root:
                os.seteuid(0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root on Linux can make a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@dataclass
class FileServer:
    """A real HTTP server on this machine that sends `content` whatever is asked for."""

    content: bytes = b""
    status: int = 200
    ranges: bool = True  # whether it honours the Range header
    breaks: list[int] = field(default_factory=list)  # bytes after which it drops the first, second ... connection
    asked: list[str | None] = field(default_factory=list)  # the Range header of each request
    url: str = ""


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    """A server to download from; set its fields to make it behave badly."""
    state = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if state.status != 200 or (start and start >= len(state.content)):
                self.send_error(state.status if state.status != 200 else 416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(state.content) - start))
            self.end_headers()
            end = state.breaks.pop(0) if state.breaks else None
            self.wfile.write(state.content[start:][:end])

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}/files/set.zip"
        yield state
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class SavedRun:
    """A finished run and the images it was trained on."""

    data: Path  # train/ and val/ with three classes each; train holds two files that are no images
    run: Path
    labels: dict[str, str]  # path of each readable val image -> its label

    @property
    def model(self) -> Path:
        """The bundle."""
        return self.run / "model"


@pytest.fixture(scope="session")
def saved_run(made_once: MakeOnce, tiny_weights: Path, compiled_forms: Path) -> SavedRun:
    """A probe of TINY, trained once on drawn shapes, some with wrong labels, so that it is unsure. Copy it to change it."""
    root = made_once("saved run ä 🙂", lambda folder: write_saved_run(folder, tiny_weights, compiled_forms))
    data = root / "shapes"
    labels = {str(file): file.parent.name for file in sorted((data / "val").glob("*/*.png"))}
    return SavedRun(data, root / "run", labels)


def write_saved_run(root: Path, weights: Path, compiled_forms: Path) -> None:
    """What fixture saved_run gives: shapes/, home/ and run/."""
    from headstart.runs.training import train
    from headstart.settings import TrainSettings

    data, rng = root / "shapes", np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 7)):
        for label, other in zip(COLOURS, [*list(COLOURS)[1:], "circles"], strict=True):
            (data / split / label).mkdir(parents=True)
            for i in range(count):
                draw_shape(other if i % 6 == 5 else label, rng).save(data / split / label / f"{label} {i}.png")
    (data / "train" / "circles" / "notes.jpg").write_text("not an image")
    (data / "train" / "squares" / "empty.png").touch()
    with home_of(root / "home", compiled_forms):
        train(data, TrainSettings.of(backbone=TINY, weights=weights, seed=0, effort="quick"), output=root / "run")


@contextmanager
def home_of(home: Path, compiled_forms: Path) -> Iterator[None]:
    """A home outside any one test, for fixtures that several tests share."""
    if not home.exists():
        home.mkdir()
        lend_compiled_forms(home, compiled_forms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(home))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield
