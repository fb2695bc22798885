"""Promises of train(): what a run folder holds, and what its numbers mean."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart import HeadstartError, Trained, TrainSettings, train
from headstart.storage import sha256_of_file
from training.conftest import TINY

Draw = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path, tiny_weights: Path) -> Callable[..., Trained]:
    """Trains the tiny network: run(folder, **settings)."""

    def call(data: Path | str, name: str = "run", **values: Any) -> Trained:
        settings = TrainSettings.of(**{"backbone": TINY, "weights": tiny_weights, "device": "cpu", **values})
        return train(data, settings, output=tmp_path / name)

    return call


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def comparable(trained: Trained) -> dict[str, Any]:
    kept = json.loads((trained.run / "metrics.json").read_text(encoding="utf-8"))
    return {key: value for key, value in kept.items() if key not in ("seconds", "peak_rss_mb", "run", "model")}


def test_probe_run_folder(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """A probe's run folder holds all the files of the contract, and val is never selected on."""
    data = draw_classes({"circles": 12, "squares": 12}, "shapes/train").parent
    draw_classes({"circles": 5, "squares": 4}, "shapes/val")
    trained = run(data)
    names = {path.relative_to(trained.run).as_posix() for path in trained.run.rglob("*") if path.is_file()}
    assert {"metrics.json", "history.csv", "predictions.csv", "skipped.csv", "report.html"} <= names
    assert {"model/manifest.json", "model/weights.safetensors", "figures/confusion.png", "figures/samples.png"} <= names
    assert not trained.run.with_name("run.partial").exists()
    metrics = comparable(trained)
    assert metrics["images"] == {"train": 24, "val": 9, "test": 0, "skipped": 0}
    assert metrics["evaluation"]["split"] == "val"
    assert metrics["evaluation"]["n"] == 9
    assert metrics["evaluation"]["selected_on"] is False
    assert len(rows_of(trained.run / "predictions.csv")) == 9
    assert [row["epoch"] for row in rows_of(trained.run / "history.csv")] == ["0"]


