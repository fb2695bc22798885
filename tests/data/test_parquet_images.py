"""Images inside Parquet files: one file or a folder of shards, read in place, with the classes and splits that they name."""

import json
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from data.made_sets import read, zipped
from data.parquet_images import SHAPES, features, picture, pictures, records, write_parquet, write_shards
from headstart.data import parquet_cells
from headstart.data.dataset_cards import class_names_in
from headstart.data.found_images import find_images
from headstart.data.opening import open_sources
from headstart.data.parquet_cells import ParquetCell
from headstart.data.reading import Reading
from headstart.data.sources import Candidate, Sources
from headstart.data.unreadable import UnreadableImage
from headstart.errors import DataError, MissingPackageError

pytest.importorskip("pyarrow")


def labels(sources: Sources) -> list[str | None]:
    return [one.label for one in sources.candidates]


def refused(data: Path, reading: Reading | None = None) -> DataError:
    with pytest.raises(DataError) as told, open_sources(data, reading or Reading()):
        pass
    return told.value


def test_a_folder_of_shards_is_a_data_set(tmp_path: Path) -> None:
    """Classes by the names in the files' metadata, splits by the files' names, and each image is the very bytes of its cell."""
    sources = read(write_shards(tmp_path / "shapes", n_train=20, n_test=6))
    assert sources.name == "shapes" and sources.skipped == ()
    assert sources.notes == ("4 Parquet files, whose images are read in place",)
    assert Counter(one.split for one in sources.candidates) == {"train": 20, "test": 6}
    train = [one for one in sources.candidates if one.split == "train"]
    assert [one.label for one in train] == [SHAPES[i % 3] for i in range(20)]
    assert [one.read() for one in train] == pictures(20)[0]
    file = tmp_path / "shapes" / "data" / "train-00001-of-00002.parquet"
    assert train[-1].path == f"{file}!10/9.png"
    assert isinstance(train[-1].file, ParquetCell) and train[-1].file.name == "9.png"


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train.parquet", "validation.parquet"), {"train", "val"}),
        (("train/0000.parquet", "test/0000.parquet"), {"train", "test"}),
        (("default/train/0000.parquet", "default/dev/0000.parquet"), {"train", "val"}),
        (("data/train-00000-of-00001-a7f3.parquet", "data/test-00000-of-00001-b1.parquet"), {"train", "test"}),
        (("0000.parquet", "0001.parquet"), {None}),
        (("data/train-00000-of-00001.parquet",), {None}),
    ],
)
def test_splits_by_the_names_of_files(tmp_path: Path, names: Sequence[str], splits: set[str | None]) -> None:
    """As the hub's tools call them; a file alone has no split."""
    for number, name in enumerate(names):
        write_parquet(tmp_path / "set" / name, {"image": records(pictures(2, number)[0]), "label": ["a", "b"]})
    assert {one.split for one in read(tmp_path / "set").candidates} == splits


def test_one_file_with_plain_bytes(tmp_path: Path) -> None:
    """A column of bytes that are no text is one of images; label, split and group are what they are in every table."""
    images, _ = pictures(4)
    columns = {"photo": images, "class": list("abab"), "split": ["train"] * 3 + ["val"], "group": ["x", "x", "y", None]}
    sources = read(write_parquet(tmp_path / "one.parquet", columns))
    assert sources.name == "one"
    assert [(one.label, one.split, one.group) for one in sources.candidates] == [
        ("a", "train", "x"),
        ("b", "train", "x"),
        ("a", "train", "y"),
        ("b", "val", None),
    ]
    assert [one.read() for one in sources.candidates] == images
    assert sources.candidates[2].path == f"{tmp_path / 'one.parquet'}!3"


