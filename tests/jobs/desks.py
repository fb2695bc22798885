"""A folder of files, and jobs on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.data.sources import Candidate
from headstart.jobs.crews import open_crew
from headstart.jobs.job import Job
from headstart.jobs.parts import PartFolder
from headstart.jobs.shards import shards_of
from headstart.workplace import workplace_of
from jobs.counted_tasks import Reading


@dataclass
class Desk:
    """A folder of files and the parts of jobs on them."""

    place: Path

    @property
    def notes(self) -> Path:
        """A file for each image that was computed, and one for each process that computed any."""
        return self.place / "notes"

    @property
    def parts(self) -> PartFolder:
        return PartFolder(self.place / "parts")

    def files(self, texts: Sequence[str]) -> list[Candidate]:
        """A file for each text."""
        found = []
        for number, text in enumerate(texts):
            file = self.place / f"{number}.txt"
            if not file.exists() or file.read_text() != text:
                file.write_text(text)
            found.append(Candidate(str(file), file))
        return found

    def run(self, texts: Sequence[str], workplace: str = "local:2", task: Reading | None = None) -> list[str]:
        """What a job found in files of these texts, in order."""
        task, candidates = task or Reading(self.notes), self.files(texts)
        with open_crew(workplace_of(workplace), task, self.parts) as crew:
            job = Job(task, crew, self.parts, total=len(candidates))
            results = list(job.run(shards_of(candidates, task.key, len(candidates))))
        assert [one for shard, _ in results for one in shard.items] == candidates
        return [text for _, table in results for text in table.column("text").to_pylist()]

    def times_computed(self) -> dict[str, int]:
        """File -> how often it was computed."""
        return {file.name: len(file.read_text().splitlines()) for file in self.notes.glob("*.txt")}
