"""`headstart verify`: a line a check, one sentence where something is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SavedRun

from apps.conftest import Result, assert_explained
from headstart.artifact import bundle
from headstart.artifact.bundle import FAMILIARITY, MANIFEST, WEIGHTS
from headstart.storage import sha256_of_file


def test_a_line_a_check(headstart: Callable[..., Result], saved_run: SavedRun) -> None:
    """A whole model: five lines and a verdict, exit code 0."""
    result = headstart("verify", saved_run.run)
    assert (result.code, result.err) == (0, "")
    *checks, verdict = result.out.splitlines()
    assert [line.split()[0] for line in checks] == ["manifest", "files", "tensors", "engine", "answers"]
    assert verdict == f"{saved_run.run} is intact"


def test_json(headstart: Callable[..., Result], saved_run: SavedRun) -> None:
    """--json prints one object with the same."""
    result = headstart("verify", saved_run.run, "--json")
    found = json.loads(result.out)
    assert (result.code, found["format"], found["model"]) == (0, 1, saved_run.run.as_posix())
    assert [check["check"] for check in found["checks"]] == ["manifest", "files", "tensors", "engine", "answers"]
    assert found["extra_files"] == []


def test_extra_files_are_a_note(headstart: Callable[..., Result], own_run: Path) -> None:
    """What is not part of the model is named on stderr; the exit code stays 0."""
    (own_run / "model" / "Thumbs.db").touch()
    result = headstart("verify", own_run)
    assert result.code == 0
    assert result.err == "note: not part of the model: Thumbs.db\n"


def test_each_file_is_hashed_once(
    headstart: Callable[..., Result], saved_run: SavedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checking a large model takes one pass over each of its files."""
    hashed = []

    def hashing(path: Path) -> str:
        hashed.append(path.name)
        return sha256_of_file(path)

    monkeypatch.setattr(bundle, "sha256_of_file", hashing)
    assert headstart("verify", saved_run.run).code == 0
    assert sorted(hashed) == [FAMILIARITY, WEIGHTS]


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_damaged_model(headstart: Callable[..., Result], own_run: Path, name: str, options: tuple[str, ...]) -> None:
    """One sentence that names the file, a hint, exit code 1; what was passed before stays on stdout, but not as JSON."""
    file = own_run / "model" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    file.write_bytes(content)
    result = headstart("verify", own_run, *options)
    assert [line.split()[0] for line in result.out.splitlines()] == (["manifest"] if name == WEIGHTS and not options else [])
    assert_explained(Result(result.code, "", result.err), name)


def test_no_model(headstart: Callable[..., Result], tmp_path: Path) -> None:
    """A folder that contains no model is refused by its path."""
    assert_explained(headstart("verify", tmp_path), "contains no model")


def test_the_whole_way_with_spaces_umlauts_and_emoji(
    headstart: Callable[..., Result], draw_classes: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    """Train, predict, export, predict again and verify, with such names for data, classes, files, run and export."""
    data = draw_classes({"circles": 12, "squares": 12}, "Fötos 🙂 & mehr")
    (data / "circles").rename(data / "Kreise größer ø")
    (data / "squares").rename(data / "四角 🟥")
    images = tmp_path / "neue Bilder"
    images.mkdir()
    for i, file in enumerate(sorted(data.glob("*/*.png"))[::8]):
        (images / f"Bild {i} é🐝.png").write_bytes(file.read_bytes())
    run, export = tmp_path / "Läufe 🏃" / "mein Lauf", tmp_path / "Läufe 🏃" / "Ausgabe (1)"
    options = ["--strategy", "probe", "--backbone", "timm/test_resnet", "--weights", tiny_weights]
    assert headstart("train", data, *options, "--output", run, "--quiet").code == 0
    assert headstart("export", run, "--output", export).code == 0
    answers = []
    for model in (run, export):
        assert headstart("verify", model).code == 0
        result = headstart("predict", model, images, "--format", "jsonl")
        assert result.code == 0, result.err
        answers.append([json.loads(line) for line in result.out.splitlines()])
    assert len(answers[0]) == 3 and set(answers[0][0]["probabilities"]) == {"Kreise größer ø", "四角 🟥"}
    for one, other in zip(*answers, strict=True):
        assert one["path"] == other["path"] and "🐝" in one["path"]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-4)
    card = (export / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# Fötos 🙂 &amp; mehr: an image classifier") and "四角 🟥" in card
