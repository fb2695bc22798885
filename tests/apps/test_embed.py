"""`headstart embed` and `headstart cache`, through the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from conftest import TINY

from apps.conftest import Result, assert_explained
from headstart.locks import locked
from headstart.model.thumbnails import Thumbnails
from headstart.storage import sha256_of_file

Command = Callable[..., Result]
Draw = Callable[..., Path]


@pytest.fixture
def embed(headstart: Command, tiny_weights: Path) -> Command:
    """`headstart embed` with the tiny backbone."""

    def call(*arguments: object) -> Result:
        return headstart("embed", *arguments, "--backbone", TINY, "--weights", tiny_weights)

    return call


def table_of(file: Path) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = pyarrow.parquet.read_table(file).to_pydict()
    return columns


def test_a_table_of_features(embed: Command, draw_classes: Draw, here: Path) -> None:
    """The table has a row for each readable image, in order; the second run computes nothing and writes the same."""
    draw_classes({"circles": 3, "squares": 2}, "set/train")
    data = draw_classes({"circles": 2, "squares": 1}, "set/val").parent
    (data / "val" / "circles" / "broken.png").write_bytes(b"\x89PNG")
    first, second = embed(data, "--output", "a.parquet"), embed(data, "--output", "b.parquet")
    assert (first.code, first.out) == (0, "a.parquet: 8 images\n")
    assert "8 images computed" in first.err
    assert "broken.png: the image is damaged" in first.err
    assert "nothing was computed" in second.err
    one, two = table_of(here / "a.parquet"), table_of(here / "b.parquet")
    assert one == two
    assert list(one) == ["path", "label", "split", "vector"]
    assert one["split"] == ["train"] * 5 + ["val"] * 3
    assert one["label"][:3] == ["circles"] * 3
    assert np.isfinite(np.array(one["vector"])).all()
    assert len(set(map(len, one["vector"]))) == 1


def test_views_and_stages(embed: Command, draw_classes: Draw, here: Path) -> None:
    """--no-stages leaves the last layer's features, which come first; of several views the table has the mean."""
    data = draw_classes({"circles": 3, "squares": 2})
    found = {}
    for name, options in {
        "plain": ["--no-stages"],
        "crop": [],
        "whole": ["--view", "whole"],
        "both": ["--view", "crop+whole"],
    }.items():
        assert embed(data, "--output", f"{name}.parquet", *options).code == 0
        found[name] = np.array(table_of(here / f"{name}.parquet")["vector"], np.float32)
    assert (found["plain"].shape, found["crop"].shape) == ((5, 96), (5, 464))
    np.testing.assert_allclose(found["crop"][:, :96], found["plain"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["both"], (found["crop"] + found["whole"]) / 2, rtol=1e-5, atol=1e-6)
    assert np.abs(found["crop"] - found["whole"]).max() > 1e-3
    assert_explained(
        embed(data, "--output", "x.parquet", "--view", "centre"), "--view cannot be 'centre'", "crop, whole and pad"
    )


def test_what_a_killed_command_left_of_the_table_goes(embed: Command, draw_classes: Draw, here: Path) -> None:
    data = draw_classes({"circles": 2, "squares": 2})
    (here / ".a.parquet.0badc0de.tmp").write_bytes(b"half a table")
    (here / ".a.parquet.lock").touch()
    (here / ".ab.parquet.0badc0de.tmp").touch()
    assert embed(data, "--output", "a.parquet").code == 0
    assert sorted(file.name for file in here.glob("*a*.parquet*")) == [".ab.parquet.0badc0de.tmp", "a.parquet"]


def test_two_commands_do_not_write_one_table(embed: Command, draw_classes: Draw, here: Path) -> None:
    data = draw_classes({"circles": 2, "squares": 2})
    with locked(here / ".a.parquet.lock", "the table"):
        (here / ".a.parquet.0badc0de.tmp").touch()
        assert_explained(embed(data, "--output", "a.parquet"), "a.parquet is being written by another process")
        assert (here / ".a.parquet.0badc0de.tmp").exists()


def test_features_are_those_of_a_probe(embed: Command, headstart: Command, tiny_weights: Path, draw_classes: Draw) -> None:
    """What embed computed, train need not compute again."""
    data = draw_classes({"circles": 6, "squares": 6})
    assert embed(data, "--output", data.parent / "a.parquet").code == 0
    options = ["--backbone", TINY, "--weights", tiny_weights, "--output", data.parent / "run"]
    assert "all 12 images were in the store" in headstart("train", data, *options).err


def test_features_need_no_labels(embed: Command, draw_classes: Draw, here: Path) -> None:
    """A flat folder, and a table that only names files, are images without labels; where some have labels, others have none."""
    data = draw_classes({"circles": 2})
    assert embed(data / "circles", "--output", "flat.parquet").code == 0
    assert table_of(here / "flat.parquet")["label"] == [None, None]
    names = sorted(file.name for file in (data / "circles").iterdir())
    for number, (header, labels, found) in enumerate(
        [("path", ["", ""], [None, None]), ("path,label", [",a", ","], ["a", None])]
    ):
        rows = [f"{name}{label}" for name, label in zip(names, labels, strict=True)]
        (data / "circles" / "list.csv").write_text("\n".join([header, *rows]))
        assert embed(data / "circles" / "list.csv", "--output", f"{number}.parquet").code == 0
        assert table_of(here / f"{number}.parquet")["label"] == found


def test_nothing_readable(embed: Command, tmp_path: Path) -> None:
    """Without one readable image there is an error and no file."""
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
        (tmp_path / "set" / label / "1.jpg").write_text("no image")
    assert_explained(embed(tmp_path / "set", "--output", tmp_path / "x.parquet"), "has no image that can be read")
    assert not (tmp_path / "x.parquet").exists()


def test_quiet(embed: Command, draw_classes: Draw, here: Path) -> None:
    """--quiet says nothing."""
    result = embed(draw_classes({"circles": 2, "squares": 2}), "--output", "a.parquet", "--quiet")
    assert result == Result(0, "", "")


def test_cache(embed: Command, headstart: Command, draw_classes: Draw, here: Path, own_home: Path) -> None:
    """The cache shows its place and what is in it; cleared, it is empty but for the compiled networks."""
    data = draw_classes({"circles": 2, "squares": 2})
    embed(data, "--output", "a.parquet")
    shown = headstart("cache")
    assert shown.code == 0
    assert str(own_home) in shown.out
    assert "in 1 file" in shown.out
    cleared = headstart("cache", "--clear")
    assert cleared.code == 0
    assert cleared.out.startswith("removed")
    assert headstart("cache").out.count("0.0 MB in 0 files") == 4
    assert any((own_home / "compiled").iterdir())
    assert "a.parquet already exists" in embed(data, "--output", "a.parquet").err
    assert "4 images computed" in embed(data, "--output", "a.parquet", "--overwrite").err


def test_thumbnails_in_the_cache(headstart: Command, draw_classes: Draw, own_home: Path) -> None:
    """Thumbnails are counted, and cleared with the rest."""
    thumbnails = Thumbnails()
    for file in sorted(draw_classes({"circles": 2, "squares": 1}).rglob("*.png")):
        thumbnails.get(sha256_of_file(file), file.read_bytes, 160)
    assert any(
        line.startswith("thumbnails") and line.endswith("MB of 3 images") for line in headstart("cache").out.splitlines()
    )
    assert headstart("cache", "--clear").code == 0
    assert "0.0 MB of 0 images" in headstart("cache").out
    assert list((own_home / "thumbnails").iterdir()) == []


def test_clearing_all(embed: Command, headstart: Command, draw_classes: Draw, here: Path, own_home: Path) -> None:
    """--clear --all removes the compiled networks, too; --all alone is a usage error."""
    (own_home / "compiled").unlink()  # this test's own, not the one that tests share
    embed(draw_classes({"circles": 2, "squares": 2}), "--output", "a.parquet")
    assert headstart("cache", "--all").code == 2
    assert len(list((own_home / "compiled").iterdir())) == 1
    assert headstart("cache", "--clear", "--all").code == 0
    assert list((own_home / "compiled").iterdir()) == []


def test_a_limit_that_is_none(headstart: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong HEADSTART_CACHE_LIMIT is said in one sentence."""
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "lots")
    assert_explained(headstart("cache"), "HEADSTART_CACHE_LIMIT cannot be 'lots'")
