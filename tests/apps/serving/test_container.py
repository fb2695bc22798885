"""The recipe of the container image: its lines do what they say, with an engine and, as far as that goes, without one."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from conftest import PATIENCE_SECONDS, SavedRun, wait_until

from headstart.artifact.export import export_model

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "docs" / "serving" / "Dockerfile"
PAGE = (ROOT / "docs" / "docker.md").read_text(encoding="utf-8")
PORT = "8000"
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="the lines of the recipe are for a POSIX shell")


@dataclass(frozen=True)
class Stage:
    """One of the images that a recipe makes."""

    base: str
    name: str
    lines: tuple[tuple[str, str], ...]  # instruction, what follows it

    def all(self, instruction: str) -> list[str]:
        """What follows this instruction, each time."""
        return [rest for name, rest in self.lines if name == instruction]

    def words(self, instruction: str) -> list[str]:
        """What an instruction in its exec form runs."""
        (rest,) = self.all(instruction)
        words: list[str] = json.loads(rest[rest.index("[") :])
        return words

    def variables(self) -> dict[str, str]:
        """The environment that it sets."""
        return dict(pair.split("=", 1) for rest in self.all("ENV") for pair in shlex.split(rest))


def stages() -> list[Stage]:
    """The stages of the recipe, in order."""
    text = re.sub(r"\\\n\s*", "", RECIPE.read_text(encoding="utf-8"))
    found: list[Stage] = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name, ()))
        else:
            last = found[-1]
            found[-1] = Stage(last.base, last.name, (*last.lines, (instruction, rest)))
    return found


BUILD, SERVER, WITH_MODEL = stages()


def test_the_recipe_names_what_there_is() -> None:
    """Files of the checkout, extras of the project, a port; the page on it says the options that it has."""
    ignored = (RECIPE.parent / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [name for rest in BUILD.all("COPY") for name in rest.split()[:-1]]
    assert copied == ["pyproject.toml", "README.md", "LICENSE", "src"]
    assert all((ROOT / name).exists() and f"!{name}" in ignored for name in copied)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert [re.findall(r"\[(\w+)\]", rest) for rest in BUILD.all("RUN")] == [[], [], ["serve"]] and "serve" in extras
    assert SERVER.all("COPY") == ["--from=build /opt/headstart /opt/headstart"]
    assert SERVER.words("ENTRYPOINT")[-1] == PORT == SERVER.all("EXPOSE")[0] and f":{PORT}/" in SERVER.words("HEALTHCHECK")[-1]
    assert (BUILD.name, SERVER.name) == ("build", "server") and "--target server" in PAGE
    assert WITH_MODEL.base == "server" and WITH_MODEL.all("COPY")[0].startswith("--from=model ")
    assert "--build-context model=" in PAGE


def test_it_runs_as_nobody_in_particular() -> None:
    """By a number, as some clusters ask, who owns the model's files; what is written is below what the page makes writable."""
    (user,) = SERVER.all("USER")
    assert int(user) > 0 and f"--chown={user}" in WITH_MODEL.all("COPY")[0] and f"User {user}" in PAGE
    assert SERVER.variables()["HEADSTART_HOME"].startswith("/tmp/")
    assert "--read-only" in PAGE and "--tmpfs /tmp" in PAGE


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may read, in place of the root of a container: pytest's own are root's alone."""
    with tempfile.TemporaryDirectory(prefix="headstart-image-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def build_in(place: Path) -> None:
    """Runs the lines of the first stage, with folders below this place."""
    for rest in BUILD.all("COPY"):
        *names, target = rest.split()
        for name in names:
            source, copy = ROOT / name, _below(place, target) / ("" if (ROOT / name).is_dir() else name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy)
            else:
                shutil.copy(source, copy)
    variables = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for line in BUILD.all("RUN"):
        command = ["sh", "-c", re.sub(r"(?<![\w.])/(source|wheel|opt)\b", lambda found: f"{place}/{found[1]}", line)]
        ran = subprocess.run(command, env=variables, capture_output=True, encoding="utf-8", check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def _below(place: Path, absolute: str) -> Path:
    return place / absolute.strip("/")


def free_port() -> str:
    """A port of the loopback at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def asked(address: str, photo: bytes) -> httpx.Response:
    """What a server answers to an image."""
    return httpx.post(f"http://{address}/predict", content=photo, trust_env=False, timeout=PATIENCE_SECONDS)


