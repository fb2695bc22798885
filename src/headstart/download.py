"""Downloads a file over HTTP(S): continues where an earlier try stopped, checks the digest, shows progress."""

import http.client
import urllib.error
import urllib.request
from pathlib import Path

from headstart.errors import DownloadError
from headstart.progress import Progress, silent
from headstart.storage import CHUNK_BYTES, replace_file, sha256_of_file

TRIES = 3  # a broken connection is continued in up to this many tries


def download(url: str, target: Path, *, sha256: str, progress: Progress = silent, timeout_seconds: float = 10.0) -> Path:
    """Downloads `url` to `target` and returns `target`. An unfinished download stays in `TARGET.part` for the next try.

    `sha256` is the expected digest, or its first digits. Raises DownloadError.
    """
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, TRIES + 1):
        try:
            _fetch_rest(url, part, progress, timeout_seconds)
            break
        except urllib.error.HTTPError as error:
            raise DownloadError(
                f"{url} answered {error.code} {error.reason}", hint="try later, or fetch the file by hand"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            # A server that was never reached is not tried again: the usual reason is no network.
            if attempt == TRIES or not part.exists():
                raise DownloadError(
                    f"{url} cannot be reached: {getattr(error, 'reason', error)}",
                    hint="check the network; a broken download continues where it stopped",
                ) from error
    found = sha256_of_file(part)
    if not found.startswith(sha256):
        part.unlink()
        raise DownloadError(
            f"{url} is not the expected file: its SHA-256 is {found[:16]}…, not {sha256[:16]}…",
            hint="try again; if it fails again, the file has changed upstream",
        )
    replace_file(part, target)
    return target


def _fetch_rest(url: str, part: Path, progress: Progress, timeout_seconds: float) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=timeout_seconds)
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == 416:  # nothing is left to fetch; the digest decides whether it is right
            return
        raise
    with answer, part.open("ab" if answer.status == 206 else "wb") as file:
        done = have if answer.status == 206 else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else 0
        while chunk := answer.read(CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            progress(f"downloading {part.stem}", done, max(total, done))
    if total and done < total:
        raise http.client.IncompleteRead(b"", total - done)
