"""Nothing leaves the machine: no command looks up a name, connects to anything beyond it, or writes into the user's folders."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from conftest import PATIENCE_SECONDS, TINY, MakeOnce, SavedRun
from hub_server import hugging_face_hub
from mlflow_server import mlflow_environment, mlflow_server
from wandb_server import KEY, wandb_server

# Records what a process asks of the C library, also through libraries that are not Python: where there is no strace.
GUARD = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void note(const char *what, const char *where) {
    FILE *log = fopen(getenv("GUARD_LOG"), "a");
    fprintf(log, "%s %s\n", what, where);
    fclose(log);
}

int connect(int number, const struct sockaddr *to, socklen_t length) {
    char text[INET6_ADDRSTRLEN] = "";
    if (to->sa_family == AF_INET) inet_ntop(AF_INET, &((struct sockaddr_in *)to)->sin_addr, text, sizeof text);
    if (to->sa_family == AF_INET6) inet_ntop(AF_INET6, &((struct sockaddr_in6 *)to)->sin6_addr, text, sizeof text);
    if (*text) note("connect", text);
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    return real(number, to, length);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    note("lookup", name ? name : "127.0.0.1");
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, service, hints, found);
}
"""
CALLS = "connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2"
INET = re.compile(r'sin6?_addr=inet_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"|inet_pton\(AF_INET6, "([^"]+)"')
PORT = re.compile(r"connect\(.*sin6?_port=htons\((\d+)\)")
MADE = re.compile(r'^\d+ +(open|openat|creat|mkdir|mkdirat|rename|renameat|renameat2)\((?:\w+<([^>]*)>, )?"([^"]+)"(.*)')
LOOPBACK = ("127.0.0.1", "::1", "localhost", "0.0.0.0")


@dataclass
class Watched:
    """Runs Python with an empty HOME under watch, and tells what it asked of the network and where it wrote."""

    place: Path
    environment: dict[str, str]
    prefix: Sequence[str]  # what the command line begins with
    traces_files: bool
    may_write: tuple[Path, ...] = field(default=())
    may_ask: tuple[str, ...] = LOOPBACK

    @property
    def log(self) -> Path:
        return self.place / "log"

    def start(self, *arguments: object, python: Sequence[str] = ("-m", "headstart")) -> "subprocess.Popen[str]":
        command = [*self.prefix, sys.executable, *python, *map(str, arguments)]
        return subprocess.Popen(
            command,
            cwd=self.place / "here",
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )

    def run(self, *arguments: object, python: Sequence[str] = ("-m", "headstart")) -> None:
        with self.start(*arguments, python=python) as process:
            out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, out + err
        self.check()

    def check(self) -> None:
        """Fails if anything left the machine or was written where it does not belong."""
        log = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        asked = [line for line in log.splitlines() if self._leaves(line)]
        assert not asked, asked[:5]
        assert not list((self.place / "user").rglob("*")), "something was written into the user's folder"
        written = {path for path in map(self._written, log.splitlines()) if path} if self.traces_files else set()
        strange = sorted(str(path) for path in written if not any(path.is_relative_to(folder) for folder in self.may_write))
        assert not strange, strange[:5]

    def ports(self) -> set[int]:
        """The ports that were connected to, on whatever machine."""
        return {int(number) for number in PORT.findall(self.log.read_text(encoding="utf-8", errors="replace"))}

    def _leaves(self, line: str) -> bool:
        if not self.traces_files:
            return bool(line) and line.split()[-1] not in self.may_ask
        found = INET.search(line)
        return found is not None and (found[1] or found[2]) not in self.may_ask

    def _written(self, line: str) -> Path | None:
        """The file or folder that a line of strace says was made or opened to be written."""
        found = MADE.match(line)
        if (
            not found
            or " = -1 " in line
            or (found[1].startswith("open") and not re.search("O_WRONLY|O_RDWR|O_CREAT", found[4]))
        ):
            return None
        return Path(os.path.normpath(Path(found[2] or self.place / "here", found[3])))


