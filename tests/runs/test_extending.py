"""`train --extend`: images and classes that are added to a finished run, on a tiny network."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import draw_shape
from PIL import Image

import headstart
from headstart.artifact.manifest import digest_of_manifest
from headstart.errors import HeadstartError, HeadstartWarning
from headstart.evaluation.paired import paired_difference
from headstart.record.trained import Trained
from headstart.settings import TrainSettings
from headstart.storage import sha256_of_file
from runs.conftest import add_to, contents, extend, manifest_of, metrics_of, rows_of

Draw = Callable[..., Path]
Make = Callable[..., TrainSettings]
NOW = TrainSettings.of(workers=2, device="cpu")


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def run(old_shapes: Path, settings: Make) -> Trained:
    """A probe on these, with settings of its own."""
    return headstart.train(
        old_shapes, settings(strategy="probe", seed=3, view="whole", val_fraction=0.25), output="run", pictures=False
    )


def digests_below(folder: Path) -> set[str]:
    return {sha256_of_file(path) for path in folder.rglob("*.png")}


@pytest.mark.parametrize("layout", ["grown", "only new"])
def test_images_and_a_class_are_added(run: Trained, old_shapes: Path, layout: str) -> None:
    """Old images stay in their splits, new ones get a part of each, whether or not DATA has the old; RUN is not touched."""
    before, was = contents(run.run), manifest_of("run")
    data = Path(shutil.copytree(old_shapes, "grown")) if layout == "grown" else Path("new")
    data = add_to(data, {"circles": 4, "squares": 4, "triangles": 8})
    trained = extend(data)
    assert contents(run.run) == before
    now, report = manifest_of("more"), trained.metrics["extended"]
    assert now.classes == ("circles", "squares", "triangles")
    for name in ("train", "val"):
        assert set(was.images[name]) < set(now.images[name])
    assert len(now.images["val"]) - len(was.images["val"]) == 1 + 1 + 2  # a quarter of each class
    assert set(now.images["train"]) | set(now.images["val"]) == digests_below(data) | digests_below(old_shapes)
    assert report["images"] == {
        "kept": 24, "new": 16, "gone": 0, "relabelled": 0, "classes_added": ["triangles"], "classes_gone": []
    }  # fmt: skip
    assert (now.seed, now.settings.view, now.settings.val_fraction) == (3, "whole", 0.25)
    assert now.backbone == was.backbone
    assert "val is that of the extended run and 4 new images" in trained.notes


def test_what_changed(run: Trained, old_shapes: Path) -> None:
    """The difference is the paired one on RUN's val, and flips.csv has every image there whose answer is another one."""
    rng = np.random.default_rng(9)
    for i in range(30):  # wrong labels: the answers have to change
        draw_shape("circles", rng).save(old_shapes / "squares" / f"wrong-{i}.png")
        draw_shape("squares", rng).save(old_shapes / "circles" / f"wrong-{i}.png")
    trained = extend(add_to(old_shapes, {"triangles": 12}))
    before = {row["path"]: row for row in rows_of(run.run / "predictions.csv")}
    after = {row["path"]: row for row in rows_of(trained.run / "predictions.csv")}
    assert before.keys() < after.keys()
    right = [[rows[path]["predicted"] == rows[path]["label"] for path in before] for rows in (after, before)]
    compared = trained.metrics["extended"]["compared"]
    assert compared["split"] == "val"
    assert (compared["accuracy_after"], compared["accuracy_before"]) == (np.mean(right[0]), np.mean(right[1]))
    difference = paired_difference(*np.array(right))
    assert compared["difference"] == {
        "gain": difference.gain, "gain_ci95": list(difference.ci95), "n": len(before), "shown": difference.is_shown
    }  # fmt: skip
    flips = {row["path"]: row for row in rows_of(trained.run / "flips.csv")}
    assert flips.keys() == {path for path in before if before[path]["predicted"] != after[path]["predicted"]}
    assert flips, "no answer changed: the test shows nothing"
    for path, flip in flips.items():
        assert (flip["label"], flip["before"], flip["after"]) == (
            before[path]["label"],
            before[path]["predicted"],
            after[path]["predicted"],
        )
        assert (flip["probability_before"], flip["probability_after"]) == (
            before[path]["probability"], after[path]["probability"]
        )  # fmt: skip
        was_right, is_right = (flip[name] == flip["label"] for name in ("before", "after"))
        assert flip["became"] == ("right" if is_right else "wrong" if was_right else "another mistake")
    counts = [compared[name] for name in ("became_right", "became_wrong", "other_mistakes")]
    assert counts == [sum(f["became"] == word for f in flips.values()) for word in ("right", "wrong", "another mistake")]
    page = (trained.run / "report.html").read_text(encoding="utf-8")
    assert "What adding to the run changed" in page
    assert all(Path(path).name in page for path in flips)
    assert trained.extension.startswith(f"extends run by 72 new images, the new class 'triangles'; on the {len(before)} images")


