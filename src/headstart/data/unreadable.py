"""Why a file is not an image that can be used."""

from typing import Literal

# What is wrong with a file: its content is damaged, is something else than an image that is read, or is too large.
Fault = Literal["damaged", "type", "size"]
MAX_BYTES = 1 << 30  # of a file: more than the largest image takes uncompressed


class UnreadableImage(Exception):  # noqa: N818 - a fact about a file, not a failure of the program
    """The file is not an image that can be used; `reason` says why in a few words."""

    def __init__(self, reason: str, fault: Fault = "damaged") -> None:
        super().__init__(reason)
        self.reason = reason
        self.fault = fault


def check_size(n_bytes: int) -> None:
    """Raises UnreadableImage for a file of more bytes than an image takes."""
    if n_bytes > MAX_BYTES:
        raise UnreadableImage(f"larger than {MAX_BYTES >> 30} GiB: not an image that is read", "size")
