"""The limits of a server, which keep its memory and its answer times bounded."""

from dataclasses import dataclass

MEGABYTE = 10**6


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one server. A request beyond one gets the status named beside it, and a hint."""

    image_bytes: int = 32 * MEGABYTE  # of one file: 413
    image_pixels: int = 64_000_000  # of one image, by its header; up to 1 GB while it is decoded, one at a time: 413
    request_bytes: int = 64 * MEGABYTE  # of one request's body: 413
    request_images: int = 64  # in one request: 413
    waiting_images: int = 128  # accepted and not started: 429
    waiting_bytes: int = 256 * MEGABYTE  # of bodies being read or waiting: 429
    requests: int = 512  # worked on at once: 503
    upload_seconds: float = 30.0  # until a body has arrived: 408
    answer_seconds: float = 30.0  # from then on: 504
    batch_images: int = 8  # answered together, at most
    batch_wait_seconds: float | None = None  # for more to come; None: 0, or a few milliseconds on a GPU


class Problem(Exception):  # noqa: N818 - an answer, not a failure of the program
    """A request that is refused: its status, one sentence and what to do."""

    def __init__(self, status: int, message: str, hint: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint
        self.headers = headers or {}

    def as_json(self) -> dict[str, str]:
        """The body of the answer."""
        return {"error": self.message, "hint": self.hint}


def overloaded(message: str) -> Problem:
    """The refusal of images that come faster than they can be answered."""
    return Problem(429, message, "send them again in a second, and fewer at a time", {"Retry-After": "1"})


class Room:
    """The memory set aside for request bodies. Only the event loop uses it."""

    def __init__(self, limits: Limits) -> None:
        self.limit = self.free = limits.waiting_bytes

    @property
    def taken(self) -> int:
        """Bytes of bodies that are being read or waiting for their answer."""
        return self.limit - self.free

    def take(self, n_bytes: int) -> None:
        """Takes bytes. Raises Problem if too few are left."""
        if n_bytes > self.free:
            raise overloaded("the waiting images take up all memory set aside for them")
        self.free -= n_bytes

    def give_back(self, n_bytes: int) -> None:
        """Returns what was taken."""
        self.free += n_bytes
