"""The bundle: a folder with manifest.json and weights.safetensors, all that a prediction needs and all that is recorded."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from headstart.addresses.address import address_in, joined, shown
from headstart.artifact.manifest import MANIFEST, Manifest, read_manifest
from headstart.errors import BundleError
from headstart.storage import sha256_of_file, temporary_folder

WEIGHTS, FAMILIARITY = "weights.safetensors", "familiarity.safetensors"
CARD = "README.md"  # the model card, written for people


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk whose manifest was read and checked."""

    folder: Path
    manifest: Manifest

    @property
    def weights(self) -> Path:
        """The file with all tensors of the network, including the last layer."""
        return self.folder / WEIGHTS

    @property
    def familiarity(self) -> Path:
        """The file that unfamiliar images are recognised by, if the manifest names one."""
        return self.folder / FAMILIARITY


def find_bundle(model: Path) -> Path:
    """The bundle's folder for what a user gives as MODEL: a bundle or a run folder. Of an address it is a copy.

    Raises BundleError.
    """
    address = None if model.exists() else address_in(model)
    if address is not None:
        return _copied(address)
    for folder in (model, model / "model"):
        if (folder / MANIFEST).is_file():
            return folder
    if not model.exists():
        raise BundleError(f"there is no {model}", hint="give the folder of a run, or the model folder in it")
    partial = model.name.endswith(".partial")
    raise BundleError(
        f"{model} contains no model: there is no {MANIFEST} in it",
        hint=f"the run was not finished: headstart train --resume {model}" if partial else "give the folder of a run",
    )


@cache
def _copied(address: str) -> Path:
    """A copy of what the manifest at an address names, for as long as the process lives: nothing else that is there."""
    from headstart.addresses.filesystems import about, fetch, pinned

    now = pinned(address)
    for place in (now, joined(now, "model")):
        if about(joined(place, MANIFEST)) is None:
            continue
        folder = temporary_folder()
        fetch(joined(place, MANIFEST), folder / MANIFEST)
        for name in digests_in(read_manifest(folder)):
            fetch(joined(place, name), folder / name)
        if about(joined(place, CARD)) is not None:
            fetch(joined(place, CARD), folder / CARD)
        return folder
    raise BundleError(f"there is no model at {shown(address)}", hint="give the folder of a run, or the model folder in it")


def read_bundle(model: Path) -> Bundle:
    """Reads and checks a bundle; nothing is built yet. Raises BundleError."""
    bundle = Bundle(folder := find_bundle(model), read_manifest(folder))
    check_files(bundle)
    return bundle


def digests_in(manifest: Manifest) -> dict[str, str]:
    """The files of a model besides its manifest and its card: name -> SHA-256."""
    digests = dict(manifest.export.sha256) if manifest.export else {WEIGHTS: manifest.weights_sha256}
    if manifest.decisions.familiarity:
        digests[FAMILIARITY] = manifest.decisions.familiarity.sha256
    return digests


def check_files(bundle: Bundle) -> tuple[str, ...]:
    """The names of the files whose digests the manifest has. Raises BundleError if one is missing or different."""
    digests = digests_in(bundle.manifest)
    for name, sha256 in digests.items():
        file = bundle.folder / name
        if not file.is_file():
            raise BundleError(f"{bundle.folder} has no {name}", hint="is the copy complete?")
        if sha256_of_file(file) != sha256:
            raise BundleError(f"{file} is not the file the manifest was written for", hint="copy the model again")
    return tuple(digests)


def bundle_files(bundle: Bundle) -> dict[str, bytes]:
    """The files of a bundle by name, for a copy of it. Raises BundleError if they are not the files that were loaded."""
    folder = bundle.folder
    if not folder.is_dir():
        raise BundleError(f"{folder}, from which the model was loaded, is gone", hint="load the model from where it is now")
    now = read_bundle(folder)
    if now.manifest != bundle.manifest:
        raise BundleError(f"{folder} holds another model than the one that was loaded from it", hint="load the model again")
    names = [MANIFEST, *check_files(now), *([CARD] if (folder / CARD).is_file() else [])]
    return {name: (folder / name).read_bytes() for name in names}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes what `bundle_files` returned. Raises BundleError for a name that would lead out of the folder."""
    for name, content in files.items():
        if Path(name).name != name:
            raise BundleError(f"a model has no file {name!r}", hint="is the copy complete?")
        (folder / name).write_bytes(content)


@contextmanager
def unpacked(files: Mapping[str, bytes]) -> Iterator[Bundle]:
    """The bundle with these files, checked, in a temporary folder while the block runs. Raises BundleError."""
    with TemporaryDirectory(prefix="headstart-", ignore_cleanup_errors=True) as folder:
        write_files(Path(folder), files)
        yield read_bundle(Path(folder))
