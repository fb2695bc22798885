"""PNG files with more text or a larger colour profile than Pillow reads: the same file without these."""

import struct
import zlib
from collections.abc import Iterator

from headstart.data.colour import MAX_PROFILE_BYTES

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT_BYTES = 1 << 20  # of one chunk, inflated; Pillow's own limit
MAX_ALL_TEXT_BYTES = 16 << 20  # of all chunks together: Pillow takes four times as much
TEXTS = (b"tEXt", b"zTXt", b"iTXt")


def without_large_texts(data: bytes) -> tuple[bytes, bytes | None]:
    """(the PNG without text that is too long and without its colour profile, the colour profile).

    No chunk is inflated beyond the limits, so a bomb costs no memory. The profile is None if there is none or it is too large.
    """
    kept, profile, n_text = [SIGNATURE], None, 0
    for name, body, whole in _chunks(data):
        if name == b"iCCP":
            profile = _inflated(body.partition(b"\0")[2][1:], MAX_PROFILE_BYTES)
            continue
        if name in TEXTS:
            length = _text_bytes(name, body)
            if length is None or n_text + length > MAX_ALL_TEXT_BYTES:
                continue
            n_text += length
        kept.append(whole)
    return b"".join(kept), profile


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yields (name, content, whole chunk), then what is left of a file that was cut off; content of text and profiles only."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        yield name, data[at + 8 : end - 4] if name in (*TEXTS, b"iCCP") else b"", data[at:end]
        at = end
    yield b"", b"", data[at:]


def _text_bytes(name: bytes, body: bytes) -> int | None:
    """How long the text of a chunk is, inflated; None if it is too long, or if its compressed form is damaged."""
    rest = body.partition(b"\0")[2]
    if name == b"zTXt" or (name == b"iTXt" and rest[:1] == b"\x01"):
        packed = rest[1:] if name == b"zTXt" else rest[2:].split(b"\0", 2)[-1]
        text = _inflated(packed, MAX_TEXT_BYTES)
        return None if text is None else len(text)
    return len(body) if len(body) <= MAX_ALL_TEXT_BYTES else None


def _inflated(packed: bytes, most: int) -> bytes | None:
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(packed, most)
    except zlib.error:
        return None
    return None if stream.unconsumed_tail or (len(found) == most and not stream.eof) else found
