"""Runs whose place is an address: what is unfinished is resumed by the address, from here or from there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SavedRun

import headstart
from headstart.addresses.filesystems import read, remove_below
from headstart.errors import DataError, SettingsError
from headstart.record.trained import Trained
from headstart.runs.evaluating import evaluate_model
from headstart.settings import TrainSettings
from headstart.storage import sha256_of_bytes, sha256_of_file
from runs.conftest import CLASSES, ended_by_a_save

fsspec = pytest.importorskip("fsspec")
PLACE = "memory://runs/one"


@pytest.fixture(autouse=True)
def storage() -> Iterator[None]:
    """The store in memory is empty before and after."""
    remove_below("memory://runs")
    yield
    remove_below("memory://runs")


@pytest.fixture
def train(draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings]) -> Callable[..., Trained]:
    """Fine-tunes for two epochs."""
    data = draw_classes(dict.fromkeys(CLASSES, 8))

    def call(**given: Any) -> Trained:
        return headstart.train(None if "resume" in given else data, settings(strategy="finetune", epochs=2), **given)

    return call


def files_there() -> set[str]:
    return {name.removeprefix("/runs/one/") for name in fsspec.filesystem("memory").find("/runs")}


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_unfinished_run_is_resumed_by_its_address(
    train: Callable[..., Trained], tmp_path: Path, own_home: Path, error: type[BaseException]
) -> None:
    """What Ctrl-C interrupted is sent with its checkpoints, what failed stays here; both end as an undisturbed run does."""
    undisturbed = train(output=tmp_path / "run")
    if error is KeyboardInterrupt:
        with ended_by_a_save():
            assert train(output=PLACE).interrupted
        assert {"run.json", "metrics.json", "checkpoints/run/state.json"} < files_there()
        assert not list((own_home / "outgoing").iterdir())
    else:
        with pytest.raises(error), ended_by_a_save(error):
            train(output=PLACE)
        assert not files_there()
        with pytest.raises(SettingsError, match="there is an unfinished run at") as caught:
            train(output=PLACE)
        assert f"--resume {PLACE}," in caught.value.hint
    resumed = train(resume=PLACE)
    assert (resumed.interrupted, resumed.metrics["run"]) == (False, PLACE)
    assert not {name for name in files_there() if name.startswith(("run.json", "checkpoints"))}
    assert sha256_of_bytes(read(f"{PLACE}/model/weights.safetensors")) == sha256_of_file(
        undisturbed.model / "weights.safetensors"
    )
    assert not list((own_home / "outgoing").iterdir())


def test_there_must_be_a_run_to_resume(train: Callable[..., Trained]) -> None:
    with pytest.raises(SettingsError, match=f"there is no run at {PLACE} to resume"):
        train(resume=PLACE)


def test_a_review_at_an_address(saved_run: SavedRun) -> None:
    """`evaluate` takes the table of true labels from an address, and names the address in what it says of it."""
    images = list(saved_run.labels.items())
    table = "path,label\n" + "".join(f"{path},{label}\n" for path, label in images)
    fsspec.filesystem("memory").pipe("/runs/review.csv", table.encode())
    shapes = Path(images[0][0]).parents[1]
    found = evaluate_model(saved_run.run, shapes, split="all", review="memory://runs/review.csv")
    assert found.reviewed is not None
    fsspec.filesystem("memory").pipe("/runs/review.csv", b"path,label\nelsewhere.png,circles\n")
    with pytest.raises(DataError, match=r"no path in memory://runs/review\.csv is one of the"):
        evaluate_model(saved_run.run, shapes, split="all", review="memory://runs/review.csv")
