"""`headstart predict`: an answer a file, in the form that was asked for, and a reason for each that cannot be read."""

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SavedRun
from PIL import Image

from apps.conftest import Result, assert_explained, snapshot
from headstart.artifact.manifest import FORMAT

Command = Callable[..., Result]
CLASSES = ["circles", "squares", "triangles"]


@pytest.fixture
def broken(tmp_path: Path) -> list[Path]:
    """Three files that cannot be read, each for a reason of its own."""
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "text.jpg").write_text("hello")
    (folder / "empty.png").touch()
    return [folder / "text.jpg", folder / "empty.png", folder / "missing.png"]


def expected(run: SavedRun) -> dict[str, dict[str, str]]:
    """The rows of predictions.csv by path."""
    with (run.run / "predictions.csv").open(encoding="utf-8", newline="") as lines:
        return {row["path"]: row for row in csv.DictReader(lines)}


def test_csv(headstart: Command, saved_run: SavedRun, broken: list[Path]) -> None:
    """CSV has path, predicted, probability, a column a class, and error; an unreadable file has its error alone."""
    file = next(iter(saved_run.labels))
    result = headstart("predict", saved_run.run, file, *broken, "--format", "csv")
    assert result.code == 0
    header, answer, *errors = csv.reader(io.StringIO(result.out))
    assert header == ["path", "predicted", "probability", *(f"p:{name}" for name in CLASSES), "unfamiliar", "error"]
    assert (answer[0], answer[-1]) == (file, "")
    wanted = expected(saved_run)[file]
    assert answer[1] == wanted["predicted"]
    for cell, name in zip(answer[2:-2], header[2:-2], strict=True):
        assert float(cell) == pytest.approx(float(wanted[name]), abs=1e-4)
    assert [row[0] for row in errors] == [str(path) for path in broken]
    assert all(row[1:-1] == [""] * 6 for row in errors)
    assert ["text" in errors[0][-1], "empty" in errors[1][-1], "no such file" in errors[2][-1]] == [True] * 3


def test_jsonl(headstart: Command, saved_run: SavedRun, broken: list[Path]) -> None:
    """JSON lines have path, predicted, probability and probabilities; an unreadable file has path and error."""
    file = next(iter(saved_run.labels))
    result = headstart("predict", saved_run.run, file, *broken, "--format", "jsonl")
    assert result.code == 0
    answer, *errors = map(json.loads, result.out.splitlines())
    assert list(answer) == ["path", "predicted", "probability", "probabilities", "unfamiliar", "distance"]
    assert list(answer["probabilities"]) == CLASSES
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["probabilities"][answer["predicted"]] == answer["probability"] == max(answer["probabilities"].values())
    assert answer["predicted"] == expected(saved_run)[file]["predicted"]
    assert [list(error) for error in errors] == [["path", "error"]] * 3
    assert [error["path"] for error in errors] == [str(path) for path in broken]


def test_table(headstart: Command, saved_run: SavedRun, broken: list[Path]) -> None:
    """The table has a line a file: the class, its probability in percent and the path; or that it cannot be read, and why."""
    file = next(iter(saved_run.labels))
    result = headstart("predict", saved_run.run, file, *broken)
    assert result.code == 0
    answer, *errors = result.out.splitlines()
    wanted = expected(saved_run)[file]
    assert answer.split("  ")[0] == f"{wanted['predicted']} {float(wanted['probability']):.1%}"
    assert answer.endswith(file)
    for line, path in zip(errors, broken, strict=True):
        assert line.startswith("cannot be read")
        assert f"{path}: " in line


