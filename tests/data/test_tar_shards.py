"""Tars of WebDataset are read in place, on a disk and in object storage."""

import io
import json
import pickle
import tarfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_shape
from object_storage import object_storage

from headstart.data import tar_shards
from headstart.data.catalog import open_data
from headstart.data.inputs import open_inputs
from headstart.data.reading import Reading
from headstart.errors import DataError
from headstart.jobs.shards import shards_of


def image(number: int) -> bytes:
    content = io.BytesIO()
    draw_shape("circles", np.random.default_rng(number), (16, 16)).save(content, "PNG")
    return content.getvalue()


def tar_of(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return content.getvalue()


def shard(first: int, n: int = 4) -> bytes:
    """Samples with a .cls file."""
    members: dict[str, bytes] = {}
    for number in range(first, first + n):
        members[f"{number:05}.png"] = image(number)
        members[f"{number:05}.cls"] = str(number % 2).encode()
    return tar_of(members)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A folder with three of them."""
    for number in range(3):
        (tmp_path / f"shard-{number:06}.tar").write_bytes(shard(4 * number))
    return tmp_path


def found(data: str | Path, reading: Reading | None = None) -> list[tuple[str, str | None, str | None]]:
    with open_data(data, reading or Reading()) as sources:
        for candidate in sources.candidates:
            assert candidate.read().startswith(b"\x89PNG")
        return [(one.path, one.label, one.split) for one in sources.candidates]


@pytest.mark.parametrize("given", ["shard-{000000..000002}.tar", ""])
def test_a_pattern_and_a_folder_are_the_same_data_set(shards: Path, given: str) -> None:
    rows = found(shards / given)
    assert len(rows) == 12
    assert rows[5] == (f"{shards}/shard-000001.tar!00005.png", "1", None)
    with open_data(shards / given) as sources:
        assert sources.candidates[5].read() == image(5)
        assert "3 tars, read in place" in sources.notes[0]


def test_one_tar_is_read_in_place_if_its_images_have_labels_beside_them(shards: Path) -> None:
    assert len(found(shards / "shard-000000.tar")) == 4
    (shards / "classes.tar").write_bytes(tar_of({f"{name}/{i}.png": image(i) for name in "ab" for i in range(2)}))
    assert [label for _, label, _ in found(shards / "classes.tar")] == ["a", "a", "b", "b"]


def test_folders_called_so_are_splits(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "0.tar").write_bytes(shard(0))
    assert {split for *_, split in found(tmp_path)} == {"train", "val"}


@pytest.mark.parametrize(
    ("files", "label"),
    [
        ({"a.cls": b"dog\n"}, "dog"),
        ({"a.cls": b"7"}, "7"),
        ({"a.json": json.dumps({"label": "cat", "class": "x"}).encode()}, "cat"),
        ({"a.json": json.dumps({"class": 3, "width": 10}).encode()}, "3"),
        ({"a.json": b'{"class_name": "fox"}', "a.cls": b"4"}, "4"),
        ({"a.cls": b"4", "a.json": b'{"class_name": "fox"}'}, "4"),
        ({"a.txt": b"a caption"}, None),
        ({"a.json": b"[1]"}, None),
        ({"a.cls": b""}, None),
    ],
)
def test_labels(tmp_path: Path, files: dict[str, bytes], label: str | None) -> None:
    """A .cls file counts before a .json file; a caption is no label."""
    (tmp_path / "0.tar").write_bytes(tar_of({"a.png": image(0), **files}))
    assert [row[1] for row in found(tmp_path, Reading(labels_are_optional=True))] == [label]
    if label is None:
        with pytest.raises(DataError, match=r"no .cls or .json file that gives one a label"):
            found(tmp_path)


def test_the_key_ends_at_the_first_dot(tmp_path: Path) -> None:
    """As in WebDataset: images with more in their names are of one sample, and stay together."""
    members = {"s/a.left.png": image(0), "s/a.right.png": image(1), "s/a.cls": b"x", "s/._a.png": b"", "s/b.png": image(2)}
    (tmp_path / "0.tar").write_bytes(tar_of(members))
    with open_data(tmp_path) as sources:
        assert [one.label for one in sources.candidates] == ["x", "x"]
        assert len({one.group for one in sources.candidates}) == 1
        assert [one.kind for one in sources.skipped] == ["unlabelled"]


def test_members_travel_to_workers_and_are_told_apart(shards: Path) -> None:
    with open_data(shards) as sources:
        (one,) = shards_of(sources.candidates, "key")
        assert [candidate.read() for candidate in pickle.loads(pickle.dumps(one)).items[:2]] == [image(0), image(1)]
        digests = {next(shards_of([candidate], "key")).digest for candidate in sources.candidates}
        assert len(digests) == 12


@pytest.mark.parametrize(
    ("content", "sentence", "hint"),
    [
        (b"no tar", "cannot be read as a tar", "copy or create it again"),
        (b"\x1f\x8b" + bytes(600), "cannot be read as a tar", "it is compressed"),
        (shard(0)[: 512 * (1 + -(-len(image(0)) // 512))], "is damaged or incomplete", "copy or create it again"),
        (shard(0)[:3000], "", "copy or create it again"),
        (tar_of({"a.png": b"", "a.json": b"{"}), "0.tar!a.json is not JSON", "create the tar again"),
        (tar_of({"a.cls": b"1"}), "holds no images", "WebDataset has a.jpg and a.cls"),
        (tar_of({"a.png": b"", "a.cls": b"\xff"}), "cannot be read as a tar", "copy or create it again"),
    ],
)
def test_a_bad_tar_is_one_sentence(tmp_path: Path, content: bytes, sentence: str, hint: str) -> None:
    (tmp_path / "0.tar").write_bytes(content)
    with pytest.raises(DataError) as caught:
        found(tmp_path)
    assert sentence in caught.value.message and "\n" not in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_shard_that_is_missing_is_named(shards: Path) -> None:
    with pytest.raises(DataError, match=r"there is no .*shard-000003.tar"):
        found(f"{shards}/shard-{{000000..000003}}.tar")
    for odd in ("{5..2}", "{0..99999999}"):
        with pytest.raises(DataError, match="names no tars, or too many"):
            found(f"{shards}/shard-{odd}.tar")


def test_a_member_that_is_cut_off_later_has_a_reason(shards: Path) -> None:
    from headstart.data.unreadable import UnreadableImage

    with open_data(shards) as sources:
        (shards / "shard-000000.tar").write_bytes(b"")
        with pytest.raises(UnreadableImage, match="it cannot be read from its tar: 0 of"):
            sources.candidates[0].read()


def test_predict_takes_the_images_of_tars(shards: Path) -> None:
    with ExitStack() as stack:
        for given in (shards, shards / "shard-{000000..000002}.tar"):
            assert len(open_inputs(stack, [given], []).found) == 12


@pytest.mark.slow
def test_tars_in_object_storage_are_read_in_place(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tar is copied; images are asked for one by one."""
    pytest.importorskip("s3fs")
    monkeypatch.setattr("headstart.addresses.fetched_folders.fetch", None)
    with object_storage() as storage:
        there = storage.put_folder(shards, "tars")
        for given in ("", "/shard-{000000..000002}.tar", "/shard-000001.tar"):
            rows = found(there + given)
            assert rows[-1] == (f"{there}/shard-{1 if given.endswith('1.tar') else 2:06}.tar!{rows[-1][0][-9:]}", "1", None)
        with ExitStack() as stack:
            assert len(open_inputs(stack, [Path(f"{there}/shard-000001.tar")], []).found) == 4
        storage.put("bad/0.tar", shard(0)[:3000])
        with pytest.raises(DataError, match=r"s3://photos/bad/0.tar"):
            found("s3://photos/bad")


def test_patterns() -> None:
    assert tar_shards.named_by("a-{08..10}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar"]
    assert tar_shards.named_by("{0..1}/a-{0..1}.tar") == ["0/a-0.tar", "0/a-1.tar", "1/a-0.tar", "1/a-1.tar"]
    assert tar_shards.name_of_shards("s3://b/imagenet-train-{000..100}.tar") == "imagenet-train"
