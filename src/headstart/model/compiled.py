"""The compiled form of a network: an ONNX graph from views to features, made once per installation, run without torch.

It lies under home()/compiled in a folder a network: the graph, a backbone's own tensors, and compiled.json, which is all that
is known of the network.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from headstart.data.preprocess import Preprocess
from headstart.errors import HeadstartWarning
from headstart.model.specs import BackboneSpec
from headstart.schema import Count, Name, Positive, Schema, Sha256, parse_json
from headstart.storage import home, sha256_of_bytes, sha256_of_file, write_json

FORMAT: Literal[2] = 2  # 1 named the engine that was the fastest when it was made
GRAPH, STATE, RECORD = "graph.onnx", "weights.safetensors", "compiled.json"


class CompiledRecord(Schema):
    """What compiled.json says."""

    format: Literal[2] = FORMAT
    spec: BackboneSpec  # completed, where it is one of timm's
    preprocess: Preprocess
    last_layer: Name  # the prefix of its tensors, such as "classifier"
    tensors: dict[str, tuple[Count, ...]]  # every tensor but the last layer's: name -> shape
    n_features: Positive
    sha256: dict[str, Sha256] = Field(default_factory=dict)  # file in the folder -> digest


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled network on disk."""

    folder: Path
    record: CompiledRecord

    @property
    def graph(self) -> Path:
        """(n, size, size, 3) uint8 `views` -> (n, n_features) float32 `features`."""
        return self.folder / GRAPH

    @property
    def state(self) -> Path:
        """Every tensor by timm's names; kept of pretrained backbones, a bundle has its own."""
        return self.folder / STATE


def compiled_folder(timm_name: str, weights_sha256: str, view: int | str | None) -> Path:
    """Where the compiled form of a network is or would be.

    `view` says for which input: None, the one it was pretrained for; that at another size in pixels; or, of a bundle's network,
    the digest of its Preprocess.

    The folder's name is a digest: what a foreign manifest says can never name a place.
    """
    identity = json.dumps([timm_name, weights_sha256, view]).encode()
    return home() / "compiled" / sha256_of_bytes(identity)[:32]


def find_compiled(folder: Path) -> Compiled | None:
    """The compiled form in a folder; None where there is none, or none that can be used: it is made anew then."""
    if not (folder / RECORD).is_file():
        return None
    try:
        record = CompiledRecord.from_json(parse_json((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError):  # of a format that is no longer read
        return None
    for name, digest in record.sha256.items():
        file = folder / name
        if not file.is_file() or sha256_of_file(file) != digest:
            warnings.warn(f"{file} is damaged and is made anew", HeadstartWarning, stacklevel=2)
            return None
    return Compiled(folder, record)


def compiled_forms() -> list[tuple[Path, int]]:
    """(folder, bytes) of every compiled network."""
    root = home() / "compiled"
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [(folder, sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())) for folder in folders]


def write_record(record: CompiledRecord, folder: Path) -> CompiledRecord:
    """Writes compiled.json into `folder`, beside the files it is about; returns what it says."""
    found = {name: sha256_of_file(folder / name) for name in (GRAPH, STATE) if (folder / name).is_file()}
    complete = record.model_copy(update={"sha256": found})
    write_json(folder / RECORD, complete.as_json())
    return complete