@pytest.mark.parametrize("top_k", [1, 2, 3, 9])
def test_top_k(headstart: Command, saved_run: SavedRun, top_k: int) -> None:
    """--top-k shows that many classes, the most probable first, and no more than there are."""
    file = next(iter(saved_run.labels))
    row = expected(saved_run)[file]
    ranked = sorted(CLASSES, key=lambda name: -float(row[f"p:{name}"]))[:top_k]
    table = headstart("predict", saved_run.run, file, "--top-k", top_k).out
    assert [word for word in table.removesuffix(f"{file}\n").split() if word in CLASSES] == ranked
    line = json.loads(headstart("predict", saved_run.run, file, "--top-k", top_k, "--format", "jsonl").out)
    assert [entry["class"] for entry in line.get("top", [{"class": line["predicted"]}])] == ranked
    assert list(line["probabilities"]) == CLASSES


@pytest.mark.parametrize("given", ["run", "model"])
def test_the_answers_are_predictions_csv_s(headstart: Command, saved_run: SavedRun, given: str) -> None:
    """A folder is searched to its leaves; every val image gets predictions.csv's class and probability under the same path."""
    result = headstart("predict", getattr(saved_run, given), saved_run.data / "val", "--format", "csv")
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(result.out))}
    wanted = expected(saved_run)
    assert rows.keys() == wanted.keys()
    for path, row in rows.items():
        assert row["predicted"] == wanted[path]["predicted"]
        assert float(row["probability"]) == pytest.approx(float(wanted[path]["probability"]), abs=1e-4)


def test_a_folder_is_searched_to_its_leaves(headstart: Command, saved_run: SavedRun, tmp_path: Path) -> None:
    """Files of every kind at every depth get a line, in natural order; hidden files and folders do not."""
    file = Path(next(iter(saved_run.labels)))
    names = ["2.png", "10.png", "a/b/c/deep.png", "größe 🙂/x y.png"]
    for name in [*names, ".hidden/a.png", "__MACOSX/b.png", ".DS_Store"]:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / "in" / name)
    (tmp_path / "in" / "readme.txt").write_text("hello")
    result = headstart("predict", saved_run.run, tmp_path / "in", "--format", "jsonl")
    lines = [json.loads(line) for line in result.out.splitlines()]
    wanted = [str(tmp_path / "in" / name) for name in ("2.png", "10.png", "readme.txt", "a/b/c/deep.png", "größe 🙂/x y.png")]
    assert [line["path"] for line in lines] == wanted
    assert ["error" in line for line in lines] == [False, False, True, False, False]


