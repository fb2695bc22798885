"""Where the work on images is done: in this process, in others on this machine, or on a Ray cluster."""

import re
from dataclasses import dataclass
from typing import Literal

from headstart.errors import SettingsError
from headstart.threads import cores

MOST_PROCESSES = 1024
WRITTEN_AS = "write local, local:4 (so many processes), ray, or ray:ADDRESS (of a cluster that runs, such as ray:10.0.0.7:6379)"


@dataclass(frozen=True, slots=True)
class Workplace:
    """A place that was named, such as local:4."""

    kind: Literal["local", "ray"]
    n_processes: int = 0  # of local
    address: str = ""  # of a Ray cluster; "": one that the environment names, else one that is started for the job


def workplace_of(text: str) -> Workplace:
    """The place that `local[:N]` or `ray[:ADDRESS]` names. Raises SettingsError."""
    kind, colon, rest = text.partition(":")
    if kind == "ray" and (rest or not colon):
        return Workplace("ray", address=rest)
    if kind == "local" and not colon:
        return Workplace("local", cores())
    if kind == "local" and re.fullmatch("[1-9][0-9]{0,3}", rest) and int(rest) <= MOST_PROCESSES:
        return Workplace("local", int(rest))
    raise SettingsError(f"{text!r} is no place to work at", hint=WRITTEN_AS)
