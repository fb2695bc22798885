"""`--engine local` and `--engine ray`, and addresses, through the command line: the same bits wherever the work is done."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import TINY, SavedRun
from object_storage import KINDS, ObjectStorage, connect_anew, faulty_way, object_storage

from apps.conftest import Result, assert_explained
from headstart.addresses import filesystems
from headstart.errors import DataError
from headstart.model.feature_store import clear_store

Command = Callable[..., Result]
Draw = Callable[..., Path]
pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.fixture
def embed(headstart: Command, tiny_weights: Path) -> Command:
    """`headstart embed` with the tiny backbone."""

    def call(*arguments: object) -> Result:
        return headstart("embed", *arguments, "--backbone", TINY, "--weights", tiny_weights)

    return call


@pytest.fixture(scope="module")
def storage() -> Iterator[ObjectStorage]:
    """An S3 with an empty bucket."""
    pytest.importorskip("s3fs")
    with object_storage() as made:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process waits a second for an answer of the storage; connections are its own before and after the test."""
    monkeypatch.setitem(filesystems.S3_OPTIONS["config_kwargs"], "read_timeout", 1)
    monkeypatch.setattr("headstart.addresses.retrying.FIRST_PAUSE", 0.001)
    connect_anew()
    yield
    connect_anew()


def test_embed_gives_the_same_file_wherever_it_computes(embed: Command, draw_classes: Draw, here: Path) -> None:
    data = draw_classes({"circles": 21, "squares": 20})
    (data / "circles" / "broken.png").write_bytes(b"\x89PNG")
    for name, place in {"here": [], "processes": ["--engine", "local:2"], "cluster": ["--engine", "ray"]}.items():
        if name == "cluster":
            pytest.importorskip("ray")
        clear_store()
        told = embed(data, "--output", f"{name}.parquet", *place)
        assert (told.code, told.out) == (0, f"{name}.parquet: 41 images\n")
        assert "41 images computed" in told.err
        assert "broken.png: the image is damaged" in told.err
    contents = {(here / f"{name}.parquet").read_bytes() for name in ("here", "processes", "cluster")}
    assert len(contents) == 1
    assert sorted(path.name for path in here.glob("*.parquet*")) == ["cluster.parquet", "here.parquet", "processes.parquet"]


def test_embed_from_and_to_object_storage(embed: Command, draw_classes: Draw, here: Path, storage: ObjectStorage) -> None:
    import pyarrow.parquet

    data = draw_classes({"circles": 3, "squares": 2})
    there = storage.put_folder(data, "embed/set")
    assert embed(data, "--output", "here.parquet").code == 0
    told = embed(there, "--engine", "local:2", "--output", "s3://photos/embed/out.parquet")
    assert (told.code, told.out) == (0, "s3://photos/embed/out.parquet: 5 images\n")
    assert [key for key in storage.keys("embed/") if "/set/" not in key] == ["embed/out.parquet"]
    storage.client.download_file("photos", "embed/out.parquet", "there.parquet")
    one, other = (pyarrow.parquet.read_table(here / f"{name}.parquet") for name in ("here", "there"))
    assert one.column("vector") == other.column("vector")
    paths = [path.removeprefix(there) for path in other.column("path").to_pylist()]
    assert paths == [path.removeprefix(str(data)) for path in one.column("path").to_pylist()]
    refused = embed(there, "--output", "s3://photos/embed/out.parquet")
    assert refused.code == 1
    assert refused.err.startswith("error: s3://photos/embed/out.parquet already exists")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("place", ["threads", "local:2"])
