"""A real MLflow server on the loopback, from an environment of its own: its packages are no part of headstart's."""

import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import MakeOnce, wait_until

LISTENS = re.compile(r"running on (http://\S+)")


def mlflow_environment(made_once: MakeOnce) -> Path:
    """The folder of a virtual environment with MLflow's server, of the version of the client that is installed here.

    Packages that are here are taken from here. Skips the test where the server cannot be installed.
    """
    pytest.importorskip("mlflow")
    version = importlib.metadata.version("mlflow-skinny")

    def make(folder: Path) -> None:
        venv.create(folder, with_pip=True)
        own = sysconfig.get_path("purelib", vars={"base": str(folder)})
        Path(own, "beside.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
        command = [_python(folder), "-m", "pip", "install", "--quiet", f"mlflow=={version}"]
        ran = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if ran.returncode:
            pytest.skip(f"MLflow's server cannot be installed: {ran.stderr.strip().splitlines()[-1]}")

    return made_once("mlflow server", make)


@contextmanager
def mlflow_server(environment: Path, folder: Path) -> Iterator[str]:
    """The address of a server that keeps runs in a database and their files in this folder."""
    log = folder / "log.txt"
    variables = {**os.environ, "HOME": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
    command = [_python(environment), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "0", "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{(folder / 'runs.db').as_posix()}"]
    command += ["--artifacts-destination", (folder / "files").as_posix()]
    with log.open("w", encoding="utf-8") as lines:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=lines, stderr=lines, start_new_session=True)
    try:
        wait_until(lambda: LISTENS.search(log.read_text(encoding="utf-8")) or process.poll() is not None)
        found = LISTENS.search(log.read_text(encoding="utf-8"))
        assert found, log.read_text(encoding="utf-8")[-2000:]
        yield found[1]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _python(environment: Path) -> str:
    return str(environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))
