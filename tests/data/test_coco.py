"""COCO files: each annotation's box is an image of its category."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.drawn_boxes import coco_of, draw_pictures, write_coco
from headstart.data.opening import boxes_named_in, open_sources
from headstart.data.reading import Reading
from headstart.data.sources import Sources
from headstart.errors import DataError

Content = dict[str, list[dict[str, Any]]]


def read(file: Path, **reading: Any) -> Sources:
    with open_sources(file, Reading(**reading)) as sources:
        return sources


@pytest.fixture
def coco(tmp_path: Path) -> Content:
    """Two pictures with three boxes each."""
    return coco_of(draw_pictures(tmp_path, 2))  # type: ignore[return-value]


def refused(tmp_path: Path, content: object) -> DataError:
    with pytest.raises(DataError) as caught:
        read(write_coco(tmp_path / "c.json", content))
    assert caught.value.hint
    return caught.value


def test_each_box_is_an_image(tmp_path: Path, coco: Content) -> None:
    """Labels are the categories' names, and the group of a box is its picture."""
    sources = read(write_coco(tmp_path / "c.json", coco))
    found = [(Path(one.path).name, one.label, Path(one.group or "").name) for one in sources.candidates]
    names = {category["id"]: category["name"] for category in coco["categories"]}
    assert found == [
        (f"p00{i // 3}.png#{','.join(map(str, one['bbox']))}", names[one["category_id"]], f"p00{i // 3}.png")
        for i, one in enumerate(coco["annotations"])
    ]
    assert "6 images of c.json are boxes (bbox, in pixels) in 2 pictures" in sources.notes[-1]


@pytest.mark.parametrize("pictures", ["val2017", "images/val2017", "images"])
def test_the_layout_of_coco(tmp_path: Path, pictures: str) -> None:
    """Pictures are found beside the folder annotations; where others have the same names, the file's name says which."""
    rows = draw_pictures(tmp_path / pictures, 2)
    if pictures != "images":
        draw_pictures((tmp_path / pictures).parent / "train2017", 2)
    sources = read(write_coco(tmp_path / "annotations" / "instances_val2017.json", coco_of(rows)))
    assert len(sources.candidates) == 6
    assert all(one.read() for one in sources.candidates)
    assert Path(sources.candidates[0].path).parent == tmp_path / pictures


def test_same_names_in_two_folders(tmp_path: Path) -> None:
    """Where nothing says which of two folders is meant, none is taken."""
    rows = draw_pictures(tmp_path / "a", 2)
    draw_pictures(tmp_path / "b", 2)
    assert "which are meant" in refused(tmp_path, coco_of(rows)).message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"iscrowd": 1}, "a crowd"),
        ({"category_id": 99}, "no category with its category_id, 99"),
        ({"category_id": [1]}, "no category"),
        ({"image_id": {"a": 1}}, "no image with its image_id"),
        ({"image_id": None}, "no image"),
        ({"bbox": [1, 2, 3]}, "its bbox is not four numbers"),
        ({"bbox": [1, 2, 3, "4"]}, "not four numbers"),
        ({"bbox": [1, 2, 3, True]}, "not four numbers"),
        ({"bbox": [1, 2, 3, float("nan")]}, "not four numbers"),
        ({"bbox": [1, 2, 3, float("inf")]}, "not four numbers"),
        ({"bbox": [1, 2, 3, 10**400]}, "not four numbers"),
        ({"bbox": None}, "not four numbers"),
        ({"bbox": [1, 2, 0, 4]}, "its box is empty"),
        ({"bbox": [1, 2, -3, 4]}, "its box is empty"),
    ],
)
def test_annotations_that_cannot_be_used(tmp_path: Path, coco: Content, change: dict[str, Any], reason: str) -> None:
    """They are left out one by one, with the reason and their id; the others are read."""
    coco["annotations"][1] |= change
    sources = read(write_coco(tmp_path / "c.json", coco))
    assert len(sources.candidates) == 5
    (entry,) = sources.skipped
    assert reason in entry.reason
    assert "annotation 2" in entry.path + entry.reason


