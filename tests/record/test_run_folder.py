"""The folder of a run: one word says what it has come to, and nothing but an earlier run is ever replaced."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from headstart.data.dataset import Dataset, LabelledImage
from headstart.errors import DataError, SettingsError
from headstart.evaluation.paired import Difference
from headstart.fitting.choice import Choice, keep_probe
from headstart.fitting.scanned import Scanned
from headstart.fitting.view_choice import ViewChoice
from headstart.record.places import METRICS, STATE
from headstart.record.run_folder import CHECKPOINTS, RunFolder, new_run, resumed_run
from headstart.settings import TrainSettings

SETTINGS = TrainSettings.of(strategy="finetune", epochs=3)
FINETUNE = Choice(
    strategy="finetune", epochs=2, why="it pays", difference=Difference(gain=0.1, ci95=(0.05, 0.2), n=99, is_shown=True)
)


def scanned_of(*digests: str) -> Scanned:
    """A scan of images of which nothing but their digests is looked at."""
    images = tuple(LabelledImage(f"{d}.png", Path(f"{d}.png"), "a", None, None, d, 8, 8) for d in digests)
    dataset = Dataset("set", images, ("a",), ())
    nothing = np.empty((len(images), 0), np.float32)
    unused = cast("Any", None)
    rows, views = np.arange(len(images)), ViewChoice(view="crop", why="there is no other")
    return Scanned(SETTINGS, unused, dataset, (), nothing, unused, rows, unused, views, rows < 0, {})


IMAGES = scanned_of("one", "two")


def state_of(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
    return values


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file with its content and every folder below `folder`."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))
    }


def train_an_epoch(folder: RunFolder, epoch: int) -> None:
    """Leaves what fine-tuning leaves after an epoch."""
    (folder.checkpoints / "run").mkdir(parents=True, exist_ok=True)
    (folder.checkpoints / "run" / "state.json").write_text(json.dumps({"epoch": epoch}))


def write_all(folder: RunFolder, accuracy: float = 0.5) -> None:
    """Leaves what a finished run leaves."""
    values = {"format": 1, "strategy": "finetune", "evaluation": {"accuracy": accuracy}, "model": "model"}
    (folder.partial / METRICS).write_text(json.dumps(values))


@pytest.fixture
def new(tmp_path: Path) -> Callable[..., RunFolder]:
    """Makes a folder for a run at tmp_path / "run"."""

    def make(**values: Any) -> RunFolder:
        return new_run("data", SETTINGS, "set", tmp_path / "run", **({"overwrite": False} | values))

    return make


@pytest.fixture
def interrupted(new: Callable[..., RunFolder]) -> Path:
    """A run that Ctrl-C ended after its first epoch: it lies in its place."""
    folder = new()
    folder.start(IMAGES)
    train_an_epoch(folder, 1)
    write_all(folder)
    folder.finish(interrupted=True)
    return folder.place


@pytest.fixture
def killed(new: Callable[..., RunFolder]) -> Path:
    """A run that was killed after its first epoch."""
    folder = new()
    folder.start(IMAGES)
    train_an_epoch(folder, 1)
    return folder.place


# The stages


def test_from_new_to_finished(new: Callable[..., RunFolder], tmp_path: Path) -> None:
    """new, running, chosen: each is in run.json as soon as it is so; a finished run has no run.json and no checkpoints."""
    folder = new()
    assert (folder.place, folder.partial) == (tmp_path / "run", tmp_path / "run.partial")
    assert state_of(folder.partial)["stage"] == "new" and state_of(folder.partial)["images_sha256"] is None
    folder.start(IMAGES)
    assert state_of(folder.partial)["stage"] == "running"
    assert len(state_of(folder.partial)["images_sha256"]) == 64
    assert state_of(folder.partial)["views"]["view"] == "crop"  # a resumed run sees as this one did
    folder.choose(FINETUNE)
    assert state_of(folder.partial)["stage"] == "chosen"
    assert state_of(folder.partial)["choice"]["finetune_minus_probe"]["gain_ci95"] == [0.05, 0.2]
    assert folder.place == tmp_path / "run"  # the user named it
    train_an_epoch(folder, 1)
    write_all(folder)
    folder.finish(interrupted=False)
    assert sorted(tree(tmp_path)) == ["run", f"run/{METRICS}"]


def test_interrupted_and_resumed_to_the_end(interrupted: Path, tmp_path: Path) -> None:
    """An interrupted run lies in its place with all that resuming takes; a resumed copy of it takes that place."""
    assert state_of(interrupted)["stage"] == "interrupted"
    assert (interrupted / CHECKPOINTS / "run" / "state.json").is_file()
    before = tree(interrupted)
    folder = resumed_run(interrupted, None, TrainSettings())
    assert folder.state.stage == state_of(folder.partial)["stage"] == "resumed"
    assert tree(folder.partial).keys() == before.keys() and tree(interrupted) == before
    folder.start(IMAGES)
    folder.choose(FINETUNE)
    assert state_of(folder.partial)["stage"] == "resumed"  # until it is put back
    train_an_epoch(folder, 2)
    write_all(folder, accuracy=0.9)
    assert tree(interrupted) == before
    folder.finish(interrupted=False)
    assert sorted(tree(tmp_path)) == ["run", f"run/{METRICS}"]
    assert json.loads((interrupted / METRICS).read_text())["evaluation"]["accuracy"] == 0.9


def test_interrupted_again(interrupted: Path) -> None:
    """A resumed run may be interrupted, too: it takes the place of the first and can be resumed again."""
    folder = resumed_run(interrupted, None, TrainSettings())
    folder.start(IMAGES)
    train_an_epoch(folder, 2)
    folder.finish(interrupted=True)
    assert state_of(interrupted)["stage"] == "interrupted" and not folder.partial.exists()
    again = resumed_run(interrupted, None, TrainSettings())
    assert json.loads((again.checkpoints / "run" / "state.json").read_text()) == {"epoch": 2}


@pytest.mark.parametrize("stage", ["new", "running", "chosen"])
def test_killed_at_each_stage(stage: str, new: Callable[..., RunFolder], tmp_path: Path) -> None:
    """Wherever a run is killed, --resume knows what is known by then, and goes on with that."""
    folder = new()
    if stage != "new":
        folder.start(IMAGES)
    if stage == "chosen":
        folder.choose(FINETUNE)
    resumed = resumed_run(tmp_path / "run", None, TrainSettings())
    assert resumed.state == folder.state
    assert resumed.state.stage == stage
    assert (resumed.state.data, dict(resumed.state.settings)) == ("data", dict(SETTINGS))
    assert resumed.choice == (FINETUNE if stage == "chosen" else None)
    resumed.start(IMAGES)
    if stage == "new":
        assert state_of(resumed.partial)["stage"] == "running"
    with pytest.raises(DataError, match="the images have changed since the run was started"):
        resumed.start(scanned_of("one", "another"))


def test_a_choice_is_made_once(new: Callable[..., RunFolder]) -> None:
    """What was chosen stays chosen; a strategy that was named is no choice and is not recorded."""
    folder = new()
    folder.start(IMAGES)
    folder.choose(Choice(strategy="finetune", why="it was asked for", is_users=True))
    assert state_of(folder.partial)["stage"] == "running" and folder.choice is None
    folder.choose(FINETUNE)
    folder.choose(keep_probe("it is late"))
    assert folder.choice == FINETUNE


@pytest.mark.parametrize("earlier", ["interrupted", "none"])
def test_killed_while_it_is_put_in_its_place(
    earlier: str, new: Callable[..., RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed in the moment before its folder was renamed is not lost: it can be resumed, and is put there."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    folder = new()
    folder.start(IMAGES)
    if earlier == "interrupted":
        train_an_epoch(folder, 1)
        write_all(folder)
        folder.finish(interrupted=True)
        folder = resumed_run(folder.place, None, TrainSettings())
    write_all(folder, accuracy=0.9)
    with monkeypatch.context() as patch:
        patch.setattr("headstart.record.run_folder.replace_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            folder.finish(interrupted=False)
    folder.abandon()
    again = resumed_run(tmp_path / "run", None, TrainSettings())
    again.start(IMAGES)
    again.finish(interrupted=False)
    assert json.loads((tmp_path / "run" / METRICS).read_text())["evaluation"]["accuracy"] == 0.9
    with pytest.raises(SettingsError, match="run is finished: there is nothing to resume"):
        resumed_run(tmp_path / "run", None, TrainSettings())


# Resuming that is refused, or ends in turn


@pytest.mark.parametrize("kind", ["killed", "interrupted"])
@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        ("other", TrainSettings(), "was started on data, not other"),
        (None, TrainSettings.of(epochs=7), "--epochs differs from the value .*run was started with"),
        (None, TrainSettings.of(learning_rate=0.5), "--learning-rate differs from the value"),
        ("data", TrainSettings.of(seed=1), "--seed differs from the value"),
    ],
)
def test_a_refused_resume_leaves_everything_as_it_was(
    kind: str, data: str | None, settings: TrainSettings, message: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Other data or settings are refused before anything is copied or written; the same ones do no harm afterwards."""
    run: Path = request.getfixturevalue(kind)
    before = tree(tmp_path)
    with pytest.raises(SettingsError, match=message):
        resumed_run(run, data, settings)
    assert tree(tmp_path) == before
    assert resumed_run(run, "data", SETTINGS).state.images_sha256 is not None


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"\xff", b"null", b'{"data": "x", "settings": {"epochs": -1}}', b"NaN"]
)
@pytest.mark.parametrize("kind", ["killed", "interrupted"])
def test_a_damaged_record_is_told(kind: str, content: bytes, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A run whose record cannot be read is not resumed, and nothing of it is touched."""
    run: Path = request.getfixturevalue(kind)
    (next(tmp_path.glob(f"run*/{STATE}"))).write_bytes(content)
    before = tree(tmp_path)
    with pytest.raises(SettingsError, match=r"run\.partial cannot be resumed: .*damaged") as caught:
        resumed_run(run, None, TrainSettings())
    assert caught.value.hint == "start again with --overwrite"
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", ["killed", "interrupted"])
def test_changed_images_leave_everything_as_it_was(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """That the images have changed is found later: the copy that was made by then goes again, and nothing else."""
    run: Path = request.getfixturevalue(kind)
    before = tree(tmp_path)
    folder = resumed_run(run, None, TrainSettings())
    with pytest.raises(DataError, match="the images have changed"):
        folder.start(scanned_of("three"))
    folder.abandon()
    assert tree(tmp_path) == before


def test_a_run_that_was_there_is_never_removed(new: Callable[..., RunFolder], tmp_path: Path) -> None:
    """A run that was killed before its first epoch, and whose resuming fails, is left for another try."""
    new().start(IMAGES)
    before = tree(tmp_path)
    resumed_run(tmp_path / "run", None, TrainSettings()).abandon()
    assert tree(tmp_path) == before


def test_killed_twice(interrupted: Path, tmp_path: Path) -> None:
    """A resumed run that is killed, resumed and killed again goes on from its own last epoch, and ends in its place."""
    before = tree(interrupted)
    for epoch in (2, 3):
        folder = resumed_run(interrupted, None, TrainSettings())
        assert folder.state.stage == "resumed"
        assert json.loads((folder.checkpoints / "run" / "state.json").read_text()) == {"epoch": epoch - 1}
        folder.start(IMAGES)
        train_an_epoch(folder, epoch)
        if epoch == 2:
            folder.abandon()  # an error; the second time nothing is said at all
        assert tree(interrupted) == before
    last = resumed_run(tmp_path / "run.partial", None, TrainSettings())  # this name is understood too
    assert json.loads((last.checkpoints / "run" / "state.json").read_text()) == {"epoch": 3}
    write_all(last, accuracy=0.75)
    last.finish(interrupted=False)
    assert sorted(tree(tmp_path)) == ["run", f"run/{METRICS}"]


def test_nothing_to_resume(new: Callable[..., RunFolder], tmp_path: Path) -> None:
    """A finished run, and one that never was, cannot be resumed; each is told apart."""
    folder = new()
    folder.start(IMAGES)
    write_all(folder)
    folder.finish(interrupted=False)
    with pytest.raises(SettingsError, match="run is finished: there is nothing to resume") as caught:
        resumed_run(tmp_path / "run", None, TrainSettings())
    assert caught.value.hint == "start a new run"
    with pytest.raises(SettingsError, match=r"there is no run .*none to resume") as caught:
        resumed_run(tmp_path / "none", None, TrainSettings())
    assert "none.partial" in caught.value.hint


@pytest.mark.parametrize("name", [".", "../run"])
def test_a_run_named_from_inside(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--resume . means the folder one is in: the answer is of that folder."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    with pytest.raises(SettingsError, match=r"there is no run .*run to resume"):
        resumed_run(Path(name), None, TrainSettings())


# Records of earlier versions, which named no stage


def without_stage(folder: Path) -> None:
    """Makes the record what earlier versions wrote."""
    kept = {key: value for key, value in state_of(folder).items() if key in ("data", "settings", "images_sha256")}
    kept["settings"]["small_size"] = 160  # a setting that is no longer known
    (folder / STATE).write_text(json.dumps(kept), encoding="utf-8")


def test_an_old_run_that_was_killed(killed: Path, tmp_path: Path) -> None:
    """It is running, as it was."""
    without_stage(tmp_path / "run.partial")
    folder = resumed_run(killed, None, TrainSettings())
    assert folder.state.stage == "running"
    folder.start(IMAGES)
    write_all(folder)
    folder.finish(interrupted=False)
    assert sorted(tree(tmp_path)) == ["run", f"run/{METRICS}"]


@pytest.mark.parametrize("copied", [False, True])
def test_an_old_run_that_was_interrupted(copied: bool, interrupted: Path, tmp_path: Path) -> None:
    """It is resumed and takes its own place, also where an earlier version had made its copy before it was killed."""
    without_stage(interrupted)
    if copied:
        resumed_run(interrupted, None, TrainSettings())
        without_stage(tmp_path / "run.partial")
    folder = resumed_run(interrupted, None, TrainSettings())
    assert folder.state.stage == "resumed"
    folder.start(IMAGES)
    folder.finish(interrupted=False)
    assert sorted(tree(tmp_path)) == ["run", f"run/{METRICS}"]


# Places and names


def test_made_up_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """runs/<data>-<strategy>-<n>, the next number that is free; what auto chooses is in the name once it is known."""
    monkeypatch.chdir(tmp_path)
    auto = TrainSettings()
    first, second = (new_run("data", auto, "set", None, overwrite=False) for _ in range(2))
    assert [folder.place.as_posix() for folder in (first, second)] == ["runs/set-auto-1", "runs/set-auto-2"]
    Path("runs/set-finetune-1").mkdir()
    second.start(IMAGES)
    train_an_epoch(second, 1)
    second.choose(FINETUNE)
    assert second.place.as_posix() == "runs/set-finetune-2"
    assert state_of(Path("runs/set-finetune-2.partial"))["stage"] == "chosen"
    assert (second.checkpoints / "run" / "state.json").is_file()
    first.start(IMAGES)
    first.choose(keep_probe("it is good"))
    assert sorted(path.name for path in Path("runs").iterdir()) == [
        "set-finetune-1",
        "set-finetune-2.partial",
        "set-probe-1.partial",
    ]
    resumed = resumed_run(Path("runs/set-finetune-2"), None, TrainSettings())
    assert resumed.choice == FINETUNE
    write_all(resumed)
    resumed.finish(interrupted=False)
    assert Path("runs/set-finetune-2", METRICS).is_file()


@pytest.mark.parametrize(
    ("name", "made"),
    [("a b/c", "a_b_c"), ("Blüten", "Blüten"), ("..", "data"), ("__", "data"), ("", "data"), ("x;rm -rf *", "x_rm_-rf")],
)
def test_a_made_up_name_is_one_folder(name: str, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the data is called, its run lies in runs/ under a name that every platform takes."""
    monkeypatch.chdir(tmp_path)
    assert new_run("data", TrainSettings(), name, None, overwrite=False).place == Path("runs") / f"{made}-auto-1"


def test_what_comes_to_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that fails before an epoch is finished leaves nothing behind, not even an empty runs/; with one it stays."""
    monkeypatch.chdir(tmp_path)
    new_run("data", SETTINGS, "set", None, overwrite=False).abandon()
    assert tree(tmp_path) == {}
    folder = new_run("data", SETTINGS, "set", None, overwrite=False)
    folder.start(IMAGES)
    train_an_epoch(folder, 1)
    folder.abandon()
    assert (folder.checkpoints / "run" / "state.json").is_file()


def test_a_place_that_was_taken_in_the_meantime(new: Callable[..., RunFolder], tmp_path: Path) -> None:
    """A finished run is never put over what it did not find there at its start, and is not lost."""
    folder = new()
    folder.start(IMAGES)
    write_all(folder)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").touch()
    with pytest.raises(SettingsError, match="something else was put there in the meantime") as caught:
        folder.finish(interrupted=False)
    assert caught.value.hint == f"the run is complete: move it from {tmp_path / 'run.partial'}"
    folder.abandon()
    assert (tmp_path / "run.partial" / METRICS).is_file() and (tmp_path / "run" / "thesis.txt").is_file()


def test_an_earlier_run_is_replaced_when_that_was_asked_for(
    new: Callable[..., RunFolder], interrupted: Path, tmp_path: Path
) -> None:
    """--overwrite replaces an earlier run, once the new one is finished, also one that was killed and resumed."""
    before = tree(interrupted)
    with pytest.raises(SettingsError, match="exists"):
        new()
    new(overwrite=True).start(IMAGES)
    assert tree(interrupted) == before
    folder = resumed_run(interrupted, None, TrainSettings())
    folder.start(IMAGES)
    write_all(folder, accuracy=1.0)
    folder.finish(interrupted=False)
    assert json.loads((interrupted / METRICS).read_text())["evaluation"]["accuracy"] == 1.0
    assert sorted(tree(tmp_path)) == ["run", f"run/{METRICS}"]


def test_an_unfinished_run_is_in_the_way(killed: Path, new: Callable[..., RunFolder]) -> None:
    """A new run where an unfinished one is being built is refused with both ways out; --overwrite starts anew."""
    with pytest.raises(SettingsError, match=r"there is an unfinished run at .*run\.partial") as caught:
        new()
    assert caught.value.hint == f"resume it with --resume {killed}, or start again with --overwrite"
    folder = new(overwrite=True)
    assert folder.state.stage == "new" and not folder.checkpoints.exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """An output below a file cannot be made, and the sentence says which."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"file/run\.partial cannot be created") as caught:
        new_run("data", SETTINGS, "x", tmp_path / "file" / "run", overwrite=False)
    assert caught.value.hint == "choose another --output"
