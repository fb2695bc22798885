"""What is below an address is listed in memory, or in files if it is very much; the same images are found."""

import threading
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_shape, wait_until
from object_storage import object_storage

from headstart.addresses import filesystems, s3_pages
from headstart.data import listing, long_listing
from headstart.data.catalog import open_data
from headstart.data.inputs import open_inputs
from headstart.data.reading import Reading
from headstart.errors import DataError, HeadstartWarning
from headstart.storage import home

pytest.importorskip("s3fs")
pytestmark = pytest.mark.slow
NAMES = [
    *(f"train/circles/{number}.png" for number in range(9)),
    *(f"train/squares/deep/{number}.png" for number in range(5)),
    "val/circles/a.png",
    "val/squares//odd.png",
    "/odd too.png",
    "train/.hidden/x.png",
    "loose.png",
    "notes/readme.txt",
]


@pytest.fixture(scope="module")
def storage():
    """An S3 with the files of NAMES."""
    import io

    with object_storage() as made:
        for number, name in enumerate(NAMES):
            content = io.BytesIO()
            draw_shape("circles", np.random.default_rng(number), (16, 16)).save(content, "PNG")
            made.put(f"set/{name}", content.getvalue())
        yield made


@pytest.fixture
def little_memory(monkeypatch):
    """As if these were very many objects."""
    monkeypatch.setattr(listing, "IN_MEMORY", 3)
    monkeypatch.setattr(listing, "IN_MEMORY_AHEAD", 3)
    monkeypatch.setattr(long_listing, "ROWS", 4)
    monkeypatch.setattr(s3_pages, "PAGE", 3)
    monkeypatch.setattr(s3_pages, "PAGE_OF_LISTER", 3)


def found(address="s3://photos/set", *, with_unlabelled=False):
    """(path, label, split, content) of all candidates, sorted by path; and the notes."""
    with open_data(address, Reading(with_unlabelled=with_unlabelled)) as sources:
        rows = [(c.path, c.label, c.split, c.read()) for c in sources.candidates]
        assert len(rows) == len(sources.candidates)
        assert [sources.candidates[i].path for i in range(len(rows))] == [row[0] for row in rows]
        assert [c.path for c in sources.candidates[2:7]] == [row[0] for row in rows[2:7]]
        return sorted(rows), sources.notes


def test_a_listing_in_files_has_the_same_images(storage, little_memory):
    in_files, notes = found()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "IN_MEMORY", 200_000)
        in_memory, _ = found()
    assert in_files == in_memory
    assert len(in_files) == 16
    assert notes[-1] == "3 files outside the class folders"
    assert not any((home() / "listings").glob("*"))


def test_images_without_a_label_are_there_if_they_are_asked_for(storage, little_memory):
    rows, _ = found(with_unlabelled=True)
    assert ("s3://photos/set/loose.png", None, None) in [row[:3] for row in rows]


def test_a_flat_folder_is_refused_or_unlabelled(storage, little_memory):
    with pytest.raises(DataError, match="no class folders"):
        found("s3://photos/set/train/circles")
    rows, _ = found("s3://photos/set/train/circles", with_unlabelled=True)
    assert [row[1:3] for row in rows] == 9 * [(None, None)]


def test_an_interrupted_listing_goes_on_after_its_last_file(storage, little_memory, monkeypatch):
    """Nothing is listed twice, and nothing is left out."""
    whole, _ = found()
    pages = filesystems.pages_of_s3
    asked = []

    def cut(filesystem, path, last):
        asked.append(last)
        for number, page in enumerate(pages(filesystem, path, last)):
            if number == 5:
                raise KeyboardInterrupt
            yield page

    monkeypatch.setattr(filesystems, "pages_of_s3", cut)
    with pytest.raises(KeyboardInterrupt):
        found()
    monkeypatch.setattr(filesystems, "pages_of_s3", lambda *given: asked.append(given[2]) or pages(*given))
    assert found()[0] == whole
    assert asked[0] == "" and asked[1] > "photos/set/loose.png"


def test_work_that_failed_goes_on_with_its_listing_and_says_so(storage, little_memory):
    with pytest.raises(ZeroDivisionError), open_data("s3://photos/set"):
        raise ZeroDivisionError
    with pytest.warns(HeadstartWarning, match="goes on with the listing of s3://photos/set of 20"):
        found()
    found()


def test_work_begins_before_everything_is_listed(storage, little_memory, monkeypatch):
    """The first files are there while the store has not told the last ones; then all are, in its order."""
    pages, may_go_on = filesystems.pages_of_s3, threading.Event()

    def slow(*given):
        n_told = 0
        for page in pages(*given):
            assert n_told < 10 or may_go_on.wait(60)
            n_told += len(page)
            yield page

    monkeypatch.setattr(filesystems, "pages_of_s3", slow)
    worked_on = []

    def ahead(files):
        for file in files:
            worked_on.append(file)
            assert (file.label is None and files.may_be_used(file)) or may_go_on.is_set()
            may_go_on.set()

    with open_data("s3://photos/set", ahead=ahead) as sources:
        rows = [(c.path, c.label, c.split) for c in sources.candidates]
        used = [sources.candidates.of_file(file) for file in worked_on]
        assert [(c.path, c.label, c.split) for c in used if c] == rows
    assert [file.path for file in worked_on] == sorted(file.path for file in worked_on)
    assert len(worked_on) == 19 and len(rows) == 16


def test_a_wrong_folder_is_told_when_it_is_listed_not_when_all_is_computed(storage, little_memory):
    worked_on = []

    def ahead(files):
        for file in files:
            worked_on.append(file)
            wait_until(lambda: files.growing.is_complete)

    with pytest.raises(DataError, match="no class folders"), open_data("s3://photos/set/train/circles", ahead=ahead):
        pass
    assert len(worked_on) == 1
    assert not any((home() / "listings").glob("*"))


@pytest.mark.parametrize("folder", ["set/train/circles", "flat"])
def test_images_that_need_no_labels_may_be_in_any_folder(storage, little_memory, folder):
    """A folder without classes is images without labels, in splits if its folders are called so; as in memory."""
    for name in ("train/1.png", "train/2.png", "val/3.png", "test/4.png", "5.png"):
        storage.put(f"flat/{name}", b"")
    listed = {}
    for most in (3, 200_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(listing, "IN_MEMORY", most)
            with open_data(f"s3://photos/{folder}", Reading(labels_are_optional=True)) as sources:
                listed[most] = sorted((c.path, c.label, c.split or "") for c in sources.candidates)
    assert listed[3] == listed[200_000]
    assert len(listed[3]) == (9 if folder != "flat" else 5)


def test_predict_reads_a_long_listing_as_it_comes(storage, little_memory):
    """Nothing holds all of it, and its number is not known before the end."""
    with ExitStack() as stack:
        inputs = open_inputs(stack, [Path("s3://photos/set/train"), Path("s3://photos/set/loose.png")], [])
        assert [c.path for c in inputs.found] == ["s3://photos/set/loose.png"]
        assert inputs.total == 0
        assert len(list(inputs.listed)) == 14
    assert not any((home() / "listings").glob("*"))
