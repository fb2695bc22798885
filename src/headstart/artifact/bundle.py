"""The bundle: a folder with manifest.json and weights.safetensors, all that a prediction needs and all that is recorded."""

from dataclasses import dataclass
from pathlib import Path

from headstart.artifact.manifest import MANIFEST, Manifest, read_manifest
from headstart.errors import BundleError
from headstart.storage import sha256_of_file

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
    """The bundle's folder for what a user gives as MODEL: a bundle or a run folder. Raises BundleError."""
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


def read_bundle(model: Path) -> Bundle:
    """Reads and checks a bundle; nothing is built yet. Raises BundleError."""
    bundle = Bundle(folder := find_bundle(model), read_manifest(folder))
    check_files(bundle)
    return bundle


def check_files(bundle: Bundle) -> tuple[str, ...]:
    """The names of the files whose digests the manifest has. Raises BundleError if one is missing or different."""
    manifest = bundle.manifest
    digests = {WEIGHTS: manifest.weights_sha256}
    if manifest.export:
        digests = dict(manifest.export.sha256)
    if manifest.decisions.familiarity:
        digests[FAMILIARITY] = manifest.decisions.familiarity.sha256
    for name, sha256 in digests.items():
        file = bundle.folder / name
        if not file.is_file():
            raise BundleError(f"{bundle.folder} has no {name}", hint="is the copy complete?")
        if sha256_of_file(file) != sha256:
            raise BundleError(f"{file} is not the file the manifest was written for", hint="copy the model again")
    return tuple(digests)
