"""`embed`: writes the features of a data set to a file for other uses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.addresses.targets import target_file
from headstart.artifact.feature_file import write_embedding
from headstart.channels import channels_of
from headstart.data.given import open_given
from headstart.data.sources import Skipped
from headstart.errors import DataError, SettingsError, explains_missing_packages
from headstart.jobs.parts import parts_at
from headstart.jobs.scanning import scan_ahead, scanned_rows
from headstart.locks import locked
from headstart.model.features import ScannedImage, Work
from headstart.model.pretrained import open_backbone
from headstart.progress import Progress, silent
from headstart.record.places import check_outside
from headstart.settings import TrainSettings
from headstart.storage import AnyPath, remove_asides

if TYPE_CHECKING:
    from headstart.data.listing import FilesAhead


@dataclass(frozen=True, slots=True)
class Embedded:
    """What was written."""

    file: Path
    n_images: int
    skipped: tuple[Skipped, ...]
    work: Work


@explains_missing_packages("embedding")
def embed(data: AnyPath, output: AnyPath, settings: TrainSettings | None = None, *, progress: Progress = silent) -> Embedded:
    """Streams the path, label, split and feature vector of every readable image of DATA to a Parquet file.

    DATA needs no labels. Only the settings for backbone, weights, image size, precision, device, workers and the place of the
    work are used. What workers at another place have finished, and what was computed of a long listing, is kept beside the
    output until it is written. Raises HeadstartError.
    """
    settings = settings or TrainSettings()
    check_outside(Path(output), os.fspath(data))
    channels = channels_of(settings.channels or "")
    if channels.window:
        raise SettingsError("a window is found on training images, and embed has none", hint="give levels=LOW..HIGH")
    backbone = open_backbone(settings, progress).choosing(channels.text)
    assert backbone.frozen is not None  # only the tutorial recipe has none, and it cannot be chosen here
    work, place = Work(), f"{os.fspath(output)}.parts"
    parts, has_parts = parts_at(place), settings.workplace is not None
    skipped: list[Skipped] = []
    only = settings.model_copy(update={"val": None, "test": None})

    def ahead(files: "FilesAhead") -> None:
        nonlocal has_parts
        has_parts = True
        scan_ahead(files, backbone, settings, parts, progress=progress, work=work)

    given = open_given(os.fspath(data), only, progress, labels_are_optional=True, ahead=ahead)
    with given as (sources,), target_file(output) as file, _written_alone(file):
        skipped += sources.skipped
        # What is there by now is asked anew: at an address the names of parts are known from the beginning.
        rows = scanned_rows(sources.candidates, backbone, settings, parts_at(place), progress=progress, work=work)

        def readable() -> Iterator[ScannedImage]:
            for row in rows:
                if isinstance(row, Skipped):
                    skipped.append(row)
                else:
                    yield row

        n_images = write_embedding(file, readable(), backbone.frozen.n_features)
        if not n_images:
            file.unlink()
            reason = f"; the first error: {skipped[0].path}: {skipped[0].reason}" if skipped else ""
            raise DataError(f"{sources.name} has no image that can be read{reason}", hint="use JPEG, PNG, WebP, BMP or TIFF")
    if has_parts:
        parts.remove()
    return Embedded(Path(output), n_images, tuple(skipped), work)


@contextmanager
def _written_alone(file: Path) -> Iterator[None]:
    """Removes what killed processes left of the table. Raises SettingsError if another process is writing it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.with_name(f".{file.name}.lock"), str(file)):
        remove_asides(file)
        yield
