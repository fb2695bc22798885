"""Opens the workers of a place."""

from contextlib import AbstractContextManager

from headstart.jobs.crew import Crew, Task
from headstart.jobs.parts import Parts
from headstart.jobs.process_crew import process_crew
from headstart.workplace import Workplace


def open_crew(workplace: Workplace, task: Task, parts: Parts) -> AbstractContextManager[Crew]:
    """The workers of a place, who end with the block. Raises HeadstartError."""
    if workplace.kind == "local":
        return process_crew(task, parts, workplace.n_processes)
    from headstart.jobs.ray_crew import ray_crew

    return ray_crew(task, parts, workplace.address)
