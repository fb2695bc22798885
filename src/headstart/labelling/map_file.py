"""The map of some pictures in a file, so that it is made once and looks the same after a restart."""

import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headstart.errors import HeadstartWarning
from headstart.labelling.picture_map import FORM, PictureMap, Projection, make_map
from headstart.model.features_on_disk import Features
from headstart.progress import Progress, silent
from headstart.storage import atomic_write

ROWS, COLUMNS = ("places", "coordinates", "digests"), ("mean", "components")
KEPT_SHARE = 0.5  # of the pictures that are asked for: with fewer of them in the file, the map is made anew


def kept_map(
    file: Path, space: str, digests: Sequence[str], vectors: Features, *, seed: int = 0, progress: Progress = silent
) -> PictureMap:
    """The map of the pictures with these SHA-256 digests and (n, n_features) float32 vectors, in their order.

    What the file holds of them stays where it is, if it is of the same feature `space`; new pictures are placed between them.
    A file with few of them, of another space, or damaged, is made anew. It is written if anything is new.
    """
    found = _read(file, space, vectors.shape[1])
    row_of = {digest: row for row, digest in enumerate(found[1])} if found else {}
    rows = np.array([row_of.get(digest, -1) for digest in digests], np.int64)
    is_new = rows < 0
    if found is None or is_new.mean() > 1 - KEPT_SHARE:
        made = make_map(vectors, seed=seed, progress=progress)
        _write(file, space, digests, made)
        return made
    if not is_new.any():
        return _rows_of(found[0], rows)
    grown = found[0].with_new(vectors[is_new])
    _write(file, space, [*found[1], *(digests[i] for i in np.flatnonzero(is_new).tolist())], grown)
    rows[is_new] = len(found[1]) + np.arange(is_new.sum())
    return _rows_of(grown, rows)


def _rows_of(whole: PictureMap, rows: np.ndarray) -> PictureMap:
    return PictureMap(whole.places[rows], whole.coordinates[rows], whole.projection)


def _write(file: Path, space: str, digests: Sequence[str], made: PictureMap) -> None:
    content = {
        "places": made.places,
        "coordinates": made.coordinates,
        "digests": np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32),
        "mean": made.projection.mean,
        "components": made.projection.components,
        "space": np.array(_name_of(space)),
    }
    # A damaged file is made anew, so it need not be flushed to disk.
    with atomic_write(file, durable=False) as aside, aside.open("wb") as opened:
        np.savez(opened, allow_pickle=False, **content)


def _read(file: Path, space: str, n_features: int) -> tuple[PictureMap, list[str]] | None:
    """The map in a file and the digests of its pictures; None if there is none of this space."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            if str(stored["space"]) != _name_of(space):
                return None
            parts = {name: stored[name] for name in (*ROWS, *COLUMNS)}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        _tell_damaged(file, str(error) or type(error).__name__)
        return None
    n, n_dims = len(parts["places"]), parts["coordinates"].shape[-1]
    wanted = {
        "places": (n, 2),
        "coordinates": (n, n_dims),
        "digests": (n, 32),
        "mean": (n_features,),
        "components": (n_features, n_dims),
    }
    for name, shape in wanted.items():
        kind = np.uint8 if name == "digests" else np.float32
        if parts[name].shape != shape or parts[name].dtype != kind or not np.isfinite(parts[name]).all():
            _tell_damaged(file, f"{name} are not as they were written")
            return None
    digests = [row.tobytes().hex() for row in parts["digests"]]
    projection = Projection(parts["mean"], parts["components"])
    return PictureMap(parts["places"], parts["coordinates"], projection), digests


def _name_of(space: str) -> str:
    return f"{FORM} {space}"


def _tell_damaged(file: Path, reason: str) -> None:
    warnings.warn(f"the map is damaged and is made anew: {file.name}: {reason}", HeadstartWarning, stacklevel=4)
