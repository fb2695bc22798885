"""Files for workers."""

from pathlib import Path

import pytest

from jobs.desks import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty one."""
    made = Desk(tmp_path)
    made.notes.mkdir()
    return made
