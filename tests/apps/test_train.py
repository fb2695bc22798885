"""`headstart train`: one command from a folder to a model, its numbers and its pictures; or one sentence that says why not."""

import json
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, SavedRun

from apps.conftest import Result, assert_explained, snapshot

Command = Callable[..., Result]
Draw = Callable[..., Path]

KEYS = {
    "format": int,
    "strategy": str,
    "requested": str,
    "recipe": str,
    "backbone": dict,
    "classes": list,
    "images": dict,
    "evaluation": dict,
    "seconds": dict,
    "peak_rss_mb": float,
    "interrupted": bool,
    "run": str,
    "model": str,
}
CLASS_KEYS = {"class", "n", "precision", "precision_ci95", "recall", "recall_ci95", "f1", "f1_ci95"}
EVALUATION_KEYS = {"split", "n", "selected_on", "accuracy", "accuracy_ci95", "macro_f1", "log_loss", "ece", "per_class"}


def only_json(result: Result) -> dict[str, Any]:
    """The one JSON object that stdout is."""
    assert result.code == 0, result
    assert result.out.count("\n") == 1 and result.out.endswith("\n")
    values: dict[str, Any] = json.loads(result.out)
    return values


def without_times(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics without what may differ between two equal runs: times, paths, memory."""
    return {name: value for name, value in metrics.items() if name not in ("seconds", "peak_rss_mb", "run", "model")}


@pytest.mark.slow
def test_the_default_backbone_in_a_process_of_its_own(process: Command, draw_classes: Draw, tmp_path: Path) -> None:
    """`train FOLDER --json` prints metrics.json as one object on stdout, all else on stderr, and fills runs/NAME-probe-1."""
    data = draw_classes({"circles": 8, "squares": 8, "triangles": 8}, "Meine Förmchen 🙂")
    before = snapshot(data)
    metrics = only_json(process("train", data, "--json", "--report"))
    run = tmp_path / "runs" / "Meine_Förmchen-probe-1"
    assert metrics["run"] == run.relative_to(tmp_path).as_posix()
    assert metrics == json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["backbone"]["name"] == "efficientnet_lite0"
    assert metrics["evaluation"]["accuracy"] >= 5 / 6  # drawn shapes of three colours
    assert metrics["seconds"]["total"] > 0
    assert snapshot(data) == before
    found = sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    tables = ["history.csv", "metrics.json", "predictions.csv", "report.html", "skipped.csv"]
    assert [name for name in found if not name.startswith("figures/")] == sorted(
        ["model/README.md", "model/familiarity.safetensors", "model/manifest.json", "model/weights.safetensors", *tables]
    )
    assert {"figures/confusion.png", "figures/samples.png"} <= set(found)


def test_json_alone_draws_nothing(quick: Command, draw_classes: Draw, here: Path) -> None:
    """With --json and without --report there are no pictures; the report says so, and all other files are there."""
    data = draw_classes({"circles": 6, "squares": 6})
    only_json(quick(data, "--json", "--output", "plain"))
    only_json(quick(data, "--json", "--report", "--output", "drawn"))
    plain, drawn = ({p.relative_to(here / run).as_posix() for p in (here / run).rglob("*.*")} for run in ("plain", "drawn"))
    assert drawn - plain == {name for name in drawn if name.startswith("figures/")} != set()
    reports = [(here / run / "report.html").read_text(encoding="utf-8") for run in ("plain", "drawn")]
    assert ["<img" in report for report in reports] == [False, True]
    assert ["made without pictures" in report for report in reports] == [True, False]


def test_json_keys(quick: Command, draw_classes: Draw, here: Path) -> None:
    """The JSON object has the contract's keys and kinds of values, down to each class."""
    data = draw_classes({"circles": 6, "squares": 6})
    metrics = only_json(quick(data, "--json"))
    assert {name: type(metrics[name]) for name in KEYS} == KEYS
    assert metrics["format"] == 1
    assert (metrics["strategy"], metrics["requested"], metrics["recipe"]) == ("probe", "auto", "default")
    assert set(metrics["backbone"]) == {"name", "weights_sha256"}
    assert metrics["classes"] == ["circles", "squares"]
    assert metrics["images"] == {"train": 10, "val": 2, "test": 0, "skipped": 0}
    evaluation = metrics["evaluation"]
    assert set(evaluation) >= EVALUATION_KEYS
    assert (evaluation["split"], evaluation["n"], evaluation["selected_on"]) == ("val", 2, False)
    low, high = evaluation["accuracy_ci95"]
    assert 0 <= low <= evaluation["accuracy"] <= high <= 1
    assert [entry["class"] for entry in evaluation["per_class"]] == ["circles", "squares"]
    assert all(set(entry) == CLASS_KEYS for entry in evaluation["per_class"])
    assert metrics["interrupted"] is False
    assert Path(metrics["model"]).joinpath("manifest.json").is_file()


def test_without_json(quick: Command, draw_classes: Draw, here: Path) -> None:
    """Without --json, stdout is the claim in one sentence, where report and model are, and the command to type next."""
    result = quick(draw_classes({"circles": 5, "squares": 5}), "--output", here / "my run")
    assert result.code == 0
    first, *lines = result.out.splitlines()
    assert "2 validation images are classified correctly (too few for an interval" in first
    assert [line.split()[0] for line in lines] == ["report", "model", "next"]
    assert f"headstart predict '{here / 'my run'}' IMAGE..." in result.out
    assert (here / "my run" / "report.html").is_file()


def test_quiet(quick: Command, draw_classes: Draw, here: Path) -> None:
    """--quiet prints nothing where all goes well; the run folder is there all the same."""
    assert quick(draw_classes({"circles": 5, "squares": 5}), "--quiet", "--output", "r") == Result(0, "", "")
    assert (here / "r" / "metrics.json").is_file()


def test_skipped_files_are_told(quick: Command, draw_classes: Draw, here: Path) -> None:
    """Files that cannot be used are counted in the JSON, told on stderr, and listed with reasons in skipped.csv."""
    data = draw_classes({"circles": 5, "squares": 5})
    (data / "circles" / "text.jpg").write_text("hello")
    (data / "squares" / "empty.png").touch()
    (data / ".ipynb_checkpoints").mkdir()
    result = quick(data, "--json", "--output", "r")
    assert only_json(result)["images"]["skipped"] == 2
    assert only_json(result)["classes"] == ["circles", "squares"]
    assert "2 files were skipped" in result.err
    assert "skipped.csv" in result.err
    table = (here / "r" / "skipped.csv").read_text(encoding="utf-8")
    assert 'text.jpg,"a text file, not an image"' in table
    assert "empty.png,the file is empty" in table


def test_runs_are_numbered(quick: Command, draw_classes: Draw, here: Path) -> None:
    """A second run does not touch the first: it gets the next number."""
    data = draw_classes({"circles": 5, "squares": 5})
    first = only_json(quick(data, "--json"))
    before = snapshot(here / first["run"])
    assert only_json(quick(data, "--json"))["run"] == "runs/shapes-probe-2"
    assert snapshot(here / first["run"]) == before


def test_the_same_seed_gives_the_same_metrics(quick: Command, draw_classes: Draw, here: Path) -> None:
    """Two runs with one seed differ in times, paths and memory alone; their pictures and predictions are the same bytes."""
    data = draw_classes({"circles": 8, "squares": 8})
    first, second = (only_json(quick(data, "--json", "--report", "--seed", 3, "--output", name)) for name in ("a", "b"))
    assert without_times(first) == without_times(second)
    for name in ("predictions.csv", "history.csv", "figures/confusion.png", "figures/samples.png", "model/weights.safetensors"):
        assert (here / "a" / name).read_bytes() == (here / "b" / name).read_bytes(), name


def test_another_seed_splits_anew(quick: Command, draw_classes: Draw, here: Path) -> None:
    """Another seed holds out other images."""
    data = draw_classes({"circles": 10, "squares": 10})
    for seed in (0, 1):
        quick(data, "--seed", seed, "--output", f"run{seed}")
    tables = [(here / f"run{seed}" / "predictions.csv").read_text(encoding="utf-8").splitlines() for seed in (0, 1)]
    assert {line.split(",")[0] for line in tables[0]} != {line.split(",")[0] for line in tables[1]}


@pytest.mark.parametrize("form", ["zip", "csv", "splits"])
def test_forms_of_data(quick: Command, draw_classes: Draw, here: Path, form: str) -> None:
    """An archive, a table and split folders are trained on as they are, and nothing in them changes."""
    folder = draw_classes({"circles": 6, "squares": 6}, "all/train" if form == "splits" else "all")
    data: Path = here.parent / "all"
    if form == "zip":
        data = here / "set ä.zip"
        with zipfile.ZipFile(data, "w") as archive:
            for file in sorted(folder.rglob("*.png")):
                archive.write(file, file.relative_to(folder))
    elif form == "csv":
        data = folder / "labels.csv"
        rows = [f"{file.relative_to(folder).as_posix()},{file.parent.name}" for file in sorted(folder.rglob("*.png"))]
        data.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    else:
        draw_classes({"circles": 3, "squares": 3}, "all/val")
        draw_classes({"circles": 2, "squares": 2}, "all/test")
    before = snapshot(folder.parent), data.read_bytes() if data.is_file() else b""
    metrics = only_json(quick(data, "--json", "--output", here / "run"))
    expected = {"splits": {"train": 12, "val": 6, "test": 4, "skipped": 0}}
    assert metrics["images"] == expected.get(form, {"train": 10, "val": 2, "test": 0, "skipped": 0})
    assert metrics["evaluation"]["split"] == ("test" if form == "splits" else "val")
    after = snapshot(folder.parent), data.read_bytes() if data.is_file() else b""
    assert {k: v for k, v in after[0].items() if not k.startswith("here")} == {
        k: v for k, v in before[0].items() if not k.startswith("here")
    }
    assert after[1] == before[1]
    if form == "zip":
        predictions = (here / "run" / "predictions.csv").read_text(encoding="utf-8").splitlines()
        assert all(line.startswith(f"{data}!") for line in predictions[1:])


@pytest.mark.slow
def test_finetune(quick: Command, draw_classes: Draw, here: Path) -> None:
    """Fine-tuning writes a history of every epoch, draws its curves, and says that its number was selected on."""
    data = draw_classes({"circles": 10, "squares": 10})
    metrics = only_json(quick(data, "--strategy", "finetune", "--epochs", 2, "--json", "--report", "--output", "r"))
    assert metrics["evaluation"]["selected_on"] is True
    history = (here / "r" / "history.csv").read_text(encoding="utf-8").splitlines()
    assert history[0] == "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy,seconds"
    assert [row.split(",")[0] for row in history[1:]] == ["0", "1", "2"]
    assert (here / "r" / "figures" / "history.png").is_file()
    assert not (here / "r" / "checkpoints").exists()


def test_settings_without_effect_are_told(quick: Command, draw_classes: Draw, here: Path) -> None:
    """A setting that a probe has no use for is told, not silently dropped."""
    result = quick(draw_classes({"circles": 5, "squares": 5}), "--epochs", 3, "--output", "r")
    assert "--epochs has no effect" in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--val-fraction", "2"], ["--val-fraction cannot be 2"]),
        (["--val-fraction", "-0.1"], ["--val-fraction"]),
        (["--val-fraction", "nan"], ["--val-fraction"]),
        (["--epochs", "0"], ["--epochs cannot be 0", "greater than or equal to 1"]),
        (["--learning-rate", "0"], ["--learning-rate"]),
        (["--learning-rate", "inf"], ["--learning-rate"]),
        (["--batch-size", "0"], ["--batch-size"]),
        (["--image-size", "7"], ["--image-size"]),
        (["--freeze", "-1"], ["--freeze"]),
        (["--workers", "0"], ["--workers"]),
        (["--seed", "-1"], ["--seed"]),
        (["--seed", "99999999999"], ["--seed"]),
        (["--device", "cuda:99"], ["device 'cuda:99' is not available", "--device cpu"]),
        (["--device", "toaster"], ["--device cannot be 'toaster'", "cpu"]),
        (["--backbone", "efficentnet_lite0"], ["efficentnet_lite0", "did you mean efficientnet_lite0?"]),
        (["--backbone", ""], ["--backbone"]),
        (["--backbone", "timm/"], ["no backbone called 'timm/'"]),
        (["--backbone", "timm/no_such_net"], ["no_such_net"]),
        (["--backbone", "resnet18", "--offline"], ["--weights", "package", "cache", "--fetch"]),
        (["--weights", "missing.pth"], ["no weights file missing.pth"]),
        (["--weights", "text.pth"], ["text.pth"]),
        (["--weights", "text.safetensors"], ["text.safetensors", "cannot be read"]),
        (["--val", "nowhere"], ["nowhere"]),
        (["--test", "nowhere"], ["nowhere"]),
        (["--strategy", "finetune", "--val-fraction", "0"], ["val"]),
        (["--resume", "nowhere"], ["no run nowhere to resume"]),
        (["--output", "a file"], ["exists and is not a run"]),
        (["--output", "a file/run"], ["cannot be created"]),
        (["--output", "a folder"], ["exists and is not a run"]),
        (["--output", "a folder", "--overwrite"], ["exists and is not a run"]),
    ],
    ids=" ".join,
)
def test_bad_settings(headstart: Command, draw_classes: Draw, here: Path, arguments: list[str], words: list[str]) -> None:
    """A setting that cannot be used: a sentence that names it and a hint, exit code 1; no file is made or changed."""
    data = draw_classes({"circles": 5, "squares": 5})
    for name in ("text.pth", "text.safetensors", "a file"):
        (here / name).write_text("hello")
    (here / "a folder").mkdir()
    (here / "a folder" / "thesis.txt").write_text("years of work")
    before = {name: value for name, value in snapshot(here).items() if name != "runs"}
    assert_explained(headstart("train", data, *arguments), *words)
    assert {name: value for name, value in snapshot(here).items() if name != "runs"} == before


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has CUDA")
def test_cuda_where_there_is_none(headstart: Command, draw_classes: Draw, here: Path) -> None:
    """--device cuda on a machine without CUDA is a sentence, not an assertion of torch."""
    data = draw_classes({"circles": 5, "squares": 5})
    assert_explained(headstart("train", data, "--device", "cuda"), "device 'cuda' is not available", "--device cpu")


