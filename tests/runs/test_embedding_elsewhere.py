"""`embed` of very many images at an address: computed while they are listed, whatever interrupts it."""

import io

import numpy as np
import pyarrow.parquet
import pytest
from conftest import TINY, draw_shape, wait_until
from object_storage import object_storage

from headstart.addresses import filesystems, s3_pages
from headstart.data import listing, long_listing
from headstart.errors import DataError, SettingsError
from headstart.jobs import shards
from headstart.jobs.parts import PartFolder
from headstart.runs.embedding import embed
from headstart.settings import TrainSettings

pytest.importorskip("s3fs")
pytestmark = pytest.mark.slow
NAMES = [
    *(
        f"set/{split}/{shape}/{number:02}.png"
        for split in ("train", "val")
        for shape in ("circles", "squares")
        for number in range(8)
    ),
    *(f"set/zz/{number}.png" for number in range(9)),
    *(f"set/old/{number}.txt" for number in range(9)),
]

MOST_IMAGES = 4  # of a shard
N_SHARDS = -(-len(NAMES) // MOST_IMAGES)


@pytest.fixture(scope="module")
def storage():
    """An S3 with the files of NAMES, of which one cannot be read."""
    with object_storage() as made:
        for number, name in enumerate(NAMES):
            content = io.BytesIO()
            draw_shape("circles", np.random.default_rng(number), (32, 32)).save(content, "PNG")
            made.put(name, b"\x89PNG" if number == 5 else content.getvalue())
        yield made


@pytest.fixture
def little_memory(monkeypatch):
    """As if these were very many objects, in very many shards."""
    monkeypatch.setattr(listing, "IN_MEMORY_AHEAD", 6)
    monkeypatch.setattr(long_listing, "ROWS", 7)
    monkeypatch.setattr(s3_pages, "PAGE_OF_LISTER", 3)
    monkeypatch.setattr(shards, "MOST_IMAGES", MOST_IMAGES)


@pytest.fixture
def settings(tiny_weights):
    return TrainSettings(backbone=TINY, weights=tiny_weights)


@pytest.fixture
def written(monkeypatch):
    """The digests of the parts that were written, in order; after as many as `limit` says, Ctrl-C."""
    write, digests = PartFolder.write, Written()

    def noted(self, digest, table):
        if len(digests) == digests.limit:
            raise KeyboardInterrupt
        digests.append(digest)
        write(self, digest, table)

    monkeypatch.setattr(PartFolder, "write", noted)
    return digests


class Written(list):
    """Digests, and how many may become."""

    limit = -1


def rows_of(file):
    """The rows of a table, sorted by path."""
    return sorted(map(str, pyarrow.parquet.read_table(file).to_pylist()))


def test_a_long_listing_has_the_same_features(storage, settings, tmp_path, monkeypatch, little_memory):
    """Bit for bit, with the same labels, as what is listed before; of what is no part of the data nothing is kept."""
    found = embed("s3://photos/set", tmp_path / "long.parquet", settings)
    monkeypatch.setattr(listing, "IN_MEMORY_AHEAD", 200_000)
    in_memory = embed("s3://photos/set", tmp_path / "short.parquet", settings)
    assert rows_of(tmp_path / "long.parquet") == rows_of(tmp_path / "short.parquet")
    assert found.n_images == in_memory.n_images == 31
    assert [one.path for one in found.skipped if one.path.endswith("05.png")] == ["s3://photos/set/train/circles/05.png"]
    assert [one.name for one in tmp_path.iterdir() if one.suffix != ".parquet"] == []


def test_processes_work_ahead_too(storage, settings, tmp_path, little_memory):
    embed("s3://photos/set", tmp_path / "here.parquet", settings)
    embed("s3://photos/set", tmp_path / "there.parquet", settings.model_copy(update={"workplace": "local:1"}))
    assert (tmp_path / "here.parquet").read_bytes() == (tmp_path / "there.parquet").read_bytes()


@pytest.mark.filterwarnings("ignore:work goes on with the listing")
@pytest.mark.parametrize("is_listed", [False, True])
def test_what_was_computed_while_it_was_listed_is_found_again(
    storage, settings, tmp_path, little_memory, written, monkeypatch, is_listed
):
    """Shards are cut alike, however far the listing had come when the work was interrupted."""
    pages, first_part = filesystems.pages_of_s3, tmp_path / "out.parquet.parts"

    def in_step(*given):
        n_told = 0
        for page in pages(*given):
            if n_told > 20 and not is_listed:  # no further before the first part is there
                wait_until(lambda: any(first_part.glob("*.parquet")))
            n_told += len(page)
            yield page

    embed("s3://photos/set", tmp_path / "whole.parquet", settings)
    whole, written[:] = list(written), []
    monkeypatch.setattr(filesystems, "pages_of_s3", in_step)
    written.limit = 3
    with pytest.raises(KeyboardInterrupt):
        embed("s3://photos/set", tmp_path / "out.parquet", settings)
    if is_listed:
        with pytest.raises(ZeroDivisionError), listing.listing_of("s3://photos/set"):
            raise ZeroDivisionError  # it is complete, and kept
    written.limit = -1
    embed("s3://photos/set", tmp_path / "out.parquet", settings)
    assert len(written) == len(set(written))
    assert len({*written, *whole}) <= N_SHARDS  # of shards that turned out to be no part of the data some are computed
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_images_without_class_folders_have_no_labels(storage, settings, tmp_path, little_memory):
    assert embed("s3://photos/set/train/circles", tmp_path / "out.parquet", settings).n_images == 7
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert set(table.column("label").to_pylist()) == set(table.column("split").to_pylist()) == {None}


def test_a_folder_that_could_mean_two_things_is_refused(storage, settings, tmp_path, little_memory):
    for number in range(20):
        storage.put(f"odd/a/train/{number}.png", b"")
        storage.put(f"odd/a/val/{number}.png", b"")
        storage.put(f"odd/b/{number}.png", b"")
    with pytest.raises(DataError, match="is divided into"):
        embed("s3://photos/odd", tmp_path / "out.parquet", settings)
    assert not (tmp_path / "out.parquet").exists()


def test_parts_at_an_address_are_made_once(storage, settings, little_memory, monkeypatch):
    """What was computed while it was listed is not computed again for the table."""
    put, names = filesystems.put_bytes, []
    monkeypatch.setattr(filesystems, "put_bytes", lambda data, address: names.append(address) or put(data, address))
    assert embed("s3://photos/set", "s3://photos/out.parquet", settings).n_images == 31
    assert 9 <= len(names) == len(set(names)) <= N_SHARDS
    assert storage.keys("out") == ["out.parquet"]


def test_nothing_is_written_into_the_folder_that_is_listed(storage, settings):
    with pytest.raises(SettingsError, match="would be inside s3://photos/set"):
        embed("s3://photos/set", "s3://photos/set/out.parquet", settings)
