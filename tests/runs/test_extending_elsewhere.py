"""Adding to a run that is at an address."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import headstart
from headstart.addresses.filesystems import remove_below
from headstart.errors import HeadstartError
from headstart.settings import TrainSettings
from runs.conftest import add_to, extend

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
