"""Has the workers of a place do a job."""

from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, closing

import pyarrow

from headstart.data.sources import Candidate
from headstart.jobs.crew import Crew, Task
from headstart.jobs.job import Job
from headstart.jobs.parts import Parts
from headstart.jobs.process_crew import process_crew
from headstart.jobs.shards import Shard, shards_of
from headstart.model.features import Work
from headstart.progress import Progress
from headstart.workplace import Workplace


def results_at(
    workplace: Workplace,
    task: Task,
    candidates: Iterable[Candidate],
    parts: Parts,
    *,
    total: int,
    stage: str,
    progress: Progress,
    work: Work,
) -> Generator[tuple[Shard, pyarrow.Table], None, None]:
    """Yields the candidates, shard by shard in their order, with what a task computed of them: a row for each.

    `total` candidates, 0 if that is not known; `work` is summed up meanwhile. `parts` keeps what is finished, so the same call
    after a crash goes on; the caller removes it when what it makes of the results is written. Raises HeadstartError.
    """
    with open_crew(workplace, task, parts) as crew:
        job = Job(task, crew, parts, total=total, stage=stage, progress=progress, work=work)
        with closing(job.run(shards_of(candidates, task.key, total))) as results:
            yield from results


def open_crew(workplace: Workplace, task: Task, parts: Parts) -> AbstractContextManager[Crew]:
    """The workers of a place, who end with the block. Raises HeadstartError."""
    if workplace.kind == "local":
        return process_crew(task, parts, workplace.n_processes)
    from headstart.jobs.ray_crew import ray_crew

    return ray_crew(task, parts, workplace.address)
