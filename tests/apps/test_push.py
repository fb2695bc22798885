"""`headstart push` and MODEL = hf://..., against a hub on the loopback: what is sent comes back, or it is said why not."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import SavedRun
from hub_server import OWNER, READER, Hub, Repository, hugging_face_hub

from apps.conftest import WITHOUT, Result, assert_explained
from headstart.artifact.bundle import CARD, FAMILIARITY, WEIGHTS, read_bundle
from headstart.artifact.manifest import MANIFEST

pytest.importorskip("huggingface_hub")
pytestmark = [pytest.mark.process, pytest.mark.slow]
Command = Callable[..., Result]
MODEL = {CARD, MANIFEST, WEIGHTS, FAMILIARITY}
KEPT = Path(__file__).parents[1] / "kept" / "format-2"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub that the tests of this file share, each with repositories of its own."""
    with hugging_face_hub() as made:
        yield made


@pytest.fixture
def ask(process: Command, hub: Hub, tmp_path: Path) -> Command:
    """The command in a process that knows the hub, with the token of ann."""

    def call(*arguments: object, token: str = OWNER, **more: str) -> Result:
        environment = {"HOME": str(tmp_path / "user"), "XDG_CACHE_HOME": ""} | hub.environment(token) | more
        result = process(*arguments, **environment)
        assert not (tmp_path / "user").exists(), "something was written into the user's folder"
        return result

    return call


def files_of(hub: Hub, name: str, branch: str = "main") -> dict[str, bytes]:
    """What is in a repository now."""
    found = repository(hub, name)
    return found.commits[found.branches[branch]]


def repository(hub: Hub, name: str) -> Repository:
    return hub.repositories["model", name]


def test_what_the_manifest_names_is_sent_and_answers(ask: Command, hub: Hub, own_run: Path, saved_run: SavedRun) -> None:
    """A run's model goes into a private repository, without what else lies in its folder, and predicts from there alike."""
    (own_run / "model" / "secret.txt").write_text("not for the hub")
    pushed = ask("push", own_run, "hf://ann/shapes")
    assert (pushed.code, pushed.err) == (0, "")
    commit = repository(hub, "ann/shapes").branches["main"]
    assert pushed.out.splitlines()[0] == f"{hub.endpoint}/ann/shapes (private): 4 files"
    assert pushed.out.splitlines()[1] == f"  commit  {commit}"
    assert repository(hub, "ann/shapes").private
    found = files_of(hub, "ann/shapes")
    assert set(found) == {*MODEL, ".gitattributes"}
    assert all(found[name] == (own_run / "model" / name).read_bytes() for name in MODEL - {CARD})
    assert found[CARD].startswith(b"---\nlicense: ")

    photo = next((saved_run.data / "val").rglob("*.png"))
    from_there = ask("predict", f"hf://ann/shapes@{commit}", photo, "--format", "jsonl")
    assert (from_there.code, from_there.out) == (0, ask("predict", own_run, photo, "--format", "jsonl").out)
    assert ask("verify", "hf://ann/shapes").out.endswith("hf://ann/shapes is intact\n")
    assert not any("torch" in agent or "agent" in agent for agent in hub.agents), "telemetry"


def test_pushing_the_same_again_is_no_commit(ask: Command, hub: Hub, saved_run: SavedRun) -> None:
    """--json says what was done: at first a new repository, then nothing."""
    first = json.loads(ask("push", saved_run.run, "hf://ann/again", "--message", "the first", "--json").out)
    again = json.loads(ask("push", saved_run.run, "hf://ann/again", "--json").out)
    assert (first["new"], first["changed"], first["private"]) == (True, True, True)
    assert (again["new"], again["changed"]) == (False, False)
    assert first["commit"] == again["commit"] == repository(hub, "ann/again").branches["main"]
    assert (first["address"], set(first["files"])) == (f"hf://ann/again@{first['commit']}", MODEL)
    assert repository(hub, "ann/again").messages[1:] == ["the first"]


def test_another_kind_of_model_takes_the_place_of_the_first(ask: Command, hub: Hub, saved_run: SavedRun) -> None:
    """On a branch of its own, which is made; the files of the model before go, all that others put there stays."""
    assert ask("push", saved_run.run, "hf://ann/kinds", "--public").code == 0
    there = repository(hub, "ann/kinds")
    assert not there.private
    there.commit(files_of(hub, "ann/kinds") | {"photo.jpg": b"of the owner"})
    refused = ask("push", KEPT / "export", "hf://ann/kinds", "--revision", "onnx")
    assert_explained(refused, "everybody can read hf://ann/kinds", "--public")
    assert ask("push", KEPT / "export", "hf://ann/kinds", "--revision", "onnx", "--public").code == 0
    assert {"model.onnx", "photo.jpg"} <= set(files_of(hub, "ann/kinds", "onnx"))
    assert WEIGHTS not in files_of(hub, "ann/kinds", "onnx") and WEIGHTS in files_of(hub, "ann/kinds")
    assert ask("verify", "hf://ann/kinds@onnx").code == 0


def test_what_somebody_else_commits_meanwhile_is_not_overwritten(ask: Command, hub: Hub, saved_run: SavedRun) -> None:
    assert ask("push", saved_run.run, "hf://ann/busy").code == 0
    theirs = {**files_of(hub, "ann/busy"), CARD: b"a better card"}
    hub.before_commit = lambda: repository(hub, "ann/busy").commit(theirs)
    try:
        refused = ask("push", KEPT / "run", "hf://ann/busy")
    finally:
        hub.before_commit = None
    assert_explained(refused, "somebody else has committed to hf://ann/busy meanwhile: nothing was changed", "push again")
    assert files_of(hub, "ann/busy") == theirs


