"""onnxruntime-web, which runs a model in a browser: taken from the npm package at export time, never part of headstart.

Its licence and the notices of what is compiled into it come from Python's package onnxruntime, which is built from the same
sources: the npm package holds neither.
"""

import hashlib
import json
import os
import tarfile
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from headstart.download import download
from headstart.errors import DownloadError, SettingsError
from headstart.progress import Progress, silent
from headstart.storage import home

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# What npm publishes as this version's integrity, SHA-512.
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
REGISTRY, REGISTRY_VARIABLE = "https://registry.npmjs.org/", "npm_config_registry"  # the variable is npm's own
# In the package -> in an export. One module with its loader inside, as not every host serves .mjs as JavaScript.
PARTS = {
    "dist/ort.wasm.bundle.min.mjs": "onnxruntime-web.js",
    "dist/ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}
NOTICES = {"LICENSE": "onnxruntime-LICENSE.txt", "ThirdPartyNotices.txt": "onnxruntime-ThirdPartyNotices.txt"}
MAX_PART_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class WebRuntime:
    """The files of onnxruntime-web that an export holds."""

    version: str
    files: dict[str, bytes]  # name in the export -> content
    notices: dict[str, bytes]  # its licence, and those of what it contains


def web_runtime(given: Path | None = None, *, offline: bool = False, progress: Progress = silent) -> WebRuntime:
    """onnxruntime-web from the npm package: downloaded once and kept below home(), or from the file or folder that is given.

    The download is checked against INTEGRITY. Raises DownloadError or SettingsError.
    """
    if given is not None and given.is_dir():
        return _from(lambda name: _bytes_in_folder(given, name), given)
    file = given or _downloaded(offline=offline, progress=progress)
    try:
        with tarfile.open(file) as archive:
            return _from(lambda name: _member(archive, name), file)
    except FileNotFoundError as error:
        raise SettingsError(f"there is no {file}", hint="--runtime takes the .tgz of onnxruntime-web or its folder") from error
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SettingsError(f"{file} cannot be unpacked: {error}", hint="npm pack onnxruntime-web makes the file") from error


def _downloaded(*, offline: bool, progress: Progress) -> Path:
    name, digest = f"{PACKAGE}-{VERSION}.tgz", b64decode(INTEGRITY).hex()
    target = home() / "downloads" / name
    if target.is_file() and hashlib.sha512(target.read_bytes()).hexdigest() == digest:
        return target
    hint = f"give the file with --runtime FILE; on a machine with a network, npm pack {PACKAGE}@{VERSION} makes it"
    if offline:
        raise DownloadError(f"{PACKAGE} {VERSION} is not on this machine (offline)", hint=hint)
    registry = os.environ.get(REGISTRY_VARIABLE) or os.environ.get(REGISTRY_VARIABLE.upper()) or REGISTRY
    if not registry.startswith(("https://", "http://")):
        raise SettingsError(f"{REGISTRY_VARIABLE} is not an address: {registry}", hint=f"such as {REGISTRY}")
    try:
        return download(f"{registry.rstrip('/')}/{PACKAGE}/-/{name}", target, sha512=digest, progress=progress)
    except DownloadError as error:
        raise DownloadError(error.message, hint=hint) from error


def _from(read: Callable[[str], bytes | None], place: Path) -> WebRuntime:
    """The parts of the package that `read` gives by their names in it."""
    try:
        about = json.loads(read("package.json") or b"{}")
    except ValueError as error:
        raise SettingsError(f"{place} is not {PACKAGE}: its package.json is damaged", hint="download it again") from error
    if not isinstance(about, dict) or about.get("name") != PACKAGE:
        raise SettingsError(f"{place} is not the npm package {PACKAGE}", hint=f"npm pack {PACKAGE}@{VERSION} makes the file")
    files = {}
    for name, here in PARTS.items():
        content = read(name)
        if content is None:
            raise SettingsError(
                f"{place}, version {about.get('version')}, has no {name}", hint=f"take version {VERSION}, which has it"
            )
        files[here] = content
    return WebRuntime(str(about.get("version")), files, _notices())


def _member(archive: tarfile.TarFile, name: str) -> bytes | None:
    try:
        member = archive.getmember(f"package/{name}")
    except KeyError:
        return None
    content = archive.extractfile(member) if member.size <= MAX_PART_BYTES else None
    return content.read() if content else None


def _bytes_in_folder(folder: Path, name: str) -> bytes | None:
    return (folder / name).read_bytes() if (folder / name).is_file() else None


def _notices() -> dict[str, bytes]:
    spec = find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")
    folder = Path(spec.origin).parent
    if not (folder / "LICENSE").is_file():
        raise SettingsError(f"{folder} has no LICENSE to pass on", hint="pip install --force-reinstall onnxruntime")
    return {here: (folder / name).read_bytes() for name, here in NOTICES.items() if (folder / name).is_file()}
