"""The samples in a tar of WebDataset: images, and what the files beside them with the same key say of their class."""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from headstart.data.sources import class_name
from headstart.data.tar_headers import LargeHeader, LimitedMember
from headstart.data.walking import IMAGE_ENDINGS, is_hidden_name
from headstart.errors import DataError

CLASS, JSON = "cls", "json"  # endings
LABEL_KEYS = ("label", "class", "class_name", "cls", "category", "target")  # of a JSON file, the first that is there
MOST_BYTES = 1 << 20  # of a file with a label
BLOCK = 512


@dataclass(slots=True)
class Sample:
    """The images of one key, and the label that was found."""

    images: list[tuple[str, int, int]] = field(default_factory=list)  # name, first byte, size
    label: str | None = None
    is_of_class_file: bool = False  # which counts before a JSON file
    is_described: bool = False  # whether there is a file that could have a label


def samples_in(file: BinaryIO, shown: str, most: int | None = None) -> dict[str, Sample]:
    """The samples of an open tar by their keys, in its order; of at most so many members, if that is given.

    Raises DataError if it is no tar, compressed, damaged or cut off, or if a label cannot be read.
    """
    found: dict[str, Sample] = {}
    try:
        with tarfile.open(fileobj=file, mode="r:", tarinfo=LimitedMember) as tar:
            for number, info in enumerate(_members(tar)):
                if number == most:
                    return found
                _add(found, tar, info, shown)
            _check_end(file, tar.offset, shown)
    except (tarfile.TarError, LargeHeader, EOFError, UnicodeError) as error:
        raise DataError(f"{shown} cannot be read as a tar: {error}", hint=_hint(file)) from error
    return {key: sample for key, sample in found.items() if sample.images}


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (info := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined] # tarfile would keep every member with its headers
        if info.isreg() and not info.issparse() and not any(map(is_hidden_name, info.name.split("/"))):
            yield info


def _add(found: dict[str, Sample], tar: tarfile.TarFile, info: tarfile.TarInfo, shown: str) -> None:
    """Notes what a member is to its sample: the key is all before the first dot of its name, as WebDataset has it."""
    folder, slash, name = info.name.removeprefix("./").rpartition("/")
    stem, _, ending = name.partition(".")
    kind = ending.rpartition(".")[2].lower()
    sample = found.setdefault(f"{folder}{slash}{stem}", Sample())
    if f".{kind}" in IMAGE_ENDINGS:
        sample.images.append((info.name, info.offset_data, info.size))
    elif kind in (CLASS, JSON) and info.size <= MOST_BYTES:
        content = tar.extractfile(info)
        assert content is not None  # it is a file
        label = _label(content.read(), kind, f"{shown}!{info.name}")
        sample.is_described = True
        if label is not None and not sample.is_of_class_file:
            sample.label, sample.is_of_class_file = label, kind == CLASS


def _label(content: bytes, kind: str, shown: str) -> str | None:
    """What a file says of the class; numbers are names of classes, as in tables. Raises DataError."""
    text = content.decode("utf-8-sig").strip()
    if kind == CLASS:
        return class_name(text) if text else None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown} is not JSON: {error}", hint="create the tar again") from error
    if not isinstance(values, dict):
        return None
    value = next((values[key] for key in LABEL_KEYS if values.get(key) is not None), None)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return class_name(str(value).strip()) or None


def _check_end(file: BinaryIO, offset: int, shown: str) -> None:
    """Raises DataError where a tar does not end as tars do: tarfile takes a missing header for the end."""
    file.seek(offset)
    if file.read(BLOCK) != bytes(BLOCK):
        raise DataError(f"{shown} is damaged or incomplete", hint="copy or create it again")


def _hint(file: BinaryIO) -> str:
    file.seek(0)
    is_compressed = file.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))
    return "it is compressed: unpack it, tars are read in place" if is_compressed else "copy or create it again"