@pytest.fixture
def watched(tmp_path: Path, own_home: Path, compiled_forms: Path) -> Watched:
    """Call watched.run("train", ...): by strace, else by a guard that is built with the C compiler."""
    for name in ("user", "here", "temporary"):
        (tmp_path / name).mkdir()
    of_others = ("XDG_", "MPL", "HF_", "ORT_", "MLFLOW_", "WANDB_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(of_others)}
    environment |= {
        "HOME": str(tmp_path / "user"),
        "TMPDIR": str(tmp_path / "temporary"),
        "HEADSTART_HOME": str(own_home),
        "PYTHONDONTWRITEBYTECODE": "1",  # Python's own, beside the sources
        "GUARD_LOG": str(tmp_path / "log"),
    }
    del environment["TORCH_HOME"]
    log, may_write = tmp_path / "log", (own_home, compiled_forms, tmp_path, Path("/dev"), Path("/proc"))
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(log)]
    if shutil.which("strace") and subprocess.run([*strace, "true"], capture_output=True, check=False).returncode == 0:
        return Watched(tmp_path, environment, strace, traces_files=True, may_write=may_write)
    if not shutil.which("cc"):
        pytest.skip("there is neither strace nor a C compiler")
    (tmp_path / "guard.c").write_text(GUARD)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "guard.so", tmp_path / "guard.c", "-ldl"], check=True)
    return Watched(tmp_path, environment | {"LD_PRELOAD": str(tmp_path / "guard.so")}, (), traces_files=False)


@pytest.fixture
def tiny(tiny_weights: Path) -> tuple[object, ...]:
    """The options that name the smallest backbone."""
    return "--backbone", TINY, "--weights", tiny_weights, "--image-size", 64


@pytest.mark.slow
@pytest.mark.parametrize("own_forms", [False, True], ids=["compiled before", "compiled now"])
def test_training_is_silent(
    watched: Watched, own_home: Path, saved_run: SavedRun, tiny: tuple[object, ...], own_forms: bool
) -> None:
    """`train` asks nothing of the network without --offline either, also where the backbone is compiled first."""
    if own_forms:
        (own_home / "compiled").unlink()
    strategy = "probe" if own_forms else "finetune"
    watched.run("train", saved_run.data, "--strategy", strategy, "--epochs", 1, *tiny, "--output", watched.place / "out")


@pytest.mark.slow
def test_openvino_is_silent(watched: Watched, saved_run: SavedRun, tiny: tuple[object, ...]) -> None:
    """OpenVINO computes features without a word to its makers."""
    pytest.importorskip("openvino")
    watched.run("embed", saved_run.data, "--engine", "openvino", *tiny[:4], "--output", watched.place / "features.parquet")


