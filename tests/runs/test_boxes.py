"""Boxes in pictures, from the table or the COCO file to answers: each is an image, and those of a picture stay together."""

import csv
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import typer
from conftest import TINY
from data.drawn_boxes import coco_of, draw_pictures, write_coco, write_table
from PIL import Image

from headstart import ImageClassifier, Trained, TrainSettings, train
from headstart.apps.commands.predict import predict
from headstart.artifact.manifest import Manifest
from headstart.artifact.run_images import evaluated_images
from headstart.audit.twins import find_twins
from headstart.data.boxes import Box
from headstart.data.dataset import LabelledImage
from headstart.data.facts import facts_of
from headstart.data.fetching import chunks_of
from headstart.data.image_files import BoxInFile
from headstart.data.images import decode, read_bytes
from headstart.data.remote_file import RemoteFile
from headstart.data.sources import Candidate
from headstart.data.true_labels import read_true_labels
from headstart.errors import HeadstartWarning, SettingsError
from headstart.fitting.pixels_read_later import anywhere
from headstart.jobs.shards import shards_of
from headstart.runs.embedding import embed
from headstart.runs.evaluating import evaluate_model


@pytest.fixture
def settings(tiny_weights: Path) -> TrainSettings:
    """A probe of the tiny network."""
    return TrainSettings(backbone=TINY, weights=tiny_weights, device="cpu", strategy="probe", effort="quick")


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """A table of three shapes in each of ten pictures."""
    return write_table(tmp_path / "boxes.csv", draw_pictures(tmp_path, 10))


@pytest.fixture
def trained(boxes: Path, settings: TrainSettings, tmp_path: Path) -> Trained:
    """A probe of these boxes."""
    return train(boxes, settings, output=tmp_path / "run")


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_trained_on_boxes(trained: Trained, boxes: Path) -> None:
    """Answers are named by picture and box, are right, and no picture is in train and in val."""
    rows = rows_of(trained.run / "predictions.csv")
    assert trained.evaluation.accuracy == 1
    assert {row["path"].count("#") for row in rows} == {1}
    pictures = [row["path"].split("#")[0] for row in rows]
    assert {pictures.count(picture) for picture in pictures} == {3}
    assert any("30 images of boxes.csv are boxes" in note for note in trained.notes)
    assert trained.evaluation.n_groups <= 10


def test_evaluated_on_boxes(trained: Trained, boxes: Path, tmp_path: Path) -> None:
    """Boxes that were trained on are known again; another box of the same picture is another image."""
    evaluated = evaluate_model(trained.run, boxes, split="all")
    assert evaluated.metrics["images"]["trained_on"] == 30 - trained.evaluation.n
    moved = [(path, label, int(x) + 1, y, w, h) for path, label, x, y, w, h in map(dict.values, rows_of(boxes))]
    evaluated = evaluate_model(trained.run, write_table(tmp_path / "moved.csv", moved), split="all")
    assert evaluated.metrics["images"]["trained_on"] == 0
    assert evaluated.evaluation.accuracy == 1