@pytest.mark.parametrize(
    ("column", "about", "card", "found"),
    [
        ([0, 1], None, "", ["0", "1"]),
        ([0, 1], features(label=["cat", "dog"]), "", ["cat", "dog"]),
        ([1, 0], None, "names:\n          '0': cat\n          '1': no", ["no", "cat"]),
        ([1, 0], None, "names: [cat, dog]", ["dog", "cat"]),
        (["x", "y"], features(label=["cat", "dog"]), "", ["x", "y"]),
        ([0, 1], {b"huggingface": b"[1"}, "", ["0", "1"]),
    ],
)
def test_names_of_classes(tmp_path: Path, column: list[Any], about: Any, card: str, found: list[str]) -> None:
    """From the file, else from the README.md of the data set, else the numbers are the names."""
    pytest.importorskip("yaml")
    file = write_parquet(tmp_path / "a.parquet", {"image": records(pictures(2)[0]), "label": column}, about)
    if card:
        start = "---\ndataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n        "
        (tmp_path / "README.md").write_text(f"{start}{card}\n---\n# A set\n".replace(": no", ": 'no'"))
    for data in (file, tmp_path):
        assert labels(read(data)) == found


def test_labels_is_a_usual_name_beside_images(tmp_path: Path) -> None:
    columns = {"img": records(pictures(2)[0]), "labels": [0, 1]}
    assert labels(read(write_parquet(tmp_path / "a.parquet", columns, features(labels=["cat", "dog"])))) == ["cat", "dog"]


def test_a_split_without_labels_is_noted(tmp_path: Path) -> None:
    """`datasets` writes -1 where nobody knows the class, as in many test splits."""
    for split, classes in (("train", [0, 1]), ("test", [-1, -1])):
        columns = {"image": records(pictures(2)[0]), "label": classes}
        write_parquet(tmp_path / f"{split}.parquet", columns, features(label=["cat", "dog"]))
    sources = read(tmp_path)
    assert labels(sources) == ["cat", "dog"]
    assert "test has no labels in test.parquet: its 2 images cannot be used" in sources.notes


def test_a_row_group_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many threads ask for its images; of many groups those used last are kept, and the others are read again."""
    images, classes = pictures(24)
    file = write_parquet(tmp_path / "a.parquet", {"image": records(images), "label": classes}, group=4)
    candidates = read(file).candidates
    unpacked: Counter[int] = Counter()
    real, lock = parquet_cells._unpack, threading.Lock()

    def counted(key: parquet_cells.Key) -> parquet_cells._Unpacked:
        with lock:
            unpacked[key[2]] += 1
        return real(key)

    monkeypatch.setattr(parquet_cells, "_unpack", counted)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(Candidate.read, candidates)) == images
    assert unpacked == dict.fromkeys(range(6), 1)
    monkeypatch.setattr(parquet_cells, "KEPT_BYTES", 5 * sum(map(len, images[:4])) // 2)
    assert candidates[0].read() == images[0]
    folder = parquet_cells._folder(parquet_cells.forks())
    other = read(write_parquet(tmp_path / "b.parquet", {"image": records(images[::-1]), "label": classes}, group=4)).candidates
    assert [one.read() for one in other] == images[::-1]
    assert sum(kept.stat().st_size for kept in folder.iterdir()) <= parquet_cells.KEPT_BYTES
    assert [one.read() for one in candidates] == images
    assert unpacked[5] == 3 and len(list(folder.iterdir())) <= 3


def test_a_changed_file_is_another(tmp_path: Path) -> None:
    """What was unpacked of a file is not taken for its new content, nor is an image's identity the same."""
    images, _ = pictures(4)
    file = write_parquet(tmp_path / "a.parquet", {"image": records(images[:2]), "label": ["a", "b"]})
    before = read(file).candidates[0]
    assert before.read() == images[0]
    write_parquet(file, {"image": records(images[2:]), "label": ["a", "b"], "more": [1, 2]})
    after = read(file).candidates[0]
    assert after.read() == images[2]
    assert isinstance(before.file, ParquetCell) and isinstance(after.file, ParquetCell)
    assert before.file.identity != after.file.identity


