"""DATA = hf://datasets/..., against a hub on the loopback: the same numbers as from the same files on this machine."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY
from data.parquet_images import SHAPES, pictures, records, write_parquet, write_shards
from hub_server import OWNER, Hub, hugging_face_hub

from apps.conftest import Result, assert_explained

pytest.importorskip("huggingface_hub")
pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.process, pytest.mark.slow]
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with hugging_face_hub() as made:
        yield made


@pytest.fixture
def ask(process: Command, hub: Hub, tmp_path: Path) -> Command:
    """The command in a process that knows the hub; nothing is written into the user's folder."""

    def call(*arguments: object, token: str = OWNER) -> Result:
        result = process(*arguments, **{"HOME": str(tmp_path / "user"), "XDG_CACHE_HOME": ""} | hub.environment(token))
        assert not (tmp_path / "user").exists(), "something was written into the user's folder"
        return result

    return call


@pytest.fixture
def train(ask: Command, tiny_weights: Path, tmp_path: Path) -> Callable[[object], Path]:
    """Trains a probe of the tiny backbone on DATA, and returns the run."""

    def call(data: object) -> Path:
        run = tmp_path / "runs" / str(len(list(tmp_path.glob("runs/*"))))
        options = ("--backbone", TINY, "--weights", tiny_weights, "--strategy", "probe", "--effort", "quick", "--output", run)
        result = ask("train", data, *options)
        assert result.code == 0, result.err
        return run

    return call


def answers(run: Path) -> list[list[str]]:
    """predictions.csv without the paths."""
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as lines:
        return [row[1:] for row in csv.reader(lines)]


def test_shards_with_images_inside(train: Callable[[object], Path], ask: Command, hub: Hub, tmp_path: Path) -> None:
    """Classes, splits and every answer are those of the files here; of the shards is read what is needed."""
    folder = write_shards(tmp_path / "shapes")
    hub.page = 2  # of a listing
    hub.put_folder(folder, "ann/shapes", "dataset")
    there, here = train("hf://datasets/ann/shapes"), train(folder)
    hub.page = 1000
    assert answers(there) == answers(here)
    found = json.loads((there / "metrics.json").read_text(encoding="utf-8"))
    assert (found["classes"], found["evaluation"]["split"]) == (list(SHAPES), "test")
    assert (found["images"]["train"], found["images"]["test"]) == (24, 9)
    first = (there / "predictions.csv").read_text(encoding="utf-8").splitlines()[1]
    assert first.startswith("hf://datasets/ann/shapes/data/test-00000-of-00002.parquet!1/0.png,")
    hub.failing = [503]
    told = ask("predict", there, "hf://datasets/ann/shapes@main/data/test-00001-of-00002.parquet", "--format", "csv")
    assert (told.code, len(told.out.splitlines())) == (0, 6)
    assert hub.failing == []


def test_a_column_is_read_without_its_neighbours(ask: Command, hub: Hub, tmp_path: Path) -> None:
    """Two columns of images in one file: the bytes of the one that nobody asked for stay where they are."""
    left = pictures(12)[0]
    right = [b"\x89" + np.random.default_rng(i).bytes(300_000) for i in range(12)]
    file = write_parquet(
        tmp_path / "set" / "a.parquet", {"left": records(left), "right": records(right), "label": list("ab") * 6}
    )
    hub.put_folder(file.parent, "ann/two", "dataset")
    hub.served = 0
    told = ask("preview", "hf://datasets/ann/two", "--path-column", "left", "--output", tmp_path / "p.png")
    assert told.code == 0, told.err
    assert hub.served < 1_500_000


def test_the_copy_that_the_hub_s_viewer_makes(ask: Command, hub: Hub, tmp_path: Path) -> None:
    """It is on a branch with slashes in its name, in folders called after the configuration and the split."""
    files = {}
    for split in ("train", "test"):
        columns = {"image": records(pictures(3)[0]), "label": list("abc")}
        name = f"default/{split}/0000.parquet"
        files[name] = write_parquet(tmp_path / "made" / name, columns).read_bytes()
    hub.put("ann/viewed", {"README.md": b"# viewed"}, "dataset").commit(files, branch="refs/convert/parquet")
    told = ask("preview", "hf://datasets/ann/viewed@refs/convert/parquet/default", "--output", tmp_path / "p.png")
    assert (told.code, told.err) == (0, "")
    assert (tmp_path / "p.png").is_file()
    assert any("/resolve/refs%2Fconvert%2Fparquet/default/test/0000.parquet" in asked for asked in hub.asked)


def test_class_folders_and_metadata(train: Callable[[object], Path], hub: Hub, draw_classes: Callable[..., Path]) -> None:
    """Folders of images: the classes are those of the folders, or of a metadata.csv where all lie in one."""
    folder = draw_classes({"circles": 9, "squares": 9})
    (folder / "README.md").write_text("# shapes\n")
    hub.put_folder(folder, "ann/folders", "dataset")
    files = {file: f"train/{file.name}" for file in sorted(folder.rglob("*.png"))}
    table = "file_name,label\n" + "".join(f"{file.name},{file.parent.name}\n" for file in files)
    hub.put(
        "ann/listed",
        {name: file.read_bytes() for file, name in files.items()} | {"train/metadata.csv": table.encode()},
        "dataset",
    )
    by_folder = train("hf://datasets/ann/folders")
    assert len({len(answers(run)) for run in (by_folder, train(folder), train("hf://datasets/ann/listed"))}) == 1
    assert answers(by_folder) == answers(train(folder))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("hf://datasets/ann/none", ("there is nothing at hf://datasets/ann/none", "if it is private, log in")),
        ("hf://datasets/ann/text@v7", ("there is no such revision: hf://datasets/ann/text@v7",)),
        ("hf://datasets/ann/text", ("hf://datasets/ann/text",)),
        ("hf://datasets/ann/configs", ("holds 2 data sets of Parquet files: a, b", "hf://datasets/ann/configs/a")),
    ],
)
def test_refusals(ask: Command, hub: Hub, tmp_path: Path, address: str, words: tuple[str, ...]) -> None:
    hub.put("ann/text", {"README.md": b"# text"}, "dataset")
    for name in "ab":
        columns = {"image": records(pictures(2)[0]), "label": ["a", "b"]}
        write_parquet(tmp_path / "configs" / name / "train-00000-of-00001.parquet", columns)
    hub.put_folder(tmp_path / "configs", "ann/configs", "dataset")
    assert_explained(ask("preview", address, "--output", tmp_path / "p.png"), *words)