@pytest.mark.parametrize("what", [7, "text", None, [1], {}])
def test_annotations_of_no_kind(tmp_path: Path, coco: Content, what: Any) -> None:
    """An entry that is no annotation at all is left out as well."""
    coco["annotations"].append(what)
    assert len(read(write_coco(tmp_path / "c.json", coco)).candidates) == 6


def _nested(n: int) -> str:
    return "[" * n + "]" * n


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda c: {"images": c["images"]}, "no list annotations and no list categories"),
        (lambda c: {**c, "annotations": {}}, "no list annotations"),
        (lambda c: [c], "no list images"),
        (lambda c: {**c, "annotations": []}, "no annotation that can be used, of 0"),
        (
            lambda c: {**c, "annotations": [{"caption": "a dog", "image_id": 0}]},
            "no annotation that can be used, of 1; the first:",
        ),
        (lambda c: {**c, "images": [*c["images"], {"id": 0, "file_name": "b.png"}]}, "two images with the id 0"),
        (lambda c: {**c, "images": [{"id": 0, "file_name": 7}]}, "an image without id or file_name"),
        (lambda c: {**c, "images": [{"id": [0], "file_name": "a"}]}, "an image without id"),
        (lambda c: {**c, "categories": [*c["categories"], {"id": 1, "name": "b"}]}, "two categories with the id 1"),
        (lambda c: {**c, "categories": [{"id": 1, "name": " "}]}, "a category without id or name"),
        (lambda c: {**c, "categories": [{"id": i, "name": "a"} for i in (1, 2, 3)]}, "3 categories called 'a'"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, coco: Content, make: Callable[[Content], object], told: str) -> None:
    """What is no COCO file, or contradicts itself, is refused with a sentence."""
    assert told in refused(tmp_path, make(coco)).message


