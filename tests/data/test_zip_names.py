"""Names in zips are read as they were written, in UTF-8 or in one of the encodings of Windows and DOS."""

import io
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path

import pytest

from headstart.data.archives import open_zip
from headstart.data.opening import open_sources
from headstart.data.zip_names import member_names


def zip_of(names: dict[bytes, bytes], extra: dict[bytes, bytes] | None = None) -> bytes:
    """A zip whose names are these bytes, without the flag for UTF-8, as Windows Explorer and older tools write it."""
    stand_ins = {f"{i:04}".ljust(len(name), "x").encode(): name for i, name in enumerate(names)}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for stand_in, name in stand_ins.items():
            info = zipfile.ZipInfo(stand_in.decode())
            info.extra = (extra or {}).get(name, b"")
            archive.writestr(info, names[name])
    data = file.getvalue()
    for stand_in, name in stand_ins.items():
        data = data.replace(stand_in, name)
    return data


def names_in(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return member_names(archive.infolist())


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("gbk", ["训练/番茄早疫病/1.jpg", "训练/健康/2.jpg"]),
        ("gbk", ["猫/1.jpg", "狗/IMG_2.jpg"]),
        ("cp1252", ["Käfer/1.jpg", "Größe/2.jpg", "Biene/3.jpg"]),
        ("cp1252", ["forêt/été 1.jpg", "forêt/45°.jpg"]),
        ("cp850", ["Käfer/1.jpg", "forêt/2.jpg"]),
        ("cp932", ["ねこ/1.jpg", "犬の写真/2.jpg"]),
        ("cp1251", ["Кошки/1.jpg", "собаки/2.jpg"]),
        ("cp866", ["Кошки/1.jpg", "собаки/2.jpg"]),
        ("utf-8", ["猫/1.jpg", "Käfer/2.jpg"]),
    ],
)
def test_an_archive_has_one_encoding(encoding: str, names: list[str]) -> None:
    """Names without a flag are read in the encoding in which all names of the archive are words."""
    assert names_in(zip_of({name.encode(encoding): b"" for name in names})) == names


def test_bytes_that_are_no_words_are_kept_apart() -> None:
    """Names that read as words in no encoding stay different names."""
    names = names_in(zip_of({b"\x01\xff\xfe/1.jpg": b"", b"\x01\xfe\xff/1.jpg": b""}))
    assert len(set(names)) == 2


@pytest.mark.parametrize("fits", [True, False])
def test_the_name_in_an_extra_field(fits: bool) -> None:
    """A name that is repeated in UTF-8 in an extra field is taken from there, unless the field belongs to another name."""
    name, repeated = "고양이/1.jpg".encode("cp949"), "고양이/1.jpg".encode()
    field = b"\1" + zlib.crc32(name if fits else b"another").to_bytes(4, "little") + repeated
    extra = (0x7075).to_bytes(2, "little") + len(field).to_bytes(2, "little") + field
    assert (names_in(zip_of({name: b""}, {name: extra})) == ["고양이/1.jpg"]) is fits


def test_classes_of_such_an_archive(tmp_path: Path) -> None:
    """The classes of a zip in GBK have their names, unpacked and read in place."""
    archive = tmp_path / "set.zip"
    archive.write_bytes(zip_of({name.encode("gbk"): b"x" for name in ("猫/1.jpg", "猫/2.jpg", "狗/1.jpg")}))
    with open_sources(archive) as sources:
        assert {candidate.label for candidate in sources.candidates} == {"猫", "狗"}
    with ExitStack() as stack:
        members, left_out = open_zip(stack, archive)
        assert set(members) == {("猫", "1.jpg"), ("猫", "2.jpg"), ("狗", "1.jpg")} and not left_out
        assert members["猫", "1.jpg"].read() == b"x"
