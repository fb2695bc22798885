"""The Hugging Face hub as a store of files: how it is asked, what a repository holds, and what its refusals mean."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from headstart.addresses.address import shown
from headstart.addresses.retrying import with_retries
from headstart.errors import first_line
from headstart.storage import home

HUB = "hf"  # the protocol of its addresses
PAGE = 1000  # files
LOG_IN = "log in with: hf auth login, or set HF_TOKEN"
FORMS = "such as hf://user/name for a model, hf://datasets/user/name for a data set"
REPOSITORY = re.compile(r"hf://(?:models/)?(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>.+))?/?")
TOP = re.compile(r"hf://(?:(?:models|datasets|spaces|buckets)/)?[^/]+/[^/@]+(?:@(?:refs/[^/]+/[^/]+|[^/]+))?")
NO_CONNECTION = {"ConnectError", "ConnectTimeout", "ReadTimeout", "NetworkError", "ReadError", "RemoteProtocolError"}
Entry = tuple[str, int | None, str]  # path, bytes, and what changes with the content


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the hub, or the way to it, said instead of an answer."""

    message: str
    hint: str
    is_missing: bool = False  # whether it is that there is nothing at an address


def hub_downloads() -> Path:
    """Where downloads from the hub are kept, in the layout of its own cache: not in the user's folders."""
    return home() / "downloads" / "huggingface"


def top_of(address: str) -> str:
    """The repository that an address of the hub is in; any other address itself."""
    found = TOP.match(address)
    return found[0] if found else address


def repository_name(address: str) -> str:
    """The name of the repository that an address of the hub is, without its owner and the revision; "" if it is none."""
    is_one = address.startswith(f"{HUB}://") and top_of(address) == address.rstrip("/")
    return address.partition("@")[0].rstrip("/").rpartition("/")[2] if is_one else ""


def keep_transfers_at_home() -> None:
    """Has the library that transfers large files write its pieces and logs below home()."""
    os.environ.setdefault("HF_XET_CACHE", str(hub_downloads() / "xet"))


def prepare_hub() -> None:
    """Has the hub's library write below home() alone, draw no bars and say nothing itself. Raises ImportError without it."""
    keep_transfers_at_home()
    from huggingface_hub.utils.logging import set_verbosity_error
    from huggingface_hub.utils.tqdm import disable_progress_bars

    set_verbosity_error()
    if "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ:  # who sets it has decided
        disable_progress_bars()


def pages_of_hub(filesystem: Any, path: str, is_passing: Callable[[Exception], bool]) -> Iterator[list[Entry]]:
    """Yields the files below a folder of a repository, a thousand at a time; none if the path is a file.

    Raises FileNotFoundError if there is nothing, and what the hub's library raises.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import EntryNotFoundError
    from huggingface_hub.hf_api import RepoFile

    at = with_retries(lambda: filesystem.resolve_path(path), is_passing)
    root = path.removesuffix("/").removesuffix(at.path_in_repo).removesuffix("/")

    def begun() -> tuple[list[Entry], Iterator[Entry]]:
        tree = HfApi().list_repo_tree(
            at.repo_id, at.path_in_repo or None, recursive=True, revision=at.revision, repo_type=at.repo_type
        )
        entries = ((f"{root}/{one.path}", one.size, one.blob_id) for one in tree if isinstance(one, RepoFile))
        return list(islice(entries, PAGE)), entries

    try:
        page, entries = with_retries(begun, is_passing)  # its library asks for the pages that follow again itself
    except EntryNotFoundError:
        with_retries(lambda: filesystem.info(path), is_passing)
        return
    while page:
        yield page
        page = list(islice(entries, PAGE))


def pinned_on_hub(filesystem: Any, address: str) -> str:
    """The address of a folder as it is now, whatever is committed later: with the commit in place of a branch."""
    from huggingface_hub import HfApi

    at = filesystem.resolve_path(address)
    commit = HfApi().repo_info(at.repo_id, repo_type=at.repo_type, revision=at.revision).sha
    kind = "" if at.repo_type == "model" else f"{at.repo_type}s/"
    return f"{HUB}://{kind}{at.repo_id}@{commit}/{at.path_in_repo}".rstrip("/")


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an answer that became an error; None if there was no answer."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def refusal_of(error: BaseException, address: str) -> Refusal:
    """What an error of the hub's library means, for people, with what they can do."""
    from huggingface_hub import errors

    place, chain = shown(address), _chain(error)

    def found(*kinds: type[BaseException]) -> BaseException | None:
        return next((one for one in chain if isinstance(one, kinds)), None)

    if found(errors.OfflineModeIsEnabled):
        return Refusal(f"{place} cannot be reached: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")
    if found(errors.GatedRepoError):
        return Refusal(f"{place} is open only to who has accepted its conditions", f"accept them on its page; {LOG_IN}")
    if found(errors.RevisionNotFoundError):
        return Refusal(f"there is no such revision: {place}", "check what follows the @", is_missing=True)
    if found(errors.HFValidationError) or type(error).__name__ == "HfUriError" or str(error).startswith("Repository id must"):
        return Refusal(f"{place} is no address of the Hugging Face hub", FORMS)
    answer = next((one for one in chain if status_of(one) is not None), None)
    status = None if answer is None else status_of(answer)
    if found(errors.LocalTokenNotFoundError):
        return Refusal(f"{place} needs a token, and there is none", LOG_IN)
    if status == 401 and not found(errors.RepositoryNotFoundError):
        return Refusal(f"the hub does not accept the token for {place}", LOG_IN)
    if found(errors.RepositoryNotFoundError, errors.EntryNotFoundError, FileNotFoundError):
        return Refusal(f"there is nothing at {place}", f"check the address; if it is private, {LOG_IN}", is_missing=True)
    if status == 403:
        return Refusal(f"the hub refuses {place}: {_said(answer)}", "use a token with the permission, or ask the owner for it")
    if status is not None and 400 <= status < 500 and status not in (408, 429):
        return Refusal(f"the hub refuses {place}: {_said(answer)}", "check the address")
    if answer is None and any(type(one).__name__ in NO_CONNECTION for one in chain):
        return Refusal(f"{place} cannot be reached: {first_line(_last(chain))}", "check the network, then start again")
    said = first_line(_last(chain)) if answer is None else _said(answer)
    return Refusal(f"{place} cannot be reached: {said}", "check the address and the network, then start again")


def _chain(error: BaseException) -> list[BaseException]:
    """An error and what caused it: the library wraps what a thread raised."""
    found = [error]
    while (cause := found[-1].__cause__) is not None and cause not in found:
        found.append(cause)
    return found


def _last(chain: list[BaseException]) -> Exception:
    return next(one for one in reversed(chain) if isinstance(one, Exception))


def _said(answer: BaseException | None) -> str:
    """What the hub itself said, without the library's words on it."""
    said = getattr(answer, "server_message", None) or (first_line(answer) if isinstance(answer, Exception) else "")
    return str(said).strip().splitlines()[0] if str(said).strip() else f"status {status_of(answer) if answer else ''}".strip()
