"""The models a server answers with, and how they are replaced."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.artifact.bundle import CARD, find_bundle
from headstart.artifact.manifest import MANIFEST
from headstart.artifact.predictor import Predictor
from headstart.data.odd_images import odd_images
from headstart.errors import BundleError, SettingsError
from headstart.storage import sha256_of_file

ATTEMPTS, PAUSE_SECONDS = 3, 0.2  # at reading a model whose folder is being replaced
NAME_SIGNS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory."""

    predictor: Predictor
    digest: str  # SHA-256 of its manifest.json, which names all other files'
    card: str  # README.md of the bundle; "" where it has none


@dataclass(slots=True)
class Served:
    """A model under its name; `loaded` is replaced as a whole, so that each request is answered by one model."""

    name: str
    place: Path
    device: str
    loaded: Loaded


def load(place: Path, device: str) -> Loaded:
    """Reads a model and lets it answer once, so that no user waits for what the first answer sets up.

    A folder that is just being replaced is tried again. Raises BundleError.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return _load(place, device)
        except BundleError:
            time.sleep(PAUSE_SECONDS)
    return _load(place, device)


def _load(place: Path, device: str) -> Loaded:
    try:
        digest = sha256_of_file(find_bundle(place) / MANIFEST)
        predictor = Predictor.load(place, device)
        predictor.predict_bytes(odd_images().items())
        folder = find_bundle(place)
        card = (folder / CARD).read_text(encoding="utf-8", errors="replace") if (folder / CARD).is_file() else ""
        if sha256_of_file(folder / MANIFEST) != digest:
            raise BundleError(f"{place} changed while it was read", hint="reload once the new model is in its place")
    except OSError as error:
        raise BundleError(f"{place} cannot be read: {error}", hint="check its permissions") from error
    return Loaded(predictor, digest, card)


def named_models(given: Sequence[str]) -> dict[str, Path]:
    """Name -> place of each MODEL or NAME=MODEL of the command line, an existing path first. Raises SettingsError."""
    models: dict[str, Path] = {}
    for word in given:
        name, equals, place = word.partition("=")
        if not equals or Path(word).exists():
            name, place = _name_of(Path(word)), word
        if not name or not set(name) <= NAME_SIGNS or not name.strip("."):
            raise SettingsError(f"{name!r} cannot be the name of a model", hint="use letters, digits, - and _: ants=RUN")
        if name in models:
            raise SettingsError(f"two models have the name {name}", hint="name them: ants=RUN1 cells=RUN2")
        models[name] = Path(place)
    return models


def _name_of(place: Path) -> str:
    folder = place.resolve()
    name = folder.parent.name if folder.name == "model" else folder.name
    return "".join(sign if sign in NAME_SIGNS else "-" for sign in name) or "model"


def as_json(served: Served) -> dict[str, Any]:
    """What GET /model says."""
    loaded, manifest = served.loaded, served.loaded.predictor.manifest
    assert manifest is not None  # it was read from a folder
    return {
        "name": served.name,
        "digest": loaded.digest,
        "classes": list(manifest.classes),
        "strategy": manifest.strategy,
        "backbone": manifest.backbone.model_dump(mode="json"),
        "created": manifest.created,
        "evaluation": manifest.evaluation.as_json() if manifest.evaluation else {},
        "decisions": manifest.decisions.model_dump(mode="json"),
        "export": manifest.export and manifest.export.model_dump(mode="json"),
        "card": loaded.card,
    }