def test_a_chain_can_be_traced(run: Trained, old_shapes: Path) -> None:
    """Each manifest names that of the run before; images that came in between are found where they were."""
    extend(add_to(Path("second"), {"triangles": 8}), "run", "two")
    third = extend(add_to(Path("third"), {"circles": 4}, seed=9), "two", "three")
    assert third.metrics["extended"]["images"]["kept"] == 24 + 8
    assert [Path(place["place"]).name for place in third.metrics["data"]] == ["third", "second", "old"]
    for name, before in (("two", "run"), ("three", "two")):
        values = json.loads(Path(before, "model", "manifest.json").read_text(encoding="utf-8"))
        link = manifest_of(name).extends
        assert link is not None
        assert link.manifest_sha256 == digest_of_manifest(values) == values["manifest_sha256"]
        assert link.weights_sha256 == values["weights_sha256"]
    assert manifest_of("run").extends is None
    assert metrics_of(Path("run"))["extended"] is None


def test_old_images_that_have_moved(run: Trained, old_shapes: Path) -> None:
    """Without them a sentence says so; a folder that has both works, wherever the old one was."""
    old_shapes.rename("elsewhere")
    new = add_to(Path("new"), {"triangles": 6})
    with pytest.raises(
        HeadstartError, match="of the 24 images of run, 0 are found in new and where the run had them"
    ) as caught:
        extend(new)
    assert caught.value.hint == "give one folder or table that has both the old images and the new ones"
    shutil.copytree("new", "elsewhere", dirs_exist_ok=True)
    assert extend("elsewhere").metrics["extended"]["images"]["kept"] == 24


def test_images_that_are_gone_or_relabelled_are_counted(run: Trained, old_shapes: Path) -> None:
    """An image that was deleted, one that was moved to another class, and one that has other bytes: told, and judged as now."""
    val = rows_of(run.run / "predictions.csv")
    moved = next(Path(row["path"]) for row in val if row["label"] == "circles")
    moved.rename(old_shapes / "squares" / "moved.png")
    train = sorted(old_shapes.rglob("squares-*.png"))
    unseen = [path for path in train if sha256_of_file(path) in manifest_of("run").images["train"]]
    unseen[0].unlink()
    Image.open(unseen[1]).rotate(90).save(unseen[1])
    trained = extend(add_to(old_shapes, {"circles": 2}))
    images = trained.metrics["extended"]["images"]
    assert (images["kept"], images["gone"], images["relabelled"], images["new"]) == (22, 2, 1, 3)
    assert "2 images of the extended run can no longer be used" in trained.notes
    assert "1 image of the extended run has another label now" in trained.notes
    before = sum(row["predicted"] == ("squares" if Path(row["path"]) == moved else row["label"]) for row in val)
    assert trained.metrics["extended"]["compared"]["accuracy_before"] == before / len(val)


def test_a_twin_of_a_held_out_image_is_held_out(run: Trained, old_shapes: Path) -> None:
    """A copy of a val image in another format would tell what it shows: it goes to val too."""
    shown = Path(rows_of(run.run / "predictions.csv")[0]["path"])
    copy = add_to(Path("new"), {"triangles": 6}) / shown.parent.name / "copy.bmp"
    copy.parent.mkdir()
    Image.open(shown).save(copy)
    trained = extend("new")
    assert sha256_of_file(copy) in manifest_of("more").images["val"]
    assert "new images that show a picture held out by the extended run, and are held out too: 1" in trained.notes
    assert trained.evaluation.leaked == 0