def own_address() -> str:
    """The address of this machine, as Ray finds it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("8.8.8.8", 53))
        return str(asking.getsockname()[0])


@pytest.mark.slow
@pytest.mark.parametrize("place", ["local:2", "ray"])
def test_other_processes_are_silent(watched: Watched, saved_run: SavedRun, tiny: tuple[object, ...], place: str) -> None:
    """Processes of this machine say nothing, and a Ray cluster of its own talks to itself alone and leaves nothing.

    Ray asks the system which address this machine would have for 8.8.8.8, for which nothing is sent.
    """
    pytest.importorskip("ray")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as short:  # Ray's sockets have no room in longer paths
        watched.environment["TMPDIR"] = short
        watched.may_write = (*watched.may_write, Path(short))
        if place == "ray":
            watched.may_ask = (*LOOPBACK, "8.8.8.8", "::ffff:127.0.0.1", own_address(), f"::ffff:{own_address()}")
        watched.run("embed", saved_run.data, "--engine", place, *tiny[:4], "--output", watched.place / "features.parquet")
        assert not list(Path(short).iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino", "litert"])
def test_exports_are_silent(watched: Watched, saved_run: SavedRun, format: str) -> None:
    """An export is written, and answers, in silence."""
    pytest.importorskip("openvino")
    export = watched.place / "export"
    watched.run("export", saved_run.run, "--format", format, "--output", export)
    watched.run("predict", export, saved_run.data / "val", "--output", watched.place / "answers.csv")


TRACKERS = {"mlflow": {"run", "mlruns"}, "tensorboard": {"run"}, "wandb": {"run", "wandb"}}  # what is then beside a run


def logged(watched: Watched, saved_run: SavedRun, tiny: tuple[object, ...], tracker: str, **variables: str) -> Path:
    """The folder that a run is in which this tracker followed; fails if anything was left elsewhere."""
    pytest.importorskip(tracker)
    out = watched.place / "out"
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as short:  # in longer paths wandb has no room for its socket
        watched.environment |= variables | {"TMPDIR": short}
        watched.may_write = (*watched.may_write, Path(short))
        watched.run(
            "train", saved_run.data, "--strategy", "finetune", "--epochs", 1, *tiny, "--log", tracker, "--output", out / "run"
        )
        # Importing torchvision makes torch's own folder, which stays empty, where no process above has made it before.
        inductor = [path for path in Path(short).glob("torchinductor_*") if not list(path.iterdir())]
        left = {*(watched.place / "here").iterdir(), *Path(short).iterdir()} - set(inductor)
        assert not left, left
    return out


@pytest.mark.slow
@pytest.mark.parametrize("tracker", TRACKERS)
def test_trackers_are_silent(watched: Watched, saved_run: SavedRun, tiny: tuple[object, ...], tracker: str) -> None:
    """Where nothing names a server, --log asks nobody, not even this machine, and leaves only what is beside the run."""
    watched.may_ask = ()
    out = logged(watched, saved_run, tiny, tracker)
    assert {path.name for path in out.iterdir()} == TRACKERS[tracker]


@pytest.mark.slow
def test_wandb_asks_the_server_that_is_named(watched: Watched, saved_run: SavedRun, tiny: tuple[object, ...]) -> None:
    """With a key and an address nobody else is asked."""
    with wandb_server() as server:
        logged(watched, saved_run, tiny, "wandb", WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY)
        assert len(server.runs) == 1
    assert not watched.traces_files or watched.ports() == {int(server.url.rpartition(":")[2])}


@pytest.mark.slow
def test_mlflow_asks_the_server_that_is_named(
    watched: Watched, saved_run: SavedRun, tiny: tuple[object, ...], made_once: MakeOnce, tmp_path: Path
) -> None:
    """Nobody else is asked, and there is no store beside the run."""
    (tmp_path / "server").mkdir()
    with mlflow_server(mlflow_environment(made_once), tmp_path / "server") as address:
        out = logged(watched, saved_run, tiny, "mlflow", MLFLOW_TRACKING_URI=address)
        assert {path.name for path in out.iterdir()} == {"run"}
    assert not watched.traces_files or watched.ports() == {int(address.rpartition(":")[2])}


@pytest.mark.slow
def test_the_other_commands_are_silent(watched: Watched, saved_run: SavedRun, tiny: tuple[object, ...]) -> None:
    """So are the commands that look at images and models."""
    watched.run("predict", saved_run.run, saved_run.data / "val", "--grid", watched.place / "grid.png")
    watched.run("evaluate", saved_run.run, saved_run.data)
    watched.run("verify", saved_run.run)
    watched.run("audit", saved_run.data, *tiny[:4], "--output", watched.place / "audit")
    watched.run("preview", saved_run.data, "--output", watched.place / "preview.png")
    watched.run("backbones")
    watched.run("cache")


@pytest.mark.slow
def test_comparing_and_the_demo_are_silent(watched: Watched, saved_run: SavedRun) -> None:
    """So are `compare`, and `demo`, whose images and backbone are installed."""
    pytest.importorskip("elpv_dataset")
    watched.run("compare", saved_run.data, "--strategies", "probe", "--output", watched.place / "compared.json")
    watched.run("demo", "--offline", "--output", watched.place / "demo")


@pytest.mark.slow
def test_the_estimator_is_silent(watched: Watched, saved_run: SavedRun, tiny: tuple[object, ...]) -> None:
    """So is the estimator in somebody's own program, which imports ONNX Runtime after headstart."""
    program = (
        "import sys\nfrom headstart import ImageClassifier\n"
        f"c = ImageClassifier(strategy='probe', backbone={TINY!r}, weights=sys.argv[2], image_size=64).fit(sys.argv[1])\n"
        "print(c.score(sys.argv[1] + '/val'))"
    )
    watched.run(saved_run.data, tiny[3], python=("-c", program))


