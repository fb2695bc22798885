"""Images in object storage are found as those on a disk, with the same labels, in the same order."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_shape
from object_storage import ObjectStorage, object_storage

from data.drawn_boxes import coco_of, draw_pictures, write_coco, write_table
from headstart.data.catalog import open_data
from headstart.data.fetching import chunks_of
from headstart.data.found_images import find_images
from headstart.data.inputs import open_inputs
from headstart.data.reading import Reading
from headstart.data.sources import digest_of
from headstart.errors import DataError

pytest.importorskip("s3fs")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def storage():
    """An S3, and connections of this module's own."""
    with object_storage() as made:
        yield made


def folder_of_shapes(place: Path) -> Path:
    """Two splits, two classes, names whose natural order is not that of their letters, and what is no image."""
    for split, n in (("train", 3), ("val", 2)):
        for shape in ("circles", "squares"):
            for number in range(n):
                file = place / split / shape / f"{10**number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                draw_shape(shape, np.random.default_rng(number)).save(file)
    (place / ".hidden").mkdir()
    (place / ".hidden" / "a.png").write_bytes(b"")
    (place / "train" / "squares" / "Thumbs.db").write_bytes(b"")
    return place


def plain(sources, start: str):
    """What was found, with paths relative to `start`."""
    return [(c.path.removeprefix(start), c.label, c.split, c.read()) for c in sources.candidates]


def test_a_folder_there_means_what_it_means_here(storage, tmp_path):
    here = folder_of_shapes(tmp_path / "set")
    there = storage.put_folder(here, "sets/shapes")
    with open_data(str(here)) as on_disk, open_data(there) as elsewhere:
        assert plain(elsewhere, there) == plain(on_disk, str(here))
        assert len(elsewhere.candidates) == 10
        assert elsewhere.name == "shapes"


def test_a_path_made_of_an_address_is_that_address(storage, tmp_path):
    there = storage.put_folder(folder_of_shapes(tmp_path / "set"), "sets/as-path")
    with open_data(Path(there)) as sources:
        assert sources.candidates[0].path == f"{there}/train/circles/1.png"


def test_images_without_class_folders_can_be_had_unlabelled(storage, tmp_path):
    draw_shape("circles", np.random.default_rng(1)).save(tmp_path / "a.png")
    there = storage.put_folder(tmp_path, "sets/flat")
    with pytest.raises(DataError, match="no class folders"), open_data(there):
        pass
    with open_data(there, replace(Reading(), with_unlabelled=True)) as sources:
        assert [(c.path, c.label) for c in sources.candidates] == [(f"{there}/a.png", None)]


@pytest.mark.parametrize("prefix", ["", "s3://photos/sets/table/"])
def test_a_table_there_names_files_beside_it_or_by_address(storage, tmp_path, prefix):
    storage.put_folder(folder_of_shapes(tmp_path / "set"), "sets/table")
    rows = f"path,label\n{prefix}train/circles/1.png,c\n{prefix}train/squares/10.png,s\n{prefix}gone.png,s\n"
    table = storage.put("sets/table/labels.csv", rows.encode())
    with open_data(table) as sources:
        assert [(c.path, c.label) for c in sources.candidates] == [
            ("s3://photos/sets/table/train/circles/1.png", "c"),
            ("s3://photos/sets/table/train/squares/10.png", "s"),
            ("s3://photos/sets/table/gone.png", "s"),
        ]
        assert sources.candidates[0].read() == (tmp_path / "set" / "train" / "circles" / "1.png").read_bytes()


def test_a_table_here_may_name_files_there_and_here(storage, tmp_path):
    here = folder_of_shapes(tmp_path / "set")
    there = storage.put_folder(here, "sets/mixed")
    (here / "labels.csv").write_text(f"path,label\n{there}/train/circles/1.png,c\ntrain/squares/1.png,s\n")
    with open_data(here / "labels.csv") as sources:
        assert [(c.path, c.label) for c in sources.candidates] == [
            (f"{there}/train/circles/1.png", "c"),
            (str(here / "train" / "squares" / "1.png"), "s"),
        ]


def test_an_archive_there_is_read_as_one_here(storage, tmp_path):
    import shutil

    here = folder_of_shapes(tmp_path / "set")
    archive = Path(shutil.make_archive(str(tmp_path / "set"), "zip", here))
    there = storage.put("sets/set.zip", archive.read_bytes())
    with open_data(there) as elsewhere, open_data(archive) as on_disk:
        assert plain(elsewhere, f"{there}!") == plain(on_disk, f"{archive}!")
        assert elsewhere.candidates[0].path == f"{there}!train/circles/1.png"


def test_predict_finds_images_folders_and_lists_there(storage: ObjectStorage, tmp_path):
    here = folder_of_shapes(tmp_path / "set")
    there = storage.put_folder(here, "sets/predict")
    with ExitStack() as stack:
        one = find_images(stack, [Path(f"{there}/train/circles/1.png")])
        assert [c.path for c in one.candidates] == [f"{there}/train/circles/1.png"] and not one.skipped
        inputs = open_inputs(stack, [Path(f"{there}/val")], [])
        assert [c.path.removeprefix(there) for c in inputs.found] == [
            "/val/circles/1.png",
            "/val/circles/10.png",
            "/val/squares/1.png",
            "/val/squares/10.png",
        ]


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("s3://photos/none", "s3://photos/none holds no files"),
        ("s3://no-such-bucket/a", "there is nothing at s3://no-such-bucket/a"),
        ("s3://photos/none.csv", "there is nothing at s3://photos/none.csv"),
        ("zz://photos/none", "zz:// is no kind of address that is known"),
    ],
)
def test_what_is_not_there_is_one_sentence(storage, address, sentence):
    with pytest.raises(DataError) as caught, open_data(address):
        pass
    assert caught.value.message == sentence
    assert caught.value.hint


def test_a_file_that_is_gone_has_a_reason(storage, tmp_path):
    there = storage.put_folder(folder_of_shapes(tmp_path / "set"), "sets/going")
    with open_data(there) as sources:
        storage.client.delete_object(Bucket="photos", Key="sets/going/train/circles/1.png")
        from headstart.data.fetching import chunks_of
        from headstart.data.sources import digest_of

        (chunk,) = chunks_of(sources.candidates, 100)
        assert [digest_of(c) == "" for c in chunk] == [True] + 9 * [False]


def test_boxes_there_are_those_here(storage: ObjectStorage, tmp_path: Path) -> None:
    """A table of boxes and a COCO file at an address name the same images as on a disk, with the same digests."""
    rows = draw_pictures(tmp_path / "boxes", 2)
    write_table(tmp_path / "boxes" / "boxes.csv", rows)
    write_coco(tmp_path / "boxes" / "boxes.json", coco_of(rows))
    there = storage.put_folder(tmp_path / "boxes", "sets/boxes")
    for name in ("boxes.csv", "boxes.json"):
        with open_data(f"{there}/{name}") as elsewhere, open_data(tmp_path / "boxes" / name) as here:
            (chunk,) = chunks_of(elsewhere.candidates, 100)
            assert [digest_of(one) for one in chunk] == [digest_of(one) for one in here.candidates]
            assert chunk[0].path == f"{there}/p000.png#{chunk[0].box}"
            assert len({one.group for one in chunk}) == 2
