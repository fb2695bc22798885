"""The names of a zip's members: zips from Windows do not say in which of the old encodings their names are written."""

import re
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from zipfile import ZipInfo

UTF8_FLAG = 0x800
UNICODE_PATH = 0x7075  # the extra field in which Info-ZIP and others repeat the name in UTF-8
ZIP_ENCODING = "cp437"  # of names without the flag, by the format's definition: never undefined, so it is the last resort
WORD = re.compile(r"[^\W\d_]+")
WITHIN_WORD = re.compile(r"[^\W\d_][^\w\s\x00-\x7f’–·・][^\W\d_]")
NEVER_IN_NAMES = {"Cc", "Cn", "Co", "No", "Sc", "Sk", "Sm", "So"}  # categories of Unicode


def member_names(members: Sequence[ZipInfo]) -> list[str]:
    """The names of an archive's members, in their order.

    Names without the flag for UTF-8 are all in one encoding: UTF-8 if they all can be (macOS leaves the flag out), else the
    first in which they all read as words, else each in UTF-8 or the format's own.
    """
    names = [_raw_name(member) for member in members]
    unclear = [name for name in names if isinstance(name, bytes)]
    encoding = None if all(_utf8(name) is not None for name in unclear) else _encoding_of(unclear)
    return [name if isinstance(name, str) else _decoded(name, encoding) for name in names]


def _decoded(name: bytes, encoding: str | None) -> str:
    if encoding:
        return name.decode(encoding)
    text = _utf8(name)
    return name.decode(ZIP_ENCODING) if text is None else text


def _raw_name(member: ZipInfo) -> str | bytes:
    """The name where the archive says what it is, else its bytes."""
    if member.flag_bits & UTF8_FLAG:
        return member.filename
    try:
        raw = member.orig_filename.encode(ZIP_ENCODING)  # zipfile has decoded it so
    except UnicodeError:
        return member.filename
    return _unicode_path(member.extra, raw) or raw


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in a member's extra fields, if it was made for this very name."""
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        content, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_PATH and content[:1] == b"\1" and int.from_bytes(content[1:5], "little") == zlib.crc32(raw):
            return _utf8(content[5:])
    return None


def _utf8(name: bytes) -> str | None:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _encoding_of(names: Sequence[bytes]) -> str | None:
    """The first encoding in which all of an archive's names read as words."""
    for encoding, reads in READERS:
        try:
            texts = [name.decode(encoding) for name in names]
        except UnicodeDecodeError:
            continue
        if not any(map(_is_odd, texts)) and all(reads(word) for text in texts for word in WORD.findall(text)):
            return encoding
    return None


def _is_odd(text: str) -> bool:
    """Whether it has signs that nobody writes into a name, such as frames and control characters, or quotes within a word."""
    signs = [letter for letter in text if not letter.isascii() and letter not in "°²³½©®™"]
    return bool(WITHIN_WORD.search(text)) or any(unicodedata.category(sign) in NEVER_IN_NAMES for sign in signs)


def _latin(word: str) -> bool:
    """Whether it is a word in a European language: it has plain letters too, and capitals first or throughout."""
    accented = [letter for letter in word if not letter.isascii()]
    is_latin = all("LATIN" in unicodedata.name(letter, "") for letter in accented)
    return is_latin and (len(word) < 3 or len(accented) < len(word)) and _is_one_case(word)


def _cyrillic(word: str) -> bool:
    return word.isascii() or (all("CYRILLIC" in unicodedata.name(letter, "") for letter in word) and _is_one_case(word))


def _is_one_case(word: str) -> bool:
    return word.isascii() or word[1:] == word[1:].lower() or word == word.upper()


def _chinese(word: str) -> bool:
    """Whether its signs are among the 3,755 frequent ones, which GB 2312 puts first."""
    codes = [letter.encode("gb18030") for letter in word]
    return word.isascii() or all(len(code) == 2 and 0xB0 <= code[0] <= 0xD7 and code[1] >= 0xA1 for code in codes)


def _japanese(word: str) -> bool:
    """Whether its signs are kana or among the 2,965 frequent ones, which JIS X 0208 puts first."""
    codes = [letter.encode("cp932") for letter in word]
    return word.isascii() or all(
        len(code) == 2 and (code[0] in (0x82, 0x83) or 0x88 <= code[0] <= 0x98 or letter in "ー々")
        for letter, code in zip(word, codes, strict=True)
    )


def _korean(word: str) -> bool:
    return word.isascii() or all("\uac00" <= letter <= "\ud7a3" for letter in word)


# The encodings of Windows and DOS, and what a word in them looks like; what few other bytes satisfy comes first. The bytes of
# Korean names are frequent Chinese signs as well, and Chinese archives are more frequent.
READERS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("cp932", _japanese),
    ("gb18030", _chinese),
    ("cp949", _korean),
    ("cp1252", _latin),
    ("cp850", _latin),
    ("cp1251", _cyrillic),
    ("cp866", _cyrillic),
)
