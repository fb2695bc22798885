"""The compiled form of a network: an ONNX graph from views to features, made once per installation, run without torch.

It lies under home()/compiled in a folder a network: the graph, a backbone's own tensors, and compiled.json, which is all that
is known of the network.
"""

import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headstart.data.preprocess import Preprocess
from headstart.errors import HeadstartWarning
from headstart.model.specs import BackboneSpec, WeightsPackage
from headstart.storage import home, sha256_of_bytes, sha256_of_file, write_json

FORMAT = 1
GRAPH, STATE, RECORD = "graph.onnx", "weights.safetensors", "compiled.json"


@dataclass(frozen=True, slots=True)
class Compiled:
    """What compiled.json says."""

    folder: Path
    spec: BackboneSpec  # completed, where it is one of timm's
    preprocess: Preprocess
    last_layer: str  # the prefix of its tensors, such as "classifier"
    tensors: dict[str, tuple[int, ...]]  # every tensor but the last layer's: name -> shape
    n_features: int
    engine: str  # the fastest in full precision on this machine
    measured_ms: dict[str, float]  # engine -> milliseconds an image
    sha256: dict[str, str]  # file in the folder -> digest

    @property
    def graph(self) -> Path:
        """(n, size, size, 3) uint8 `views` -> (n, n_features) float32 `features`."""
        return self.folder / GRAPH

    @property
    def state(self) -> Path:
        """Every tensor by timm's names; kept of pretrained backbones, a bundle has its own."""
        return self.folder / STATE


def compiled_folder(timm_name: str, weights_sha256: str, size_px: int | None) -> Path:
    """Where the compiled form of a network is or would be; `size_px` None: for the size it was pretrained at.

    The folder's name is a digest: what a foreign manifest says can never name a place.
    """
    identity = json.dumps([timm_name, weights_sha256, size_px]).encode()
    return home() / "compiled" / sha256_of_bytes(identity)[:32]


def find_compiled(folder: Path) -> Compiled | None:
    """The compiled form in a folder; None where there is none, or none that can be used: it is made anew then."""
    if not (folder / RECORD).is_file():
        return None
    try:
        compiled = _from_json(folder, json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # of a format that is no longer read
        return None
    for name, digest in compiled.sha256.items():
        file = folder / name
        if not file.is_file() or sha256_of_file(file) != digest:
            warnings.warn(f"{file} is damaged and is made anew", HeadstartWarning, stacklevel=2)
            return None
    return compiled


def compiled_forms() -> list[tuple[Path, int]]:
    """(folder, bytes) of every compiled network."""
    root = home() / "compiled"
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [(folder, sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())) for folder in folders]


def write_record(compiled: Compiled, folder: Path) -> Compiled:
    """Writes compiled.json into `folder`, beside the files it is about; returns what it says."""
    found = {name: sha256_of_file(folder / name) for name in (GRAPH, STATE) if (folder / name).is_file()}
    values = asdict(compiled) | {"format": FORMAT, "preprocess": compiled.preprocess.as_json(), "sha256": found}
    del values["folder"], values["spec"]["preprocess"]
    write_json(folder / RECORD, values)
    return _from_json(compiled.folder, json.loads(json.dumps(values)))


def _from_json(folder: Path, values: dict[str, Any]) -> Compiled:
    if values.pop("format") != FORMAT:
        raise ValueError("another format")
    spec = values.pop("spec")
    package = spec.pop("package")
    return Compiled(
        folder=folder,
        spec=BackboneSpec(**spec, preprocess=None, package=WeightsPackage(**package) if package else None),
        preprocess=Preprocess.from_json(values.pop("preprocess")),
        tensors={name: tuple(shape) for name, shape in values.pop("tensors").items()},
        **values,
    )