def test_embed_through_failing_requests_gives_the_same_file(
    embed: Command, draw_classes: Draw, here: Path, storage: ObjectStorage, place: str
) -> None:
    """Also where the storage answers 503, says nothing, breaks off, or sends half: all rows, the same bits."""
    there = storage.put_folder(draw_classes({"circles": 26, "squares": 26}), f"faulty/{place}")
    kinds, elsewhere = (KINDS, []) if place == "threads" else (KINDS[:3], ["--engine", place])
    assert embed(there, "--output", "undisturbed.parquet").code == 0
    clear_store()
    with faulty_way(storage.endpoint, 0.15, kinds) as way:
        connect_anew()
        told = embed(there, *elsewhere, "--output", f"s3://photos/faulty/{place}.parquet")
        assert (told.code, told.err.count("note:")) == (0, 1), told.err
    assert set(way.faults) >= set(kinds[:3])
    storage.client.download_file("photos", f"faulty/{place}.parquet", "there.parquet")
    assert (here / "there.parquet").read_bytes() == (here / "undisturbed.parquet").read_bytes()
    assert not storage.keys(f"faulty/{place}.parquet.parts")


@pytest.mark.usefixtures("impatient")
def test_wrong_credentials_are_one_sentence_before_anything_is_computed(
    embed: Command, headstart: Command, draw_classes: Draw, storage: ObjectStorage
) -> None:
    data = draw_classes({"circles": 2, "squares": 2})
    there = storage.put_folder(data, "private")
    with faulty_way(storage.endpoint, 1, ["403"]) as way:
        for arguments in (
            ["embed", there, "--output", "a.parquet"],
            ["embed", data, "--output", "s3://photos/private.parquet"],
            ["train", there],
            ["audit", there, "--engine", "local:2"],
            ["predict", "s3://photos/private/model", data],
        ):
            connect_anew()
            way.requests.clear()
            assert_explained(headstart(*arguments), "cannot be reached: ", "check the address and the credentials")
            assert len(way.requests) == 1  # that a key is wrong is not asked again


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("place", [[], ["--engine", "local:2"]])
def test_a_storage_that_gives_no_image_is_an_error_and_no_table_of_reasons(
    embed: Command, here: Path, storage: ObjectStorage, place: list[str]
) -> None:
    """Such as where the workers lack the credentials that the command has; started again with them, it goes on."""
    rows = [f"s3://photos/private/{number}.png,a" for number in range(40)]
    (here / "table.csv").write_text("\n".join(["path,label", *rows]))
    with faulty_way(storage.endpoint, 1, ["403"]):
        connect_anew()
        told = embed(here / "table.csv", "--output", "a.parquet", *place)
    assert_explained(
        told, "can be fetched; the first: s3://photos/private/", ".png: it cannot be fetched: The key does not exist"
    )
    assert not (here / "a.parquet").exists()


def test_train_and_audit_and_predict_elsewhere(
    headstart: Command, tiny_weights: Path, saved_run: SavedRun, here: Path, storage: ObjectStorage
) -> None:
    there = storage.put_folder(saved_run.data, "train/shapes")
    tiny = ["--backbone", TINY, "--weights", tiny_weights]
    metrics = {}
    for name, data, place in (("here", saved_run.data, []), ("there", there, ["--engine", "local:2"])):
        told = headstart("train", data, "--strategy", "probe", *tiny, *place, "--output", name, "--json")
        assert told.code == 0, told.err
        metrics[name] = json.loads(told.out)
    assert metrics["here"]["evaluation"] == metrics["there"]["evaluation"]
    assert "workplace" not in (here / "there" / "model" / "manifest.json").read_text()
    audited = headstart("audit", there, *tiny[:4], "--engine", "local:2", "--output", "audit")
    assert audited.code == 0, audited.err
    assert "data:image/jpeg" in (here / "audit" / "audit.html").read_text()
    answers = []
    for name, data, place in (("a", saved_run.data / "val", []), ("b", f"{there}/val", ["--engine", "local:2"])):
        told = headstart("predict", saved_run.run, data, "--output", f"{name}.csv", *place)
        assert told.code == 0, told.err
        answers.append((here / f"{name}.csv").read_text().replace(str(saved_run.data), there))
    assert answers[0] == answers[1]
    assert not list(here.glob("*.parts"))