def test_a_private_repository_stays_private(ask: Command, hub: Hub, saved_run: SavedRun) -> None:
    assert ask("push", saved_run.run, "hf://ann/mine").code == 0
    told = ask("push", KEPT / "run", "hf://ann/mine", "--public")
    assert (told.code, told.err) == (
        0,
        f"note: {hub.endpoint}/ann/mine is private, and stays so: change that in its settings\n",
    )
    assert repository(hub, "ann/mine").private


def test_a_damaged_model_is_not_sent(ask: Command, hub: Hub, own_run: Path) -> None:
    weights = own_run / "model" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    n_asked = len(hub.asked)
    assert_explained(ask("push", own_run, "hf://ann/damaged"), f"{WEIGHTS} is not the file the manifest was written for")
    assert len(hub.asked) == n_asked


@pytest.mark.parametrize(
    ("address", "token", "words"),
    [
        ("hf://ann/x", "", ("there is no token", "hf auth login", "HF_TOKEN")),
        ("hf://ann/x", "hf_wrong", ("does not accept the token for hf://ann/x", "hf auth login")),
        ("hf://ann/x", READER, ("the hub refuses hf://ann/x: You don't have the rights to create",)),
        ("hf://ann/taken", READER, ("the hub refuses hf://ann/taken: you don't have the permission to write",)),
        ("hf://datasets/ann/x", OWNER, ("hf://datasets/ann/x is no place for a model", "hf://user/name")),
        ("hf://ann", OWNER, ("hf://ann is no place for a model",)),
        ("s3://ann/x", OWNER, ("s3://ann/x is no address of the Hugging Face hub",)),
        ("ann/x", OWNER, ("ann/x is no address of the Hugging Face hub",)),
    ],
)
def test_refusals(ask: Command, hub: Hub, saved_run: SavedRun, address: str, token: str, words: tuple[str, ...]) -> None:
    """Each in one sentence, with what to do."""
    hub.put("ann/taken", {"a.txt": b"a"})
    assert_explained(ask("push", saved_run.run, address, "--public", token=token), *words)


def test_two_revisions_are_refused(ask: Command, saved_run: SavedRun) -> None:
    told = ask("push", saved_run.run, "hf://ann/x@one", "--revision", "two")
    assert_explained(told, "hf://ann/x@one and --revision two name two revisions")


def test_no_network(ask: Command, saved_run: SavedRun) -> None:
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    for arguments in (("push", saved_run.run, "hf://ann/x"), ("verify", "hf://ann/x")):
        assert_explained(ask(*arguments, **nowhere), "hf://ann/x cannot be reached", "check the network")
    assert_explained(ask("verify", "hf://ann/x", HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")


def test_the_extra_is_missing(process: Command, saved_run: SavedRun) -> None:
    """One sentence with the install line, for push and for MODEL."""
    for arguments in (("push", saved_run.run, "hf://ann/x"), ("verify", "hf://ann/x")):
        told = process("huggingface_hub", *arguments, python=("-c", WITHOUT))
        assert_explained(told, "hf://", "not installed", "pip install 'headstart[hub]'")
    told = process("fsspec,huggingface_hub", "verify", "hf://ann/x", python=("-c", WITHOUT))
    assert_explained(told, "hf://", "pip install 'headstart[hub]'")


@pytest.mark.parametrize(
    ("address", "token", "words"),
    [
        ("hf://ann/none", OWNER, ("there is nothing at hf://ann/none", "if it is private, log in")),
        ("hf://ann/hidden", READER, ("there is nothing at hf://ann/hidden", "if it is private, log in")),
        ("hf://ann/hidden", "", ("there is nothing at hf://ann/hidden", "if it is private, log in")),
        ("hf://ann/hidden", "hf_wrong", ("does not accept the token",)),
        ("hf://ann/hidden@v9", OWNER, ("there is no such revision: hf://ann/hidden@v9", "@")),
        ("hf://ann/hidden", OWNER, ("there is no model at hf://ann/hidden",)),
        ("hf://hidden", OWNER, ("hf://hidden is no address of the Hugging Face hub", "hf://user/name")),
    ],
)
def test_models_that_are_not_there(ask: Command, hub: Hub, address: str, token: str, words: tuple[str, ...]) -> None:
    hub.put("ann/hidden", {"a.txt": b"a"}, private=True)
    assert_explained(ask("verify", address, token=token), *words)


def test_a_model_is_one_state_and_only_its_own_files(ask: Command, hub: Hub, own_run: Path) -> None:
    """A model in a folder of a repository is found, without what else is there; a file that is not the manifest's is told."""
    model = own_run / "model"
    files = {f"run/model/{name}": (model / name).read_bytes() for name in MODEL}
    hub.put("ann/run", files | {"run/model/huge.bin": b"0" * 1_000_000})
    hub.served = 0
    assert ask("verify", "hf://ann/run/run").code == 0
    assert hub.served == sum(map(len, files.values()))
    hub.put("ann/run", files | {f"run/model/{WEIGHTS}": files[f"run/model/{WEIGHTS}"][:-1] + b"!"})
    told = ask("verify", "hf://ann/run/run")
    assert told.code == 1 and f"{WEIGHTS} is not the file the manifest was written for" in told.err


def test_what_fails_in_passing_is_asked_again(ask: Command, hub: Hub, saved_run: SavedRun, tmp_path: Path) -> None:
    shutil.copytree(saved_run.model, tmp_path / "copy")
    assert read_bundle(tmp_path / "copy").manifest.classes
    hub.put_folder(tmp_path / "copy", "ann/shaky")
    hub.failing = [503, 503]
    assert ask("verify", "hf://ann/shaky").code == 0
    assert hub.failing == []
