"""How long a network takes: measured once, kept, measured again where it is no longer true."""

from pathlib import Path

import numpy as np
import pytest

from headstart.model import speed
from headstart.model.extractor import ONNX_RUNTIME, Engine, Extractor, Frozen
from headstart.model.specs import DEFAULT, NAMED, default_preprocess


def frozen_that_counts(calls: list[tuple[int, ...]], engine: Engine = ONNX_RUNTIME) -> Frozen:
    def compute(views: np.ndarray) -> np.ndarray:
        calls.append(views.shape)
        return np.zeros((len(views), 4), np.float32)

    def with_head(*_: object) -> None:
        raise NotImplementedError

    return Frozen(NAMED[DEFAULT], default_preprocess(), Extractor(compute, engine), 4, 4, with_head)  # type: ignore[arg-type]


def the_file(home: Path) -> Path:
    (file,) = (home / "speeds").iterdir()
    return file


def test_measured_once(own_home: Path) -> None:
    """The first use measures with images of the network's size; later ones read what was kept, whatever network they hold."""
    calls: list[tuple[int, ...]] = []
    first = speed.speed_of(frozen_that_counts(calls))
    assert first is not None and first > 0
    assert set(calls) == {(1, 224, 224, 3)}
    n_calls = len(calls)
    assert speed.speed_of(frozen_that_counts(calls)) == pytest.approx(first, abs=1e-3)
    assert len(calls) == n_calls
    assert speed.known_speed(NAMED[DEFAULT].timm_name, 224) == pytest.approx(first, abs=1e-3)


@pytest.mark.parametrize("content", ["", "{", '{"format": 1}', '{"format": 2, "milliseconds": -1}', "[]"])
def test_a_damaged_file_counts_as_none(content: str, own_home: Path) -> None:
    """A file that cannot be read is no error: the speed is measured again and replaces it."""
    speed.speed_of(frozen_that_counts([]))
    the_file(own_home).write_text(content)
    assert speed.known_speed(NAMED[DEFAULT].timm_name, 224) is None
    calls: list[tuple[int, ...]] = []
    speed.speed_of(frozen_that_counts(calls))
    assert calls and speed.known_speed(NAMED[DEFAULT].timm_name, 224)


def test_another_network_size_or_machine_is_another_speed(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A speed is never shown for another network, another size of image or another number of cores."""
    speed.speed_of(frozen_that_counts([]))
    timm_name = NAMED[DEFAULT].timm_name
    assert speed.known_speed("resnet18", 224) is speed.known_speed(timm_name, 240) is None
    monkeypatch.setattr(speed, "cores", lambda: 77)
    assert speed.known_speed(timm_name, 224) is None


def test_other_engines_are_not_measured(own_home: Path) -> None:
    """The listed speed is that of the default engine: others leave it alone."""
    calls: list[tuple[int, ...]] = []
    assert speed.speed_of(frozen_that_counts(calls, Engine(name="torch-cuda"))) is None
    assert not calls and not (own_home / "speeds").exists()


def test_a_home_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where nothing can be kept, the speed is measured each time and the work goes on."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "file"))
    assert speed.speed_of(frozen_that_counts([]))
