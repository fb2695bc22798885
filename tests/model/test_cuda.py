"""What only a GPU can show. Runs where one is; skipped elsewhere."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY

from headstart.artifact.predictor import Predictor
from headstart.data.given import open_given
from headstart.fitting.scanned import scan_given
from headstart.record.trained import Trained
from headstart.runs.training import train
from headstart.settings import TrainSettings

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
Draw = Callable[..., Path]


@pytest.fixture
def data(draw_classes: Draw) -> Path:
    return draw_classes({"circles": 12, "squares": 12})


def settings(tiny_weights: Path, **values: object) -> TrainSettings:
    return TrainSettings.of(**{"backbone": TINY, "weights": tiny_weights, "image_size": 64, "offline": True, **values})


def test_features_are_float32(data: Path, tiny_weights: Path) -> None:
    """Features of a GPU are those of the CPU within what float32 rounds: TF32, with ten bits, would be far off."""
    vectors = []
    for device in ("cuda", "cpu"):
        chosen = settings(tiny_weights, device=device)
        with open_given(data, chosen) as sources:
            vectors.append(scan_given(sources, chosen).vectors)
    np.testing.assert_allclose(vectors[0], vectors[1], rtol=0, atol=1e-4 * np.abs(vectors[1]).max())


def test_switches_are_left_as_they_were(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    """Training leaves torch's global switches and random numbers as they were."""
    import torch

    torch.backends.cudnn.benchmark = True
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic, torch.random.get_rng_state()
    train(data, settings(tiny_weights, strategy="finetune", epochs=1, device="cuda"), output=tmp_path / "run")
    assert torch.backends.cudnn.benchmark
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == before[:2]
    assert torch.equal(torch.random.get_rng_state(), before[2])


def test_a_run_on_a_gpu_answers_on_a_cpu(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    """A probe and a fine-tuned network answer within 1e-4 on either device, and the manifest names what they were made with."""
    for strategy in ("probe", "finetune"):
        run: Trained = train(
            data, settings(tiny_weights, strategy=strategy, epochs=2, device="cuda"), output=tmp_path / strategy
        )
        files = sorted(data.glob("*/*.png"))
        answers = [
            np.stack(
                [one.probabilities for one in Predictor.load(run.model, device).predict(files) if one.probabilities is not None]
            )
            for device in ("cuda", "cpu")
        ]
        np.testing.assert_allclose(answers[0], answers[1], rtol=0, atol=1e-4)
        engine = json.loads((run.model / "manifest.json").read_text(encoding="utf-8"))["engine"]["name"]
        assert engine == ("torch-cuda" if strategy == "probe" else "onnxruntime")


def test_training_repeats(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    """The same seed gives the same bits on the same GPU."""
    chosen = settings(tiny_weights, strategy="finetune", epochs=2, device="cuda")
    weights = [train(data, chosen, output=tmp_path / name).model / "weights.safetensors" for name in ("one", "two")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_warm_probe_loads_no_torch(data: Path, tiny_weights: Path, own_home: Path, tmp_path: Path) -> None:
    """On a machine with a GPU, too, a probe whose features are stored imports torch only if it must."""
    train(data, settings(tiny_weights, strategy="probe", device="cpu"), output=tmp_path / "compiled")  # compiles the network
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from headstart.runs.training import train\n"
        "from headstart.settings import TrainSettings\n"
        f"chosen = TrainSettings.of(backbone={TINY!r}, weights={str(tiny_weights)!r}, image_size=64, strategy='probe')\n"
        f"train({str(data)!r}, chosen, output=Path(sys.argv[1]))\n"
        "print('torch' in sys.modules)\n"
    )
    loaded = [
        subprocess.run([sys.executable, "-c", script, str(tmp_path / name)], capture_output=True, text=True, check=True).stdout
        for name in ("cold", "warm")
    ]
    assert [out.strip() for out in loaded] == ["True", "False"]


def test_each_process_has_its_own_gpu(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    """Under torchrun, with --device cuda as well, processes take the GPUs in turn, for the scan and for training."""
    import torch

    n = torch.cuda.device_count()
    if n < 2:
        pytest.skip(f"it takes two GPUs, and there is {n}")
    chosen = [
        "--strategy",
        "finetune",
        "--epochs",
        "1",
        "--backbone",
        TINY,
        "--weights",
        str(tiny_weights),
        "--image-size",
        "64",
    ]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "headstart"]
    subprocess.run(
        [*torchrun, "train", str(data), *chosen, "--image-size", "64", "--device", "cuda", "--output", str(tmp_path / "run")],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert (tmp_path / "run" / "metrics.json").is_file()
