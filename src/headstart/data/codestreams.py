"""The size that a compressed image states, as JPEG, JPEG-LS and JPEG 2000 lie in other files."""

FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # markers of JPEG and JPEG-LS before a size (T.81, T.87)
BARE_MARKERS = (0x01, *range(0xD0, 0xD9))
JPEG_2000 = b"\xff\x4f\xff\x51"


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Width and height; None for what is none of these, or does not say it."""
    at = data.find(JPEG_2000, 0, 1 << 16)
    if at >= 0:
        right, bottom, left, top = (int.from_bytes(data[at + 8 + 4 * i : at + 12 + 4 * i], "big") for i in range(4))
        return right - left, bottom - top
    at = 2 if data[:2] == b"\xff\xd8" else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in FRAMES:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        if marker == 0xFF or marker in BARE_MARKERS:
            at += 1 if marker == 0xFF else 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