@pytest.mark.parametrize("text", ["", "{", "\xff", _nested(100_000), '{"images": ' + "9" * 5000 + "}"])
def test_what_is_no_json(tmp_path: Path, text: str) -> None:
    """Broken, nested or endless JSON ends in a sentence."""
    (tmp_path / "c.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match="is not JSON"):
        read(tmp_path / "c.json")


def test_limit_of_the_file(tmp_path: Path, coco: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that would fill the memory is not read."""
    monkeypatch.setattr("headstart.data.coco.MAX_BYTES", 100)
    assert "is larger than" in refused(tmp_path, coco).message


def test_unused_categories_and_pictures_are_told(tmp_path: Path, coco: Content) -> None:
    """Categories and pictures without a box are no error: files often list more than they use, and two ids for one name."""
    coco["categories"] += [{"id": 7, "name": "hexagons"}, {"id": 0, "name": "circles"}]
    coco["images"].append({"id": 9, "file_name": "empty.png"})
    notes = read(write_coco(tmp_path / "c.json", coco)).notes
    assert "categories of c.json without a box that can be used: 2 (hexagons, circles)" in notes
    assert "1 picture of c.json without a box that can be used" in notes


def test_shares(tmp_path: Path, coco: Content) -> None:
    """Boxes in shares are against COCO's own rules: numbers that look so are read so, and told."""
    for one in coco["annotations"]:
        one["bbox"] = [one["bbox"][0] / 320, one["bbox"][1] / 100, 96 / 320, 0.8]
    sources = read(write_coco(tmp_path / "c.json", coco))
    assert sources.candidates[0].box is not None
    assert sources.candidates[0].box.unit == "shares"
    assert "(bbox, in shares)" in sources.notes[-1]


def test_boxes_none_is_refused(tmp_path: Path, coco: Content) -> None:
    """A COCO file without its boxes means nothing."""
    with pytest.raises(DataError, match="its images are boxes"):
        read(write_coco(tmp_path / "c.json", coco), boxes="none")


def test_pictures_that_are_missing(tmp_path: Path, coco: Content) -> None:
    """Pictures that are not there are told when they are opened, as those of a table; if none is there, at once."""
    coco["images"][1]["file_name"] = "gone.png"
    assert len(read(write_coco(tmp_path / "c.json", coco)).candidates) == 6
    coco["images"][0]["file_name"] = "../gone.png"
    assert "none of the 2 files" in refused(tmp_path, coco).message


def test_for_predictions(tmp_path: Path, coco: Content) -> None:
    """Neither categories nor their contradictions matter; other JSON is no file of boxes."""
    for one in coco["annotations"]:
        del one["category_id"]
    del coco["categories"]  # type: ignore[misc]
    found = boxes_named_in(write_coco(tmp_path / "c.json", coco))
    assert found is not None
    assert [one.label for one in found.candidates] == [None] * 6
    assert boxes_named_in(write_coco(tmp_path / "d.json", {"a": 1})) is None


def test_json_of_something_else_in_a_folder(tmp_path: Path) -> None:
    """A folder of classes with some JSON beside is a folder of classes."""
    for label in ("ants", "bees"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.jpg").touch()
    (tmp_path / "about.json").write_text(json.dumps({"licence": "CC0"}))
    assert [one.label for one in read(tmp_path).candidates] == ["ants", "bees"]


def test_folders_of_coco(tmp_path: Path) -> None:
    """A folder with pictures and annotations/ is a data set; of its files those of objects count, one for each split."""
    for seed, split in enumerate(("train", "val")):
        rows = draw_pictures(tmp_path / "coco" / f"{split}2017", 2, seed=seed)
        write_coco(tmp_path / "coco" / "annotations" / f"instances_{split}2017.json", coco_of(rows))
        write_coco(tmp_path / "coco" / "annotations" / f"captions_{split}2017.json", {"images": []})
    sources = read(tmp_path / "coco")
    assert [(one.split, one.file.name.split("#")[0]) for one in sources.candidates[::3]] == [
        ("train", "p000.png"),
        ("train", "p001.png"),
        ("val", "p100.png"),
        ("val", "p101.png"),
    ]
    assert sources.name == "coco"
    assert "instances_train2017.json (train)" in sources.notes[0]
    write_coco(tmp_path / "coco" / "annotations" / "instances_more.json", coco_of(rows))
    with pytest.raises(DataError, match="3 COCO files, which are not train, val and test"):
        read(tmp_path / "coco")


def test_folders_of_splits_with_their_own_files(tmp_path: Path) -> None:
    """Pictures in train/, valid/ and test/ with a COCO file in each."""
    for seed, split in enumerate(("train", "valid", "test")):
        rows = draw_pictures(tmp_path / "set" / split, 2, seed=seed)
        write_coco(tmp_path / "set" / split / "_annotations.coco.json", coco_of(rows))
    assert [one.split for one in read(tmp_path / "set").candidates[::6]] == ["test", "train", "val"]


def test_a_folder_with_one_file(tmp_path: Path) -> None:
    """Pictures with one JSON file, if that is a COCO file; else they are pictures without labels."""
    rows = draw_pictures(tmp_path / "set" / "images", 2)
    write_coco(tmp_path / "set" / "labels.json", {"a": 1})
    with pytest.raises(DataError, match="no class folders"):
        read(tmp_path / "set")
    write_coco(tmp_path / "set" / "labels.json", coco_of(rows))
    assert len(read(tmp_path / "set").candidates) == len(read(tmp_path / "set", with_unlabelled=True).candidates) == 6


def test_in_an_archive(tmp_path: Path) -> None:
    """An archive with one COCO file and its pictures is a data set; names that lead out of it are left out."""
    content = coco_of(draw_pictures(tmp_path / "set" / "images", 2))
    content["images"][1]["file_name"] = "../../../secret.png"
    write_coco(tmp_path / "set" / "annotations" / "instances.json", content)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in sorted((tmp_path / "set").rglob("*.*")):
            archive.write(file, file.relative_to(tmp_path / "set"))
    with open_sources(tmp_path / "set.zip") as sources:
        assert [Path(one.path).name.split("#")[0] for one in sources.candidates] == ["p000.png"] * 3
        assert sources.candidates[0].path.startswith(f"{tmp_path}/set.zip!images/p000.png#")
        assert {entry.reason for entry in sources.skipped} == {"its path leads out of the archive"}
        assert all(one.read() for one in sources.candidates)
