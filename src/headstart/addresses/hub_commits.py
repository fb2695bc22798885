"""Files committed to a repository of the Hugging Face hub: all at once, and never over what somebody else has committed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.addresses.address import shown
from headstart.addresses.hub import LOG_IN, REPOSITORY, prepare_hub, refusal_of, status_of
from headstart.errors import DataError, HeadstartError, explains_missing_packages

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAIN = "main"  # the branch of a new repository
NO_MODELS = {"datasets", "spaces", "buckets", "kernels"}
CONFLICT = 412  # the answer to a commit on what is no longer the last one


@dataclass(frozen=True, slots=True)
class Committed:
    """A state of a repository."""

    url: str  # of the repository, for browsers
    address: str  # of this very state
    commit: str
    is_private: bool
    is_new: bool  # whether the repository was made for it
    has_changed: bool  # False if the files were all there before


def repository_in(address: str) -> tuple[str, str | None]:
    """user/name and the revision after an @, if there is one. Raises DataError for anything but a repository of models."""
    found = REPOSITORY.fullmatch(address)
    if found is None or found["repo"].split("/")[0] in NO_MODELS:
        raise DataError(f"{shown(address)} is no place for a model", hint="name a repository: hf://user/name")
    return found["repo"], found["revision"]


@explains_missing_packages("hf://", "hub")
def commit_files(
    address: str,
    files: Mapping[str, Path | bytes],
    *,
    message: str,
    may_be_public: bool,
    revision: str | None = None,
    obsolete: Collection[str] = (),
) -> Committed:
    """Commits files by their names to the repository at an address and removes those that are `obsolete`; leaves all others.

    A repository that does not exist is made: private, unless it `may_be_public`. So is a branch, from the main one.
    Raises DataError, also if somebody else commits meanwhile, or if the repository is public and may not be.
    """
    name, named = repository_in(address)
    if named and revision and named != revision:
        raise DataError(f"{shown(address)} and --revision {revision} name two revisions", hint="leave one out")
    prepare_hub()
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise DataError("there is no token of the Hugging Face hub on this machine", hint=LOG_IN)
    try:
        return _commit(HfApi(), name, named or revision or MAIN, files, message, may_be_public, obsolete)
    except (HeadstartError, ImportError):
        raise
    except Exception as error:  # the library's own errors, those of its HTTP client, and what its threads make of them
        if status_of(error) == CONFLICT:
            message = f"somebody else has committed to {shown(address)} meanwhile: nothing was changed"
            raise DataError(message, hint="look at what is there now, then push again") from error
        refused = refusal_of(error, address)
        raise DataError(refused.message, hint=refused.hint) from error


def _commit(
    api: "HfApi",
    name: str,
    revision: str,
    files: Mapping[str, Path | bytes],
    message: str,
    may_be_public: bool,
    obsolete: Collection[str],
) -> Committed:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    is_private, is_new = _repository(api, name, may_be_public)
    head, there = _head(api, name, revision)
    add = [CommitOperationAdd(path_in_repo=path, path_or_fileobj=content) for path, content in files.items()]
    delete = [CommitOperationDelete(path_in_repo=path) for path in sorted({*obsolete} & there - files.keys())]
    made = api.create_commit(name, [*add, *delete], commit_message=message, revision=revision, parent_commit=head)
    return Committed(
        url=f"{api.endpoint}/{name}",
        address=f"hf://{name}@{made.oid}",
        commit=made.oid,
        is_private=is_private,
        is_new=is_new,
        has_changed=made.oid != head,
    )


def _repository(api: "HfApi", name: str, may_be_public: bool) -> tuple[bool, bool]:
    """Whether a repository is private, and whether it was made just now. Raises DataError if it is public and may not be."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    is_new = False
    try:
        found = api.model_info(name)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        is_new = True
        api.create_repo(name, private=not may_be_public, exist_ok=True)
        found = api.model_info(name)
    if not found.private and not may_be_public:
        raise DataError(f"everybody can read hf://{name}", hint="pass --public to push there, or name another repository")
    return bool(found.private), is_new


def _head(api: "HfApi", name: str, revision: str) -> tuple[str, set[str]]:
    """The last commit of a branch, which is made if there is none, and the names of its files."""
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        found = api.model_info(name, revision=revision)
    except RevisionNotFoundError:
        api.create_branch(name, branch=revision, exist_ok=True)
        found = api.model_info(name, revision=revision)
    assert found.sha is not None
    return found.sha, {one.rfilename for one in found.siblings or ()}