def test_what_cannot_be_read_is_a_reason(tmp_path: Path) -> None:
    """An empty cell, a file that is gone: the others are read."""
    images, _ = pictures(3)
    columns = {"image": [*records(images[:2]), {"bytes": None, "path": "3.png"}, None], "label": list("abab")}
    file = write_parquet(tmp_path / "a.parquet", columns)
    candidates = read(file).candidates
    assert [one.read() for one in candidates[:2]] == images[:2]
    for one in candidates[2:]:
        with pytest.raises(UnreadableImage, match="its cell is empty"):
            one.read()
    (tmp_path / "b.parquet").write_bytes(file.read_bytes())
    gone = read(tmp_path / "b.parquet").candidates[0]
    (tmp_path / "b.parquet").unlink()
    with pytest.raises(UnreadableImage, match="its Parquet file does not exist"):
        gone.read()


def test_which_column_is_meant(tmp_path: Path) -> None:
    """Two columns of images are asked about; --path-column answers."""
    left, right = pictures(2)[0], pictures(2, 5)[0]
    file = write_parquet(tmp_path / "a.parquet", {"left": records(left), "right": records(right), "label": ["a", "b"]})
    told = refused(file)
    assert "columns 'left' and 'right': which one is meant?" in told.message and "--path-column" in (told.hint or "")
    with open_sources(file, Reading(path_column="right")) as sources:
        assert [one.read() for one in sources.candidates] == right


def test_images_count_before_the_paths_that_they_once_had(tmp_path: Path) -> None:
    images, _ = pictures(2)
    file = write_parquet(tmp_path / "a.parquet", {"path": ["gone/a.png", "gone/b.png"], "image": images, "label": ["a", "b"]})
    assert [one.read() for one in read(file).candidates] == images


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"photo": [{"x": 1}, {"x": 2}], "label": ["a", "b"]}, "no column path"),
        ({"image": records([b"1", b"2"])}, "no column label"),
        ({"image": records([b"1", b"2"]), "label": [None, None]}, "no label in 2 rows"),
        ({"image": records([b"1", b"2"]), "label": [["a"], ["b"]]}, "'label' of .* holds a list"),
    ],
)
def test_refusals(tmp_path: Path, made: dict[str, list[Any]], told: str) -> None:
    with pytest.raises(DataError, match=told):
        read(write_parquet(tmp_path / "a.parquet", made))


def test_a_class_without_a_name(tmp_path: Path) -> None:
    columns = {"image": records(pictures(2)[0]), "label": [0, 7]}
    file = write_parquet(tmp_path / "a.parquet", columns, features(label=["cat", "dog"]))
    assert "has the class 7, but names only 2" in refused(file).message


def test_several_data_sets_beside_each_other(tmp_path: Path) -> None:
    """Configurations, as the hub calls them: one has to be chosen, and each is a data set."""
    for name in ("small", "large"):
        for split in ("train", "test"):
            columns = {"image": records(pictures(2)[0]), "label": ["a", "b"]}
            write_parquet(tmp_path / "set" / name / f"{split}-00000-of-00001.parquet", columns)
    told = refused(tmp_path / "set")
    assert "set holds 2 data sets of Parquet files: large, small" in told.message
    assert told.hint == f"give one of them, such as {tmp_path / 'set'}/large"
    assert len(read(tmp_path / "set" / "large").candidates) == 4


def test_a_file_outside_the_splits(tmp_path: Path) -> None:
    for name in ("train", "test", "extra"):
        write_parquet(tmp_path / f"{name}.parquet", {"image": records(pictures(2)[0]), "label": ["a", "b"]})
    assert "has splits, but extra.parquet is in none" in refused(tmp_path).message


def test_in_an_archive(tmp_path: Path) -> None:
    """They are unpacked with it, and called after it."""
    write_shards(tmp_path / "shapes", n_train=6, n_test=4)
    archive = zipped(tmp_path / "shapes", tmp_path / "set.zip")
    with open_sources(archive) as sources:
        assert len(sources.candidates) == 10
        assert sources.candidates[0].path == f"{archive}!data/test-00000-of-00002.parquet!1/0.png"
        assert sources.candidates[0].read() == picture("squares", 1000)


