"""`headstart predict` for many files: lists and archives are read as they come; a crash costs no answer and doubles none."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from conftest import SavedRun, wait_until

from apps.conftest import Result, assert_explained, snapshot
from headstart.apps.answers.parquet import ParquetParts
from headstart.apps.answers.partial import answer_file
from headstart.apps.answers.rows import Columns, Format
from headstart.apps.answers.text import TextPart
from headstart.artifact.predictor import Prediction

Command = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]
FORMS = ["csv", "jsonl", "parquet"]
MANY, ENDS_AT = 1_200, 1_150  # a part of a Parquet file has 1,024 rows: one is on disk when the run ends
ODD_NAMES = ["a,b.png", 'a "b".png', "two\nlines.png", "a\rb.png", "größe 大 🙂.png", " spaces .png", "plain.png"]
PEAK = """
import sys
from headstart.apps.main import run
from headstart.machine import peak_rss_mb
try:
    run(sys.argv[1:])
finally:
    print(peak_rss_mb())
"""


@pytest.fixture(scope="module")
def many(saved_run: SavedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of MANY images and one file that is none."""
    folder = tmp_path_factory.mktemp("many")
    files = list(saved_run.labels)
    for i in range(MANY):
        os.link(files[i % len(files)], folder / f"{i}.png")
    (folder / "700 text.png").write_text("hello")
    return folder


@pytest.fixture
def odd(saved_run: SavedRun, here: Path) -> Path:
    """A folder of images whose names are hard to write into a table."""
    (here / "odd").mkdir()
    for name, file in zip(ODD_NAMES, saved_run.labels, strict=False):
        shutil.copy(file, here / "odd" / name)
    return here / "odd"


def rows_of(file: Path) -> list[dict[str, Any]]:
    """The rows of a file of answers with their path and error."""
    if file.suffix == ".parquet":
        return list(pyarrow.parquet.read_table(file).to_pylist())
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines)) if file.suffix == ".csv" else [json.loads(line) for line in lines]


def paths_of(file: Path) -> list[str]:
    return [row["path"] for row in rows_of(file)]


def partial_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.partial")


def beside(output: Path) -> list[str]:
    """The names of what is there besides `output` and starts with its name."""
    return sorted(path.name for path in output.parent.iterdir() if output.name in path.name and path != output)


def unfinished(headstart: Command, run: SavedRun, output: Path, *options: object) -> None:
    """Leaves `output` as a run does that ended in the middle: its list names what the grid would replace."""
    output.parent.mkdir(exist_ok=True)
    grid, paths = output.with_name("grid.png"), output.with_name("paths.txt")
    shutil.copy(next(iter(run.labels)), grid)
    paths.write_text("\n".join([*list(run.labels) * 8, str(grid)]), encoding="utf-8")
    result = headstart("predict", run.run, "--files-from", paths, "--grid", grid, "--output", output, "--overwrite", *options)
    assert result.code == 1 and "is one of the input images" in result.err, result
    assert partial_of(output).exists() and not output.exists()


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_killed_run_goes_on(
    signalled: Command, process: Command, saved_run: SavedRun, many: Path, tmp_path: Path, form: str
) -> None:
    """After kill -9 there is no half file; the same command answers the rest, and the file is that of a run never disturbed."""
    output, whole = tmp_path / f"answers.{form}", tmp_path / f"whole.{form}"
    command = ("predict", saved_run.run, many, "--resume", "--output")
    assert signalled("SIGKILL", "open", many, ENDS_AT, *command, output).code == -signal.SIGKILL
    assert not output.exists()
    kept = partial_of(output)
    assert any(kept.iterdir()) if form == "parquet" else len(kept.read_text(encoding="utf-8").splitlines()) > 500
    again = process(*command, output)
    assert again.code == 0, again.err
    assert f"1 of {MANY + 1} files could not be read" in again.err
    assert Counter(paths_of(output)) == Counter(str(path) for path in many.iterdir())
    assert beside(output) == []
    assert process(*command, whole).code == 0
    assert rows_of(output) == rows_of(whole)
    if form != "parquet":
        assert output.read_bytes() == whole.read_bytes()


