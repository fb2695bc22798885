"""Why a file is not an image that can be used."""

from typing import Literal

# What is wrong with a file: its content is damaged, is something else than an image that is read, or is too large.
Fault = Literal["damaged", "type", "size"]


class UnreadableImage(Exception):  # noqa: N818 - a fact about a file, not a failure of the program
    """The file is not an image that can be used; `reason` says why in a few words."""

    def __init__(self, reason: str, fault: Fault = "damaged") -> None:
        super().__init__(reason)
        self.reason = reason
        self.fault = fault
