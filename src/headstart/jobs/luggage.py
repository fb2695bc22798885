"""What a task takes along to another machine: files of home(), such as a compiled network."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from headstart.storage import atomic_write, home


def packed_luggage(files: Iterable[Path]) -> dict[str, bytes]:
    """The content of some files below home(), by their paths there."""
    return {file.relative_to(home()).as_posix(): file.read_bytes() for file in files}


def unpack_luggage(luggage: Mapping[str, bytes]) -> None:
    """Puts the files to their places below this machine's home(), where they are not there yet."""
    for path, content in luggage.items():
        place = home().joinpath(*PurePosixPath(path).parts)
        if not place.is_file():
            with atomic_write(place, durable=False) as aside:
                aside.write_bytes(content)
