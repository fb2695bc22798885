"""A picture with many boxes is decoded once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from headstart.data import recent_pictures
from headstart.data.recent_pictures import RecentPictures


@dataclass(frozen=True)
class Decoded:
    width: int
    height: int = 1


def test_once_for_many_threads() -> None:
    """However many threads ask for a picture, one decodes it; another decoding or limit is another picture."""
    calls: list[int] = []
    pictures = RecentPictures[Decoded]()

    def decode() -> Decoded:
        calls.append(1)
        return Decoded(3)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: pictures.decoded(b"a", 10, 2, "", decode), range(50)))
    assert set(found) == {Decoded(3)}
    assert len(calls) == 1
    pictures.decoded(b"a", 10, 1, "", decode)
    pictures.decoded(b"a", 11, 2, "", decode)
    assert len(calls) == 3


def test_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Together they keep few pixels; a picture that is larger than that alone is kept until the next one."""
    monkeypatch.setattr(recent_pictures, "MOST_PIXELS", 100)
    calls: list[bytes] = []
    pictures = RecentPictures[Decoded]()

    def ask(name: bytes, width: int) -> None:
        pictures.decoded(name, 10, 2, "", lambda: calls.append(name) or Decoded(width))  # type: ignore[func-returns-value]

    for name, width in ((b"a", 60), (b"b", 60), (b"b", 60), (b"c", 500), (b"c", 500), (b"b", 60)):
        ask(name, width)
    assert calls == [b"a", b"b", b"c", b"b"]


def test_failures_are_not_kept() -> None:
    """A picture that could not be decoded is tried again, as the reason belongs to each box."""
    pictures = RecentPictures[Decoded]()
    with pytest.raises(ZeroDivisionError):
        pictures.decoded(b"a", 10, 2, "", lambda: Decoded(1 // 0))
    assert pictures.decoded(b"a", 10, 2, "", lambda: Decoded(1)) == Decoded(1)
