"""Reads, lists and writes what addresses name: the only module that imports fsspec."""

import errno
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from headstart.addresses.address import protocol_of, shown
from headstart.addresses.hub import HUB, pages_of_hub, pinned_on_hub, prepare_hub, refusal_of, status_of
from headstart.addresses.retrying import PATIENT_TRIES, TRIES, with_retries
from headstart.addresses.s3_pages import pages_of_s3
from headstart.addresses.s3_session import s3_session
from headstart.errors import DataError, HeadstartError, MissingPackageError, first_line

T = TypeVar("T")
S3 = {"s3", "s3a"}
LOOK_BYTES = 4 << 20  # read at once of an object that is looked into
# Of S3: retries are made here, so that every store has the same; a server that says nothing is asked again.
S3_OPTIONS = {"config_kwargs": {"connect_timeout": 5, "read_timeout": 10, "retries": {"max_attempts": 0}}}
# Protocol -> what installs its package.
INSTALLED_BY = {
    "s3": "pip install 'headstart[cluster]'",
    "s3a": "pip install 'headstart[cluster]'",
    "gs": "pip install gcsfs",
    "gcs": "pip install gcsfs",
    "az": "pip install adlfs",
    "abfs": "pip install adlfs",
    "abfss": "pip install adlfs",
    HUB: "pip install 'headstart[hub]'",
    "http": "pip install aiohttp",
    "https": "pip install aiohttp",
}
# Stores in which an object appears when all of it is there; elsewhere it is written aside and renamed.
WHOLE = {*S3, "gs", "gcs", "az", "abfs", "abfss", HUB}
# What a store answers to whoever may not, or asks wrongly: asking again does not help.
FOR_GOOD = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, NotImplementedError)
FOR_GOOD_NUMBERS = {errno.EINVAL, errno.ENOENT, errno.EACCES, errno.EPERM}
NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"}
NETWORK_CLIENTS = {"aiohttp", "botocore", "urllib3", "requests", "httpx", "httpx2", "google", "azure"}
OFFLINE = "OfflineModeIsEnabled"  # what the hub's library raises if it may not ask
PASSING_STATUSES = {408, 429, *range(500, 600)}
# Names under which stores say what changes with the content.
VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "blob_id", "last_modified", "mtime", "created")
CREDENTIALS = (
    "check the address and the credentials: fsspec takes them from the environment, as other tools do, such as AWS_PROFILE"
)


class NothingThereError(DataError):
    """There is nothing at an address."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An object that a store has."""

    address: str
    size: int | None  # bytes, if the store says it
    version: str  # changes when the content does: its etag, or when it was written; "" if the store says nothing


def read(address: str, size: int | None = None) -> bytes:
    """The bytes of an object. Raises OSError if it cannot be read, also after several tries, or if it is cut off.

    With the `size` that the store has just said there are more tries: it is a store, and was there.
    """
    filesystem, path = _opened(address)
    in_one_go = {"max_concurrency": 1} if protocol_of(address) in S3 else {}  # else s3fs asks for the size first, each time

    def whole() -> bytes:
        data: bytes = filesystem.cat_file(path, **in_one_go)
        if size is not None and len(data) != size:
            raise TimeoutError(f"{len(data)} of {size} bytes came")
        return data

    return with_retries(whole, _is_passing, TRIES if size is None else PATIENT_TRIES)


def read_slice(address: str, start: int, size: int) -> bytes:
    """Some bytes of an object. Raises OSError if they cannot be read, also after several tries, or are not there."""
    filesystem, path = _opened(address)

    def wanted() -> bytes:
        data: bytes = filesystem.cat_file(path, start=start, end=start + size)
        if len(data) != size:
            raise TimeoutError(f"{len(data)} of {size} bytes came")
        return data

    return with_retries(wanted, _is_passing)


def look_into(address: str, look: Callable[[BinaryIO], T], *, ahead: bool = True) -> T:
    """What a function finds in an object, which is read as far as it needs it; a second time where the first is disturbed.

    It is read `ahead` for a function that reads on, else exactly as asked. Raises HeadstartError.
    """
    filesystem, path = _opened(address)
    cache_type = "readahead" if ahead else "none"

    def found() -> T:
        with filesystem.open(path, "rb", block_size=LOOK_BYTES, cache_type=cache_type) as file:
            return look(file)

    return _told(address, lambda: with_retries(found, _is_passing))