def test_ctrl_c_keeps_the_answers(
    signalled: Command, headstart: Command, saved_run: SavedRun, many: Path, tmp_path: Path
) -> None:
    """Ctrl-C exits with 130, keeps what was answered and says how to go on."""
    output = tmp_path / "answers.jsonl"
    stopped = signalled("SIGINT", "open", many, ENDS_AT, "predict", saved_run.run, many, "--output", output)
    assert stopped.code == 130
    assert not output.exists()
    n_kept = len(partial_of(output).read_text(encoding="utf-8").splitlines())
    assert f"answers in {partial_of(output)}: {n_kept:,}; run the same command with --resume to continue" in stopped.err
    assert beside(output) == ["answers.jsonl.partial", "answers.jsonl.partial.json"]
    refused = headstart("predict", saved_run.run, many, "--output", output)
    assert_explained(refused, "unfinished answers", "--resume", "--overwrite")
    file = next(iter(saved_run.labels))
    assert headstart("predict", saved_run.run, file, "--output", output, "--overwrite").code == 0
    assert paths_of(output) == [file] and beside(output) == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("event", ["call", "return"])
@pytest.mark.parametrize("n_before", [0, 2])
def test_ctrl_c_counts_the_rows_in_the_file(
    here: Path, capsys: pytest.CaptureFixture[str], form: Format, event: str, n_before: int
) -> None:
    """If Ctrl-C comes just before or just after a row is written, the closing message says how many rows the file has."""
    answer = Prediction("a.png", ("ant", "bee"), np.array([0.25, 0.75]))
    writer = ParquetParts.write if form == "parquet" else TextPart.write
    output = here / f"out.{form}"

    def interrupt(frame: FrameType, happened: str, _: object) -> None:
        if happened == event and frame.f_code is writer.__code__:
            sys.setprofile(None)
            raise KeyboardInterrupt

    columns = Columns(answer.classes, has_sets=False, has_familiarity=False)
    with pytest.raises(KeyboardInterrupt), answer_file(output, form, columns, {"top_k": 1}, resume=False) as answers:
        for _ in range(n_before):
            answers.write(answer)
        sys.setprofile(interrupt)
        answers.write(answer)
    n_kept = n_before + (event == "return")
    said = capsys.readouterr().err
    assert beside(output) == ([f"out.{form}.partial", f"out.{form}.partial.json"] if n_kept else [])
    assert (f"answers in {partial_of(output)}: {n_kept}; " in said) if n_kept else not said


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_torn_row_is_answered_again(headstart: Command, saved_run: SavedRun, odd: Path, form: str) -> None:
    """Wherever a crash tears the file, also within a cell of two lines or a letter, each path has one whole row in the end."""
    output, whole = odd.parent / f"answers.{form}", odd.parent / f"whole.{form}"
    assert headstart("predict", saved_run.run, odd, "--output", whole).code == 0
    content = whole.read_bytes()
    assert sorted(paths_of(whole)) == sorted(str(odd / name) for name in ODD_NAMES)
    unfinished(headstart, saved_run, output)
    state = partial_of(output).with_name(f"{partial_of(output).name}.json").read_bytes()
    odd_places = [
        content.index(word) + n
        for word in (b"two", "大".encode(), b'a "', b"a\r", b"plain")
        for n in (1, 2, 4)
        if word in content
    ]
    for size in [0, 3, *range(97, len(content), 131), *odd_places, len(content) - 1, len(content)]:
        partial_of(output).write_bytes(content[:size])
        partial_of(output).with_name(f"{partial_of(output).name}.json").write_bytes(state)
        assert headstart("predict", saved_run.run, odd, "--output", output, "--resume").code == 0
        assert output.read_bytes() == content, size
        output.unlink()


