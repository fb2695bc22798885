"""Archives of strangers: what is safe is unpacked, what is not is named, nothing is written outside."""

import gzip
import io
import lzma
import random
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headstart.data import archives as archives_module
from headstart.data.archives import is_archive, safe_parts, unpack
from headstart.data.tar_headers import HEADER_BYTES
from headstart.errors import DataError

Maker = Callable[[Path, list[tuple[str, bytes]]], Path]
NOISE = random.Random(0).randbytes(20_000)
TAR_MODES = {".tar": "w", ".tar.gz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


def make_zip(path: Path, members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members:
            file.writestr(zipfile.ZipInfo(name), content, compression)
    return path


def make_tar(path: Path, members: list[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """The empty folder to unpack into; what appears beside it has leaked."""
    folder = tmp_path / "deep" / "inside"
    folder.mkdir(parents=True)
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("ending", [".zip", *TAR_MODES])
def test_every_kind_is_unpacked(tmp_path: Path, inside: Path, ending: str) -> None:
    """Zip and tar, plain and compressed, are known by content and give back their files."""
    members = [("set/ants/1.jpg", NOISE), ("set/Käfer 🐞/a b.jpg", b"2"), ("set/leer.txt", b"")]
    path = tmp_path / "no ending"
    archive = make_zip(path, members) if ending == ".zip" else make_tar(path, members, TAR_MODES[ending])
    assert is_archive(archive)
    assert unpack(archive, inside) == []
    assert files_in(inside) == dict(members)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_compressions(tmp_path: Path, inside: Path, compression: int) -> None:
    """Every compression Python knows is undone."""
    assert unpack(make_zip(tmp_path / "a.zip", [("a", NOISE)], compression), inside) == []
    assert files_in(inside) == {"a": NOISE}


BAD_NAMES = [
    "../out.txt",
    "a/../../out.txt",
    "/out.txt",
    "//server/share/out.txt",
    "..\\out.txt",
    "a\\..\\..\\out.txt",
    "\\out.txt",
    "C:\\out.txt",
    "C:out.txt",
    "c:/out.txt",
    "a/C:/out.txt",
    "a/..",
]


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_out(tmp_path: Path, inside: Path, make: Maker, name: str) -> None:
    """A member that would land outside is left out by name; the good ones around it are unpacked."""
    archive = make(tmp_path / "archive", [("good/1", b"1"), (name, b"evil"), ("good/2", b"2")])
    before = files_in(tmp_path)
    assert unpack(archive, inside) == [(name, "its name leads out of the archive")]
    assert files_in(inside) == {"good/1": b"1", "good/2": b"2"}
    assert set(files_in(tmp_path)) - set(before) == {"deep/inside/good/1", "deep/inside/good/2"}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a/b.jpg", ("a", "b.jpg")),
        ("./a/b.jpg", ("a", "b.jpg")),
        ("a\\b.jpg", ("a", "b.jpg")),
        ("a/..b.jpg", ("a", "..b.jpg")),
        ("a/12:30.jpg", ("a", "12:30.jpg")),
        ("10:15:00.jpg", ("10:15:00.jpg",)),
        ("", None),
        (".", None),
        ("a\0b", None),
    ],
)
def test_safe_parts(name: str, parts: tuple[str, ...] | None) -> None:
    """Names are taken apart at both slashes; harmless dots and times of day stay."""
    assert safe_parts(name) == parts


@given(st.text(st.sampled_from("ab./\\:C\0"), max_size=12))
@example("a/./../..")
def test_no_safe_name_leads_out(name: str) -> None:
    """Whatever the name, the parts of a safe one stay below the folder, on POSIX and on Windows."""
    from pathlib import PurePosixPath, PureWindowsPath

    parts = safe_parts(name)
    if parts is not None:
        assert ".." not in parts
        for kind, root in ((PurePosixPath, "/x/y"), (PureWindowsPath, "D:\\x\\y")):
            assert kind(root).joinpath(*parts).is_relative_to(root)


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
    ids=["sym", "hard", "chr", "blk", "fifo"],
)
def test_links_and_devices_in_tar(tmp_path: Path, inside: Path, kind: bytes) -> None:
    """Links, devices and pipes are never made, so nothing can be written or read through them."""
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        link = tarfile.TarInfo("door")
        link.type, link.linkname = kind, str(tmp_path)
        file.addfile(link)
        info = tarfile.TarInfo("door/out.txt")
        info.size = 4
        file.addfile(info, io.BytesIO(b"evil"))
    assert unpack(tmp_path / "a.tar", inside) == [("door", "a link or device, not a file")]
    assert files_in(inside) == {"door/out.txt": b"evil"}
    assert not (tmp_path / "out.txt").exists()


def test_symlink_in_zip(tmp_path: Path, inside: Path) -> None:
    """A symbolic link in a zip is left out."""
    link = zipfile.ZipInfo("door")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(link, "/etc")
        file.writestr("good", "1")
    assert unpack(tmp_path / "a.zip", inside) == [("door", "a link, not a file")]
    assert files_in(inside) == {"good": b"1"}


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(("first", "second"), [("a/1", "a/1"), ("a/1", "a\\1"), ("a/1", "a"), ("a", "a/1")])
def test_second_member_of_a_name(tmp_path: Path, inside: Path, make: Maker, first: str, second: str) -> None:
    """Of two members in one place, or a file where a folder is, the first stays and the second is named."""
    archive = make(tmp_path / "archive", [(first, b"first"), (second, b"second")])
    assert unpack(archive, inside) == [(second, "an earlier member has this name")]
    assert files_in(inside) == {first: b"first"}


def test_macs_zip_keeps_umlauts(tmp_path: Path, inside: Path) -> None:
    """macOS writes UTF-8 names without the flag that says so; they are read as what they are."""
    archive = make_zip(tmp_path / "a.zip", [("Käfer/ö.jpg", b"1")])
    data = archive.read_bytes().replace(b"\x00\x08", b"\x00\x00")
    archive.write_bytes(data)
    with zipfile.ZipFile(archive) as file:
        assert file.namelist() != ["Käfer/ö.jpg"]
    unpack(archive, inside)
    assert files_in(inside) == {"Käfer/ö.jpg": b"1"}


def test_old_zip_keeps_umlauts(tmp_path: Path, inside: Path) -> None:
    """A zip with names in the code page of DOS is read as before."""
    archive = make_zip(tmp_path / "a.zip", [("Kxfer/1.jpg", b"1")])
    archive.write_bytes(archive.read_bytes().replace(b"Kxfer", "Käfer".encode("cp437")))
    unpack(archive, inside)
    assert files_in(inside) == {"Käfer/1.jpg": b"1"}


def test_encrypted_zip(tmp_path: Path, inside: Path) -> None:
    """An encrypted zip is told as such, with what to do."""
    archive = make_zip(tmp_path / "a.zip", [("a", b"1")])
    data = bytearray(archive.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(DataError, match=r"a.zip cannot be unpacked: .*encrypted") as caught:
        unpack(archive, inside)
    assert caught.value.hint == "unpack it by hand and give the folder"


def damaged(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(64) + data[middle + 64 :]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_zip(tmp_path: Path, inside: Path, compression: int) -> None:
    """A zip with flipped bytes in a member is an error, whatever its decompressor raises."""
    archive = make_zip(tmp_path / "a.zip", [("a", NOISE)], compression)
    archive.write_bytes(damaged(archive.read_bytes()))
    with pytest.raises(DataError, match=r"a.zip cannot be unpacked"):
        unpack(archive, inside)


@pytest.mark.parametrize("ending", TAR_MODES)
def test_truncated_tar(tmp_path: Path, inside: Path, ending: str) -> None:
    """A tar of which only a part was copied is an error, not a smaller data set."""
    archive = make_tar(tmp_path / "archive", [("a", NOISE), ("b", NOISE)], TAR_MODES[ending])
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size * 3 // 4])
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(archive, inside)


ARCHIVES: list[bytes] = []


@pytest.fixture(scope="module", autouse=True)
def archives(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One small archive of each kind, to be damaged."""
    path, members = tmp_path_factory.mktemp("archives") / "archive", [("a/1", NOISE[:60] * 3), ("a/2", b"x" * 500)]
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        ARCHIVES.append(make_zip(path, members, compression).read_bytes())
    ARCHIVES.extend(make_tar(path, members, mode).read_bytes() for mode in TAR_MODES.values())


@pytest.mark.parametrize("ending", TAR_MODES)
def test_a_tar_that_was_cut_off(tmp_path: Path, inside: Path, ending: str) -> None:
    """A tar whose end is missing is an error, wherever it was cut: what is left of it is not taken for the whole."""
    archive = make_tar(tmp_path / "a", [(f"a/{i}", NOISE[i : i + 700]) for i in range(9)], TAR_MODES[ending])
    whole = archive.read_bytes()
    if ending == ".tar":
        whole = whole.rstrip(b"\0")
    for share in (0.3, 0.6, 0.9):
        archive.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(DataError, match="cannot be unpacked"):
            unpack(archive, inside)


def test_a_tar_with_a_damaged_header(tmp_path: Path, inside: Path) -> None:
    """A damaged header in the middle is an error, not the end."""
    archive = make_tar(tmp_path / "a.tar", [(f"{i}", NOISE[:100]) for i in range(9)])
    content = bytearray(archive.read_bytes())
    content[4 * 1024 + 20] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(DataError, match="damaged or incomplete"):
        unpack(archive, inside)


def test_zeros_are_no_archive(tmp_path: Path) -> None:
    """A file of zeros, as crashes leave it, is an unreadable image and not an empty archive."""
    (tmp_path / "a.jpg").write_bytes(bytes(40_000))
    assert not is_archive(tmp_path / "a.jpg")


def test_a_name_that_is_too_long(tmp_path: Path, inside: Path) -> None:
    """A member whose name the file system does not take is named; the others are unpacked."""
    archive = make_zip(tmp_path / "a.zip", [("a/" + "x" * 300, b"1"), ("a/1", b"2")])
    ((name, reason),) = unpack(archive, inside)
    assert name.endswith("xxx")
    assert "too long" in reason
    assert files_in(inside) == {"a/1": b"2"}


@settings(max_examples=150)
@given(
    st.integers(0, 6),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    st.floats(0, 1),
)
def test_any_damage(
    tmp_path_factory: pytest.TempPathFactory, number: int, changes: list[tuple[float, int]], kept: float
) -> None:
    """However an archive is damaged: it is unpacked, or an error with a sentence, or no archive."""
    folder = tmp_path_factory.mktemp("damage")
    data = bytearray(ARCHIVES[number])
    for where, value in changes:
        data[int(where * len(data))] = value
    for name, content in (("changed", bytes(data)), ("cut", bytes(data[: int(kept * len(data))]))):
        (folder / name).write_bytes(content)
        inside = folder / f"{name} inside"
        inside.mkdir()
        if is_archive(folder / name):
            try:
                unpack(folder / name, inside)
            except DataError as error:
                assert "cannot be unpacked" in error.message or "does not fit" in error.message
    assert {path.name for path in folder.iterdir()} == {"changed", "changed inside", "cut", "cut inside"}


@pytest.mark.parametrize("content", [b"", b"path,label\na.jpg,ants\n", b"\xff\xd8\xff\xe0", b"PK\x03\x04", b"\x1f\x8b\x08\0"])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    """An empty file, a table, an image and the mere beginning of an archive are none."""
    (tmp_path / "a.zip").write_bytes(content)
    assert not is_archive(tmp_path / "a.zip")
    assert not is_archive(tmp_path / "missing.zip")
    assert not is_archive(tmp_path)


def test_zip_behind_a_jpeg_is_a_jpeg(tmp_path: Path) -> None:
    """A JPEG with a zip archive behind its last byte is an image, as its first bytes say."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.txt", "x")
    both = tmp_path / "both.jpg"
    both.write_bytes(b"\xff\xd8\xff\xe0" + b"\0" * 100 + (tmp_path / "a.zip").read_bytes())
    assert zipfile.is_zipfile(both)
    assert not is_archive(both)


def test_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that unpacks to far more than images could is refused before it fills the disk."""
    monkeypatch.setattr("headstart.data.archives.HARMLESS_BYTES", 1 << 20)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.jpg", b"\0" * (50 << 20))
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="unpacks to more than"):
        unpack(bomb, tmp_path / "out")
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*.jpg")) <= 8 << 20


MIB = 1 << 20
HUGE = 32 * MIB  # of a header: far more than may be read of it


def header_of(kind: bytes, size: int, name: str = "a", **facts: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.pax_headers = kind, size, facts
    return info.tobuf(tarfile.PAX_FORMAT if facts else tarfile.GNU_FORMAT)


def old_holes() -> Iterator[bytes]:
    """A sparse file as GNU tar wrote it of old: a list of pieces that goes on block after block."""
    start = bytearray(header_of(tarfile.GNUTYPE_SPARSE, 0))
    start[482], start[148:156] = 1, b" " * 8
    start[148:156] = b"%06o\0 " % sum(start)
    yield bytes(start)
    block = b"%011o\0%011o\0" % (1, 1) * 21
    yield from [(block + b"\1" + bytes(7)) * 2048] * (HUGE // MIB)


def new_holes() -> Iterator[bytes]:
    """A sparse file as GNU tar writes it in PAX headers: the list of pieces stands before the content."""
    facts = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a", "GNU.sparse.realsize": "1"}
    yield header_of(tarfile.REGTYPE, HUGE, **facts)
    yield b"100000000\n"
    yield from [b"1\n" * (MIB // 2)] * (HUGE // MIB)


def extended(kind: bytes) -> Iterator[bytes]:
    """A header that says of the next one what its fields do not hold, such as a long name or a fact."""
    yield header_of(kind, HUGE)
    yield b"%d comment=" % HUGE
    yield from [b"a" * MIB] * (HUGE // MIB)


def many() -> Iterator[bytes]:
    """Ordinary members, each with a large header of its own."""
    for number in range(HUGE // 50_000):
        yield header_of(tarfile.REGTYPE, 0, f"{number}.jpg", comment="a" * 50_000)


BOMBS = {
    "pax": lambda: extended(tarfile.XHDTYPE),
    "global": lambda: extended(tarfile.XGLTYPE),
    "solaris": lambda: extended(tarfile.SOLARIS_XHDTYPE),
    "long name": lambda: extended(tarfile.GNUTYPE_LONGNAME),
    "long link": lambda: extended(tarfile.GNUTYPE_LONGLINK),
    "old holes": old_holes,
    "new holes": new_holes,
}


def write_tar(path: Path, blocks: Iterator[bytes], opener: Callable[[Path, str], IO[bytes]]) -> Path:
    with opener(path, "wb") as file:
        for block in blocks:
            file.write(block)
        file.write(bytes(1024))
    return path


def peak_of(work: Callable[[], object]) -> int:
    """Bytes of memory that Python takes while `work` is done, at its peak."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("opener", [open, gzip.open, lzma.open], ids=["tar", "gz", "xz"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_header_is_never_read_beyond_its_limit(
    tmp_path: Path, inside: Path, bomb: str, opener: Callable[[Path, str], IO[bytes]]
) -> None:
    """Whatever size a header claims, no more than the limit is read, and the archive is refused in a sentence."""
    archive = write_tar(tmp_path / "set.tar", BOMBS[bomb](), opener)

    def refused() -> None:
        assert is_archive(archive)
        with pytest.raises(DataError, match=rf"set.tar cannot be unpacked: a member's header .*{HEADER_BYTES >> 10} KiB"):
            unpack(archive, inside)

    assert peak_of(refused) < 12 * MIB  # of which xz takes 8
    assert files_in(inside) == {}


def test_headers_of_many_members_are_not_kept(tmp_path: Path, inside: Path) -> None:
    """The headers of members that were unpacked take no memory."""
    archive = write_tar(tmp_path / "set.tar", many(), open)
    assert peak_of(lambda: unpack(archive, inside)) < 4 * MIB
    assert len(files_in(inside)) == HUGE // 50_000


def test_headers_as_tools_write_them(tmp_path: Path, inside: Path) -> None:
    """Long names, facts of the file system, and what git says about a whole archive are read."""
    long = "/".join(["a" * 100] * 9) + ".jpg"
    for number, format in enumerate((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)):
        with tarfile.open(tmp_path / "set.tar", "w", format=format, pax_headers={"comment": "0" * 40}) as file:
            info = tarfile.TarInfo(f"{number}/{long}")
            info.size, info.pax_headers = 5, {"SCHILY.xattr.user.note": "x" * 4_000}
            file.addfile(info, io.BytesIO(b"pixel"))
        assert unpack(tmp_path / "set.tar", inside) == []
    assert files_in(inside) == {f"0/{long}": b"pixel", f"1/{long}": b"pixel"}


def test_a_sparse_file(tmp_path: Path, inside: Path) -> None:
    """A sparse file of a few pieces is unpacked, holes and all."""
    facts = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a.jpg", "GNU.sparse.realsize": "1000"}
    map_and_content = b"1\n500\n3\n".ljust(512, b"\0") + b"abc".ljust(512, b"\0")
    blocks = [header_of(tarfile.REGTYPE, 515, **facts), map_and_content]
    archive = write_tar(tmp_path / "set.tar", iter(blocks), open)
    assert unpack(archive, inside) == []
    assert files_in(inside) == {"a.jpg": bytes(500) + b"abc" + bytes(497)}


def test_facts_about_all_members_are_limited(tmp_path: Path, inside: Path) -> None:
    """A tar cannot fill the memory with ever new facts about all its members."""
    facts = (tarfile.TarInfo.create_pax_global_header({f"fact {i}": "a" * 50_000}) for i in range(HUGE // 50_000))
    members = (block for number, fact in enumerate(facts) for block in (fact, header_of(tarfile.REGTYPE, 0, f"{number}")))
    archive = write_tar(tmp_path / "set.tar", members, open)

    def refused() -> None:
        with pytest.raises(DataError, match=r"set\.tar cannot be unpacked: its global headers have more than 100 entries"):
            unpack(archive, inside)

    assert peak_of(refused) < 12 * MIB


def test_what_is_left_out_is_limited(tmp_path: Path, inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that are left out are named by the beginning of their names; too many of them refuse the archive."""
    archive = make_tar(tmp_path / "set.tar", [("a" * 50_000, b""), ("/" + "b" * 50_000, b""), ("c/" * 25_000, b"")])
    left_out = unpack(archive, inside)
    assert [(len(name), reason) for name, reason in left_out] == [(300, "its name is too long")] * 3
    monkeypatch.setattr(archives_module, "MAX_LEFT_OUT", 2)
    with pytest.raises(DataError, match=r"set\.tar holds more than 2 members that are left out: its name is too long"):
        unpack(archive, inside)
