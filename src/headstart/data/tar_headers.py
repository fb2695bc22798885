"""The headers of the members of a tar, read up to a limit."""

import tarfile
from typing import IO, Any, Self

HEADER_BYTES = 64 << 10  # all headers of one member: names of any file system fit, and what tools note of a file


class LargeHeader(Exception):  # noqa: N818 - a fact about an archive
    """The headers of a member take more than HEADER_BYTES."""


class LimitedMember(tarfile.TarInfo):
    """A member of a tar whose headers are read up to HEADER_BYTES: a long name, a PAX header or a list of holes may claim any
    size, and tarfile reads it as a whole.
    """

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """The next member. Raises LargeHeader, and what tarfile itself raises."""
        stream: Any = tarfile.fileobj
        if isinstance(stream, _Headers):  # the header that follows an extended one
            return super().fromtarfile(tarfile)
        tarfile.fileobj = _Headers(stream)  # type: ignore[assignment] # all that is called here are its two methods
        try:
            return super().fromtarfile(tarfile)
        finally:
            tarfile.fileobj = stream


class _Headers:
    """The stream of a tar while the headers of one member are read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = HEADER_BYTES

    def read(self, n_bytes: int) -> bytes:
        self._left -= n_bytes
        if n_bytes < 0 or self._left < 0:
            raise LargeHeader(f"a member's header is larger than {HEADER_BYTES >> 10} KiB")
        return self._stream.read(n_bytes)

    def tell(self) -> int:
        return self._stream.tell()
