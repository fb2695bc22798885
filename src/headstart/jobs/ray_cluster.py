"""The Ray cluster that a job runs on: connected to, or started on this machine and ended again."""

import logging
import os
import re
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import ray
from ray._private import worker as ray_driver
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined] # it is compiled

from headstart.errors import HeadstartError, first_line
from headstart.threads import cores

LOG = logging.getLogger("headstart.jobs")
# Ray asks the metadata services of three clouds which of them it is in, even where its reports are switched off. It takes a
# proxy from the environment for that, and for nothing else.
PROXIES, NOBODY = ("http_proxy", "HTTP_PROXY"), "http://127.0.0.1:9"
MODE = "RAY_AUTH_MODE"  # whether the processes of a cluster show each other a secret
CONNECT_SECONDS = 5.0
LONGEST_PATH = 25  # of the folder for temporary files
STARTED = "ray start --head starts one; see docs/cluster.md"


@contextmanager
def connected(address: str) -> Iterator[bool]:
    """Connects to the cluster; if none is named, to one that it starts on this machine. Yields whether it did.

    A connection that is there is used.
    """
    if ray.is_initialized():
        yield False
        return
    named = address or os.environ.get("RAY_ADDRESS", "")
    _check_answers(named)
    # Ray prints its news to stdout, whatever `log_to_driver` is: that is where answers go, and what news matters is told here.
    ray_driver.print_to_stdstream = lambda news, **_: LOG.info("Ray: %s", "\n".join(news["lines"]))
    with ExitStack() as stack:
        of_own: dict[str, Any] = {}
        if not named:
            of_own = _own_cluster(Path(stack.enter_context(_short_lived_folder())))
            stack.enter_context(_own_token())
        try:
            with _environment({} if named else dict.fromkeys(PROXIES, NOBODY)):
                ray.init(named or "local", logging_level=logging.ERROR, log_to_driver=False, **of_own)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = f"no Ray cluster answers at {named}" if named else "Ray cannot be started here"
            raise HeadstartError(f"{where}: {first_line(error)}", hint=STARTED) from error
        stack.callback(ray.shutdown)
        yield not named


@contextmanager
def _own_token() -> Iterator[None]:
    """What the processes of a cluster show each other is a secret of this process: else one is kept in the user's folder.

    Ray keeps what it has read for the next cluster, which may be another's; so it does with the mode, which it sets itself.
    """
    loader, mode = AuthenticationTokenLoader.instance(), os.environ.get(MODE)
    try:
        with _environment({"RAY_AUTH_TOKEN": secrets.token_hex(32)}):
            loader.reset_cache()
            yield
    finally:
        os.environ.pop(MODE, None)
        os.environ |= {} if mode is None else {MODE: mode}
        Config.initialize("")
        loader.reset_cache()


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """These variables in the environment of this process, and of those that are started in the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _own_cluster(folder: Path) -> dict[str, Any]:
    """What a cluster of this machine alone is started with: nobody else reaches it, and it writes into the folder alone."""
    return {"num_cpus": cores(), "include_dashboard": False, "_temp_dir": str(folder), "_node_ip_address": "127.0.0.1"}


def _short_lived_folder() -> TemporaryDirectory[str]:
    """One with a short path: those of sockets have 107 bytes at most, and Ray adds 70."""
    is_long = os.name == "posix" and len(gettempdir()) > LONGEST_PATH
    return TemporaryDirectory(prefix="hs-", dir="/tmp" if is_long else None, ignore_cleanup_errors=True)


def _check_answers(address: str) -> None:
    """Raises HeadstartError if nobody listens at an address with a port: Ray itself would try for minutes."""
    found = re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d{1,5})", address)
    if found is None:
        return
    try:
        socket.create_connection((found[1], int(found[2])), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise HeadstartError(f"no Ray cluster answers at {address}: {error}", hint=STARTED) from error


def own_node_lives() -> bool:
    """Whether the node that this process is connected to still answers. Ray ends the process without a word some time later."""
    node: Any = ray_driver._global_node
    if node is None or not hasattr(socket, "AF_UNIX"):
        return True
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(CONNECT_SECONDS)
        try:
            asked.connect(node.raylet_socket_name)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # it is busy
            return True
    return True


def environment_of_workers(*, of_own: bool) -> dict[str, str]:
    """Variables for workers: where home() is, and in a cluster of their own what was set otherwise when it was started."""
    home = {name: os.environ[name] for name in ("HEADSTART_HOME",) if name in os.environ}
    return ({name: os.environ.get(name, "") for name in PROXIES} if of_own else {}) | home