def test_without_data(headstart: Command) -> None:
    """`headstart train` alone is a usage error that says what is missing and what to type."""
    result = headstart("train")
    assert (result.code, result.out) == (2, "")
    assert "Invalid value for DATA: give the images to train on" in result.err
    assert "headstart train FOLDER" in result.err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize(
    ("event", "word"),
    [
        ("import", "headstart.runs.training"),
        ("import", "torch.nn.functional"),
        ("import", "timm.models"),
        ("open", "circles-0.png"),
        ("open", "circles-30.png"),
    ],
)
def test_interrupted(event: str, word: str, signalled: Command, draw_classes: Draw, tmp_path: Path, tiny_weights: Path) -> None:
    """Ctrl-C before an epoch is finished, also in the middle of an import: 130, one word, no traceback, no half run."""
    data = draw_classes({"circles": 40, "squares": 40})
    options = ["--strategy", "finetune", "--backbone", TINY, "--weights", tiny_weights, "--json", "--output", tmp_path / "r"]
    result = signalled("SIGINT", event, word, 1, "train", data, *options)
    assert (result.code, result.out) == (130, ""), result
    assert result.err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in result.err
    assert list(tmp_path.glob("r*")) == []


@pytest.mark.parametrize("strategy", ["probe", "finetune"])
def test_a_full_disk_is_a_sentence(
    headstart: Callable[..., Result], saved_run: SavedRun, tiny_weights: Path, small_disk: Path, strategy: str
) -> None:
    """If the disk is full when the model or a checkpoint is written, the error names the file and says to free space."""
    tiny = ("--backbone", TINY, "--weights", tiny_weights, "--image-size", 64)
    result = headstart("train", saved_run.data, "--strategy", strategy, "--epochs", 1, *tiny, "--output", small_disk / "run")
    assert result.code == 1
    assert ".safetensors: No space left on device" in result.err and "free some space" in result.err


