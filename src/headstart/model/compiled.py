"""The compiled form of a network: an ONNX graph from views to features, built once per installation and run without torch.

Each network has a folder under home()/compiled with the graph, a backbone's own tensors, and compiled.json, which describes
the network.
"""

import atexit
import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from headstart.channels import COLOURS
from headstart.data.preprocess import Preprocess
from headstart.errors import HeadstartWarning
from headstart.model.specs import BackboneSpec
from headstart.progress import Progress, silent
from headstart.schema import Count, Name, Positive, Schema, Sha256, parse_json
from headstart.storage import atomic_folder, home, sha256_of_bytes, sha256_of_file, write_json

FORMAT: Literal[3] = 3  # format 2 had no stages; format 1 named the engine that was fastest when it was built
GRAPH, STATE, RECORD = "graph.onnx", "weights.safetensors", "compiled.json"


class CompiledRecord(Schema):
    """The content of compiled.json."""

    format: Literal[3] = FORMAT
    spec: BackboneSpec  # completed if it is one of timm's
    preprocess: Preprocess
    last_layer: Name  # the prefix of its tensors, such as "classifier"
    tensors: dict[str, tuple[Count, ...]]  # every tensor but the last layer's: name -> shape
    n_features: Positive
    n_last: Positive  # how many of them, the first, are the last pooled layer's
    sha256: dict[str, Sha256] = Field(default_factory=dict)  # file in the folder -> digest

    def fits(self, preprocess: Preprocess, stages: tuple[str, ...]) -> bool:
        """Whether the compiled form takes the views of `preprocess` and gives the features of these stages."""
        return self.preprocess.fits_network_of(preprocess) and self.spec.known_stages == stages


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled network on disk."""

    folder: Path
    record: CompiledRecord

    @property
    def graph(self) -> Path:
        """(n, size, size, n_channels) uint8 `views` -> (n, n_features) float32 `features`."""
        return self.folder / GRAPH

    @property
    def state(self) -> Path:
        """Every tensor by timm's names. Only pretrained backbones have this file; a bundle has its own."""
        return self.folder / STATE


def compiled_folder(
    timm_name: str, weights_sha256: str, view: int | str | None, with_stages: bool = False, n_channels: int = COLOURS
) -> Path:
    """The folder of a network's compiled form, whether or not it exists.

    `view` identifies the input: None for the pretrained input, a size in pixels for the same at another size, or the digest of
    its Preprocess for the network of a bundle. `with_stages`: whether the outputs of its stages
    are features too. `n_channels`: of the images.

    The folder's name is a digest, so a foreign manifest can never choose the path.
    """
    more = [*(["stages"] if with_stages else []), *([f"{n_channels} channels"] if n_channels > COLOURS else [])]
    identity = json.dumps([timm_name, weights_sha256, view, *more]).encode()
    return home() / "compiled" / sha256_of_bytes(identity)[:32]


def find_compiled(folder: Path) -> Compiled | None:
    """The compiled form in a folder; None if it does not exist or cannot be used, and must be rebuilt."""
    if not (folder / RECORD).is_file():
        return None
    try:
        record = CompiledRecord.from_json(parse_json((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError):  # a format that is no longer supported
        return None
    for name, digest in record.sha256.items():
        file = folder / name
        if not file.is_file() or sha256_of_file(file) != digest:
            warnings.warn(f"{file} is damaged and will be rebuilt", HeadstartWarning, stacklevel=2)
            return None
    return Compiled(folder, record)


def build_compiled(folder: Path, fill: Callable[[Path], CompiledRecord], progress: Progress = silent) -> Compiled:
    """The compiled form whose files `fill` writes to the folder that it is given; it describes them in the record.

    If home() cannot be written to, the form is kept only for this process.
    """
    progress("compiling", 0, 1)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writable-"):
            pass
    except OSError as error:
        warnings.warn(f"the compiled network cannot be kept: {folder.parent}: {error.strerror}", HeadstartWarning, stacklevel=2)
        aside = tempfile.TemporaryDirectory(prefix="headstart-")
        atexit.register(aside.cleanup)
        folder = Path(aside.name) / folder.name
    with atomic_folder(folder) as new:
        record = write_record(fill(new), new)
    progress("compiling", 1, 1)
    return Compiled(folder, record)


def compiled_forms() -> list[tuple[Path, int]]:
    """(folder, bytes) of every compiled network."""
    root = home() / "compiled"
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [(folder, sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())) for folder in folders]


def write_record(record: CompiledRecord, folder: Path) -> CompiledRecord:
    """Writes compiled.json to `folder`, next to the files it describes; returns its content."""
    found = {name: sha256_of_file(folder / name) for name in (GRAPH, STATE) if (folder / name).is_file()}
    complete = record.model_copy(update={"sha256": found})
    write_json(folder / RECORD, complete.as_json())
    return complete