def read_or_none(address: str) -> bytes | None:
    """The bytes of an object; None if there is none. Raises HeadstartError."""
    return _told(address, lambda: _unless_missing(lambda: read(address)))


def listed_below(address: str, after: str = "") -> Iterator[list[Listed]]:
    """Yields what is below a folder, some thousand at a time: of S3 in the order of its keys. Raises HeadstartError.

    With the address of an object only what comes `after` it, where `can_go_on`.
    """
    filesystem, path = _opened(address)
    last = filesystem._strip_protocol(after) if after else ""
    pages = _pages(address, filesystem, path, last)
    while (page := _told(address, lambda: next(pages, None))) is not None:
        yield [Listed(_address(protocol_of(address), name), size, version) for name, size, version in page]


def listed_if_there(address: str) -> Iterator[list[Listed]]:
    """The same of a folder that may not be there yet. Raises HeadstartError, also if the bucket is not there (S3)."""
    try:
        yield from listed_below(address)
    except NothingThereError:
        if can_go_on(address):
            raise


def pinned(address: str) -> str:
    """The address of a folder as it is now, where the store keeps that: on the Hugging Face hub. Raises HeadstartError."""
    if protocol_of(address) != HUB:
        return address
    filesystem, path = _opened(address)
    return _told(address, lambda: with_retries(lambda: pinned_on_hub(filesystem, path), _is_passing))


def can_go_on(address: str) -> bool:
    """Whether a store can be asked for what comes after an object."""
    return protocol_of(address) in S3


def about(address: str) -> Listed | None:
    """What the store says of an object; None if there is none. Raises HeadstartError."""
    filesystem, path = _opened(address)
    info = _told(address, lambda: _unless_missing(lambda: with_retries(lambda: filesystem.info(path), _is_passing)))
    if info is None or info["type"] != "file":
        return None
    return Listed(address, info.get("size"), _version_of(info))


def fetch(address: str, target: Path) -> None:
    """Copies an object to a file of this machine. Raises HeadstartError."""
    filesystem, path = _opened(address)

    def copy() -> None:
        if protocol_of(address) == HUB:  # in one stream, not in blocks
            filesystem.get_file(path, str(target))
            return
        with filesystem.open(path, "rb") as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 22)

    _told(address, lambda: with_retries(copy, _is_passing))


def put(file: Path, address: str) -> None:
    """Copies a file of this machine to an address: completely or not at all. Raises HeadstartError."""
    _write(address, lambda filesystem, path: filesystem.put_file(str(file), path))


def put_bytes(data: bytes, address: str) -> None:
    """Writes an object: completely or not at all. Raises HeadstartError."""
    _write(address, lambda filesystem, path: filesystem.pipe_file(path, data))


def _write(address: str, write_to: Callable[[Any, str], object]) -> None:
    filesystem, path = _opened(address)
    if protocol_of(address) in WHOLE:
        _told(address, lambda: with_retries(lambda: write_to(filesystem, path), _is_passing))
        return
    aside = f"{path}.{uuid.uuid4().hex[:8]}.tmp"

    def write() -> None:
        filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        write_to(filesystem, aside)
        filesystem.mv(aside, path)

    _told(address, lambda: with_retries(write, _is_passing))


def remove_below(address: str) -> None:
    """Removes all objects below a folder. Raises HeadstartError."""
    filesystem, path = _opened(address)
    _told(address, lambda: _unless_missing(lambda: with_retries(lambda: filesystem.rm(path, recursive=True), _is_passing)))


