"""The sources at an address: a folder in object storage, or a table or an archive there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import PurePath

from headstart.addresses.address import folder_of, joined, name_of, protocol_of, shown
from headstart.addresses.fetched_folders import copied_file
from headstart.addresses.filesystems import about, read_or_none
from headstart.addresses.hub import repository_name, top_of
from headstart.data.archives import ENDINGS
from headstart.data.coco import ENDING as COCO
from headstart.data.coco import coco_sources
from headstart.data.dataset_cards import CARD
from headstart.data.fetching import OF_MANY_HOSTS
from headstart.data.growing_listing import GrowingListing
from headstart.data.imagefolders import metadata_among, sources_of_metadata
from headstart.data.listed_tree import ROOT, ListedTree
from headstart.data.listing import Ahead, FilesAhead, listing_of, sources_of_long
from headstart.data.opening import open_sources
from headstart.data.parquet_files import ENDING as PARQUET
from headstart.data.parquet_shards import hold_images, images_in_shards, shard_sources, shards_among
from headstart.data.reading import Reading
from headstart.data.remote_file import RemoteFile
from headstart.data.sources import Candidate, Sources, printable
from headstart.data.table_files import FilesAtAddress
from headstart.data.table_sources import table_sources
from headstart.data.tables import TABLE_ENDINGS
from headstart.data.tar_shards import ENDING as TAR
from headstart.data.tar_shards import images_in, is_of_samples, tar_sources, tars_among
from headstart.data.tree_sources import tree_sources
from headstart.errors import DataError
from headstart.progress import Progress, silent


@contextmanager
def open_address(address: str, reading: Reading, progress: Progress = silent, ahead: Ahead | None = None) -> Iterator[Sources]:
    """The sources at an address; a table or an archive is fetched, images are read where they are.

    A link need not lead to a server that can send parts of a file, so what it names is fetched.
    If there are very many images, `ahead` works on them before it is known what they mean. Raises DataError if there is
    nothing, or no data set.
    """
    name = repository_name(address) or name_of(address)
    if name.lower().endswith(TAR) and is_of_samples(address):
        yield tar_sources(name[: -len(TAR)], [address], reading)
        return
    if name.lower().endswith(PARQUET) and protocol_of(address) not in OF_MANY_HOSTS and hold_images([address]):
        stem, folder = name[: -len(PARQUET)], folder_of(address)
        yield shard_sources(stem, [address], folder, reading, partial(_card_of, folder))
        return
    if name.lower().endswith((*TABLE_ENDINGS, COCO, *ENDINGS)):
        with copied_file(address) as copy:
            if name.lower().endswith((*TABLE_ENDINGS, COCO)):
                read = coco_sources if name.lower().endswith(COCO) else table_sources
                yield read(copy, FilesAtAddress(folder_of(address), address), reading)
                return
            with open_sources(copy, reading) as sources:
                yield _renamed(sources, str(copy), shown(address))
        return
    with listing_of(address, progress, is_ahead=ahead is not None) as listing:
        if isinstance(listing, GrowingListing):
            yield _sources_of_growing(name, listing, reading, ahead)
            return
        if not any(listing.files_below(ROOT)):
            what = "is a file, but neither a table nor an archive" if about(address) else "holds no files"
            raise DataError(f"{shown(address)} {what}", hint="give a folder, a table, a COCO file, a .zip or .tar")
        tars = tars_among(path.as_posix() for path in listing.files_below(ROOT))
        shards = [joined(address, shard) for shard in shards_among(path.as_posix() for path in listing.files_below(ROOT))]
        if tars:
            yield tar_sources(name, [joined(address, tar) for tar in tars], reading, address)
        elif hold_images(shards):
            yield shard_sources(name, shards, address, reading, partial(_card_of, address))
        else:
            yield _sources_of_folder(name, address, listing, reading)


def _sources_of_growing(name: str, listing: GrowingListing, reading: Reading, ahead: Ahead | None) -> Sources:
    long = listing.listing

    def judge() -> Sources:
        try:
            return sources_of_long(name, long, reading)
        except DataError:
            long.remove()  # who puts the folders in order wants them listed anew
            raise

    if ahead is None:
        return judge()
    files = FilesAhead(listing, judge)
    ahead(files)
    return files.sources or judge()


def _sources_of_folder(name: str, address: str, listing: ListedTree, reading: Reading) -> Sources:
    """The images below an address, with the labels of their folders, or those of a metadata.csv where these have none."""
    metadata = metadata_among(listing.files_below(ROOT), ROOT)
    try:
        sources, labels = tree_sources(name, listing, ROOT, reading)
    except DataError:
        if not metadata:
            raise
        labels = set()
    if metadata and len(labels) < 2:
        return sources_of_metadata(name, metadata, partial(_sources_of_table, address, reading))
    return sources


def _sources_of_table(address: str, reading: Reading, table: PurePath, split: str | None) -> Sources:
    with copied_file(joined(address, table.as_posix())) as copy:
        return table_sources(copy, FilesAtAddress(joined(address, *table.parent.parts)), reading, split)


def _card_of(address: str) -> str:
    """The README.md of a data set: in its folder, or at the top of its repository on the hub; "" if it has none."""
    for folder in dict.fromkeys((address, top_of(address))):
        card = read_or_none(joined(folder, CARD))
        if card is not None:
            return card.decode("utf-8", "replace")
    return ""


@contextmanager
def candidates_at(address: str, progress: Progress = silent) -> Iterator[list[Candidate] | Iterator[Candidate]]:
    """The image that an address names, or the files below it if it is a folder; of very many the files as they are listed.

    Raises HeadstartError.
    """
    with listing_of(address, progress, is_ahead=True) as listing:
        if isinstance(listing, GrowingListing):
            yield listing.files()
            return
        tars = [joined(address, tar) for tar in tars_among(path.as_posix() for path in listing.files_below(ROOT))]
        tars = tars or ([address] if address.lower().endswith(TAR) else [])
        if tars:
            yield images_in(tars)
            return
        shards = [joined(address, shard) for shard in shards_among(path.as_posix() for path in listing.files_below(ROOT))]
        shards = shards or ([address] if address.lower().endswith(PARQUET) else [])
        if hold_images(shards):
            yield images_in_shards(shards)[0]
            return
        files = [listing.file_of(path) for path in listing.files_below(ROOT)] or [RemoteFile(address)]
        yield [Candidate(printable(str(file)), file) for file in files]


def _renamed(sources: Sources, copy: str, address: str) -> Sources:
    """The same with the address in the paths that people see, in place of the copy on this machine."""
    return replace(
        sources,
        candidates=tuple(replace(one, path=one.path.replace(copy, address, 1)) for one in sources.candidates),
        skipped=tuple(replace(one, path=one.path.replace(copy, address, 1)) for one in sources.skipped),
        notes=tuple(note.replace(copy, address) for note in sources.notes),
    )