@pytest.mark.slow
def test_the_server_is_silent(watched: Watched, saved_run: SavedRun) -> None:
    """A server speaks to those who ask it, and to nobody else."""
    photo = next((saved_run.data / "val").rglob("*.png")).read_bytes()
    with watched.start("serve", saved_run.run, "--port", 0) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"at (http://\S+)", process.stdout.readline())
            assert found
            with httpx.Client(base_url=found[1], timeout=PATIENCE_SECONDS, trust_env=False) as client:
                for page in ("/", "/docs", "/health"):
                    client.get(page)
                assert client.post("/predict", content=photo).status_code == 200
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=PATIENCE_SECONDS)
    watched.check()


@pytest.mark.slow
def test_the_hub_is_told_what_is_pushed_and_nothing_else(watched: Watched, saved_run: SavedRun) -> None:
    """`push` and a model at hf:// ask the hub alone, and leave nothing in the user's folders."""
    pytest.importorskip("huggingface_hub")
    with hugging_face_hub() as hub:
        watched.environment |= hub.environment()
        watched.run("push", saved_run.run, "hf://ann/shapes")
        watched.run("predict", "hf://ann/shapes", saved_run.data / "val", "--output", watched.place / "answers.csv")
        assert not any("agent" in agent for agent in hub.agents)


def test_the_switches_overrule_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telemetry stays off if the environment says otherwise, and OpenVINO's package for it cannot be imported."""
    from headstart.privacy import switch_off_telemetry

    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "0")
    switch_off_telemetry()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    with pytest.raises(ImportError):
        __import__("openvino_telemetry")


@pytest.mark.slow
def test_a_user_without_a_folder(saved_run: SavedRun) -> None:
    """Without HOME and a name, as in some containers, a command says which variable to set; with it, the command works."""
    if not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("setpriv")):
        pytest.skip("only root becomes another user")
    as_nobody = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", sys.executable, "-m", "headstart"]
    with tempfile.TemporaryDirectory(prefix="headstart-nobody-") as folder:  # pytest's own are root's alone
        model, photo, home = (Path(folder, name) for name in ("model", "photo.png", "home"))
        shutil.copytree(saved_run.model, model)
        shutil.copy(next((saved_run.data / "val").rglob("*.png")), photo)
        home.mkdir()
        for path in (Path(folder), home):
            path.chmod(0o777)

        def call(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
            environment = {"PATH": "/usr/bin:/bin", **environment}
            command = [*as_nobody, *map(str, arguments)]
            return subprocess.run(command, env=environment, cwd="/", capture_output=True, encoding="utf-8", check=False)

        refused = call("predict", model, photo)
        assert refused.returncode == 1 and "Traceback" not in refused.stderr and "HEADSTART_HOME" in refused.stderr
        for arguments in (("predict", model, photo), ("backbones",), ("cache",)):
            answered = call(*arguments, HEADSTART_HOME=str(home))
            assert answered.returncode == 0, answered.stderr