def test_paths_are_as_given(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """A relative path stays relative, in the order it was given; a file given twice is answered twice."""
    for name in ("b.png", "a ä.png"):
        shutil.copy(next(iter(saved_run.labels)), here / name)
    result = headstart("predict", saved_run.run, "b.png", "a ä.png", "b.png", "--format", "csv")
    assert [row.split(",")[0] for row in result.out.splitlines()[1:]] == ["b.png", "a ä.png", "b.png"]


def test_members_of_an_archive(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """Members of an archive are named set.zip!a/b.png, and answered as the files are; nothing is unpacked beside it."""
    file = next(iter(saved_run.labels))
    with zipfile.ZipFile(here / "set.zip", "w") as archive:
        archive.write(file, "a/b.png")
        archive.writestr("notes.txt", "hello")
    before = snapshot(here)
    result = headstart("predict", saved_run.run, "set.zip", "--format", "jsonl")
    lines = {line["path"]: line for line in map(json.loads, result.out.splitlines())}
    assert set(lines) == {"set.zip!a/b.png", "set.zip!notes.txt"}
    assert lines["set.zip!a/b.png"]["predicted"] == expected(saved_run)[file]["predicted"]
    assert "text" in lines["set.zip!notes.txt"]["error"]
    assert snapshot(here) == before


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
def test_output(headstart: Command, saved_run: SavedRun, here: Path, broken: list[Path], form: str) -> None:
    """--output writes what stdout would have had, and says on stderr how many files could not be read."""
    files = [*list(saved_run.labels)[:3], *broken]
    printed = headstart("predict", saved_run.run, *files, "--format", form)
    written = headstart("predict", saved_run.run, *files, "--format", form, "--output", here / "deep" / "out.txt")
    assert (written.code, written.out) == (0, "")
    assert "3 of 6 files could not be read" in written.err
    assert (here / "deep" / "out.txt").read_bytes().decode("utf-8") == printed.out
    assert printed.err == ""


def test_none_can_be_read(headstart: Command, saved_run: SavedRun, broken: list[Path]) -> None:
    """Where no file can be read the exit code is 1; the lines say why all the same."""
    result = headstart("predict", saved_run.run, *broken, "--format", "jsonl")
    assert result.code == 1
    assert [list(json.loads(line)) for line in result.out.splitlines()] == [["path", "error"]] * 3
    assert "Traceback" not in result.err


def marks_of(grid: Path) -> tuple[int, int]:
    """How many pixels of a picture have the colours of right and of wrong."""
    with Image.open(grid) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).astype(int)
    green, orange = (np.abs(pixels - colour).max(axis=2) < 6 for colour in ((0, 158, 115), (213, 94, 0)))
    return int(green.sum()), int(orange.sum())


def test_grid_marks_right_and_wrong(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """--grid frames an image green or orange where its folder is named after a class, and not at all elsewhere."""
    rows = expected(saved_run).values()
    right = next(row["path"] for row in rows if row["predicted"] == row["label"])
    wrong = next(row["path"] for row in rows if row["predicted"] != row["label"])
    for name, files in {"right": [right], "wrong": [wrong], "both": [right, wrong]}.items():
        result = headstart("predict", saved_run.run, *files, "--grid", here / f"{name}.png")
        assert result.code == 0
        assert f"the grid is in {here / name}.png" in result.err
        green, orange = marks_of(here / f"{name}.png")
        assert (green > 200, orange > 200) == (name != "wrong", name != "right")
    shutil.copy(right, here / "unknown.png")
    headstart("predict", saved_run.run, here / "unknown.png", "--grid", here / "plain.png")
    assert max(marks_of(here / "plain.png")) < 200


def test_grid_of_many(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """A grid holds the first 48 images and says so; every image has its line all the same."""
    files = (list(saved_run.labels) * 3)[:50]
    result = headstart("predict", saved_run.run, *files, "--grid", "g.png", "--format", "csv")
    assert len(result.out.splitlines()) == 51
    assert "the first 48 of 50 images" in result.err
    assert (here / "g.png").is_file()


@pytest.mark.parametrize("option", ["--output", "--grid"])
@pytest.mark.parametrize("target", ["image", "in the folder", "archive", "by another name", "folder"])
def test_it_never_writes_over_its_images(headstart: Command, saved_run: SavedRun, here: Path, option: str, target: str) -> None:
    """A result that would replace an image, an archive or a folder that is read is refused before anything is done."""
    shutil.copy(next(iter(saved_run.labels)), here / "a.png")
    with zipfile.ZipFile(here / "set.zip", "w") as archive:
        archive.write(here / "a.png", "a.png")
    (here / "link.png").symlink_to(here / "a.png")
    path, result = {
        "image": ("a.png", here / "a.png"),
        "in the folder": (".", "a.png"),
        "archive": ("set.zip", "set.zip"),
        "by another name": ("a.png", "link.png"),
        "folder": ("a.png", here),
    }[target]
    before = snapshot(here)
    refused = headstart("predict", saved_run.run, path, option, result, "--format", "csv", "--overwrite")
    assert_explained(refused, "folder" if target == "folder" else "is one of the input images")
    assert snapshot(here) == before


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nowhere", ["there is no nowhere"]),
        ("empty", ["contains no model"]),
        ("killed.partial", ["contains no model", "--resume"]),
        ("a.png", ["contains no model"]),
        ("truncated", ["cannot be read"]),
        ("newer", [f"format {FORMAT + 1}", "upgrade"]),
        ("flipped", ["not the file the manifest was written for"]),
        ("x" * 300, ["name too long"]),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_not_a_model(headstart: Command, saved_run: SavedRun, here: Path, model: str, words: list[str]) -> None:
    """MODEL that cannot be used: a sentence and a hint, exit code 1, nothing on stdout."""
    shutil.copy(next(iter(saved_run.labels)), here / "a.png")
    (here / "empty").mkdir()
    (here / "killed.partial").mkdir()
    for name in ("truncated", "newer", "flipped"):
        shutil.copytree(saved_run.model, here / name)
    (here / "truncated" / "manifest.json").write_text(f'{{"format": {FORMAT}, "cla')
    (here / "newer" / "manifest.json").write_text(f'{{"format": {FORMAT + 1}}}')
    content = bytearray((here / "flipped" / "weights.safetensors").read_bytes())
    content[-5] ^= 4
    (here / "flipped" / "weights.safetensors").write_bytes(content)
    assert_explained(headstart("predict", model, "a.png", "--format", "csv"), *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["empty"], ["no file in empty"]),
        (["damaged.zip"], ["cannot be read", "again"]),
        (["a.png", "--device", "cuda:99"], ["device 'cuda:99' is not available"]),
        (["a.png", "--output", "a.png/x.csv"], ["a.png"]),
        (["a.png", "--grid", "a.png/x.png"], ["a.png"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bad_paths(headstart: Command, saved_run: SavedRun, here: Path, arguments: list[str], words: list[str]) -> None:
    """Paths that hold nothing, or cannot be written to: a sentence and a hint, exit code 1, no traceback."""
    shutil.copy(next(iter(saved_run.labels)), here / "a.png")
    (here / "empty" / ".hidden").mkdir(parents=True)
    with zipfile.ZipFile(here / "damaged.zip", "w") as archive:
        archive.write(here / "a.png", "a.png")
    content = bytearray((here / "damaged.zip").read_bytes())
    content[content.index(b"PK\x01\x02")] ^= 255  # in the list of its members
    (here / "damaged.zip").write_bytes(content)
    result = headstart("predict", saved_run.run, *arguments)
    assert_explained(Result(result.code, "", result.err), *words)


def test_a_name_that_is_too_long_for_the_system(headstart: Command, saved_run: SavedRun) -> None:
    """A path that no file system can hold is a sentence, not a traceback."""
    result = headstart("predict", saved_run.run, "x" * 300, "--format", "csv")
    assert result.code == 1
    assert "name too long" in result.err + result.out
    assert "Traceback" not in result.err


def test_nothing_is_changed(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """Predicting changes neither the images nor the model, and writes nothing that was not asked for."""
    before = snapshot(saved_run.data), snapshot(saved_run.run)
    assert headstart("predict", saved_run.run, saved_run.data / "val").code == 0
    assert (snapshot(saved_run.data), snapshot(saved_run.run)) == before
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_a_reader_that_has_seen_enough(start: Callable[..., Any], saved_run: SavedRun) -> None:
    """`headstart predict ... | head` ends quietly when head has gone."""
    process = start("predict", saved_run.run, saved_run.data / "val")
    process.stdout.close()
    with process.stderr:
        err = process.stderr.read()
    assert process.wait() == 1
    assert err == ""


@pytest.mark.slow
def test_json_on_a_narrow_stream(process: Command, saved_run: SavedRun, tmp_path: Path) -> None:
    """Where stdout cannot hold every letter, as a pipe on Windows, JSON lines are JSON still and name the same path."""
    file = tmp_path / "größe 大 🙂.png"
    shutil.copy(next(iter(saved_run.labels)), file)
    result = process("predict", saved_run.run, file, "--format", "jsonl", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["path"] == str(file)


def test_unsure(headstart: Command, saved_run: SavedRun) -> None:
    """Below --min-confidence the answer is unsure, in every form; the probabilities stay."""
    files = list(saved_run.labels)
    plain = [json.loads(line) for line in headstart("predict", saved_run.run, *files, "--format", "jsonl").out.splitlines()]
    limit = sorted(answer["probability"] for answer in plain)[len(plain) // 2]
    said = headstart("predict", saved_run.run, *files, "--format", "jsonl", "--min-confidence", limit)
    answers = [json.loads(line) for line in said.out.splitlines()]
    for before, after in zip(plain, answers, strict=True):
        assert after["unsure"] == (before["probability"] < limit)
        assert after["predicted"] == ("unsure" if after["unsure"] else before["predicted"])
        assert after["probabilities"] == before["probabilities"]
    table = headstart("predict", saved_run.run, *files, "--min-confidence", limit).out
    assert table.count("unsure (") == sum(answer["unsure"] for answer in answers) > 0
    rows = csv.DictReader(
        io.StringIO(headstart("predict", saved_run.run, *files, "--format", "csv", "--min-confidence", limit).out)
    )
    assert [row["predicted"] for row in rows] == [answer["predicted"] for answer in answers]


def test_thresholds_of_the_training_come_along(headstart: Command, saved_run: SavedRun, doubting_run: Path) -> None:
    """--target-precision and --conformal of train decide what predict says: unsure below the threshold, and sets of classes."""
    manifest = json.loads((doubting_run / "model" / "manifest.json").read_text(encoding="utf-8"))["decisions"]
    files = list(saved_run.labels)
    answers = [json.loads(line) for line in headstart("predict", doubting_run, *files, "--format", "jsonl").out.splitlines()]
    limit, least = manifest["precision"]["min_confidence"], manifest["conformal"]["min_probability"]
    for answer in answers:
        probable = {name for name, share in answer["probabilities"].items() if share >= least}
        best = max(answer["probabilities"], key=answer["probabilities"].__getitem__)
        assert set(answer["set"]) == probable | {best} and answer["set"][0] == best
        assert answer["predicted"] == ("unsure" if answer["probability"] < limit else best)
    text = headstart("predict", doubting_run, *files, "--format", "csv").out
    assert [json.loads(row["set"]) for row in csv.DictReader(io.StringIO(text))] == [answer["set"] for answer in answers]
    metrics = json.loads((doubting_run / "metrics.json").read_text(encoding="utf-8"))
    kept = metrics["decisions"]["reported"]
    assert kept["share_answered"] == pytest.approx(np.mean([answer["predicted"] != "unsure" for answer in answers]))
    right = [saved_run.labels[answer["path"]] in answer["set"] for answer in answers]
    assert kept["coverage"] == pytest.approx(np.mean(right))
    assert any("this is not a promise: that takes" in note for note in metrics["notes"])


def test_an_image_unlike_all_others_is_unfamiliar(headstart: Command, saved_run: SavedRun, tmp_path: Path) -> None:
    """A picture of black and white stripes is no drawn shape, whatever class it gets; most of val is familiar."""
    stripes = np.zeros((96, 80, 3), np.uint8)
    stripes[::2] = 255
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    said = headstart("predict", saved_run.run, tmp_path / "stripes.png", *saved_run.labels, "--format", "jsonl").out
    strange, *known = map(json.loads, said.splitlines())
    assert strange["unfamiliar"] is True
    assert strange["distance"] > max(answer["distance"] for answer in known)
    assert sum(answer["unfamiliar"] for answer in known) <= 3
    assert "unfamiliar" in headstart("predict", saved_run.run, tmp_path / "stripes.png").out


def test_a_model_of_the_first_days_has_no_doubts(headstart: Command, saved_run: SavedRun, tmp_path: Path) -> None:
    """A bundle without decisions and without the file of familiar images answers as it did."""
    shutil.copytree(saved_run.model, tmp_path / "old")
    (tmp_path / "old" / "familiarity.safetensors").unlink()
    manifest = json.loads((tmp_path / "old" / "manifest.json").read_text(encoding="utf-8"))
    del manifest["decisions"], manifest["requested"], manifest["manifest_sha256"]
    (tmp_path / "old" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    answer = json.loads(headstart("predict", tmp_path / "old", next(iter(saved_run.labels)), "--format", "jsonl").out)
    assert list(answer) == ["path", "predicted", "probability", "probabilities"]