def test_nothing_new(run: Trained, old_shapes: Path) -> None:
    """DATA that adds nothing gives the same answers, and says so."""
    trained = extend(old_shapes)
    assert trained.extension.startswith("extends run by no new image; on the 6 images judged in both")
    assert trained.extension.endswith("no answer changed")
    assert [row["predicted"] for row in rows_of(Path("more/predictions.csv"))] == [
        row["predicted"] for row in rows_of(Path("run/predictions.csv"))
    ]


@pytest.mark.parametrize("how", [{"val_fraction": 0.0}, {"cv": "3"}], ids=["without val", "--cv"])
def test_cross_validated_runs_are_compared_out_of_fold(old_shapes: Path, settings: Make, how: dict[str, Any]) -> None:
    """Every old image has an answer by a probe that never saw it, before and after."""
    headstart.train(old_shapes, settings(strategy="probe", view="crop", **how), output="run", pictures=False)
    trained = extend(add_to(old_shapes, {"circles": 3, "triangles": 6}))
    compared = trained.metrics["extended"]["compared"]
    assert (compared["split"], compared["n"]) == ("cv", 24)
    assert trained.evaluation.split == "cv" and trained.evaluation.n == 33
    assert set(manifest_of("more").images) == {"train"}


def test_given_splits(draw_classes: Draw, settings: Make) -> None:
    """Images that came in train, val and test stay there; new ones without a split get a part of each, others keep theirs."""
    for name, count in (("train", 8), ("val", 4), ("test", 4)):
        draw_classes({"circles": count, "squares": count}, f"split/{name}")
    headstart.train("split", settings(strategy="probe", view="crop"), output="run", pictures=False)
    was = manifest_of("run").images
    flat = extend(add_to(Path("flat"), {"circles": 8, "triangles": 8}))
    now = manifest_of("more").images
    assert all(set(was[name]) < set(now[name]) for name in was)
    assert {name: len(now[name]) - len(was[name]) for name in was} == {"train": 8, "val": 4, "test": 4}
    assert (flat.metrics["extended"]["compared"]["split"], flat.metrics["extended"]["compared"]["n"]) == ("test", 8)
    for name in ("train", "val", "test"):
        add_to(Path("split") / name, {"triangles": 3}, seed=len(name))
    extend("split", output="grown")
    now = manifest_of("grown").images
    assert {name: len(now[name]) - len(was[name]) for name in was} == {"train": 3, "val": 3, "test": 3}