def test_nothing_is_left_to_do(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """A finished file can be resumed: new images are added; without any it stays untouched and a note says so."""
    files = list(saved_run.labels)
    for name, file in zip(("a.png", "b.png"), files, strict=False):
        (here / "in").mkdir(exist_ok=True)
        shutil.copy(file, here / "in" / name)
    for form in FORMS:
        command = ("predict", saved_run.run, "in", "--output", f"out.{form}", "--resume")
        assert headstart(*command).code == 0
        before = snapshot(here)
        again = headstart(*command)
        assert (again.code, again.out) == (0, "")
        assert f"out.{form} already has all answers: nothing was done" in again.err
        assert snapshot(here) == before
        first = rows_of(here / f"out.{form}")
        shutil.copy(files[2], here / "in" / "c.png")
        (here / "in" / "d.png").write_text("hello")
        assert "1 of 4 files could not be read" in headstart(*command).err
        assert rows_of(here / f"out.{form}")[:2] == first
        assert paths_of(here / f"out.{form}") == [str(Path("in", name)) for name in ("a.png", "b.png", "c.png", "d.png")]
        assert beside(here / f"out.{form}") == []
        for name in ("c.png", "d.png"):
            (here / "in" / name).unlink()


@pytest.mark.parametrize("form", FORMS)
def test_a_path_given_twice_has_two_rows(headstart: Command, saved_run: SavedRun, here: Path, form: str) -> None:
    """How often a path is given counts, also when a run is resumed."""
    output = here / f"out.{form}"
    one, two = list(saved_run.labels)[:2]
    assert headstart("predict", saved_run.run, one, two, "--output", output).code == 0
    assert headstart("predict", saved_run.run, one, two, one, one, "--output", output, "--resume").code == 0
    assert paths_of(output) == [one, two, one, one]


@pytest.mark.parametrize("form", FORMS)
def test_what_it_does_not_go_on_with(headstart: Command, saved_run: SavedRun, own_run: Path, here: Path, form: str) -> None:
    """Another model, other options, or a file that is not of these answers: a sentence and a hint, and all stays as it is."""
    output, file = here / f"out.{form}", next(iter(saved_run.labels))
    unfinished(headstart, saved_run, output)
    manifest = json.loads((own_run / "model" / "manifest.json").read_text(encoding="utf-8"))
    (own_run / "model" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")  # the same words, other bytes
    before = snapshot(here)
    command = ("--output", output, "--resume")
    assert_explained(headstart("predict", own_run, file, *command), "another model", "delete")
    assert_explained(headstart("predict", saved_run.run, file, *command, "--top-k", 2), "another top-k")
    assert_explained(headstart("predict", saved_run.run, file, *command, "--min-confidence", 0.9), "another min-confidence")
    other = next(other for other in FORMS if other != form)
    assert_explained(headstart("predict", saved_run.run, file, *command, "--format", other), "another format")
    partial_of(output).with_name(f"{partial_of(output).name}.json").unlink()
    assert_explained(headstart("predict", saved_run.run, file, *command), "is missing or damaged", "delete")
    assert partial_of(output).exists()
    assert {name for name in before if not name.endswith(".json")} == set(snapshot(here))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "content", [b"", b"hello\n", b'{"path": "a"}\n[1]\n', b"path,predicted\na,b\n", b"\xff\xfe\n", b"torn"]
)
def test_a_file_of_something_else(headstart: Command, saved_run: SavedRun, here: Path, form: str, content: bytes) -> None:
    """--resume never adds to a file that is not of this model's answers; without it a file is replaced only by --overwrite."""
    output, file = here / f"out.{form}", next(iter(saved_run.labels))
    output.write_bytes(content)
    if content or form == "parquet":
        before = snapshot(here)
        refused = headstart("predict", saved_run.run, file, "--output", output, "--resume")
        assert_explained(refused, "out.")
        assert snapshot(here) == before
    before = snapshot(here)
    assert_explained(headstart("predict", saved_run.run, file, "--output", output), "already exists", "--overwrite")
    assert snapshot(here) == before
    assert headstart("predict", saved_run.run, file, "--output", output, "--overwrite").code == 0
    assert paths_of(output) == [file]


def test_answers_of_other_classes(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """A finished file whose columns name other classes is not added to."""
    file = next(iter(saved_run.labels))
    for form in ("csv", "jsonl"):
        output = here / f"out.{form}"
        assert headstart("predict", saved_run.run, file, "--output", output).code == 0
        output.write_text(output.read_text(encoding="utf-8").replace("squares", "stars"), encoding="utf-8")
        assert_explained(
            headstart("predict", saved_run.run, file, "--output", output, "--resume"), "does not contain this model's answers"
        )


def test_two_processes_never_write_one_file(start: Start, headstart: Command, saved_run: SavedRun, tmp_path: Path) -> None:
    """The second is told so; the lock of a killed one, and what an earlier version left of its own, stop nobody."""
    file, output = next(iter(saved_run.labels)), tmp_path / "answers.csv"
    with start("predict", saved_run.run, "-", "--output", output, stdin=subprocess.PIPE) as first:
        assert first.stdin is not None
        first.stdin.write(f"{file}\n" * 300)
        first.stdin.flush()
        wait_until(lambda: partial_of(output).exists() and partial_of(output).stat().st_size > 20_000, first)
        refused = headstart("predict", saved_run.run, file, "--output", output, "--resume")
        assert_explained(refused, "is being written by another process", "wait")
        first.kill()
    (tmp_path / "answers.csv.partial.lock").write_text('{"machine": "here", "number": 1, "started": 0.0}', encoding="utf-8")
    paths = tmp_path / "paths.txt"
    paths.write_text(f"{file}\n" * 301, encoding="utf-8")
    assert headstart("predict", saved_run.run, "--files-from", paths, "--output", output, "--resume").code == 0
    assert paths_of(output) == [file] * 301
    assert beside(output) == []


@pytest.mark.parametrize("arguments", [["-"], ["--files-from", "-"], ["--files-from", "/dev/stdin"]], ids=" ".join)
def test_stdin_is_answered_as_it_comes(start: Start, saved_run: SavedRun, arguments: list[str]) -> None:
    """Paths on stdin are answered before the last has come."""
    files = list(saved_run.labels)
    with start("predict", saved_run.run, *arguments, "--format", "jsonl", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("".join(f"{file}\n" for file in files * 5))
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline())]
        process.stdin.write("missing.png\n")
        process.stdin.close()
        answers += [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    assert [answer["path"] for answer in answers] == [*files * 5, "missing.png"]
    assert answers[-1]["error"] == "there is no such file"


@pytest.mark.parametrize("start_of_file", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("end_of_line", [b"\n", b"\r\n"], ids=["unix", "windows"])
def test_files_from(headstart: Command, saved_run: SavedRun, here: Path, start_of_file: bytes, end_of_line: bytes) -> None:
    """A list names a file a line, relative to the current folder; what is no image is a row with its error."""
    names = ["b ä.png", " a.png", "b ä.png"]
    for name in set(names):
        shutil.copy(next(iter(saved_run.labels)), here / name)
    (here / "folder").mkdir()
    (here / "lists").mkdir()
    lines = [*names, "", "   ", "missing.png", "folder", "nul\0.png"]
    (here / "lists" / "paths.txt").write_bytes(start_of_file + end_of_line.join(line.encode() for line in lines))
    result = headstart("predict", saved_run.run, " a.png", "--files-from", "lists/paths.txt", "--format", "jsonl")
    assert result.code == 0
    answers = [json.loads(line) for line in result.out.splitlines()]
    assert [answer["path"] for answer in answers] == [" a.png", *names, "missing.png", "folder", "nul\0.png"]
    assert ["error" in answer for answer in answers] == [False] * 4 + [True] * 3
    assert [answers[-3]["error"], answers[-2]["error"]] == ["there is no such file", "not a file"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-", "--files-from", "-"], ["stdin is given twice"]),
        (["--files-from", "missing.txt"], ["missing.txt", "check the path"]),
        (["--files-from", "empty.txt"], ["no file in empty.txt"]),
        (["--files-from", "wide.txt"], ["wide.txt is not UTF-8 text"]),
        (["a.png", "--format", "parquet"], ["cannot be printed", "--output"]),
        (["a.png", "--resume"], ["only a file of answers", "--output"]),
        (["a.png", "--resume", "--output", "a.txt"], ["only a file of answers", ".csv"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_refusals(headstart: Command, saved_run: SavedRun, here: Path, arguments: list[str], words: list[str]) -> None:
    """What cannot be meant is a sentence and a hint, and nothing is written."""
    shutil.copy(next(iter(saved_run.labels)), here / "a.png")
    (here / "empty.txt").write_text("\n\n")
    (here / "wide.txt").write_text("a.png\n", encoding="utf-16")
    before = snapshot(here)
    assert_explained(headstart("predict", saved_run.run, *arguments), *words)
    assert snapshot(here) == before


def test_the_form_is_that_of_the_name(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """Without --format the ending of --output decides, else it is a table; what is said goes before what is named."""
    file = next(iter(saved_run.labels))
    for name in ("a.CSV", "a.jsonl", "a.parquet", "a.txt"):
        assert headstart("predict", saved_run.run, file, "--output", name).code == 0
    assert headstart("predict", saved_run.run, file, "--output", "b.csv", "--format", "jsonl").code == 0
    assert (here / "a.CSV").read_text(encoding="utf-8").startswith("path,predicted,")
    assert (here / "b.csv").read_bytes() == (here / "a.jsonl").read_bytes()
    assert pyarrow.parquet.read_table("a.parquet").num_rows == 1
    assert "%" in (here / "a.txt").read_text(encoding="utf-8")
    for name in ("answers.json", "a.tsv", "a.xlsx", "a.csv.gz", "answers"):
        assert_explained(headstart("predict", saved_run.run, file, "--output", name), name, ".csv, .jsonl, .parquet")
        assert not (here / name).exists()


def test_paths_that_end_in_null_bytes(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """With -0 a list may hold names with line ends, as `find -print0` writes them; without it the list is refused."""
    names = ["a\nb.png", "c.png"]
    for name in names:
        shutil.copy(next(iter(saved_run.labels)), here / name)
    Path("list").write_bytes(b"".join(name.encode() + b"\0" for name in names))
    result = headstart("predict", saved_run.run, "-0", "--files-from", "list", "--format", "jsonl")
    assert [json.loads(line)["path"] for line in result.out.splitlines()] == names
    assert result.code == 0 and "error" not in result.out
    Path("list").write_bytes(b"c.png\0c.png\0")
    assert_explained(headstart("predict", saved_run.run, "--files-from", "list"), "null bytes", "-0")
    assert_explained(headstart("predict", saved_run.run, "c.png", "-0"), "there is no list", "--files-from")


@pytest.mark.parametrize("arguments", [["predict", "RUN"], ["train"], ["audit"]])
def test_a_link_to_a_server_that_is_not_there(
    headstart: Command, saved_run: SavedRun, here: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """It is no missing file: the sentence says that nobody answers, without what follows the question mark."""
    pytest.importorskip("aiohttp")
    monkeypatch.setattr("headstart.addresses.retrying.FIRST_PAUSE", 0.001)
    command = [str(saved_run.run) if word == "RUN" else word for word in arguments]
    result = headstart(*command, "http://127.0.0.1:9/a.zip?key=secret")
    assert_explained(result, "http://127.0.0.1:9/a.zip cannot be reached: ")
    assert "secret" not in result.err


def make_zip(path: Path, files: list[str], bad: bool = False) -> Path:
    """A zip of images, and of members that cannot be read or must not be."""
    with zipfile.ZipFile(path, "w") as archive:
        for i, file in enumerate(files):
            archive.write(file, f"folder/{i}.png")
        if bad:
            link = zipfile.ZipInfo("link.png")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "folder/0.png")
            archive.writestr("../out.png", b"evil")
            archive.writestr(".hidden/a.png", b"hidden")
            for name in ("damaged.png", "huge.png", "locked.png"):
                archive.write(files[0], name)
    content = bytearray(path.read_bytes())
    for name, offset, value in ((b"huge.png", 24, b"\xff\xff\xff\x7f"), (b"locked.png", 8, b"\x01\x00")) if bad else ():
        entry = content.rindex(name) - 46  # of the list of members, where sizes and flags are read
        content[entry + offset : entry + offset + len(value)] = value
    if bad:
        content[content.index(b"damaged.png") + 200] ^= 255
    path.write_bytes(content)
    return path


def test_a_zip_is_not_unpacked(headstart: Command, saved_run: SavedRun, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members are read where they are: no temporary folder is made, and the answers are those of the files."""
    files = list(saved_run.labels)[:12]
    make_zip(here / "set.zip", files)
    monkeypatch.setattr(tempfile, "tempdir", str(here / "there is no such folder"))
    result = headstart("predict", saved_run.run, "set.zip", "--format", "jsonl")
    assert result.code == 0, result
    plain = headstart("predict", saved_run.run, *files, "--format", "jsonl")
    answers, wanted = ([json.loads(line) for line in text.splitlines()] for text in (result.out, plain.out))
    assert [answer.pop("path") for answer in answers] == [f"set.zip!folder/{i}.png" for i in range(12)]
    assert answers == [{name: value for name, value in answer.items() if name != "path"} for answer in wanted]


def test_bad_members_are_rows(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """Damaged, encrypted, huge, linked and escaping members are rows with their reason; the others are answered."""
    make_zip(here / "set.zip", list(saved_run.labels)[:2], bad=True)
    result = headstart("predict", saved_run.run, "set.zip", "--output", "out.jsonl")
    assert result.code == 0
    errors = {row["path"].removeprefix("set.zip!"): row.get("error", "") for row in rows_of(here / "out.jsonl")}
    assert set(errors) == {"link.png", "../out.png", "damaged.png", "huge.png", "locked.png", "folder/0.png", "folder/1.png"}
    assert "damaged in the archive" in errors["damaged.png"]
    assert "encrypted" in errors["locked.png"]
    assert "larger than 1 GiB" in errors["huge.png"]
    assert "a link" in errors["link.png"]
    assert "leads out of the archive" in errors["../out.png"]
    assert errors["folder/0.png"] == errors["folder/1.png"] == ""
    before = snapshot(here)
    assert "nothing was done" in headstart("predict", saved_run.run, "set.zip", "--output", "out.jsonl", "--resume").err
    assert snapshot(here) == before


def test_parquet_has_types(headstart: Command, saved_run: SavedRun, doubting_run: Path, odd: Path) -> None:
    """A Parquet file has the CSV's columns and values: numbers, truth values, lists; null for what there is not."""
    (odd / "text.png").write_text("hello")
    for form in ("csv", "parquet"):
        assert headstart("predict", doubting_run, odd, "--output", odd.parent / f"out.{form}").code == 0
    table = pyarrow.parquet.read_table(odd.parent / "out.parquet")
    types = {field.name: field.type for field in table.schema}
    assert types == {
        "path": pyarrow.string(),
        "predicted": pyarrow.string(),
        **{name: pyarrow.float64() for name in ("probability", "p:circles", "p:squares", "p:triangles")},
        "set": pyarrow.list_(pyarrow.string()),
        "unfamiliar": pyarrow.bool_(),
        "error": pyarrow.string(),
    }
    rows, lines = table.to_pylist(), rows_of(odd.parent / "out.csv")
    assert [list(row) for row in rows] == [list(line) for line in lines]
    for row, line in zip(rows, lines, strict=True):
        as_text = {name: "" if value is None else str(value) for name, value in row.items()}
        as_text["set"] = json.dumps(row["set"]) if row["set"] else ""
        as_text["unfamiliar"] = as_text["unfamiliar"].lower()
        assert as_text == line
    failed = next(row for row in rows if row["error"])
    assert {name for name, value in failed.items() if value is not None} == {"path", "error"}
    assert table.column("error").null_count == len(ODD_NAMES)


def test_what_is_written_meanwhile_is_no_input(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """FILE.partial among the files of a list gets no row, whatever a killed run has left; nor does a resumed file."""
    shutil.copy(next(iter(saved_run.labels)), here / "a.png")
    for form in FORMS:
        folder, listed = here / form, here / "list.txt"

        def predict(*options: str, output: Path = folder / f"out.{form}", listed: Path = listed) -> Result:
            files = sorted(path for path in output.parent.rglob("*") if path.is_file())
            listed.write_text("\n".join(map(str, files)), encoding="utf-8")
            return headstart("predict", saved_run.run, "--files-from", listed, "--output", output, *options)

        unfinished(headstart, saved_run, folder / f"out.{form}")
        result = predict("--resume")
        assert result.code == 0, result
        names = {Path(path).name for path in paths_of(folder / f"out.{form}") if Path(path).parent == folder}
        assert names == {"grid.png", "paths.txt"}
        assert "nothing was done" in predict("--resume").err
        assert_explained(predict("--overwrite"), "is one of the input images")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_memory_does_not_grow_with_the_images(saved_run: SavedRun, tmp_path: Path, form: str) -> None:
    """Ten times the images in an archive take some megabytes more, for their names, and not what their answers would."""
    peaks = []
    files = list(saved_run.labels)
    for count in (250, 2_500):
        make_zip(tmp_path / f"{count}.zip", [files[i % len(files)] for i in range(count)])
        command = ["predict", saved_run.run, tmp_path / f"{count}.zip", "--output", tmp_path / f"{count}.{form}"]
        ran = subprocess.run(
            [sys.executable, "-c", PEAK, *map(str, command)], capture_output=True, encoding="utf-8", env=os.environ, check=True
        )
        peaks.append(float(ran.stdout.splitlines()[-1]))
    assert len(rows_of(tmp_path / f"2500.{form}")) == 2_500
    assert peaks[1] - peaks[0] < 20, peaks
