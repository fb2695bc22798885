"""Data sets known by name: where they are on this machine, or where they are downloaded from."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from headstart.addresses.address import address_in
from headstart.data.archives import is_archive, unpack
from headstart.data.opening import open_sources
from headstart.data.reading import AS_IT_IS, Reading
from headstart.data.sources import Candidate, Sources
from headstart.data.tar_shards import is_pattern, name_of_shards, named_by, tar_sources
from headstart.download import download
from headstart.errors import DataError, DownloadError, did_you_mean
from headstart.progress import Progress, silent
from headstart.storage import home, replace_folder

if TYPE_CHECKING:
    from headstart.data.listing import Ahead

HYMENOPTERA_URL = "https://download.pytorch.org/tutorial/hymenoptera_data.zip"
# What the zip must hold: split and class -> number of files. The zip's own checksums cover every byte of them.
HYMENOPTERA_FILES = {("train", "ants"): 124, ("train", "bees"): 121, ("val", "ants"): 70, ("val", "bees"): 83}
NAMES = {
    "hymenoptera": "ants and bees of the PyTorch tutorial, 398 photographs",
    "elpv": "2,624 solar cells, functional against defective (pip install 'headstart[demo]'; CC BY-NC-SA 4.0)",
}


@contextmanager
def open_data(
    data: str | Path,
    reading: Reading = AS_IT_IS,
    *,
    offline: bool = False,
    progress: Progress = silent,
    ahead: "Ahead | None" = None,
) -> Iterator[Sources]:
    """The sources of DATA: of a path if it exists, else of a name in the catalog.

    Of very many images at an address, `ahead` works on them while they are listed. Raises DataError.
    """
    address = None if Path(data).exists() else address_in(data)
    if is_pattern(str(data)) and not Path(data).exists():
        yield tar_sources(name_of_shards(address or str(data)), named_by(address or str(data)), reading)
    elif address is not None:
        from headstart.data.remote_sources import open_address

        with open_address(address, reading, progress, ahead) as sources:
            yield sources
    elif Path(data).exists() or str(data) not in NAMES:
        if not Path(data).exists() and not Path(data).suffix and len(Path(data).parts) == 1:
            raise DataError(
                f"there is no {data} here, and no data set of that name",
                hint="give a folder, a table, an archive, or a catalog name; " + did_you_mean(str(data), list(NAMES)),
            )
        with open_sources(Path(data), reading) as sources:
            yield sources
    elif data == "elpv":
        yield elpv_sources()
    else:
        with open_sources(hymenoptera_folder(offline=offline, progress=progress)) as sources:
            yield sources


def elpv_sources() -> Sources:
    """The solar cells of the installed package elpv-dataset; a cell counts as defective from a probability of 0.5 on."""
    found = find_spec("elpv_dataset")
    if found is None or found.origin is None:
        raise DataError("the data set elpv is not installed", hint="pip install 'headstart[demo]'")
    folder = Path(found.origin).parent / "data"
    candidates = []
    for line in (folder / "labels.csv").read_text(encoding="utf-8").splitlines():
        name, probability, _ = line.split()
        file = folder / name
        candidates.append(Candidate(str(file), file, "defective" if float(probability) >= 0.5 else "functional"))
    return Sources("elpv", tuple(candidates))


def find_hymenoptera() -> Path | None:
    """The ants and bees on this machine: named by HEADSTART_HYMENOPTERA, or downloaded before. Raises DataError."""
    given = os.environ.get("HEADSTART_HYMENOPTERA")
    if given:
        if not Path(given).exists():
            raise DataError(f"HEADSTART_HYMENOPTERA is {given}, which does not exist", hint="set it to the folder or the zip")
        return Path(given)
    kept = home() / "data" / "hymenoptera_data"
    return kept if kept.is_dir() else None


def hymenoptera_folder(*, offline: bool = False, progress: Progress = silent, url: str = HYMENOPTERA_URL) -> Path:
    """The folder (or archive) of ants and bees, downloaded and checked if it is not on this machine. Raises DataError."""
    found = find_hymenoptera()
    if found is not None:
        return found
    place = home() / "data" / "hymenoptera_data"
    hint = "set HEADSTART_HYMENOPTERA to a copy of hymenoptera_data, or try the data set elpv"
    if offline:
        raise DataError("the data set hymenoptera is not on this machine (offline)", hint=hint)
    try:
        archive = download(url, home() / "downloads" / "hymenoptera_data.zip", sha256="", progress=progress)
    except DownloadError as error:
        raise DataError(f"the data set hymenoptera cannot be fetched: {error.message}", hint=hint) from error
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(dir=place.parent, prefix=".hymenoptera-") as folder:
            if not is_archive(archive):
                raise DataError(f"what {url} sent is not a zip archive", hint=hint)
            unpack(archive, Path(folder))
            root = Path(folder) / "hymenoptera_data"
            counts = {place: len(list(root.joinpath(*place).glob("*"))) for place in HYMENOPTERA_FILES}
            if counts != HYMENOPTERA_FILES:
                raise DataError(f"what {url} sent is not the data set of the tutorial", hint=hint)
            replace_folder(root, place)
    finally:
        archive.unlink()  # unpacked, or wrong and not to be taken for a part of the next try
    return place