def test_metrics_agree_with_predictions(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """The accuracy is that of the rows of predictions.csv, whose probabilities sum to one."""
    trained = run(draw_classes({"circles": 15, "squares": 15, "triangles": 15}))
    rows = rows_of(trained.run / "predictions.csv")
    assert list(rows[0]) == ["path", "label", "predicted", "probability", "p:circles", "p:squares", "p:triangles"]
    assert np.mean([row["label"] == row["predicted"] for row in rows]) == pytest.approx(trained.evaluation.accuracy)
    for row in rows:
        shares = {name.removeprefix("p:"): float(row[name]) for name in row if name.startswith("p:")}
        assert sum(shares.values()) == pytest.approx(1)
        assert max(shares, key=lambda name: shares[name]) == row["predicted"]
        assert max(shares.values()) == float(row["probability"])


def test_finetune_run(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """Fine-tuning records every epoch from the fitted head on, keeps the best on val, and says that it was selected."""
    trained = run(draw_classes({"circles": 15, "squares": 15}), strategy="finetune", epochs=3)
    history = rows_of(trained.run / "history.csv")
    assert [row["epoch"] for row in history] == ["0", "1", "2", "3"]
    assert trained.evaluation.selected_on is True
    best = max(history, key=lambda row: (float(row["val_accuracy"]), -float(row["val_loss"])))
    assert trained.metrics["best_epoch"] == int(best["epoch"])
    assert trained.evaluation.accuracy == pytest.approx(float(best["val_accuracy"]))
    assert trained.evaluation.log_loss == pytest.approx(float(best["val_loss"]), abs=1e-6)
    assert (trained.run / "figures" / "history.png").is_file()
    assert not (trained.run / "checkpoints").exists()


@pytest.mark.parametrize(
    "values",
    [{}, {"strategy": "finetune", "epochs": 2}, {"recipe": "tutorial", "epochs": 2}],
    ids=["probe", "finetune", "tutorial"],
)
def test_same_seed_same_result(run: Callable[..., Trained], draw_classes: Draw, values: dict[str, Any]) -> None:
    """Two runs with one seed give the same weights and the same metrics.json apart from times, places and memory."""
    data = draw_classes({"circles": 14, "squares": 14})
    first, second = run(data, "first", **values), run(data, "second", **values)
    assert comparable(first) == comparable(second)
    assert sha256_of_file(first.model / "weights.safetensors") == sha256_of_file(second.model / "weights.safetensors")


def test_another_seed_splits_otherwise(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """Another seed holds out other images."""
    data = draw_classes({"circles": 20, "squares": 20})
    held = [{row["path"] for row in rows_of(run(data, f"s{s}", seed=s).run / "predictions.csv")} for s in (0, 1)]
    assert held[0] != held[1]
    assert len(held[0]) == len(held[1]) == 8


def test_split_off_val_is_recorded(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """Where there is no val, 20 % of each class is split off, told, and kept in the manifest image by image."""
    trained = run(draw_classes({"circles": 20, "squares": 10}))
    manifest = json.loads((trained.model / "manifest.json").read_text(encoding="utf-8"))
    assert {split: len(digests) for split, digests in manifest["images"].items()} == {"train": 24, "val": 6}
    assert not set(manifest["images"]["train"]) & set(manifest["images"]["val"])
    assert any("split off train" in note for note in trained.notes)


def test_test_split_is_reported(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """With val and test, test is reported and val stands beside it."""
    data = draw_classes({"circles": 12, "squares": 12}, "shapes/train").parent
    draw_classes({"circles": 5, "squares": 5}, "shapes/valid")
    draw_classes({"circles": 4, "squares": 4}, "shapes/test")
    for strategy in ("probe", "finetune"):
        trained = run(data, strategy, strategy=strategy, **({"epochs": 1} if strategy == "finetune" else {}))
        assert (trained.evaluation.split, trained.evaluation.n, trained.evaluation.selected_on) == ("test", 8, False)
        others = trained.metrics["other_evaluations"]
        assert [(other["split"], other["n"], other["selected_on"]) for other in others] == [("val", 10, strategy == "finetune")]


def test_probe_with_test_loses_nothing(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """With test and no val a probe trains on all of train; fine-tuning splits a val off."""
    data = draw_classes({"circles": 10, "squares": 10}, "shapes/train").parent
    draw_classes({"circles": 4, "squares": 4}, "shapes/test")
    assert run(data, "probe").metrics["images"]["train"] == 20
    counts = run(data, "finetune", strategy="finetune", epochs=1).metrics["images"]
    assert (counts["train"], counts["val"], counts["test"]) == (16, 4, 8)


def test_cross_validation(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """With --val-fraction 0 the accuracy is cross-validation's, over every training image."""
    trained = run(draw_classes({"circles": 12, "squares": 13}), val_fraction=0)
    assert (trained.evaluation.split, trained.evaluation.n) == ("cv", 25)
    assert trained.metrics["images"] == {"train": 25, "val": 0, "test": 0, "skipped": 0}


def test_finetune_needs_val(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """Fine-tuning without val images is refused with the way out."""
    with pytest.raises(HeadstartError, match="best epoch on val") as caught:
        run(draw_classes({"circles": 5, "squares": 5}), strategy="finetune", val_fraction=0)
    assert "--val-fraction" in caught.value.hint


@pytest.mark.parametrize("values", [{}, {"strategy": "finetune", "epochs": 2}], ids=["probe", "finetune"])
def test_refit(run: Callable[..., Trained], draw_classes: Draw, values: dict[str, Any]) -> None:
    """--refit leaves the numbers as they are and changes the saved model, which then has seen val too."""
    data = draw_classes({"circles": 12, "squares": 12})
    plain, refit = run(data, "plain", **values), run(data, "refit", refit=True, **values)
    assert plain.metrics["evaluation"] == refit.metrics["evaluation"]
    assert (plain.metrics["refit"], refit.metrics["refit"]) == (False, True)
    assert (plain.model / "weights.safetensors").read_bytes() != (refit.model / "weights.safetensors").read_bytes()
    assert any("trained on train and val" in note for note in refit.notes)


def test_settings_without_effect_are_told(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """A setting that a probe does not use is not silently ignored."""
    trained = run(draw_classes({"circles": 6, "squares": 6}), epochs=3, augment="none")
    assert [note for note in trained.notes if "--epochs has no effect" in note]
    assert [note for note in trained.notes if "--augment has no effect" in note]


def test_dirty_images_are_skipped(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """Broken files are listed with path and reason, counted, and training goes on."""
    data = draw_classes({"circles": 8, "squares": 8})
    (data / "circles" / "empty.jpg").touch()
    (data / "circles" / "text.jpg").write_text("hello")
    whole = (data / "squares" / "squares-0.png").read_bytes()
    (data / "squares" / "half.png").write_bytes(whole[: len(whole) // 2])
    trained = run(data)
    assert trained.metrics["images"]["skipped"] == 3
    reasons = {Path(row["path"]).name: row["reason"] for row in rows_of(trained.run / "skipped.csv")}
    assert reasons["empty.jpg"] == "the file is empty"
    assert "text" in reasons["text.jpg"]
    assert "damaged" in reasons["half.png"]


def test_val_and_test_given_apart(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """--val and --test take images from elsewhere; giving a split twice is refused."""
    data = draw_classes({"circles": 10, "squares": 10})
    val, test = draw_classes({"circles": 3, "squares": 3}, "v"), draw_classes({"circles": 2, "squares": 2}, "t")
    assert run(data, val=val, test=test).metrics["images"] == {"train": 20, "val": 6, "test": 4, "skipped": 0}
    both = draw_classes({"circles": 4, "squares": 4}, "both/train").parent
    draw_classes({"circles": 2, "squares": 2}, "both/val")
    with pytest.raises(HeadstartError, match="has a val split, and --val gives another"):
        run(both, "twice", val=val)


def test_groups_stay_together(run: Callable[..., Trained], draw_classes: Draw, tmp_path: Path) -> None:
    """Images of one group in a table are on one side of the split."""
    data = draw_classes({"circles": 20, "squares": 20})
    rows = [(f"{k}/{k}-{i}.png", k, f"{k}{i // 4}") for k in ("circles", "squares") for i in range(20)]
    (data / "table.csv").write_text("path,label,group\n" + "\n".join(",".join(row) for row in rows), encoding="utf-8")
    trained = run(data / "table.csv")
    group_of = {Path(path).name: group for path, _, group in rows}
    held = [group_of[Path(row["path"]).name] for row in rows_of(trained.run / "predictions.csv")]
    assert held
    assert all(held.count(group) == 4 for group in held)


def test_output_that_exists(run: Callable[..., Trained], draw_classes: Draw, tmp_path: Path) -> None:
    """A finished run is not replaced unless asked, and what is no run is never replaced."""
    data = draw_classes({"circles": 6, "squares": 6})
    before = sha256_of_file(run(data).run / "metrics.json")
    with pytest.raises(HeadstartError, match="exists"):
        run(data)
    assert sha256_of_file(tmp_path / "run" / "metrics.json") == before
    with pytest.raises(HeadstartError, match="is not a run"):
        train(data, TrainSettings(), output=data, overwrite=True)
    assert len(list(data.rglob("*.png"))) == 12


def test_failed_run_leaves_nothing(run: Callable[..., Trained], draw_classes: Draw, tmp_path: Path) -> None:
    """A run that fails leaves no folder behind, finished or partial."""
    with pytest.raises(HeadstartError, match="only one class"):
        run(draw_classes({"circles": 4}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shapes"]


def test_progress_cancels(tmp_path: Path, tiny_weights: Path, draw_classes: Draw) -> None:
    """Raising from the progress function cancels a run, and leaves nothing behind."""

    class EnoughError(Exception):
        pass

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "computing features" and done == 3:
            raise EnoughError

    settings = TrainSettings(backbone=TINY, weights=tiny_weights)
    with pytest.raises(EnoughError):
        train(draw_classes({"circles": 4, "squares": 4}), settings, output=tmp_path / "run", progress=progress)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "run.partial").exists()


def test_tutorial_recipe(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """The classic procedure's numbers are the tutorial's, for both strategies, and it selects on val."""
    data = draw_classes({"circles": 8, "squares": 8})
    for strategy in ("probe", "finetune"):
        trained = run(data, strategy, recipe="tutorial", strategy=strategy, epochs=1)
        manifest = json.loads((trained.model / "manifest.json").read_text(encoding="utf-8"))
        plan, preprocess = manifest["plan"], manifest["preprocess"]
        wanted = {"optimizer": "sgd", "learning_rate": 0.001, "step_epochs": 7, "batch_size": 4, "precision": "fp32"}
        assert {key: plan[key] for key in wanted} == wanted
        assert (plan["crop_scale"], plan["start"], plan["batch_norm"]) == ([0.08, 1.0], "random head", "train")
        assert (preprocess["resize_px"], preprocess["size_px"], preprocess["interpolation"]) == (256, 224, "bilinear")
        assert trained.evaluation.selected_on is True
        assert [row["epoch"] for row in rows_of(trained.run / "history.csv")] == ["1"]
    assert TrainSettings().epochs is None


def test_many_small_classes(run: Callable[..., Trained], draw_classes: Draw) -> None:
    """A class of two images can be held out from; one of a single image is refused with its name."""
    trained = run(draw_classes({"circles": 2, "squares": 9}))
    assert trained.metrics["images"]["val"] == 3
    with pytest.raises(HeadstartError, match="class 'circles' has 1 image; 2 are needed"):
        run(draw_classes({"circles": 1, "squares": 9}, "tiny"), "second")