def test_found_again_for_an_export(trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The boxes that a run was evaluated on are found by their names, so an export is compared on them."""
    monkeypatch.chdir(tmp_path)
    manifest = Manifest.model_validate_json((trained.run / "model" / "manifest.json").read_text(encoding="utf-8"))
    found = list(evaluated_images(trained.run, set(manifest.images["val"])))
    assert len(found) == trained.evaluation.n
    assert all(decode(image.data).rgb.size == (96, 80) for image in found)


def test_features_are_those_of_the_crop(boxes: Path, settings: TrainSettings, tmp_path: Path) -> None:
    """Of a box and of the same crop saved as a file the network gives the same features, also read from the store."""
    (tmp_path / "crops").mkdir()
    crops = []
    for i, row in enumerate(rows_of(boxes)):
        x, y, w, h = (int(row[name]) for name in "xywh")
        with Image.open(tmp_path / row["path"]) as picture:
            picture.crop((x, y, x + w, y + h)).save(tmp_path / "crops" / f"{i}.png")
        crops.append((f"crops/{i}.png", row["label"]))
    tables = [boxes, write_table(tmp_path / "crops.csv", crops, "path,label"), boxes]
    found = []
    for i, table in enumerate(tables):
        embedded = embed(table, tmp_path / f"{i}.parquet", settings)
        assert embedded.work.computed == (0 if i == 2 else 30)
        found.append(np.array(pyarrow.parquet.read_table(tmp_path / f"{i}.parquet").column("vector").to_pylist()))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_coco_files_as_train_val_and_test(tmp_path: Path, settings: TrainSettings) -> None:
    """One COCO file a split; the estimator takes the same."""
    files = []
    for seed, (split, n) in enumerate({"train": 8, "val": 3, "test": 3}.items()):
        rows = draw_pictures(tmp_path / f"{split}2017", n, seed=seed)
        files.append(write_coco(tmp_path / "annotations" / f"instances_{split}2017.json", coco_of(rows)))
    of_files = settings.model_copy(update={"val": files[1], "test": files[2]})
    trained = train(files[0], of_files, output=tmp_path / "run")
    assert (trained.evaluation.split, trained.evaluation.n) == ("test", 9)
    classifier = ImageClassifier("probe", backbone=TINY, weights=settings.weights, device="cpu", val=files[1], effort="quick")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", HeadstartWarning)
        assert classifier.fit(files[0]).score(files[2]) == trained.evaluation.accuracy > 0.8
    assert any("9 images of instances_test2017.json are boxes" in str(one.message) for one in told)


def test_pictures_shared_by_train_and_val_are_told(tmp_path: Path, settings: TrainSettings) -> None:
    """Other boxes of a picture in --val are no other pictures: the note and the evaluation say so."""
    rows = draw_pictures(tmp_path, 8)
    data = write_table(tmp_path / "train.csv", rows[:18])
    moved = [(path, label, x + 1, y, w, h) for path, label, x, y, w, h in rows[15:]]  # one of three pictures is in train
    val = write_table(tmp_path / "val.csv", moved)
    trained = train(data, settings.model_copy(update={"val": val}), output=tmp_path / "run")
    assert any("3 of the 9 val images are of groups that train has" in note for note in trained.notes)
    assert trained.evaluation.leaked >= 3


def test_boxes_that_reach_beyond(tmp_path: Path, settings: TrainSettings) -> None:
    """They are cut off, with a note; of a box outside its picture the reason is in skipped.csv, under its name."""
    rows: list[Sequence[object]] = [(path, label, x, y, w, h + 50) for path, label, x, y, w, h in draw_pictures(tmp_path, 6)]
    rows.append(("p000.png", "circles", 400, 0, 20, 20))
    trained = train(write_table(tmp_path / "boxes.csv", rows), settings, output=tmp_path / "run")
    assert any("18 of the 18 images are boxes that reach beyond their pictures" in note for note in trained.notes)
    (skipped,) = rows_of(trained.run / "skipped.csv")
    assert skipped["path"].endswith("p000.png#400,0,20,20")
    assert "outside the picture of 320 x 100 pixels" in skipped["reason"]


def test_boxes_without_boxes(tmp_path: Path, draw_classes: Any, settings: TrainSettings) -> None:
    """A unit of boxes for data without any is a mistake."""
    data = draw_classes({"circles": 4, "squares": 4})
    with pytest.raises(SettingsError, match="--boxes shares is for tables with boxes"):
        train(data, settings.model_copy(update={"boxes": "shares"}), output=tmp_path / "run")


@pytest.mark.parametrize("form", ["csv", "json"])
def test_predicted_box_by_box(trained: Trained, boxes: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """predict answers for each box of a table or a COCO file, in JSON with the box."""
    rows = [tuple(row.values()) for row in rows_of(boxes)][:6]
    numbers = [(path, label, *map(int, box)) for path, label, *box in rows]
    file = boxes.parent / f"some.{form}"
    file = write_coco(file, coco_of(numbers)) if form == "json" else write_table(file, numbers)  # type: ignore[arg-type]
    predict(trained.run, [file], format="jsonl")
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(answer["predicted"], answer["box"]) for answer in answers] == [(row[1], list(row[2:])) for row in numbers]
    assert answers[0]["path"].endswith(f"#{','.join(map(str, numbers[0][2:]))}")


def test_a_picture_is_never_written_over(trained: Trained, boxes: Path) -> None:
    """What predict writes cannot replace a picture whose boxes it reads."""
    with pytest.raises(typer.Exit):
        predict(trained.run, [boxes], grid=boxes.parent / "p000.png", overwrite=True)
    assert decode((boxes.parent / "p000.png").read_bytes()).width == 320


def test_a_review_names_boxes(trained: Trained, boxes: Path) -> None:
    """A table of looked-up labels names a box by its path, as shown or relative to the table."""
    paths = [row["path"] for row in rows_of(trained.run / "predictions.csv")]
    named = [f'"{path}",circles' if i else f'"{Path(path).name}",circles' for i, path in enumerate(paths)]
    review = write_table(boxes.parent / "review.csv", [[row] for row in named], "path,label")
    found = read_true_labels(review, evaluate_model(trained.run, boxes, split="val").dataset)
    assert sorted(found.rows.tolist()) == list(range(len(paths)))
    assert not found.notes


def test_pictures_stay_whole_where_everything_looks_alike(tmp_path: Path, settings: TrainSettings) -> None:
    """Drawings that are the same in all pictures link these, but no picture is divided, and a note says what that means."""
    rows = []
    for i in range(12):
        picture = Image.new("RGB", (300, 100), "white")
        for place, (label, colour) in enumerate({"red": (250, 0, 0), "green": (0, 250, 0), "blue": (0, 0, 250)}.items()):
            picture.paste(Image.new("RGB", (40, 40), colour), (100 * place + 20, 20))
            rows.append((f"{i}.png", label, 100 * place, 0, 100, 100))
        picture.putpixel((0, 0), (i, i, i))
        picture.save(tmp_path / f"{i}.png")
    trained = train(write_table(tmp_path / "boxes.csv", rows), settings, output=tmp_path / "run")
    pictures = [row["path"].split("#")[0] for row in rows_of(trained.run / "predictions.csv")]
    assert {pictures.count(picture) for picture in pictures} == {3}
    assert any("only the boxes of a picture are kept together" in note for note in trained.notes)


def test_boxes_of_a_picture_are_no_twins(tmp_path: Path) -> None:
    """Overlapping boxes of one picture are neither duplicates nor conflicts; the same box in a copy of the file is."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    Image.fromarray(noise).resize((300, 300)).save(tmp_path / "a.png")
    Image.fromarray(noise).resize((300, 300)).save(tmp_path / "b.png", compress_level=1)
    files = [
        BoxInFile(tmp_path / name, Box.of((20 + x, 20, 250, 250), "pixels")) for name in ("a.png", "b.png") for x in (0, 1)
    ]
    decoded = [decode(read_bytes(file)) for file in files]
    images = [LabelledImage(str(file), file, "a", None, None, f"{i}" * 64, 250, 250) for i, file in enumerate(files)]
    vectors = np.stack([np.asarray(one.rgb.resize((4, 4)), np.float32).ravel() for one in decoded])
    vectors = np.concatenate([vectors, np.random.default_rng(1).uniform(0, 255, (40, 48)).astype(np.float32)])
    images += [LabelledImage(f"{i}", tmp_path / f"{i}", "a", None, None, f"{i:064}", 9, 9) for i in range(40)]
    facts = [*map(facts_of, decoded), *(facts_of(decoded[0]) for _ in range(40))]
    pairs = [pair for pair in find_twins(images, facts, vectors).pairs() if max(pair) < 4]
    assert pairs
    assert all((one < 2) != (other < 2) for one, other in pairs)


def test_shards_of_boxes(boxes: Path) -> None:
    """A shard of other boxes in the same pictures is another shard."""
    file = boxes.parent / "p000.png"
    digests = {
        next(shards_of([Candidate("", where)], "key")).digest
        for where in (file, *(BoxInFile(file, Box.of((0, 0, w, 5), unit)) for w in (1, 2) for unit in ("pixels", "shares")))
    }
    assert len(digests) == 5


def test_a_remote_picture_is_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many boxes it has; each box gets its own bytes."""
    fetched: list[str] = []

    def read(self: RemoteFile) -> bytes:
        fetched.append(self.address)
        return b"data"

    monkeypatch.setattr(RemoteFile, "read", read)
    files = [BoxInFile(RemoteFile(f"s3://b/{n}.png"), Box.of((x, 0, 5, 5), "pixels")) for n in range(3) for x in range(4)]
    (chunk,) = chunks_of([Candidate(str(file), file) for file in files], 100)
    assert [one.read() for one in chunk] == [file.box.mark + b"data" for file in files]
    assert sorted(fetched) == [f"s3://b/{n}.png" for n in range(3)]


def test_read_from_any_folder(boxes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of a cluster read boxes by paths that do not depend on their folder."""
    monkeypatch.chdir(boxes.parent)
    file = BoxInFile(Path("p000.png"), Box.of((0, 0, 5, 5), "pixels"))
    (image,) = anywhere([LabelledImage("", file, "", None, None, "0" * 64, 5, 5)])
    monkeypatch.chdir("/")
    assert read_bytes(image.file).startswith(file.box.mark)
