"""Tars of WebDataset as a data set: shards named by a pattern or lying in a folder, whose images are read in place."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from headstart.addresses.address import address_in, name_of, shown, shown_place
from headstart.data.reading import Reading
from headstart.data.sources import Candidate, Skipped, Sources, printable
from headstart.data.split_names import UNLABELLED, splits_of
from headstart.data.tar_member import TarMember
from headstart.data.tar_samples import Sample, samples_in
from headstart.data.walking import may_be_image
from headstart.data.wording import counted
from headstart.errors import DataError
from headstart.threads import map_in_threads

T = TypeVar("T")
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
ENDING = ".tar"
MOST_SHARDS = 1_000_000
AT_ONCE = 8  # tars that are looked into beside each other
PEEKED = 64  # members of a tar that say whether it is one of WebDataset
NO_LABEL = "no .cls or .json file beside it gives it a label"


def is_pattern(data: str) -> bool:
    """Whether a text names tars as WebDataset does: shard-{000000..000123}.tar."""
    return BRACES.search(data) is not None and data.lower().endswith(ENDING)


def named_by(pattern: str) -> list[str]:
    """The tars that a pattern names, in order. Raises DataError."""
    found = BRACES.search(pattern)
    if found is None:
        return [pattern]
    first, last, width = int(found[1]), int(found[2]), len(found[1])
    if not 0 <= last - first < MOST_SHARDS:
        raise DataError(f"{pattern} names no tars, or too many", hint="such as shard-{000000..000123}.tar")
    start, end = pattern[: found.start()], pattern[found.end() :]
    return [one for number in range(first, last + 1) for one in named_by(f"{start}{number:0{width}}{end}")]


def tars_among(names: Iterable[str]) -> list[str]:
    """The tars among the files of a folder, if all others are documents; looks at names until one is neither."""
    tars = []
    for name in names:
        if name.lower().endswith(ENDING):
            tars.append(name)
        elif may_be_image(name):
            return []
    return tars


def is_of_samples(tar: str) -> bool:
    """Whether a tar holds images with files beside them that give their class."""
    try:
        samples = _looked_into(tar, lambda file: samples_in(file, shown_place(tar), PEEKED))
    except DataError:  # whoever unpacks it says what is wrong with it
        return False
    return any(sample.images and sample.is_described for sample in samples.values())


def tar_sources(name: str, tars: Sequence[str], reading: Reading, below: str = "") -> Sources:
    """The images in tars, paths or addresses, with the labels that .cls and .json files beside them give.

    Folders `below` an address or path, such as train/ and val/, are splits if all are called so. Raises DataError.
    """
    folders = [tar.removeprefix(below).lstrip("/").rpartition("/")[0] for tar in tars]
    splits = splits_of(set(folders)) if below and all(folders) else {}
    candidates: list[Candidate] = []
    skipped: list[Skipped] = []
    for tar, folder, (version, samples) in zip(tars, folders, map_in_threads(_index, tars, AT_ONCE), strict=True):
        split = splits.get(folder)
        for one in _candidates(tar, version, samples, None if split == UNLABELLED else split):
            if one.label is None and not reading.takes_no_labels:
                skipped.append(Skipped(one.path, NO_LABEL, "unlabelled"))
            else:
                candidates.append(one)
    if not candidates:
        what = "images, but no .cls or .json file that gives one a label" if skipped else "no images"
        raise DataError(f"{name} holds {what}", hint="WebDataset has a.jpg and a.cls, or a.json with a label, in one tar")
    note = f"{counted(len(tars), 'tar')}, read in place: a label is what KEY.cls holds, else label or class in KEY.json"
    return Sources(name, tuple(candidates), tuple(skipped), notes=(note,))


def images_in(tars: Sequence[str]) -> list[Candidate]:
    """All images in tars, for answers: whether they have labels does not matter. Raises DataError."""
    return list(tar_sources(shown_place(tars[0]), tars, Reading(labels_are_optional=True)).candidates)


def name_of_shards(data: str) -> str:
    """A name for what tars of this pattern hold."""
    return re.sub(r"[-_.]*\{.*", "", name_of(data) if address_in(data) else Path(data).name).removesuffix(ENDING) or "shards"


def _index(tar: str) -> tuple[str, dict[str, Sample]]:
    return _version(tar), _looked_into(tar, partial(samples_in, shown=shown_place(tar)))


def _candidates(tar: str, version: str, samples: dict[str, Sample], split: str | None) -> Iterator[Candidate]:
    for key, sample in samples.items():
        for member, start, size in sample.images:
            file = TarMember(tar, size, version, member, start)
            group = f"{tar}!{key}" if len(sample.images) > 1 else None  # of one sample
            yield Candidate(printable(str(file)), file, sample.label, split, group)


def _version(tar: str) -> str:
    """What changes with the content of a tar. Raises DataError if it does not exist."""
    if address_in(tar) is None:
        try:
            found = Path(tar).stat()
        except OSError as error:
            raise DataError(f"there is no {tar}", hint="check the numbers in the braces") from error
        return f"{found.st_size} {found.st_mtime_ns}"
    from headstart.addresses.filesystems import about

    known = about(tar)
    if known is None:
        raise DataError(f"there is no {shown(tar)}", hint="check the numbers in the braces")
    return known.version


def _looked_into(tar: str, look: Callable[[BinaryIO], T]) -> T:
    if address_in(tar) is None:
        with Path(tar).open("rb") as file:
            return look(file)
    from headstart.addresses.filesystems import look_into

    return look_into(tar, look)
