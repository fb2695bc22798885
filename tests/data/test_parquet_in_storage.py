"""Images inside Parquet files in object storage: read where they are, a row group at a time."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from object_storage import ObjectStorage, connect_anew, object_storage

from data.parquet_images import SHAPES, pictures, records, write_parquet, write_shards
from headstart.data.found_images import find_images
from headstart.data.reading import Reading
from headstart.data.remote_sources import open_address
from headstart.errors import DataError

pytest.importorskip("s3fs")
pytest.importorskip("pyarrow")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def storage() -> Iterator[ObjectStorage]:
    """An S3 with an empty bucket."""
    with object_storage() as made:
        yield made
    connect_anew()


def test_shards_in_a_bucket(storage: ObjectStorage, tmp_path: Path) -> None:
    """A folder of them and one alone mean what they mean on a disk."""
    address = storage.put_folder(write_shards(tmp_path / "shapes", n_train=9, n_test=3), "shapes")
    with open_address(address, Reading()) as sources:
        train = [one for one in sources.candidates if one.split == "train"]
        assert sources.name == "shapes" and len(sources.candidates) == 12
        assert [one.label for one in train] == [SHAPES[i % 3] for i in range(9)]
        assert [one.read() for one in train] == pictures(9)[0]
        assert train[0].path == f"{address}/data/train-00000-of-00002.parquet!1/0.png"
    one = f"{address}/data/train-00001-of-00002.parquet"
    with open_address(one, Reading()) as sources:
        assert (sources.name, sources.candidates[0].split) == ("train-00001-of-00002", None)
    with ExitStack() as stack:
        assert [one.read() for one in find_images(stack, [Path(one)]).candidates] == pictures(5, 4)[0]


def test_names_of_classes_in_the_card(storage: ObjectStorage, tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    made = write_parquet(tmp_path / "set" / "a.parquet", {"image": records(pictures(2)[0]), "label": [1, 0]})
    card = "---\ndataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n        names: [cat, dog]\n---\n"
    (tmp_path / "set" / "README.md").write_text(card)
    with open_address(storage.put_folder(made.parent, "named"), Reading()) as sources:
        assert [one.label for one in sources.candidates] == ["dog", "cat"]


def test_what_is_no_parquet_is_told(storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.addresses.retrying.FIRST_PAUSE", 0.001)
    address = storage.put("broken/a.parquet", b"PAR1 and nothing else PAR1")
    for given in (address, "s3://photos/broken"):
        with pytest.raises(DataError, match=r"a\.parquet"), open_address(given, Reading()):
            pass
