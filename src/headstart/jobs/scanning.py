"""The scan of images at the place that the settings name."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from headstart.data.listed_candidates import ListedCandidates
from headstart.data.sources import Candidate, Skipped
from headstart.jobs.crew import Task
from headstart.jobs.crews import results_at
from headstart.jobs.parts import PartFolder, Parts
from headstart.jobs.scan_table import rows_of
from headstart.jobs.scan_task import ScanTask
from headstart.model.feature_store import FeatureStore
from headstart.model.features import STAGE, Scan, ScannedImage, Work, collected, scan, scan_rows
from headstart.model.pretrained import Backbone
from headstart.progress import Progress, silent
from headstart.settings import TrainSettings
from headstart.storage import home, sha256_of_bytes
from headstart.workplace import workplace_of

if TYPE_CHECKING:
    from headstart.data.listing import FilesAhead

MERGING = "writing"  # the stage in which finished parts become rows
JOBS = "jobs"  # the folder of home() with the parts of jobs that have no output of their own to keep them beside


def scanned_rows(
    candidates: Sequence[Candidate],
    backbone: Backbone,
    settings: TrainSettings,
    parts: Parts,
    *,
    progress: Progress = silent,
    work: Work,
) -> Iterator[ScannedImage | Skipped]:
    """Yields the rows of `scan_rows`, with the features of a backbone, one by one in the order of the candidates.

    They have the same bits wherever they are computed. `parts` keeps what workers elsewhere have finished, and what was
    computed of a long listing, so the same call after a crash goes on; the caller removes it when what it makes of the rows is
    written. Raises HeadstartError.
    """
    assert backbone.frozen is not None
    if isinstance(candidates, ListedCandidates):
        yield from _rows_of_long(candidates, ScanTask.of(backbone, settings), parts, progress, settings.workers)
        return
    if settings.workplace is not None:
        task, n_views = ScanTask.of(backbone, settings), backbone.preprocess.n_views
        yield from _rows_at(settings.workplace, task, n_views, candidates, parts, progress, work)
        return
    yield from scan_rows(
        candidates,
        backbone.preprocess,
        backbone.frozen.extractor,
        store=FeatureStore(),
        workers=settings.workers,
        progress=progress,
        work=work,
    )


def scan_ahead(
    files: "FilesAhead", backbone: Backbone, settings: TrainSettings, parts: Parts, *, progress: Progress = silent, work: Work
) -> None:
    """Computes the parts of a long listing while it goes on, in its order; `scanned_rows` finds them. Raises HeadstartError."""
    place = None if settings.workplace is None else workplace_of(settings.workplace)
    results = results_at(
        place,
        ScanTask.of(backbone, settings),
        files,
        parts,
        total=0,
        stage=STAGE,
        progress=progress,
        work=work,
        n_threads=settings.workers,
        is_wanted=files.may_be_used,
    )
    with closing(results):
        for _ in results:
            pass  # each part has been read once: it is where it is looked for


def scan_where_told(
    candidates: Sequence[Candidate],
    backbone: Backbone,
    settings: TrainSettings,
    store: FeatureStore,
    progress: Progress = silent,
    parts: Parts | None = None,
) -> Scan:
    """The scan of every candidate at the place that the settings name; `parts`, or a folder of home(), keeps what is finished.

    Miniatures come along from a place: its machines may have a home() of their own. Without features, as for the classic
    procedure, the scan is always here. Raises HeadstartError.
    """
    frozen = backbone.frozen
    if settings.workplace is None or frozen is None:
        extractor = frozen.extractor if frozen else None
        return scan(candidates, backbone.preprocess, extractor, store=store, workers=settings.workers, progress=progress)
    task = ScanTask.of(backbone, settings, with_miniatures=True)
    n_views = backbone.preprocess.n_views
    return scan_at(settings.workplace, task, n_views, candidates, progress, parts=parts, with_miniatures=True)


def scan_at(
    workplace: str,
    task: Task,
    n_views: int,
    candidates: Sequence[Candidate],
    progress: Progress = silent,
    stage: str = STAGE,
    parts: Parts | None = None,
    with_miniatures: bool = False,
) -> Scan:
    """The same by a task of workers whose rows are those of a scan, at a place."""
    work = Work()
    if parts is None:
        paths = "\n".join([task.key, *(candidate.path for candidate in candidates)])
        parts = PartFolder(home() / JOBS / sha256_of_bytes(paths.encode())[:32], at_home=True)
    rows = _rows_at(workplace, task, n_views, candidates, parts, progress, work, stage)
    found = collected(rows, len(candidates), work, with_miniatures=with_miniatures)
    parts.remove()
    return found


def _rows_at(
    workplace: str,
    task: Task,
    n_views: int,
    candidates: Sequence[Candidate],
    parts: Parts,
    progress: Progress,
    work: Work,
    stage: str = STAGE,
) -> Iterator[ScannedImage | Skipped]:
    place, total = workplace_of(workplace), len(candidates)
    results = results_at(place, task, candidates, parts, total=total, stage=stage, progress=progress, work=work)
    with closing(results):
        for shard, table in results:
            yield from rows_of(table, shard.items, n_views)


def _rows_of_long(
    candidates: ListedCandidates, task: ScanTask, parts: Parts, progress: Progress, n_threads: int | None
) -> Iterator[ScannedImage | Skipped]:
    """The rows of the candidates of a long listing, from the parts of all its files; what is missing is computed here."""

    def is_used(file: Candidate) -> bool:
        return candidates.of_file(file) is not None

    results = results_at(
        None,
        task,
        candidates.files(),
        parts,
        total=0,
        stage=MERGING,
        progress=progress,
        work=Work(),
        n_threads=n_threads,
        is_wanted=is_used,
    )
    with closing(results):
        for shard, table in results:
            used = {row: found for row, file in enumerate(shard.items) if (found := candidates.of_file(file))}
            if used:  # half of a shard may have none
                yield from rows_of(table.take(list(used)), list(used.values()), task.preprocess.n_views)
