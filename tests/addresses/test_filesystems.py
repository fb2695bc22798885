"""What is in object storage is listed and read, also where requests go wrong in passing."""

import pytest
from object_storage import connect_anew, faulty_way, object_storage

from headstart.addresses import filesystems, s3_pages, s3_session
from headstart.addresses.filesystems import about, fetch, listed_below, put, put_bytes, read, remove_below
from headstart.addresses.s3_session import _timestamp
from headstart.errors import DataError, MissingPackageError

s3fs = pytest.importorskip("s3fs")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def storage():
    """An S3 with 30 objects."""
    with object_storage() as made:
        for number in range(30):
            made.put(f"set/{number % 3}/{number}.bin", bytes([number]) * 1000)
        made.put("set/folder/", b"")
        made.put("settings", b"not in the folder")
        yield made


@pytest.fixture(autouse=True)
def fresh():
    """Connections of their own for each test: the environment changes."""
    yield
    connect_anew()


def test_all_objects_below_a_folder_are_listed_page_by_page(storage, monkeypatch):
    monkeypatch.setattr(s3_pages, "PAGE_OF_LISTER", 7)
    pages = list(listed_below("s3://photos/set"))
    assert max(map(len, pages)) <= 7
    found = [one for page in pages for one in page]
    assert [one.address for one in found] == sorted(f"s3://photos/set/{number % 3}/{number}.bin" for number in range(30))
    assert {one.size for one in found} == {1000}
    assert len({one.version for one in found}) == 30


def test_an_object_is_read_and_what_is_not_there_is_said(storage):
    assert read("s3://photos/set/1/1.bin", 1000) == b"\1" * 1000
    assert about("s3://photos/set/1/1.bin").size == 1000
    assert about("s3://photos/set/1/none.bin") is None
    with pytest.raises(FileNotFoundError):
        read("s3://photos/set/1/none.bin")
    with pytest.raises(DataError, match=r"^there is nothing at s3://no-such-bucket/a"):
        list(listed_below("s3://no-such-bucket/a"))


def test_an_object_whose_size_is_known_is_one_request(storage, monkeypatch):
    """Nothing is asked before it, and an object that has grown or shrunk since is noticed."""
    address, asked, ask = storage.put("one/one.bin", b"12345"), [], s3fs.S3FileSystem._call_s3

    def noted(self, method, *given, **more):
        asked.append(method)
        return ask(self, method, *given, **more)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", noted)
    assert read(address, 5) == b"12345"
    assert asked == ["get_object"]
    monkeypatch.setattr(filesystems, "with_retries", lambda request, *_: request())
    for size in (4, 6):
        with pytest.raises(TimeoutError, match="bytes came"):
            read(address, size)


def test_the_dates_of_a_listing_are_read_without_guessing(storage, monkeypatch):
    """botocore tries what each may be, which takes longer than all else; dates in other forms are left to it."""
    storage.put("dated/one.bin", b"")
    read_here = []
    monkeypatch.setattr(s3_session, "_timestamp", lambda text: read_here.append(text) or _timestamp(text))
    assert [one.size for page in listed_below("s3://photos/dated") for one in page] == [0]
    assert read_here
    assert _timestamp("2026-01-31T12:00:00.000Z") == _timestamp("Sat, 31 Jan 2026 12:00:00 GMT")


def test_files_go_there_and_back(storage, tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    put(tmp_path / "a", "s3://photos/new/a")
    fetch("s3://photos/new/a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"content"
    remove_below("s3://photos/new")
    remove_below("s3://photos/new")
    assert storage.keys("new") == []


def test_requests_that_go_wrong_in_passing_are_made_again(storage, monkeypatch):
    monkeypatch.setattr("headstart.addresses.retrying.FIRST_PAUSE", 0.001)
    with faulty_way(storage.endpoint, 0.3) as wrong:
        found = [one for page in listed_below("s3://photos/set") for one in page]
        assert [read(one.address, one.size)[:1] for one in found] == [
            read(one.address, one.size)[:1] for one in sorted(found, key=lambda one: one.address)
        ]
        assert {about(one.address) for one in found} == set(found)
        for number in range(20):
            put_bytes(b"content", f"s3://photos/new/{number}/a")
            remove_below(f"s3://photos/new/{number}")
    assert set(wrong.faults) == {"503", "reset", "cut"}
    assert (len(found), storage.keys("new")) == (30, [])


def test_an_image_is_one_request(storage):
    with faulty_way(storage.endpoint, 0) as way:
        assert read("s3://photos/set/1/1.bin", 1000) == b"\1" * 1000
    assert way.requests == ["GET /photos/set/1/1.bin"]


def test_a_store_that_always_refuses_is_one_sentence(storage, monkeypatch):
    monkeypatch.setattr("headstart.addresses.retrying.FIRST_PAUSE", 0.001)
    with faulty_way(storage.endpoint, 1.0), pytest.raises(DataError, match=r"^s3://photos/set cannot be reached: ") as caught:
        list(listed_below("s3://photos/set"))
    assert "\n" not in caught.value.message


def test_what_a_store_has_listed_is_waited_for_longer(storage, monkeypatch):
    """A store that is down for some seconds costs no images of a job; a mistyped address is told soon."""
    pauses = []
    monkeypatch.setattr("headstart.addresses.retrying.time.sleep", pauses.append)
    found = {}
    for size in (None, 1000):
        pauses.clear()
        with faulty_way(storage.endpoint, 1.0, ["503"]), pytest.raises(OSError):
            connect_anew()
            read("s3://photos/set/1/1.bin", size)
        found[size] = sum(pauses)
    assert found[None] < 10 < 13 < found[1000]


def test_without_credentials_nothing_is_tried_again(storage, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("headstart.addresses.retrying.time.sleep", lambda seconds: pytest.fail("it was tried again"))
    with pytest.raises(DataError, match="cannot be reached: Unable to locate credentials") as caught:
        about("s3://photos/set/1/1.bin")
    assert "credentials" in caught.value.hint


def test_unknown_protocols_and_missing_packages_are_told():
    with pytest.raises(DataError, match=r"^zz:// is no kind of address"):
        about("zz://a/b")
    with pytest.raises(MissingPackageError) as caught:
        about("gs://a/b")
    assert caught.value.hint == "pip install gcsfs"


def test_other_stores_are_listed_folder_by_folder(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("b/2.jpg", "a.jpg", "b/1.jpg", "b/c/3.jpg"):
        memory.pipe_file(f"/set/{name}", b"x")
    pages = list(listed_below("memory://set"))
    assert [[one.address for one in page] for page in pages] == [
        ["memory://set/a.jpg"],
        ["memory://set/b/1.jpg", "memory://set/b/2.jpg"],
        ["memory://set/b/c/3.jpg"],
    ]
    memory.rm("/set", recursive=True)