def test_the_classes_are_told_before_training(quick: Command, draw_classes: Draw, tmp_path: Path) -> None:
    """The first line of a run names the classes with their files, split by split; --quiet leaves it out, a refusal does not."""
    draw_classes({"circles": 6, "squares": 5}, "set/seg_train")
    data = draw_classes({"circles": 3, "squares": 2}, "set/seg_test").parent
    told = "note: 2 classes in 16 files (train/test): circles 6/3, squares 5/2"
    done = quick(data, "--strategy", "probe", "--output", tmp_path / "run")
    assert done.code == 0 and done.err.splitlines()[0] == told
    assert "circles 6 3 squares 5 2" in " ".join(
        re.sub("<[^>]*>", " ", (tmp_path / "run" / "report.html").read_text("utf-8")).split()
    )
    assert quick(data, "--strategy", "probe", "--output", tmp_path / "quiet", "--quiet").err == ""
    refused = quick(draw_classes({"circles": 3}, "one"), "--output", tmp_path / "none")
    assert refused.err.splitlines()[:2] == [
        "note: 1 class in 3 files: circles 3",
        "error: there is only one class, 'circles'; a classifier needs two or more",
    ]


def test_an_unlabelled_test_is_told(quick: Command, draw_classes: Draw, tmp_path: Path) -> None:
    """Images of test without class folders do not stop the run: a note says that they have no labels."""
    data = draw_classes({"circles": 10, "squares": 10}, "set/train").parent
    draw_classes({"circles": 3}, "set").joinpath("circles").rename(data / "test")
    done = quick(data, "--strategy", "probe", "--output", tmp_path / "run")
    assert done.code == 0
    assert "note: test/ has no class folders: its 3 files have no labels and cannot be used" in done.err


