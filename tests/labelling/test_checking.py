"""The audit's checks in a process of their own."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import wait_until

from headstart.data.facts import ImageFacts
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate
from headstart.errors import HeadstartError
from headstart.labelling import checking
from headstart.labelling.catalogue import READ, Catalogue
from headstart.labelling.checking import Checking
from headstart.labelling.checking_process import Sent
from headstart.labelling.findings_by_row import find_by_row
from headstart.model.features_on_disk import FeaturesOnDisk

PREPROCESS = Preprocess(size_px=32, resize_px=36, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)

N, N_FEATURES = 80, 40
FACTS = ImageFacts(format="JPEG", width=200, height=150, red=90, green=90, blue=90, brightness=90, contrast=40, sharpness=200)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    """Rows that are read, their features in a file: 11 is a copy of 4 in another class, and one has no label."""
    rng = np.random.default_rng(0)
    labels = [None if i == 20 else "ab"[i % 2] for i in range(N)]
    made = Catalogue.of([Candidate(f"{i:02}.jpg", Path(f"{i:02}.jpg"), label, group=f"g{i}") for i, label in enumerate(labels)])
    made.vectors = FeaturesOnDisk(tmp_path / "features.tmp", N, N_FEATURES, is_new=True)
    vectors = rng.normal(size=(N, N_FEATURES)).astype(np.float16)
    made.digests[:] = rng.integers(256, size=made.digests.shape)
    for row in range(N):
        like = 4 if row == 11 else row
        made.vectors[row], made.digests[row] = vectors[like], made.digests[like]
        made.describe(row, replace(FACTS, dhash=1234567 * (like + 1) ** 5 % 2**63, format="PNG" if row % 9 == 0 else "JPEG"))
    made.columns["state"][:] = READ
    made.columns["width"][:], made.columns["height"][:] = 200, 150
    made.n_read = N
    yield made
    made.vectors.remove()


@pytest.mark.process
def test_a_process_finds_what_is_found_here(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same findings, sentences and groups; and the process has ended."""
    here = find_by_row(catalogue, 30, PREPROCESS)
    monkeypatch.setattr(checking, "FEW", N - 1)
    one = Checking()
    found = one.find(catalogue, 30, PREPROCESS)
    assert found is not None and found.found == here.found and here.of_check("conflict") and here.of_check("type_mismatch")
    assert np.array_equal(found.groups, here.groups)
    assert one._process is not None and one._process.exitcode is not None


def test_few_images_are_checked_here(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started for them."""
    monkeypatch.setattr(checking, "_started", lambda: pytest.fail("a process was started"))
    assert Checking().find(catalogue, 30, PREPROCESS) is not None


def wait(_: object) -> None:
    time.sleep(600)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the process of the checks comes one that never answers."""
    monkeypatch.setattr(checking, "answer", wait)
    monkeypatch.setattr(checking, "FEW", 0)


def begun(one: Checking, catalogue: Catalogue) -> tuple[threading.Thread, list[Any]]:
    """The checks in a thread, as soon as they have a process, and what comes of them."""
    came: list[Any] = []

    def find() -> None:
        try:
            came.append(one.find(catalogue, 30, PREPROCESS))
        except HeadstartError as error:
            came.append(error)

    thread = threading.Thread(target=find)
    thread.start()
    wait_until(lambda: one._process is not None)
    return thread, came


@pytest.mark.process
@pytest.mark.parametrize("n_bytes", [0, 10**6])  # more than a pipe takes: the process is killed while it is still being told
@pytest.mark.usefixtures("idle")
def test_a_killed_process_is_told(catalogue: Catalogue, n_bytes: int) -> None:
    """Not taken for images of which nothing was found."""
    catalogue.classes.append("c" * n_bytes)
    one = Checking()
    thread, came = begun(one, catalogue)
    assert one._process is not None
    one._process.kill()
    thread.join()
    assert isinstance(came[0], HeadstartError) and "have stopped" in came[0].message and came[0].hint


@pytest.mark.process
@pytest.mark.usefixtures("idle")
def test_they_are_given_up_when_the_studio_ends(catalogue: Catalogue) -> None:
    """The process is ended, nothing is complained of, and none is started afterwards."""
    one = Checking()
    thread, came = begun(one, catalogue)
    one.stop()
    thread.join()
    assert came == [None] and one._process is not None and one._process.exitcode is not None
    one._process = None
    assert one.find(catalogue, 30, PREPROCESS) is None and one._process is None


@pytest.mark.process
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_killed_studio_leaves_no_process(catalogue: Catalogue, tmp_path: Path) -> None:
    """The checks end with the studio that asked for them, also while they compute."""
    # A studio that is killed when its checks have begun: they wait for a file of features that nobody writes to.
    os.mkfifo(tmp_path / "never")
    assert isinstance(catalogue.vectors, FeaturesOnDisk)
    sent = replace(Sent.of(catalogue, catalogue.vectors, 30, PREPROCESS), features=str(tmp_path / "never"))
    program = (
        "import pickle, sys, time; from headstart.labelling import checking; process, pipe = checking._started(); "
        "pipe.send(pickle.load(sys.stdin.buffer)); print(process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as studio:
        assert studio.stdin is not None and studio.stdout is not None
        studio.stdin.write(pickle.dumps(sent))
        studio.stdin.close()
        checks = psutil.Process(int(studio.stdout.readline()))
        studio.kill()
    wait_until(lambda: not checks.is_running() or checks.status() == psutil.STATUS_ZOMBIE)
