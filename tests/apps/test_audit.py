"""`headstart audit` on drawn shapes with planted defects, and what `train --exclude` makes of its proposal."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY
from PIL import Image

from apps.conftest import Result, assert_explained

Command = Callable[..., Result]
Draw = Callable[..., Path]
CLASSES = {"circles": 14, "squares": 14}


@pytest.fixture
def messy(draw_classes: Draw) -> Path:
    """Train and val of two classes: one val image is in train, one picture is in both classes, one file is no image."""
    folder = draw_classes(CLASSES, "messy/train").parent
    draw_classes({"circles": 6, "squares": 6}, "messy/val", 1)
    shutil.copy(folder / "train" / "circles" / "circles-3.png", folder / "val" / "circles" / "leaked.png")
    shutil.copy(folder / "train" / "circles" / "circles-5.png", folder / "train" / "squares" / "both.png")
    with Image.open(folder / "train" / "squares" / "squares-2.png") as image:
        image.save(folder / "train" / "squares" / "again.bmp")
    (folder / "train" / "circles" / "broken.jpg").write_bytes(b"no image")
    return folder


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


@pytest.fixture
def backbone(tiny_weights: Path) -> list[str]:
    return ["--backbone", TINY, "--weights", str(tiny_weights)]


def test_only_an_audit_is_replaced(headstart: Command, draw_classes: Draw, backbone: list[str], here: Path) -> None:
    """With --overwrite a second audit takes the place of the first; a folder of anything else is refused."""
    asked = ["audit", draw_classes({"circles": 4, "squares": 4}), *backbone, "--output"]
    assert headstart(*asked, "audited").code == 0
    assert_explained(headstart(*asked, "audited"), "audited already exists", "--overwrite")
    assert headstart(*asked, "audited", "--overwrite").code == 0
    (here / "mine").mkdir()
    (here / "mine" / "findings.json").write_text('{"of": "another tool"}')
    assert_explained(headstart(*asked, "mine", "--overwrite"), "mine exists and is not an audit")


def test_the_folder_of_an_audit(headstart: Command, messy: Path, backbone: list[str], tmp_path: Path) -> None:
    """The tables name what was planted, the page shows it, nothing about the images changes."""
    before = {path: path.read_bytes() for path in messy.rglob("*") if path.is_file()}
    out = tmp_path / "an audit"
    done = headstart("audit", messy, "--output", out, *backbone)
    assert done.code == 0, done.err
    assert {path: path.read_bytes() for path in messy.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in out.iterdir()) == [
        "audit.html",
        "exclude.csv",
        "findings.csv",
        "findings.json",
        "scores.csv",
    ]
    findings = rows_of(out / "findings.csv")
    assert list(findings[0]) == ["check", "severity", "path", "other_path", "score", "sentence"]
    found = {(f["check"], Path(f["path"]).name, Path(f["other_path"]).name) for f in findings}
    assert ("leak", "leaked.png", "circles-3.png") in found
    assert ("conflict", "both.png", "circles-5.png") in found
    assert ("duplicate", "squares-2.png", "again.bmp") in found or ("duplicate", "again.bmp", "squares-2.png") in found
    assert ("unreadable", "broken.jpg", "") in found
    scores = rows_of(out / "scores.csv")
    assert len(scores) == 28 + 12 + 3
    leaks = {Path(row["path"]).relative_to(messy).as_posix() for row in scores if float(row["leak"])}
    assert leaks == {"train/circles/circles-3.png", "val/circles/leaked.png"}
    content = json.loads((out / "findings.json").read_text(encoding="utf-8"))
    assert content["counts"]["leak"] == {"info": 0, "warning": 0, "severe": 1}
    assert len(content["findings"]) == len(findings)
    page = (out / "audit.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") >= 6
    assert "val/circles/leaked.png" in page
    assert "leak " in done.out
    assert str(messy.parent) not in page + done.out.replace(str(out), "")  # people see paths within the data set


def test_train_honours_the_proposal(headstart: Command, messy: Path, backbone: list[str], tmp_path: Path) -> None:
    """train --exclude leaves out what the audit proposed, and says so in skipped.csv; the leak is gone then."""
    headstart("audit", messy, "--output", tmp_path / "audit", *backbone)
    table = tmp_path / "audit" / "exclude.csv"
    proposed = {row["path"] for row in rows_of(table)}
    assert {Path(path).name for path in proposed} >= {"circles-3.png"}
    done = headstart("train", messy, "--exclude", table, "--output", tmp_path / "run", "--json", *backbone)
    assert done.code == 0, done.err
    skipped = {row["path"]: row["reason"] for row in rows_of(tmp_path / "run" / "skipped.csv")}
    assert proposed <= set(skipped)
    assert all(skipped[path].startswith("excluded: ") for path in proposed)
    again = headstart("audit", messy, "--exclude", table, "--json", "--quiet", *backbone)
    assert json.loads(again.out)["counts"]["leak"]["severe"] == 0
    unreadable = {f["path"] for f in json.loads(again.out)["findings"] if f["check"] == "unreadable"}
    assert not unreadable & proposed  # leaving a file out is no finding


def test_train_tells_the_accuracy_without_leaks(headstart: Command, messy: Path, backbone: list[str], tmp_path: Path) -> None:
    """Where val came with the data and shares a picture with train, the accuracy without it stands beside the accuracy."""
    done = headstart("train", messy, "--output", tmp_path / "run", "--json", *backbone)
    metrics = json.loads(done.out)
    assert (metrics["evaluation"]["n"], metrics["without_leaks"]["n"]) == (13, 12)
    assert "1 of the 13 val images have a twin in train" in done.err
    assert "conflict: train/squares/both.png is labelled" in done.err
    own = headstart("train", messy / "train", "--val-fraction", "0.3", "--json", "--quiet", *backbone)
    assert json.loads(own.out)["without_leaks"] is None  # twins stay on one side of a split made here


@pytest.mark.parametrize(("checks", "code"), [("leak", 3), ("conflict, blank", 3), ("blank,dark", 0), ("odd_size", 0)])
def test_fail_on(headstart: Command, messy: Path, backbone: list[str], checks: str, code: int) -> None:
    """A pipeline gets exit code 3 where a check it names has a warning or worse, and 0 where it has none."""
    assert headstart("audit", messy, "--fail-on", checks, "--quiet", *backbone).code == code


def test_an_unknown_check(headstart: Command, messy: Path) -> None:
    """A misspelt check is told before any work is done."""
    done = headstart("audit", messy, "--fail-on", "leek")
    assert_explained(done, "there is no check 'leek'", "did you mean leak?")


def test_an_audit_is_not_replaced_unasked(headstart: Command, messy: Path, tmp_path: Path) -> None:
    """A folder with something in it stays as it is."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine", encoding="utf-8")
    assert_explained(headstart("audit", messy, "--output", tmp_path / "taken"), "taken")
    assert (tmp_path / "taken" / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_what_train_refuses_is_audited(headstart: Command, draw_classes: Draw, backbone: list[str]) -> None:
    """A set that train would not take, here with classes that differ in case, is audited, and the reason is told."""
    folder = draw_classes({"circles": 8, "squares": 8})
    (folder / "Circles").mkdir()
    shutil.copy(folder / "circles" / "circles-0.png", folder / "Circles" / "x.png")
    done = headstart("audit", folder, *backbone)
    assert done.code == 0, done.err
    assert "train would refuse this: the classes" in done.err


@pytest.mark.parametrize(
    ("table", "error"),
    [("path,reason\nnowhere.png,old\n", "is a file of the data"), ("file,reason\nx.png,old\n", "has no column path")],
)
def test_a_wrong_table_of_exclusions(
    headstart: Command, draw_classes: Draw, tmp_path: Path, table: str, error: str, backbone: list[str]
) -> None:
    """A table that names nothing of the data, or has no paths, is an error: nobody believes something was left out."""
    (tmp_path / "exclude.csv").write_text(table, encoding="utf-8")
    done = headstart("train", str(draw_classes({"circles": 4, "squares": 4})), "--exclude", tmp_path / "exclude.csv", *backbone)
    assert_explained(done, error)


def test_a_file_that_a_table_labels_twice(headstart: Command, draw_classes: Draw, backbone: list[str], tmp_path: Path) -> None:
    """A file with two labels in a table is a conflict, not unreadable; training says so and uses neither label."""
    data = draw_classes(CLASSES)
    files = sorted(data.rglob("*.png"))
    table = data / "labels.csv"
    lines = ["path,label", *(f"{file.relative_to(data).as_posix()},{file.parent.name}" for file in files)]
    table.write_text("\n".join([*lines, "circles/circles-0.png,squares", "circles/circles-1.png,circles"]), encoding="utf-8")
    out = tmp_path / "audited"
    assert headstart("audit", table, "--output", out, *backbone).code == 0
    findings = [(row["check"], Path(row["path"]).name) for row in rows_of(out / "findings.csv")]
    assert ("conflict", "circles-0.png") in findings
    assert "unreadable" not in {check for check, _ in findings}
    assert headstart("audit", table, "--fail-on", "conflict", *backbone).code == 3
    done = headstart("train", table, "--strategy", "probe", "--output", tmp_path / "run", *backbone)
    assert "1 image is labelled as two classes by different rows of labels.csv: left out" in done.err
    reasons = {Path(row["path"]).name: row["reason"] for row in rows_of(tmp_path / "run" / "skipped.csv")}
    assert reasons["circles-0.png"] == "it is labelled 'circles' and 'squares' (rows 2 and 30)"
    assert reasons["circles-1.png"] == "rows 3 and 31 name the same file: it is used once"