def test_boxes_in_the_pictures_of_a_column(tmp_path: Path) -> None:
    columns = {"image": pictures(2)[0], "label": ["a", "b"], "x": [1, 2], "y": [3, 4], "w": [20, 20], "h": [30, 30]}
    sources = read(write_parquet(tmp_path / "a.parquet", columns))
    assert sources.has_boxes
    assert [str(one.box) for one in sources.candidates] == ["1,3,20,30", "2,4,20,30"]
    assert sources.candidates[0].read().endswith(picture("circles", 0))


def test_images_to_be_classified(tmp_path: Path) -> None:
    """predict takes such a file, or a folder of them; labels need not be there."""
    images, _ = pictures(3)
    write_parquet(tmp_path / "set" / "a.parquet", {"image": images, "other": [[1], [2], [3]]})
    for given in (tmp_path / "set", tmp_path / "set" / "a.parquet"):
        with ExitStack() as stack:
            found = find_images(stack, [given])
            assert [one.read() for one in found.candidates] == images


def test_a_table_of_paths_stays_one(tmp_path: Path) -> None:
    """Bytes that are text are text, as other tools write it."""
    (tmp_path / "a.png").write_bytes(picture("circles", 0))
    (tmp_path / "b.png").write_bytes(picture("circles", 1))
    sources = read(write_parquet(tmp_path / "t.parquet", {"path": [b"a.png", b"b.png"], "label": ["x", "y"]}))
    assert [one.file for one in sources.candidates] == [tmp_path / "a.png", tmp_path / "b.png"]


CARD = """---
dataset_info:
- config_name: one
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '1': dog
          '0': cat
- config_name: two
  features:
  - name: label
    dtype:
      class_label:
        names:
          '0': {first}
          '1': dog
---
# text
"""


NAMES = {"names": ["cat", "dog", "owl"], "_type": "ClassLabel"}


@pytest.mark.parametrize("kind", [{"feature": NAMES, "_type": "Sequence"}, {"feature": NAMES, "_type": "List"}, [NAMES], None])
def test_several_labels_by_number(tmp_path: Path, kind: Any) -> None:
    """Lists of the numbers of classes, which the file names, or else the data set's card."""
    about = {b"huggingface": json.dumps({"info": {"features": {"labels": kind}}}).encode()} if kind else None
    columns = {"image": records(pictures(3)[0]), "labels": [[1, 0], [], [2, -1]]}
    file = write_parquet(tmp_path / "train.parquet", columns, about)
    if kind is None:
        pytest.importorskip("yaml")
        names = "names: [cat, dog, owl]"
        card = f"---\ndataset_info:\n  features:\n  - name: labels\n    sequence:\n      class_label:\n        {names}\n---\n"
        (tmp_path / "README.md").write_text(card)
    with open_sources(file, Reading(several=True)) as sources:
        assert [one.label for one in sources.candidates] == ["cat|dog", "|", "owl"]


def test_a_card_names_classes() -> None:
    pytest.importorskip("yaml")
    assert class_names_in(CARD.format(first="cat"), "label") == ("cat", "dog")
    assert class_names_in(CARD.format(first="cat"), "image") == ()
    with pytest.raises(DataError, match="several ways"):
        class_names_in(CARD.format(first="cow"), "label")
    with pytest.raises(DataError, match="not YAML"):
        class_names_in("---\nclass_label: [\n---\n", "label")
    assert class_names_in("# no front matter with class_label", "label") == ()
    assert class_names_in("", "label") == ()


def test_a_card_that_cannot_be_read_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(MissingPackageError) as told:
        class_names_in(CARD.format(first="cat"), "label")
    assert told.value.hint == "pip install 'headstart[hub]'"
    assert class_names_in("---\nlicense: mit\n---\n", "label") == ()


def test_a_column_for_each_label_beside_images(tmp_path: Path) -> None:
    """Several labels need no column of that name, also where the images are in the file."""
    columns = {"image": records(pictures(4)[0]), "cat": [1, 0, 1, None], "dog": [False, True, True, True]}
    file = write_parquet(tmp_path / "pets.parquet", columns)
    with open_sources(file, Reading(several=True)) as sources:
        assert labels(sources) == ["cat", "dog", "cat|dog", "dog|?cat"]
