"""Results that repeat: the same data, settings, seed, versions and number of threads give the same bits."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY

from headstart.storage import sha256_of_file

pytestmark = [pytest.mark.process, pytest.mark.slow]
BUSY = "while True: pass"


def weights_of(data: Path, weights: Path, home: Path, output: Path, strategy: str) -> tuple[str, str]:
    """Trains in a process and a home of its own; the digest of the weights, and what the manifest says of the engine."""
    arguments = ["--strategy", strategy, "--backbone", TINY, "--weights", str(weights), "--image-size", "64", "--offline"]
    steps = ["--epochs", "2", "--learning-rate", "0.01"] if strategy == "finetune" else []
    ran = subprocess.run(
        [sys.executable, "-m", "headstart", "train", str(data), *arguments, *steps, "--output", str(output), "--quiet"],
        env={**os.environ, "HEADSTART_HOME": str(home), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    manifest = json.loads((output / "model" / "manifest.json").read_text(encoding="utf-8"))
    return sha256_of_file(output / "model" / "weights.safetensors"), manifest["engine"]["name"]


@pytest.mark.parametrize("strategy", ["probe", "finetune"])
def test_the_same_bits(strategy: str, draw_classes: Callable[..., Path], tiny_weights: Path, tmp_path: Path) -> None:
    """After the cache was cleared, and in a fresh home while both cores are busy: the weights have one digest."""
    data = draw_classes({"circles": 14, "squares": 14})
    found = [weights_of(data, tiny_weights, tmp_path / "home", tmp_path / "first", strategy)]
    subprocess.run(
        [sys.executable, "-m", "headstart", "cache", "--clear", "--all"],
        env={**os.environ, "HEADSTART_HOME": str(tmp_path / "home")},
        check=True,
        capture_output=True,
    )
    found.append(weights_of(data, tiny_weights, tmp_path / "home", tmp_path / "cleared", strategy))
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2)]
    try:
        found.append(weights_of(data, tiny_weights, tmp_path / "other home", tmp_path / "busy", strategy))
    finally:
        for process in others:
            process.kill()
            process.wait()
    assert len(set(found)) == 1
    assert found[0][1] == "onnxruntime"
