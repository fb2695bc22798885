"""Which images a run trains on, which it holds out, and on which it reports."""

from collections.abc import Callable
from pathlib import Path

import pytest

import headstart
from headstart.artifact.bundle import read_bundle
from headstart.errors import DataError
from headstart.settings import TrainSettings
from headstart.storage import sha256_of_file
from runs.conftest import CLASSES, rows_of, run_of


@pytest.mark.parametrize("strategy", ["probe", "finetune"])
def test_test_is_reported(strategy: str, split_shapes: Path, settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """With a test split its accuracy is the reported one, selected on by nobody, and val's stands beside it."""
    run = run_of(strategy, split_shapes, settings, tmp_path / "run")
    metrics = run.metrics
    assert metrics["images"] == {"train": 24, "val": 9, "test": 12, "skipped": 0}
    assert (metrics["evaluation"]["split"], metrics["evaluation"]["n"]) == ("test", 12)
    assert metrics["evaluation"]["selected_on"] is False
    (other,) = metrics["other_evaluations"]
    assert (other["split"], other["n"], other["selected_on"]) == ("val", 9, strategy == "finetune")
    assert len(rows_of(run.run / "predictions.csv")) == 12


def test_test_without_val(draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """A probe with a test split but no val holds nothing out: it selects on nothing, so it loses nothing."""
    draw_classes(dict.fromkeys(CLASSES, 8), "data/train")
    draw_classes(dict.fromkeys(CLASSES, 3), "data/test")
    run = headstart.train(tmp_path / "data", settings(), output=tmp_path / "run")
    assert run.metrics["images"] == {"train": 24, "val": 0, "test": 9, "skipped": 0}
    assert run.metrics["evaluation"]["split"] == "test"
    assert run.metrics["other_evaluations"] == []


def test_fine_tuning_with_test_splits_a_val_off(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """Fine-tuning needs images to choose its epoch by: without val they come off train, never from test."""
    draw_classes(dict.fromkeys(CLASSES, 10), "data/train")
    draw_classes(dict.fromkeys(CLASSES, 3), "data/test")
    run = headstart.train(tmp_path / "data", settings(strategy="finetune", epochs=1), output=tmp_path / "run")
    assert run.metrics["images"] == {"train": 24, "val": 6, "test": 9, "skipped": 0}
    assert (run.metrics["evaluation"]["split"], run.metrics["evaluation"]["selected_on"]) == ("test", False)


def test_another_seed_splits_otherwise(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """Another seed holds out other images."""
    data = draw_classes(dict.fromkeys(CLASSES, 10))
    runs = [headstart.train(data, settings(seed=seed), output=tmp_path / str(seed)) for seed in (0, 1)]
    held_out = [set(read_bundle(run.model).manifest.images["val"]) for run in runs]
    assert len(held_out[0]) == len(held_out[1]) == 6
    assert held_out[0] != held_out[1]


def test_without_held_out_images_cross_validation_reports(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """--val-fraction 0: a probe uses every image and reports cross-validation; fine-tuning has nothing to choose by."""
    data = draw_classes(dict.fromkeys(CLASSES, 6))
    run = headstart.train(data, settings(val_fraction=0), output=tmp_path / "run")
    assert run.metrics["images"] == {"train": 18, "val": 0, "test": 0, "skipped": 0}
    assert (run.metrics["evaluation"]["split"], run.metrics["evaluation"]["n"]) == ("cv", 18)
    assert run.metrics["evaluation"]["selected_on"] is False
    with pytest.raises(DataError, match="chooses its best epoch on val images, but there are none") as caught:
        headstart.train(data, settings(val_fraction=0, strategy="finetune"), output=tmp_path / "other")
    assert "--strategy probe" in caught.value.hint
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "other.partial").exists()


def test_val_and_test_from_elsewhere(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """--val and --test name other folders; the data itself is then train, whole."""
    data = draw_classes(dict.fromkeys(CLASSES, 6), "mine")
    val, test = draw_classes(dict.fromkeys(CLASSES, 2), "held"), draw_classes(dict.fromkeys(CLASSES, 3), "later")
    run = headstart.train(data, settings(val=val, test=test), output=tmp_path / "run")
    assert run.metrics["images"] == {"train": 18, "val": 6, "test": 9, "skipped": 0}
    assert all("later" in row["path"] for row in rows_of(run.run / "predictions.csv"))
    assert not any("split off" in note for note in run.notes)


@pytest.mark.parametrize("name", ["val", "test"])
def test_a_split_given_twice(
    name: str, split_shapes: Path, draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """A --val or --test beside data that has that split is an error: which one was meant?"""
    other = draw_classes(dict.fromkeys(CLASSES, 2), "other")
    with pytest.raises(DataError, match=f"has a {name} split, and --{name} gives another"):
        headstart.train(split_shapes, settings(**{name: other}), output=tmp_path / "run")


def test_groups_are_never_divided(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """With a group column every group is on one side of the split."""
    folder = draw_classes(dict.fromkeys(CLASSES[:2], 16))
    files = sorted(folder.rglob("*.png"))
    lines = [
        f"{file.relative_to(folder).as_posix()},{file.parent.name},{file.parent.name}{i // 4}" for i, file in enumerate(files)
    ]
    (folder / "labels.csv").write_text("path,label,group\n" + "\n".join(lines) + "\n")
    group_of = {sha256_of_file(file): line.rsplit(",", 1)[1] for file, line in zip(files, lines, strict=True)}
    run = headstart.train(folder / "labels.csv", settings(val_fraction=0.3), output=tmp_path / "run")
    images = read_bundle(run.model).manifest.images
    sides = {name: {group_of[digest] for digest in digests} for name, digests in images.items()}
    assert sides["val"]
    assert not sides["train"] & sides["val"]
    assert sides["train"] | sides["val"] == set(group_of.values())
