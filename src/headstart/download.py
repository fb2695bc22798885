"""Downloads a file over HTTP(S): resumes where an earlier attempt stopped, checks the digest, reports progress."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from headstart.errors import DownloadError
from headstart.progress import Progress, silent
from headstart.storage import CHUNK_BYTES, replace_file

TRIES = 3  # attempts in all; each resumes where the connection broke


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    sha512: str | None = None,
    progress: Progress = silent,
    timeout_seconds: float = 10.0,
) -> Path:
    """Downloads `url` to `target` and returns `target`. An unfinished download stays in `TARGET.part` for the next attempt.

    `sha256` or `sha512` is the expected digest in hexadecimal digits, or its first digits; "" where the caller checks what it
    gets. Raises DownloadError.
    """
    algorithm, expected = ("sha256", sha256) if sha512 is None else ("sha512", sha512)
    if expected is None:
        raise ValueError("a download without a digest")
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, TRIES + 1):
        try:
            _fetch_rest(url, part, progress, timeout_seconds)
            break
        except urllib.error.HTTPError as error:
            raise DownloadError(
                f"{url} answered {error.code} {error.reason}", hint="try again later, or download the file yourself"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            # Do not retry a server that was never reached: usually there is no network connection.
            if attempt == TRIES or not part.exists():
                raise DownloadError(
                    f"{url} cannot be reached: {getattr(error, 'reason', error)}",
                    hint="check the network connection; the next attempt resumes the download",
                ) from error
    with part.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if not found.startswith(expected):
        part.unlink()
        raise DownloadError(
            f"{url} is not the expected file: its SHA-{algorithm[3:]} is {found[:16]}…, not {expected[:16]}…",
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
        if have and error.code == 416:  # nothing is left to download; the digest shows whether the file is right
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
