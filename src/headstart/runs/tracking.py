"""The trackers of a run: opened before anything is computed, told of it when its images and strategy are known."""

from collections.abc import Sequence
from pathlib import Path

from headstart.addresses.address import address_in
from headstart.fitting.choice import Choice
from headstart.fitting.scanned import Scanned
from headstart.machine import process_rank
from headstart.model.checkpoint_state import RUN, epochs_saved
from headstart.progress import Tell
from headstart.record.places import named
from headstart.record.run_folder import DEFAULT_PARENT, RunFolder
from headstart.record.tracked import begun_run
from headstart.record.trackers import Tracking, open_trackers
from headstart.storage import home

KEPT = "trackers"  # the folder of home() for what trackers keep of runs that are sent to an address


def trackers_of(log: Sequence[str], run: str, tell: Tell) -> Tracking:
    """The trackers that `log` names, for a run at this place; "": one that gets a number.

    What they keep on this machine is beside the run. Under torchrun only the first process has some. Raises HeadstartError.
    """
    if process_rank() > 0:
        return Tracking({})
    beside = named(Path(run)).parent if run else DEFAULT_PARENT
    return open_trackers(log, beside if address_in(run) is None else home() / KEPT, tell)


def begin_tracking(followed: Tracking, folder: RunFolder, scanned: Scanned, choice: Choice) -> None:
    """Begins the run in its trackers; a resumed one goes on where they have it."""
    dataset, strategy = scanned.dataset, choice.resolve(scanned.settings).strategy
    run = begun_run(folder.name, folder.partial, scanned.settings, strategy, dataset.classes, dataset.name)
    state = folder.state
    followed.begin(run, epochs_saved(folder.checkpoints / RUN), state.tracked, state.tracked_epochs, folder.track)
