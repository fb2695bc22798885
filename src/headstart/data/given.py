"""The sources that the user gave: DATA, --val and --test, without the images that --exclude names."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.boxes import UNITS
from headstart.data.catalog import open_data
from headstart.data.exclusions import without_excluded
from headstart.data.folder_doubts import NoClassFoldersError
from headstart.data.number_sources import FORMS_OF_NUMBERS, with_numbers
from headstart.data.reading import Reading
from headstart.data.relabelling import relabelled
from headstart.data.sources import LabelsUsed, Sources, with_split
from headstart.data.spellings import join_spellings
from headstart.data.videos import with_frames
from headstart.errors import DataError, SettingsError
from headstart.progress import Progress, silent
from headstart.settings import TrainSettings

if TYPE_CHECKING:
    from headstart.data.listing import Ahead

FORMS_OF_SETS = "give a CSV or Parquet file with the columns path and labels (cat|dog), or with one of 0 and 1 for each label"
More = Callable[[Sequence[Sources], ExitStack], list[Sources]]  # what they have is open until the stack closes


@contextmanager
def open_given(
    data: str | Path,
    settings: TrainSettings,
    progress: Progress = silent,
    labels_as_of: LabelsUsed | None = None,
    *,
    labels_are_optional: bool = False,
    ahead: "Ahead | None" = None,
    more: More | None = None,
) -> Iterator[list[Sources]]:
    """DATA first, then the val and test images of the settings; open while the block runs.

    The labels are those of the project of the settings, if there is one, and as they were at `labels_as_of`, if that is given.
    Of very many images at an address, `ahead` works on those of DATA while they are listed. `more` gives others to add.
    Raises DataError if a split is given twice.
    """
    with ExitStack() as stack:
        reading = replace(Reading.of(settings), labels_are_optional=labels_are_optional, is_part=more is not None)
        ahead = None if settings.every else ahead  # what is listed may be videos
        with _naming_forms(reading):
            main = stack.enter_context(open_data(data, reading, offline=settings.offline, progress=progress, ahead=ahead))
        sources = [main]
        for split, given in (("val", settings.val), ("test", settings.test)):
            if given is None:
                continue
            if any(candidate.split == split for candidate in main.candidates):
                raise DataError(f"{data} has a {split} split, and --{split} gives another", hint=f"leave out --{split}")
            extra = stack.enter_context(open_data(given, reading, offline=settings.offline, progress=progress))
            sources.append(with_split(extra, split))
        has_given = len(sources) > 1
        sources += more(sources, stack) if more else []
        if has_given:
            sources = [
                replace(s, candidates=tuple(replace(c, split=c.split or "train") for c in s.candidates)) for s in sources
            ]
        sources = stack.enter_context(with_frames(sources, settings.every, progress))
        check_columns(reading, sources)
        if reading.numbers:
            sources = [with_numbers(source) for source in sources]
        if settings.labels:
            sources = relabelled(sources, settings.labels, labels_as_of)
        if settings.join_case:
            sources = join_spellings(sources)
        yield without_excluded(sources, settings.exclude, may_be_gone=more is not None) if settings.exclude else sources


@contextmanager
def _naming_forms(reading: Reading) -> Iterator[None]:
    """Says of a folder without classes in which form the labels are given that are none."""
    try:
        yield
    except NoClassFoldersError as error:
        if not (reading.several or reading.numbers):
            raise
        raise DataError(error.message, hint=FORMS_OF_SETS if reading.several else FORMS_OF_NUMBERS) from error


def check_columns(reading: Reading, sources: Sequence[Sources]) -> None:
    """Raises SettingsError if columns are named, but there is no table, or a unit of boxes, but there are none."""
    named = [f"--{name}-column" for name in ("path", "label") if getattr(reading, f"{name}_column")]
    if named and not any(source.is_table for source in sources):
        raise SettingsError(f"{' and '.join(named)} is for tables, but {sources[0].name} is none", hint="leave it out")
    without_sets = next((source.name for source in sources if not source.several), None)
    if reading.several and without_sets is not None:
        raise SettingsError(
            f"--task multi-label is for tables, but {without_sets} is none",
            hint=FORMS_OF_SETS,
        )
    if reading.boxes in UNITS and not any(source.has_boxes for source in sources):
        raise SettingsError(
            f"--boxes {reading.boxes} is for tables with boxes and COCO files, but {sources[0].name} has no boxes",
            hint="leave it out; the columns of a box are x, y, w and h",
        )
