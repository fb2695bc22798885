"""Has the workers of a place do a job."""

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, closing, nullcontext

import pyarrow

from headstart.data.sources import Candidate
from headstart.jobs.crew import Crew, Task
from headstart.jobs.job import Job
from headstart.jobs.own_crew import OwnCrew
from headstart.jobs.parts import Parts
from headstart.jobs.process_crew import process_crew
from headstart.jobs.shards import Shard, shards_of
from headstart.model.features import Work
from headstart.progress import Progress
from headstart.threads import cores
from headstart.workplace import Workplace


def results_at(
    workplace: Workplace | None,
    task: Task,
    candidates: Iterable[Candidate],
    parts: Parts,
    *,
    total: int,
    stage: str,
    progress: Progress,
    work: Work,
    n_threads: int | None = None,
    is_wanted: Callable[[Candidate], bool] | None = None,
) -> Generator[tuple[Shard[Candidate], pyarrow.Table], None, None]:
    """Yields the candidates, shard by shard in their order, with what a task computed of them: a row for each.

    `total` candidates, 0 if that is not known; `work` is summed up meanwhile. Without a workplace all is done in this process,
    in `n_threads`. Shards in which no candidate `is_wanted` are left out, and cut all the same. `parts` keeps what is finished,
    so the same call after a crash goes on; the caller removes it when what it makes of the results is written.
    Raises HeadstartError.
    """
    shards = shards_of(candidates, task.key, total)
    if is_wanted is not None:
        shards = (shard for shard in shards if any(map(is_wanted, shard.items)))
    with open_crew(workplace, task, parts, n_threads) as crew:
        job = Job(task, crew, parts, total=total, stage=stage, progress=progress, work=work)
        with closing(job.run(shards)) as results:
            yield from results


def open_crew(
    workplace: Workplace | None, task: Task, parts: Parts, n_threads: int | None = None
) -> AbstractContextManager[Crew]:
    """The workers of a place, who end with the block; None is this process, with so many threads. Raises HeadstartError."""
    if workplace is None:
        return nullcontext(OwnCrew(task, parts, n_threads or cores()))
    if workplace.kind == "local":
        return process_crew(task, parts, workplace.n_processes)
    from headstart.jobs.ray_crew import ray_crew

    return ray_crew(task, parts, workplace.address)