def test_a_run_at_an_address(
    headstart: Command, tiny_weights: Path, saved_run: SavedRun, own_home: Path, here: Path, storage: ObjectStorage
) -> None:
    """It is that of this machine, answers from there, is not replaced by mistake, and leaves nothing here."""
    tiny = ["--backbone", TINY, "--weights", tiny_weights, "--strategy", "probe", "--json"]
    told_here = headstart("train", saved_run.data, *tiny, "--output", here / "run")
    told = headstart("train", saved_run.data, *tiny, "--output", "s3://photos/runs/one", "--engine", "local:2")
    assert told.code == 0, told.err
    found = json.loads(told.out)
    assert (found["run"], found["model"]) == ("s3://photos/runs/one", "s3://photos/runs/one/model")
    assert found["evaluation"] == json.loads(told_here.out)["evaluation"]
    keys = storage.keys("runs/")
    assert {"runs/one/metrics.json", "runs/one/model/manifest.json"} < set(keys)
    assert all(key.startswith("runs/one/") for key in keys)
    assert not (own_home / "jobs").exists()
    assert not list((own_home / "outgoing").iterdir())
    asked = [saved_run.data / "val", "--format", "csv"]
    assert headstart("predict", "s3://photos/runs/one", *asked).out == headstart("predict", here / "run", *asked).out
    again = ["train", saved_run.data, *tiny, "--output", "s3://photos/runs/one"]
    assert_explained(headstart(*again), "s3://photos/runs/one already exists", "--overwrite")
    storage.put("runs/one/figures/old.png", b"of an earlier run")
    assert headstart(*again, "--overwrite").code == 0
    assert "runs/one/figures/old.png" not in storage.keys("runs/")
    storage.put("runs/two/thesis.txt", b"precious")
    refused = headstart("train", saved_run.data, *tiny, "--output", "s3://photos/runs/two", "--overwrite")
    assert_explained(refused, "s3://photos/runs/two exists and is not a run")


