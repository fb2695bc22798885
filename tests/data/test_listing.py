"""What is below an address is listed in memory, or in files if it is very much; the same images are found."""

import numpy as np
import pytest
from conftest import draw_shape
from object_storage import object_storage

from headstart.addresses import filesystems, s3_pages
from headstart.data import listing, long_listing
from headstart.data.catalog import open_data
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

    import s3fs

    with object_storage() as made:
        for number, name in enumerate(NAMES):
            content = io.BytesIO()
            draw_shape("circles", np.random.default_rng(number), (16, 16)).save(content, "PNG")
            made.put(f"set/{name}", content.getvalue())
        yield made
    filesystems._filesystem.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def little_memory(monkeypatch):
    """As if these were very many objects."""
    monkeypatch.setattr(listing, "IN_MEMORY", 3)
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
