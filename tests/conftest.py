"""Fixtures of the whole suite: a home of its own for each test, drawn images, and the real ones where they are at hand."""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image, ImageDraw

SHARED = Path(__file__).parents[2] / "shared" / "data"
TINY = "timm/test_resnet"  # the smallest network of timm that has batch norm and one linear layer at its end
# A machine that pauses for a second is no reason for a test to fail: what must be fast has a benchmark.
hypothesis.settings.register_profile("headstart", deadline=None)
hypothesis.settings.load_profile("headstart")
COLOURS = {"circles": (200, 60, 40), "squares": (40, 80, 200), "triangles": (60, 160, 60)}


@pytest.fixture(scope="session")
def compiled_forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled networks are shared by all tests: each takes seconds to make, and none is ever changed."""
    return tmp_path_factory.mktemp("compiled forms")


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


def pytest_configure() -> None:
    """Two threads for torch, in this process and in those that tests start: others compute on the same machine."""
    os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights for TINY: random, the same in every run, with batch statistics as drawn shapes have them."""
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
    file = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    safetensors.torch.save_file(module.state_dict(), file)
    return file


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
def saved_run(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path, compiled_forms: Path) -> SavedRun:
    """A probe of TINY, trained once on drawn shapes, some with wrong labels, so that it is unsure. Copy it to change it."""
    from headstart.runs.training import train
    from headstart.settings import TrainSettings

    root = tmp_path_factory.mktemp("saved run ä 🙂")
    data, rng = root / "shapes", np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 7)):
        for label, other in zip(COLOURS, [*list(COLOURS)[1:], "circles"], strict=True):
            (data / split / label).mkdir(parents=True)
            for i in range(count):
                draw_shape(other if i % 6 == 5 else label, rng).save(data / split / label / f"{label} {i}.png")
    (data / "train" / "circles" / "notes.jpg").write_text("not an image")
    (data / "train" / "squares" / "empty.png").touch()
    (root / "home").mkdir()
    lend_compiled_forms(root / "home", compiled_forms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(root / "home"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        train(data, TrainSettings.of(backbone=TINY, weights=tiny_weights, seed=0), output=root / "run")
    labels = {str(file): file.parent.name for file in sorted((data / "val").glob("*/*.png"))}
    return SavedRun(data, root / "run", labels)