@pytest.mark.slow
@needs_posix
def test_its_lines_work_without_an_engine(place: Path, saved_run: SavedRun) -> None:
    """What it installs has no torch; its command answers as another user who may write below /tmp alone, as its check says."""
    build_in(place)
    (packages,) = (place / "opt").rglob("site-packages")
    assert {path.name for path in packages.iterdir()}.isdisjoint({"torch", "timm", "sklearn", "scipy", "pyarrow", "matplotlib"})
    export_model(saved_run.run, place / "model")
    (place / "tmp").mkdir(mode=0o777)
    (place / "tmp").chmod(0o777)
    port = free_port()
    serve = [*SERVER.words("ENTRYPOINT"), *SERVER.words("CMD")]
    serve = [str(_below(place, word)) if word.startswith("/") else word for word in serve]
    check = [word.replace(f":{PORT}/", f":{port}/") for word in SERVER.words("HEALTHCHECK")]
    variables = {name: re.sub(r"(?<![\w.])/(tmp|opt)\b", f"{place}/\\1", value) for name, value in SERVER.variables().items()}
    variables["PATH"] = variables["PATH"].replace("$PATH", os.environ["PATH"])
    as_user = ["setpriv", f"--reuid={SERVER.all('USER')[0]}", "--regid=10001", "--clear-groups"]
    if os.geteuid() or not shutil.which("setpriv"):
        as_user = []  # only root becomes another user
    command = [*as_user, *(port if word == PORT else word for word in serve)]

    def healthy() -> bool:
        return subprocess.run([*as_user, *check], env=variables, capture_output=True, check=False).returncode == 0

    assert not healthy()
    with subprocess.Popen(
        command, env=variables, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            wait_until(healthy, process)
            path = next(iter(saved_run.labels))
            answered = asked(f"127.0.0.1:{port}", Path(path).read_bytes())
            assert answered.status_code == 200 and answered.json()["predictions"][0]["predicted"]
        finally:
            process.send_signal(signal.Signals[SERVER.all("STOPSIGNAL")[0]])
            _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert not healthy()


def engine() -> str:
    """A container engine that answers. Skips the test if there is none, or if it cannot get the image to begin with."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0:
            pulled = subprocess.run([name, "pull", BUILD.base], capture_output=True, encoding="utf-8", check=False)
            if pulled.returncode:
                pytest.skip(f"{name} cannot get {BUILD.base}: {pulled.stderr.strip()}")
            return name
    pytest.skip("no container engine answers here")


@pytest.mark.slow
def test_an_engine_builds_and_runs_it(saved_run: SavedRun, tmp_path: Path) -> None:
    """The image that the page builds answers on a read-only file system, becomes healthy, and ends well."""
    name = engine()

    def call(*arguments: str) -> str:
        ran = subprocess.run([name, *arguments], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout.strip()

    export_model(saved_run.run, tmp_path / "model")
    image = f"headstart-test-{os.getpid()}"
    form = ["--format", "docker"] if name == "podman" else []  # which has health checks
    call("build", *form, "-f", str(RECIPE), "--build-context", f"model={tmp_path / 'model'}", "-t", image, ".")
    limits = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "2g"]
    container = call("run", "--detach", "--publish", f"127.0.0.1::{PORT}", *limits, image)
    try:
        wait_until(lambda: call("inspect", "--format", "{{.State.Health.Status}}", container) == "healthy")
        address = call("port", container, PORT).splitlines()[0]
        photo = Path(next(iter(saved_run.labels))).read_bytes()
        answered = asked(address, photo)
        assert answered.status_code == 200 and answered.json()["predictions"][0]["predicted"]
        call("stop", container)
        assert call("inspect", "--format", "{{.State.ExitCode}}", container) == "0"
    finally:
        call("rm", "--force", container)
        call("rmi", "--force", image)