def test_a_run_that_cannot_be_sent_is_kept(
    headstart: Command, tiny_weights: Path, saved_run: SavedRun, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence says where it is, and the same line does not compute it again; an audit and a table are kept likewise."""
    pytest.importorskip("fsspec")
    tiny = ["--backbone", TINY, "--weights", tiny_weights, "--quiet"]

    def put(file: Path, address: str) -> None:
        raise DataError(f"{address} cannot be reached: Forbidden", hint="check")

    monkeypatch.setattr(filesystems, "put", put)
    for ask in (["train", "--strategy", "probe"], ["audit"]):
        told = headstart(ask[0], saved_run.data, *ask[1:], *tiny, "--output", f"memory://set/{ask[0]}")
        assert_explained(told, "the result is complete, but cannot be sent: memory://set/", f"copy it to memory://set/{ask[0]}")
        kept = Path(told.err.strip().rpartition(" from ")[2])
        assert kept.is_dir()
        assert kept.is_relative_to(own_home)
        again = headstart(ask[0], saved_run.data, *ask[1:], *tiny, "--output", f"memory://set/{ask[0]}")
        assert_explained(again, "is complete, but was not sent", str(kept))
    told = headstart("embed", saved_run.data, *tiny, "--output", "memory://set/a.parquet")
    assert Path(told.err.strip().rpartition(" from ")[2]).is_file()


def test_every_output_is_sent_or_refused(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """No command takes an address for a folder of this machine."""
    fsspec = pytest.importorskip("fsspec")
    data = saved_run.data / "val"
    for ask in (
        ["preview", saved_run.data, "--output", "memory://sent/preview.png"],
        ["predict", saved_run.run, data, "--grid", "memory://sent/grid.png", "--output", "memory://sent/answers.csv"],
        ["predict", saved_run.run, data, "--explain", "memory://sent/page.html"],
    ):
        told = headstart(*ask)
        assert told.code == 0, told.err
    assert "memory://sent/page.html" in told.err
    assert len(fsspec.filesystem("memory").find("/sent")) == 4
    for ask in (
        ["export", saved_run.run, "--output", "memory://sent/exported"],
        ["demo", "--output", "memory://sent/run"],
        ["studio", data, "--project", "memory://sent/labels", "--no-browser"],
    ):
        assert_explained(headstart(*ask), "cannot be an address: memory://sent/")
    assert not list(here.iterdir())


def test_an_audit_at_an_address(headstart: Command, tiny_weights: Path, saved_run: SavedRun, storage: ObjectStorage) -> None:
    """Its files are there; only an audit is replaced."""
    tiny = ["--backbone", TINY, "--weights", tiny_weights]
    asked = ["audit", saved_run.data, *tiny, "--output", "s3://photos/audits/one"]
    told = headstart(*asked)
    assert told.code == 0, told.err
    assert "s3://photos/audits/one/audit.html" in told.out
    assert {"audits/one/findings.json", "audits/one/exclude.csv"} < set(storage.keys("audits/"))
    assert_explained(headstart(*asked), "s3://photos/audits/one already exists")
    assert headstart(*asked, "--overwrite").code == 0
    assert_explained(headstart("audit", "s3://photos/a", "--output", "s3://photos/a/b"), "s3://photos/a/b would be inside")


def test_evaluate_and_compare_elsewhere(headstart: Command, saved_run: SavedRun, own_home: Path) -> None:
    """They say the same as here, and what workers finished is not kept."""
    compared = ["compare", saved_run.data, "--strategies", "probe"]
    for ask in (["evaluate", saved_run.run, saved_run.data, "--split", "val"], compared):
        found = []
        for place in ([], ["--engine", "local:2"]):
            clear_store()
            told = headstart(*ask, "--json", *place)
            assert told.code == 0, told.err
            found.append(json.loads(told.out))
        one, other = (each.get("evaluation") or each["contenders"][0]["accuracy_ci95"] for each in found)
        assert one == other
    assert not list((own_home / "jobs").iterdir())


def test_tables_and_lists_at_an_address(
    headstart: Command, tiny_weights: Path, saved_run: SavedRun, here: Path, storage: ObjectStorage
) -> None:
    """What --exclude and --files-from name there is used as from a disk: paths as shown, or beside the table."""
    there = storage.put_folder(saved_run.data, "excluding")
    first, second, *_ = sorted(storage.keys("excluding/train"))
    beside = second.removeprefix("excluding/")
    table = storage.put("excluding/left out.csv", f"path,reason\ns3://photos/{first},old\n{beside},blurred\n".encode())
    asked = ["train", there, "--backbone", TINY, "--weights", tiny_weights, "--strategy", "probe", "--exclude"]
    told = headstart(*asked, table, "--output", here / "run")
    assert told.code == 0, told.err
    skipped = (here / "run" / "skipped.csv").read_text()
    assert f"s3://photos/{first},excluded: old" in skipped and f"s3://photos/{second},excluded: blurred" in skipped
    assert_explained(headstart(*asked, "s3://photos/none.csv"), "there is nothing at s3://photos/none.csv")
    paths = [f"s3://photos/{first}", f"s3://photos/{second}"]
    listed = storage.put("lists/some.txt", "\n".join(paths).encode())
    answers = [headstart("predict", saved_run.run, *ask, "--format", "csv") for ask in (["--files-from", listed], paths)]
    assert answers[0].out == answers[1].out and answers[0].code == 0
    assert_explained(headstart("predict", saved_run.run, "--files-from", "s3://photos/none.txt"), "there is nothing at")


def test_a_model_elsewhere_answers_as_it_does_here(
    headstart: Command, saved_run: SavedRun, here: Path, storage: ObjectStorage
) -> None:
    there = storage.put_folder(saved_run.run, "models/run")
    storage.put("models/run/model/../evil.txt", b"leads out of the folder")
    asked = [saved_run.data / "val", "--format", "csv"]
    answers = [headstart("predict", model, *asked) for model in (saved_run.run, there, f"{there}/model")]
    assert {answer.code for answer in answers} == {0}
    assert len({answer.out for answer in answers}) == 1
    assert headstart("verify", there).out.endswith(f"{there} is intact\n")
    assert json.loads(headstart("verify", there, "--json").out)["model"] == there
    assert json.loads(headstart("evaluate", there, saved_run.data, "--split", "val", "--json").out)["model"] == there
    assert_explained(headstart("predict", "s3://photos/models", *asked), "there is no model at s3://photos/models")


def test_an_interrupted_embed_goes_on(embed: Command, draw_classes: Draw, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What workers finished is kept beside the output, and not computed again."""
    from headstart.jobs import parts

    data = draw_classes({"circles": 21, "squares": 20})
    read = parts.PartFolder.read

    def interrupted(self: parts.PartFolder, *given: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(parts.PartFolder, "read", interrupted)
    assert embed(data, "--engine", "local:2", "--output", "out.parquet").code == 130
    assert list((here / "out.parquet.parts").glob("*.parquet"))
    monkeypatch.setattr(parts.PartFolder, "read", read)
    clear_store()
    told = embed(data, "--engine", "local:1", "--output", "out.parquet")
    assert told.code == 0
    assert "were in the store" in told.err
    assert not (here / "out.parquet.parts").exists()


@pytest.mark.parametrize("options", [[], ["--resume"]])
def test_an_interrupted_predict_goes_on(
    headstart: Command, saved_run: SavedRun, here: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """The same line again is enough: half the answers were written, but workers had finished more."""
    from headstart.jobs import parts

    asked = ["predict", saved_run.run, saved_run.data / "train", "--output"]
    assert headstart(*asked, "undisturbed.csv").code == 0
    read, has, found = parts.PartFolder.read, parts.PartFolder.has, []

    def interrupted(self: parts.PartFolder, *given: object) -> object:
        found.append(given)
        if len(found) == 2:
            raise KeyboardInterrupt
        return read(self, *given)

    def known(self: parts.PartFolder, digest: str) -> bool:
        found.append(has(self, digest))
        return bool(found[-1])

    monkeypatch.setattr(parts.PartFolder, "read", interrupted)
    asked += ["out.csv", "--engine", "local:2", *options]
    assert headstart(*asked).code == 130
    n_finished = len(list((here / "out.csv.parts").glob("*.parquet")))
    assert n_finished >= 2
    assert (here / "out.csv.partial").exists()
    monkeypatch.setattr(parts.PartFolder, "read", read)
    monkeypatch.setattr(parts.PartFolder, "has", known)
    found.clear()
    assert headstart(*asked).code == 0
    assert found.count(True) == n_finished
    assert (here / "out.csv").read_bytes() == (here / "undisturbed.csv").read_bytes()
    assert sorted(path.name for path in here.iterdir()) == ["out.csv", "undisturbed.csv"]


@pytest.mark.parametrize("word", ["rya", "local:0", "local:x", "ray:", "local:"])
def test_what_is_no_place_is_a_usage_error(headstart: Command, word: str) -> None:
    told = headstart("embed", "photos", "--output", "a.parquet", "--engine", word)
    assert told.code == 2
    assert f"'{word}' is none of onnxruntime, openvino, local[:N], ray[:ADDRESS]" in " ".join(told.err.split())


def test_two_places_are_one_too_many(headstart: Command) -> None:
    told = headstart("embed", "photos", "--output", "a.parquet", "--engine", "local", "--engine", "ray")
    assert (told.code, told.err.splitlines()[0]) == (1, "error: --engine is given as local and as ray")
