"""What `benchmarks/` says of the contenders is what was measured, for all of them."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = [*(f"headstart {number}" for number in range(7)), *(f"peer {number} (long words)" for number in range(7))]
# Writes down that it ran, and prints as its accuracy whether the folder holds a file, which it then puts there.
SCRIPT = """
import json, sys
from pathlib import Path
log, folder, name, more = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
log.open("a").write(name + " ")
print("other output")
print(json.dumps({"accuracies": [float((folder / "features").exists())], **more}))
(folder / "features").touch()
"""


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("rounds")


@pytest.fixture
def rendering(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("rendering")


def result(names: list[str]) -> dict[str, Any]:
    timings = [
        {
            "name": name,
            "seconds": 2.0**number,
            "accuracy_best": 0.9,
            "accuracy_last": 0.9,
            "peak_rss_mb": 300.0,
            "extrapolated": number >= len(names) - 2,
            "runs_seconds": [2.0**number, 3.0**number, 1.0] if number < 4 else [2.0**number],
        }
        for number, name in enumerate(names)
    ]
    return {"data": "shapes", "machine": {"import_torch_timm_seconds": 3.21}, "timings": timings}


@pytest.mark.process
def test_quick_contenders_run_three_times_in_turn_and_others_once(rounds: ModuleType, tmp_path: Path) -> None:
    """The rounds follow each other; a cold run finds an emptied folder each time, a warm one what the cold run left."""
    log, kept, empty = tmp_path / "log", tmp_path / "kept", tmp_path / "empty"
    empty.mkdir()
    command = [sys.executable, "-S", "-c", SCRIPT, str(log), str(kept)]
    cold = rounds.Contender("cold", [*command, "cold", "{}"], renewed=(kept, empty))
    warm = rounds.Contender("warm", [*command, "warm", "{}"])
    slow = rounds.Contender("slow", [*command, "slow", '{"epoch_seconds": [50], "epochs_of_the_procedure": 25}'])
    timed = rounds.timings([cold, warm, slow])
    assert log.read_text(encoding="utf-8").split() == ["cold", "warm", "slow", "cold", "warm", "cold", "warm"]
    assert [timing.run.accuracy_best for timing in timed] == [0, 1, 1]
    assert [len(timing.runs_seconds) for timing in timed] == [3, 3, 1]
    assert timed[2].run.extrapolated
    assert 24 * 50 < timed[2].run.seconds < 25 * 50


def test_the_run_with_the_median_time_is_reported(rounds: ModuleType) -> None:
    """Accuracy and memory are of that run, and the seconds of all runs stand beside it in the order they ran."""
    runs = [rounds.Run(seconds, 0.9, 0.9, peak) for seconds, peak in ((9.0, 1.0), (2.0, 2.0), (3.0, 3.0))]
    content = rounds.summary("quick", runs).as_json()
    assert (content["seconds"], content["peak_rss_mb"], content["runs_seconds"]) == (3.0, 3.0, [9.0, 2.0, 3.0])


def test_the_table_has_a_row_for_each_contender(rendering: ModuleType) -> None:
    """With the seconds of each run where there are several, and how many times as fast it is as the slowest."""
    lines = rendering.table([result(NAMES)]).splitlines()
    assert all(sum(line.startswith(f"| {name} |") for line in lines) == 1 for name in NAMES)
    assert "| headstart 2 | 4.0 | 4.0, 9.0, 1.0 | 2048 | 0.900 (0.900) | 300 MB |" in lines
    assert "| peer 6 (long words) | 8192.0 (extrapolated) |  | 1.0 | not run to its end | 300 MB |" in lines
    assert "| headstart 5 | 32.0 |  | 256 | 0.900 (0.900) | 300 MB |" in lines
    assert any("3.2 s" in line for line in lines)


def test_the_times_are_those_of_the_frozen_tutorial_if_it_ran(rendering: ModuleType) -> None:
    """Also if another contender is slower."""
    text = rendering.table([result(["headstart", "tutorial, frozen", "peer"])])
    assert "times as fast as: tutorial, frozen" in text
    assert [line.split(" | ")[3] for line in text.splitlines() if line.startswith(("| headstart", "| peer"))] == ["0.5", "2.0"]


def test_the_picture_names_each_contender_and_no_two_look_alike(rendering: ModuleType) -> None:
    """The legend holds all names of all panels once, and each has its own colour and sign."""
    figure = rendering.picture([result(NAMES), result(["another", *NAMES[:3]])])
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == [rendering.short(name) for name in [*NAMES, "another"]]
    looks = [(line.get_color(), line.get_marker(), line.get_linestyle()) for line in legend.get_lines()]
    assert len(set(looks)) == len(texts)


def test_results_of_before_are_still_shown(rendering: ModuleType) -> None:
    """A file written before runs were repeated has neither their seconds nor the time of an import."""
    old = result(NAMES)
    old["machine"] = {}
    for timing in old["timings"]:
        del timing["runs_seconds"]
    assert "| headstart 1 | 2.0 |  |" in rendering.table([old])
    rendering.picture([old])


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_each_can_be_started(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each program can be imported; those that say on what machine they ran ask for it without arguments."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    program = import_module(name)
    if hasattr(program, "machine"):
        assert program.machine().cores > 0