def test_images_given_apart_stay_apart(
    old_shapes: Path, draw_classes: Draw, settings: Make, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--test of RUN is found again, from another folder too; DATA is then for training. If it is gone, a sentence says so."""
    held = draw_classes({"circles": 4, "squares": 4}, "held", seed=5)
    given = settings(strategy="probe", view="crop", test=Path("held"))
    headstart.train(old_shapes, given, output="run", pictures=False)
    (here / "sub").mkdir()
    monkeypatch.chdir(here / "sub")
    trained = extend(add_to(Path("new"), {"circles": 4}), "../run")
    assert trained.metrics["images"] == {"train": 28, "val": 0, "test": 8, "skipped": 0}
    assert trained.metrics["extended"]["compared"]["n"] == 8
    held.rename(here / "moved")
    with pytest.raises(HeadstartError, match=r"had --test .*held, which is not there any more"):
        extend("new", "../run", "again")


def test_tables(old_shapes: Path, settings: Make) -> None:
    """A run on a table is extended by another table or a folder; its columns are those of its own table."""

    def table(name: str, folder: Path, column: str) -> Path:
        lines = [f"{path.as_posix()},{path.parent.name}" for path in sorted(folder.rglob("*.png"))]
        Path(name).write_text("\n".join([f"path,{column}", *lines]), encoding="utf-8")
        return Path(name)

    given = settings(strategy="probe", view="crop", label_column="kind")
    headstart.train(table("old.csv", Path("old"), "kind"), given, output="run", pictures=False)
    new = add_to(Path("new"), {"triangles": 6})
    assert extend(new, output="folder").metrics["extended"]["images"]["kept"] == 24
    more = extend(table("new.csv", Path("new"), "kind"), output="table")
    assert (more.metrics["extended"]["images"]["kept"], more.metrics["extended"]["images"]["new"]) == (24, 6)
    assert extend(add_to(Path("x"), {"circles": 2}), "folder", "third").metrics["extended"]["images"]["kept"] == 30


def test_archives(old_shapes: Path, settings: Make) -> None:
    """The images of a zip are found in it again."""
    shutil.make_archive("set", "zip", old_shapes)
    headstart.train("set.zip", settings(strategy="probe", view="crop"), output="run", pictures=False)
    shutil.rmtree(old_shapes)
    trained = extend(add_to(Path("new"), {"triangles": 6}))
    assert trained.metrics["extended"]["images"]["kept"] == 24


def test_what_was_excluded_stays_out(old_shapes: Path, settings: Make) -> None:
    """The table of RUN is used again: an excluded image does not come back, neither as an old one nor in its folder."""
    table = Path("exclude.csv")
    table.write_text("path,reason\nold/circles/circles-9.png,blurred\n", encoding="utf-8")
    headstart.train("old", settings(strategy="probe", view="crop", exclude=table), output="run", pictures=False)
    with pytest.warns(HeadstartWarning, match="paths in exclude.csv that are not files of the data: 1"):
        assert extend(add_to(Path("new"), {"triangles": 6})).metrics["extended"]["images"]["new"] == 6
    grown = extend(add_to(Path("old"), {"triangles": 6}), output="grown")
    assert (grown.metrics["extended"]["images"]["kept"], grown.metrics["extended"]["images"]["new"]) == (23, 6)
    assert sha256_of_file(Path("old/circles/circles-9.png")) not in manifest_of("grown").images["train"]


def test_given_settings_count(run: Trained, old_shapes: Path) -> None:
    """What is given now replaces what the run had, also if it is the default."""
    trained = extend(add_to(old_shapes, {"circles": 4}), seed=0, view="crop", balance=True, refit=True)
    now = manifest_of("more")
    assert (now.seed, now.settings.view, now.settings.balance, now.refit) == (0, "crop", True, True)
    assert trained.metrics["extended"]["compared"]["n"] == 6


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"backbone": "resnet18"}, "run has --backbone timm/test_resnet, and --backbone resnet18 would be another network"),
        ({"image_size": 64}, "run has --image-size 48, and --image-size 64 would be another network"),
        ({"recipe": "tutorial"}, "--recipe tutorial cannot extend a run"),
        ({"effort": "thorough"}, "--effort would choose the views anew"),
    ],
)
def test_what_would_be_another_model_is_refused(run: Trained, old_shapes: Path, given: dict[str, Any], sentence: str) -> None:
    """A network that the run does not have is refused before anything is computed."""
    with pytest.raises(HeadstartError, match=sentence):
        extend(old_shapes, **given)
    assert not Path("more").exists()


def test_other_weights_are_refused(run: Trained, old_shapes: Path, tiny_weights: Path) -> None:
    """The file may have moved, but must be the same: features of other weights say nothing to the run's."""
    import safetensors.numpy

    state = safetensors.numpy.load_file(tiny_weights)
    state["bn1.weight"] = state["bn1.weight"] * 2
    safetensors.numpy.save_file(state, "other.safetensors")
    with pytest.raises(HeadstartError, match="run was made with other weights of timm/test_resnet than other"):
        extend(old_shapes, weights=Path("other.safetensors"))


def test_runs_that_cannot_be_extended(run: Trained, old_shapes: Path) -> None:
    """What is no finished run, and a place that is the run's own, are refused with a sentence; nothing is changed."""
    before = contents(run.run)
    for wrong, sentence in (("none", "there is no finished run none"), ("run/model", "run/model is a model, not a run")):
        with pytest.raises(HeadstartError, match=sentence):
            extend(old_shapes, wrong)
    for output in ("run", "run/new"):
        with pytest.raises(HeadstartError, match="--output is in the run that is extended"):
            headstart.train(old_shapes, NOW, extend="run", output=output, overwrite=True)
    with pytest.raises(HeadstartError, match="--extend and --resume cannot be combined"):
        headstart.train(None, resume="run", extend="run")
    (run.run / "run.json").write_text("{}")
    with pytest.raises(HeadstartError, match="run was interrupted") as caught:
        extend(old_shapes)
    assert caught.value.hint == "finish it first: headstart train --resume run"
    (run.run / "run.json").unlink()
    assert contents(run.run) == before


def test_several_processes_are_refused(run: Trained, old_shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under torchrun a sentence says that one process is needed."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(HeadstartError, match="--extend needs a single process"):
        extend(old_shapes)
