"""`headstart train --extend`."""

import json
from collections.abc import Callable
from pathlib import Path

from apps.conftest import Result, assert_explained, snapshot

Command = Callable[..., Result]
Draw = Callable[..., Path]


def test_extend(quick: Command, headstart: Command, draw_classes: Draw, here: Path) -> None:
    """A line on stdout says what changed, and --json has it in figures; settings that are not given are those of the run."""
    data = draw_classes({"circles": 8, "squares": 8})
    assert quick(data, "--output", "r", "--seed", 4, "--view", "whole", "--strategy", "probe").code == 0
    before = snapshot(here / "r")
    draw_classes({"triangles": 6}, data.name, seed=1)
    said = headstart("train", data, "--extend", "r", "--output", "more")
    assert said.code == 0, said
    line = next(line for line in said.out.splitlines() if "extends" in line)
    assert line.startswith("  extends r by 6 new images, the new class 'triangles'; on the 4 images judged in both, ")
    again = headstart("train", data, "--extend", "r", "--output", "again", "--json", "--seed", 0)
    found = json.loads(again.out)["extended"]
    assert found["images"]["classes_added"] == ["triangles"] and found["compared"]["n"] == 4
    assert snapshot(here / "r") == before
    seeds = [json.loads(Path(run, "model", "manifest.json").read_text(encoding="utf-8"))["seed"] for run in ("more", "again")]
    assert seeds == [4, 0]  # 0 is the default, and yet was given


def test_mistakes_are_explained(quick: Command, headstart: Command, draw_classes: Draw, here: Path) -> None:
    """What cannot be extended is said in a sentence with a hint."""
    data = draw_classes({"circles": 8, "squares": 8})
    assert_explained(headstart("train", data, "--extend", "nothing"), "there is no finished run nothing")
    assert quick(data, "--output", "r", "--strategy", "probe").code == 0
    assert_explained(headstart("train", data, "--extend", "r", "--backbone", "resnet18"), "would be another network", "compare")
    assert_explained(headstart("train", "--extend", "r", "--resume", "r"), "cannot be combined")
    assert_explained(headstart("train", data, "--extend", "r", "--output", "r", "--overwrite"), "--output is in the run")
    assert headstart("train", "--extend", "r").code == 2