def test_join_case(quick: Command, headstart: Command, draw_classes: Draw, tmp_path: Path) -> None:
    """Classes in two spellings are one where the owner says so, and evaluate matches the labels of that model alike."""
    draw_classes({"circles": 9, "squares": 9}, "set/train")
    data = draw_classes({"circles": 4, "squares": 4}, "set/val").parent
    (data / "val" / "circles").rename(data / "val" / "Circles ")
    refused = quick(data, "--strategy", "probe", "--output", tmp_path / "run")
    assert "pass --join-case" in refused.err
    done = quick(data, "--strategy", "probe", "--join-case", "--output", tmp_path / "run", "--json")
    assert only_json(done)["classes"] == ["circles", "squares"]
    evaluated = headstart("evaluate", tmp_path / "run", data, "--split", "val", "--json")
    assert only_json(evaluated)["evaluation"]["n"] == 8
    other = quick(data / "train", "--strategy", "probe", "--output", tmp_path / "other")
    assert other.code == 0
    for options, n in ((), 4), (("--join-case",), 8):
        evaluated = headstart("evaluate", tmp_path / "other", data, "--split", "val", "--json", *options)
        assert only_json(evaluated)["evaluation"]["n"] == n


def test_columns_of_a_table(quick: Command, headstart: Command, draw_classes: Draw, tmp_path: Path) -> None:
    """--path-column and --label-column name the columns for every command that reads a table."""
    data = draw_classes({"circles": 9, "squares": 9})
    table = data / "table.csv"
    rows = (f"{file.relative_to(data).as_posix()},{file.parent.name},7" for file in sorted(data.rglob("*.png")))
    table.write_text("\n".join(["photo,shape,label", *rows]), encoding="utf-8")
    columns = ("--path-column", "photo", "--label-column", "shape")
    done = quick(table, "--strategy", "probe", "--output", tmp_path / "run", "--json", *columns)
    assert only_json(done)["classes"] == ["circles", "squares"]
    assert only_json(headstart("evaluate", tmp_path / "run", table, "--json", *columns))["evaluation"]["n"] == 18
    assert headstart("preview", table, "--output", tmp_path / "p.png", *columns).code == 0
    assert_explained(headstart("evaluate", tmp_path / "run", table), "has no column path", "--path-column NAME")
    assert_explained(headstart("evaluate", tmp_path / "run", data, *columns), "is for tables")
