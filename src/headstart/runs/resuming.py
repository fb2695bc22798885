"""The folder of a run that is resumed: here or at an address, in one process or in several."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from headstart.addresses.address import address_in, shown
from headstart.addresses.targets import target_folder
from headstart.errors import SettingsError
from headstart.machine import n_processes
from headstart.model.checkpoint_state import check_processes
from headstart.record.places import METRICS, partial_of
from headstart.record.run_folder import RunFolder, followed_run, resumed_run, told_of
from headstart.settings import TrainSettings


def resumed(run: str, data: str | None, settings: TrainSettings, stack: ExitStack) -> RunFolder:
    """The folder of the resumed run, as long as `stack` is open.

    In another process than the first of several it is a temporary one, made by what the first tells. Raises SettingsError.
    """
    if n_processes() == 1:
        return resumed_run(stack.enter_context(_place_of(run)), data, settings)
    from headstart.model.distributed import joined_world

    world = stack.enter_context(joined_world())
    if world.rank == 0:
        folder = resumed_run(stack.enter_context(_place_of(run)), data, settings)
        world.told_by_first(told_of(folder))
        return folder
    place = Path(stack.enter_context(TemporaryDirectory(prefix="headstart-"))) / "run"
    return followed_run(place, world.told_by_first(()), settings)


def check_processes_of(folder: RunFolder) -> None:
    """Raises SettingsError or TrainingError if training was begun in another number of processes than it would go on in."""
    if folder.state.settings.is_on_ray:  # which uses as many as it was begun with
        check_not_torchrun()
        return
    for checkpoint in folder.checkpoints.glob("*"):
        check_processes(checkpoint, n_processes())


def check_not_torchrun() -> None:
    """Raises SettingsError if this process is one of several, and a Ray cluster is to start others."""
    if n_processes() > 1:
        raise SettingsError("--engine ray starts its processes itself", hint="run it without torchrun")


@contextmanager
def _place_of(run: str) -> Iterator[Path]:
    """Yields the folder of a run; for one at an address a folder of this machine, which is sent in the end."""
    address = address_in(run)
    if address is None:
        yield Path(run)
        return
    from headstart.addresses.fetched_folders import fetch_folder
    from headstart.addresses.filesystems import NothingThereError

    with target_folder(address, METRICS) as place:
        if not (place.exists() or partial_of(place).exists()):
            with suppress(NothingThereError):
                fetch_folder(address, place)
            if not place.exists():
                raise SettingsError(f"there is no run at {shown(address)} to resume", hint="start a new run")
        yield place
