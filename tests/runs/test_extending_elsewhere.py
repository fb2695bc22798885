"""Adding to a run that is at an address."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import headstart
from headstart.addresses.filesystems import remove_below
from headstart.errors import HeadstartError
from headstart.settings import TrainSettings
from headstart.storage import home
from runs.conftest import add_to, extend, manifest_of

fsspec = pytest.importorskip("fsspec")
pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(autouse=True)
def storage() -> Iterator[None]:
    """The store in memory is empty before and after."""
    remove_below("memory://runs")
    yield
    remove_below("memory://runs")


def test_a_run_at_an_address(old_shapes: Path, settings: Callable[..., TrainSettings]) -> None:
    """It is copied to be read and stays as it is; the new run can be put beside it, but not into it."""
    headstart.train(old_shapes, settings(strategy="probe", view="crop"), output="memory://runs/one", pictures=False)
    before = {name: fsspec.filesystem("memory").cat(name) for name in fsspec.filesystem("memory").find("/runs")}
    new = add_to(Path("new"), {"triangles": 6})
    for output in ("memory://runs/one", "memory://runs/one/more"):
        with pytest.raises(HeadstartError, match="--output is in the run that is extended"):
            extend(new, "memory://runs/one", output)
    trained = extend(new, "memory://runs/one", "memory://runs/two")
    assert trained.metrics["extended"]["run"] == "memory://runs/one"
    assert trained.metrics["extended"]["images"]["kept"] == 24
    files = {name: fsspec.filesystem("memory").cat(name) for name in fsspec.filesystem("memory").find("/runs/one")}
    assert files == before
    assert "/runs/two/flips.csv" in fsspec.filesystem("memory").find("/runs/two")


@pytest.mark.process
@pytest.mark.parametrize("layout", ["grown", "only new"])
def test_workers_find_what_this_process_finds(
    layout: str, old_shapes: Path, settings: Callable[..., TrainSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--engine local:2` the run, what changed and every answer are those without, with nothing stored on either side."""
    headstart.train(old_shapes, settings(strategy="probe", view="crop"), output="one", pictures=False)
    data = Path(shutil.copytree(old_shapes, "grown")) if layout == "grown" else Path("new")
    add_to(data, {"circles": 4, "squares": 4, "triangles": 8})
    found = []
    for place in (None, "local:2"):
        monkeypatch.setenv("HEADSTART_HOME", str(lent_home(f"home of {place}")))
        now = TrainSettings.of(workers=2, device="cpu", workplace=place)
        run = headstart.train(data, now, output=f"by {place}", extend="one", pictures=False)
        report = run.metrics["extended"]
        assert (report["images"]["kept"], report["images"]["new"]) == (24, 16)
        files = [(run.run / name).read_bytes() for name in ("predictions.csv", "flips.csv", "model/weights.safetensors")]
        found.append((report["images"], report["compared"], run.metrics["evaluation"], manifest_of(run.run.name).images, files))
    assert found[0] == found[1]


def lent_home(name: str) -> Path:
    """A home with the compiled network of the test's own, and nothing else."""
    made = Path(name).resolve()
    shutil.copytree(home() / "compiled", made / "compiled")
    return made
