"""How fast the studio's arithmetic is, without a browser: fits beside decisions, a million rows, the map."""

import gc
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import psutil
import uvicorn
from studio_benches import Images, MadeBench, fill, made_candidates, made_vectors, settle, wait_for_fit

from headstart.apps.http.access import Access
from headstart.apps.http.limits import Limits
from headstart.apps.http.server import listen
from headstart.apps.studio.runs import Runs
from headstart.apps.studio.session import Session
from headstart.apps.studio.studio_app import PAGES, build_studio
from headstart.labelling.catalogue import Catalogue
from headstart.labelling.picture_map import make_map
from headstart.labelling.project import open_project
from headstart.labelling.workbench import Workbench
from headstart.model.pretrained import Backbone
from headstart.settings import TrainSettings
from headstart.threads import one_blas_thread

WRONG = 0.05  # of the labels of made-up images
REFITS, KEYS, KEYS_PER_SECOND = 7, 200, 20
ASKED, PAGE_ROWS = 300, 60
WHO = "somebody"


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Of some durations."""
    return {
        "median": statistics.median(seconds),
        "p95": float(np.quantile(seconds, 0.95)),
        "p99": float(np.quantile(seconds, 0.99)),
    }


@contextmanager
def made_bench(images: Images, network: Backbone, n: int, folder: Path) -> Iterator[Workbench]:
    """A workbench of `n` made-up images in the classes of real ones, some labels of which are wrong; fits go on."""
    vectors, labels = made_vectors(images, n)
    rng = np.random.default_rng(0)
    wrong = rng.permutation(n)[: round(WRONG * n)]
    labels[wrong] = (labels[wrong] + rng.integers(1, len(images.classes), size=len(wrong))) % len(images.classes)
    candidates = made_candidates([images.classes[label] for label in labels])
    catalogue = Catalogue.of(candidates)
    fill(catalogue, vectors)
    with one_blas_thread(), open_project(folder) as project:
        bench = MadeBench(catalogue, [c.path for c in candidates], project.log, network, folder)
        bench.start()
        try:
            yield bench
        finally:
            bench.stop()


def refit(images: Images, network: Backbone, n: int, folder: Path) -> dict[str, float]:
    """Seconds from a decision to the new order, and how long decisions take while fits go on and while none does."""
    rng = np.random.default_rng(1)
    with made_bench(images, network, n, folder) as bench:
        first = wait_for_fit(bench, 0)
        settle(bench)

        def decide() -> float:
            start = time.perf_counter()
            row, label = int(rng.integers(n)), images.classes[rng.integers(len(images.classes))]
            bench.book.decide([row], who=WHO, why="relabel", seen=bench.book.last, label=label)
            bench.changed()
            return time.perf_counter() - start

        refits, processor, alone = [], [], []
        for _ in range(REFITS):
            version, used = bench.version, time.process_time()
            alone.append(decide())
            refits.append(wait_for_fit(bench, version))
            processor.append(time.process_time() - used)
        beside = []
        version = bench.version
        for _ in range(KEYS):
            start = time.perf_counter()
            beside.append(decide())
            time.sleep(max(0.0, 1 / KEYS_PER_SECOND - (time.perf_counter() - start)))
        fits = bench.version - version
    keys = {f"key beside fits, {name}": value for name, value in percentiles(beside).items()}
    return {
        "first order": first,
        "refit": statistics.median(refits),
        "refit, processor": statistics.median(processor),
        "key alone": statistics.median(alone),
        **keys,
        "fits meanwhile": fits,
    }


class OnlyRows(MadeBench):
    """One whose model stands still."""

    def _follow(self) -> None:
        pass


@contextmanager
def served(session: Session) -> Iterator[str]:
    """The address of a server of this session in a thread of this process."""
    with listen("127.0.0.1", 0) as listener:
        access = Access.of("127.0.0.1", is_public=False, token="", pages=PAGES)
        server = uvicorn.Server(uvicorn.Config(build_studio(session, access), log_config=None, access_log=False, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def many_rows(network: Backbone, n: int, folder: Path) -> dict[str, float]:
    """Seconds until a project of `n` rows is open and has answered all that the page asks first; then of each request."""
    rng = np.random.default_rng(0)
    classes = [f"class {number}" for number in range(10)]
    candidates = made_candidates([classes[label] for label in rng.integers(10, size=n)], folders=1_000)
    paths = [candidate.path for candidate in candidates]
    gc.freeze()
    rss = psutil.Process().memory_info().rss
    with open_project(folder) as project:
        start = time.perf_counter()
        catalogue = Catalogue.of(candidates)
        bench = OnlyRows(catalogue, paths, project.log, network, folder)
        opened = time.perf_counter() - start
        vector = rng.normal(size=network.frozen.n_features if network.frozen else 0).astype(np.float16)
        fill(catalogue, np.broadcast_to(vector, (n, len(vector))))
        catalogue.columns["predicted"][:] = rng.integers(10, size=n)
        for name in ("confidence", "suspicion", "unfamiliar"):
            catalogue.columns[name][:] = rng.random(n)
        catalogue.columns["findings"][:] = rng.integers(2, size=n) * rng.integers(16, size=n)
        start = time.perf_counter()
        settings = TrainSettings.of(effort="quick")
        session = Session("made", "made", [], project, bench, settings, Runs(project.runs), Limits())
        session.export = dict  # type: ignore[method-assign]  # there are no files
        with served(session) as address, httpx.Client(base_url=address, timeout=60) as client:
            client.get("/api/project").raise_for_status()
            for name in ("label", "excluded", "predicted", "decided", "findings"):
                client.get(f"/api/columns/{name}").raise_for_status()
            order = client.post("/api/orders", json={}).raise_for_status().content
            client.post("/api/rows", json={"rows": np.frombuffer(order, "<u4")[:PAGE_ROWS].tolist()}).raise_for_status()
            found = {"open": opened + time.perf_counter() - start}
            found |= _pages(client, n)
    return found | {"memory, MB": (psutil.Process().memory_info().rss - rss) / 1e6}


def _pages(client: httpx.Client, n: int) -> dict[str, float]:
    rng = np.random.default_rng(2)
    orders = {
        "filter": {"filter": {"label": [3], "right": False}},
        "filter and sort": {"filter": {"label": [3]}, "sort": "confidence"},
        "sort": {"sort": "suspicion", "descending": True},
        "sort by path": {"filter": {"label": [3]}, "sort": "path"},
    }
    found: dict[str, float] = {}
    for name, order in orders.items():
        of_order = [_timed(partial(client.post, "/api/orders", json=order)) for _ in range(ASKED // 10)]
        found |= {f"{name}, {key}": value for key, value in percentiles(of_order).items()}
    pages = [
        _timed(lambda: client.post("/api/rows", json={"rows": rng.integers(n, size=PAGE_ROWS).tolist()})) for _ in range(ASKED)
    ]
    return found | {f"page, {key}": value for key, value in percentiles(pages).items()}


def _timed(ask: Callable[[], httpx.Response]) -> float:
    start = time.perf_counter()
    ask().raise_for_status()
    return time.perf_counter() - start


def map_of(images: Images, n: int) -> float:
    """Seconds that the map of `n` made-up images takes."""
    vectors = made_vectors(images, n)[0].astype(np.float32)[:, :1280]
    start = time.perf_counter()
    make_map(vectors)
    return time.perf_counter() - start