@cache
def _filesystem(protocol: str) -> Any:
    try:
        import fsspec

        if protocol == HUB:
            prepare_hub()
        options = S3_OPTIONS if protocol in S3 else {}
        filesystem = fsspec.filesystem(protocol, use_listings_cache=False, **options)
    except ImportError as error:
        raise MissingPackageError(
            f"{protocol}:// needs a package that is not installed",
            hint=INSTALLED_BY.get(protocol, first_line(error)),
        ) from error
    except ValueError as error:
        raise DataError(
            f"{protocol}:// is no kind of address that is known",
            hint="such as s3://bucket/folder, gs://, az://, hf://, https://",
        ) from error
    if protocol in S3:
        filesystem.retries = 1
        filesystem.session = s3_session(filesystem.kwargs)
    return filesystem


def _opened(address: str) -> tuple[Any, str]:
    """The filesystem of an address and the path there. Raises HeadstartError."""
    filesystem = _told(address, lambda: _filesystem(protocol_of(address)))
    return filesystem, filesystem._strip_protocol(address)


def _pages(address: str, filesystem: Any, path: str, last: str) -> Iterator[list[tuple[str, int | None, str]]]:
    """What is below a folder, in the way that its store is asked."""
    if can_go_on(address):
        return pages_of_s3(partial(_ask_s3, filesystem), path, last)
    if protocol_of(address) == HUB and not path.startswith("buckets/"):
        return pages_of_hub(filesystem, path, _is_passing)
    return _folder_by_folder(filesystem, path)


def _ask_s3(filesystem: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = with_retries(lambda: filesystem.call_s3("list_objects_v2", **wanted), _is_passing)
    return answer


def _folder_by_folder(filesystem: Any, path: str) -> Iterator[list[tuple[str, int | None, str]]]:
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        entries = with_retries(lambda folder=folder: filesystem.ls(folder, detail=True), _is_passing)  # type: ignore[misc]
        entries = sorted((entry for entry in entries if entry["name"].rstrip("/") != folder), key=lambda entry: entry["name"])
        waiting += [entry["name"].rstrip("/") for entry in reversed(entries) if entry["type"] == "directory"]
        files = [entry for entry in entries if entry["type"] == "file"]
        yield [(entry["name"].lstrip("/"), entry.get("size"), _version_of(entry)) for entry in files]


def _address(protocol: str, name: str) -> str:
    return name if "://" in name else f"{protocol}://{name}"


def _version_of(info: dict[str, Any]) -> str:
    return str(next((info[name] for name in VERSIONS if info.get(name)), "")).strip('"')


def _unless_missing(request: Callable[[], T]) -> T | None:
    try:
        return request()
    except FileNotFoundError:
        return None


def _is_passing(error: Exception) -> bool:
    """Whether a request may succeed if it is made again."""
    status = status_of(error)
    if status is not None:
        return status in PASSING_STATUSES
    if isinstance(error, TimeoutError | ConnectionError):
        return type(error).__name__ != OFFLINE
    if isinstance(error, OSError):
        return not isinstance(error, FOR_GOOD) and error.errno not in FOR_GOOD_NUMBERS
    # The clients' own errors of the network have no common class; that nobody may ask is not one of these.
    package = type(error).__module__.split(".")[0]
    return package in NETWORK_CLIENTS and type(error).__name__ not in NO_CREDENTIALS


def _told(address: str, request: Callable[[], T]) -> T:
    """What a request returns. Raises HeadstartError: what the store said, in a sentence without secrets."""
    try:
        return request()
    except HeadstartError:
        raise
    except Exception as caught:
        if protocol_of(address) == HUB and not isinstance(caught, ImportError):
            refused = refusal_of(caught, address)
            kind = NothingThereError if refused.is_missing else DataError
            raise kind(refused.message, hint=refused.hint) from caught
        # Of a server that is not there, fsspec says that the file is not there.
        error = caught.__cause__ if isinstance(caught.__cause__, OSError) else caught
        if isinstance(error, FileNotFoundError):
            raise NothingThereError(f"there is nothing at {shown(address)}", hint="check the address") from caught
        may_not = isinstance(error, PermissionError) or type(error).__name__ in NO_CREDENTIALS
        may_not = may_not or getattr(error, "errno", None) == errno.EINVAL  # "Bad Request": to a token that has expired
        hint = CREDENTIALS if may_not else "check the address and the network, then start again"
        raise DataError(f"{shown(address)} cannot be reached: {first_line(error)}", hint=hint) from caught
