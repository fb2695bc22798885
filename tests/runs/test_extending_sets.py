"""`train --extend` where an image has any number of labels: what old images cannot have said of a new label is not known."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_shape
from PIL import Image
from sklearn.metrics import average_precision_score

import headstart
from headstart.data.label_sets import LabelSet, label_matrix
from headstart.errors import DataError, SettingsError
from headstart.record.trained import Trained
from headstart.settings import TrainSettings
from headstart.storage import sha256_of_file
from runs.conftest import contents, ended_by_a_save, extend, manifest_of, rows_of

Make = Callable[..., TrainSettings]
OLD = ("circles", "squares")
NEW = (*OLD, "triangles")
pytestmark = pytest.mark.usefixtures("here")


def draw_sets(folder: str, count: int, names: Sequence[str] = OLD, seed: int = 0, form: str = "lists") -> Path:
    """Pictures of two halves, each with a shape or empty; in the table lists of what is in them, or a column for each."""
    rng = np.random.default_rng(seed)
    Path(folder).mkdir()
    rows: list[Sequence[object]] = []
    for i in range(count):
        shade = tuple(int(value) for value in rng.integers(140, 160, 3))  # no two pictures are the same
        picture, shown = Image.new("RGB", (128, 64), shade), set()
        for half in range(2):
            name = [*names, ""][int(rng.integers(0, len(names) + 1))]
            if name:
                picture.paste(draw_shape(name, rng, (64, 64)), (64 * half, 0))
                shown.add(name)
        picture.putpixel((0, 0), (i, seed, 0))
        picture.save(Path(folder) / f"{folder}-{i}.png")
        cells = ["|".join(sorted(shown))] if form == "lists" else [int(name in shown) for name in names]
        rows.append((f"{folder}-{i}.png", *cells))
    return write_table(Path(folder, "labels.csv"), ["path", *(["labels"] if form == "lists" else names)], rows)


def write_table(file: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([header, *rows])
    return file


@pytest.fixture
def old() -> Path:
    return draw_sets("old", 60)


@pytest.fixture
def run(old: Path, settings: Make) -> Trained:
    chosen = settings(strategy="probe", task="multi-label", view="whole", seed=3)
    return headstart.train(old, chosen, output="run", pictures=False)


def labels_in(run: str) -> dict[str, str]:
    """What the manifest of a run says of each image."""
    manifest = manifest_of(run)
    return {
        sha256: text
        for name, digests in manifest.images.items()
        for sha256, text in zip(digests, manifest.image_labels[name], strict=True)
    }


def by_name(file: Path) -> dict[str, dict[str, str]]:
    """The rows of a table by the names of their images; the folders depend on where the images were found."""
    return {Path(row["path"]).name: row for row in rows_of(file)}


def digests_in(table: Path) -> list[str]:
    return [sha256_of_file(table.parent / row["path"]) for row in rows_of(table)]


def test_what_old_images_do_not_say_of_a_new_label_is_not_known(run: Trained, old: Path) -> None:
    """It is masked, a note says of how many images; new images without the label lack it; splits are kept."""
    before, was = contents(run.run), manifest_of("run")
    new = draw_sets("new", 40, NEW, seed=1)
    trained = extend(new)
    assert contents(run.run) == before
    now, said = manifest_of("more"), labels_in("more")
    assert (now.classes, now.task, now.seed) == (NEW, "multi-label", 3)
    assert now.extends is not None and now.extends.added_labels == ("triangles",)
    assert all(set(was.images[name]) < set(now.images[name]) for name in ("train", "val"))
    for digest, row in zip(digests_in(old), rows_of(old), strict=True):
        assert LabelSet.of(said[digest]) == LabelSet(LabelSet.of(row["labels"]).labels, frozenset({"triangles"}))
    n_with = 0
    for digest, row in zip(digests_in(new), rows_of(new), strict=True):
        assert LabelSet.of(said[digest]) == LabelSet.of(row["labels"])
        n_with += "triangles" in row["labels"]
    report = trained.metrics["extended"]
    assert report["images"] == {
        "kept": 60, "new": 40, "gone": 0, "relabelled": 0, "classes_added": ["triangles"], "classes_gone": []
    }  # fmt: skip
    note = (
        "of 60 images of the extended run it is not known whether they have the new label 'triangles': it is trained and "
        f"judged on the others, {n_with} with it and {40 - n_with} without"
    )
    assert note in trained.notes
    of_label = trained.metrics["evaluation"]["label_sets"]["per_label"][2]
    assert of_label["n_known"] == len(now.images["val"]) - len(was.images["val"])


def test_what_changed(run: Trained, old: Path) -> None:
    """The mean average precision of the labels that both know, whole answers, and each image whose answer is another set."""
    rng = np.random.default_rng(9)
    rows = [(row["path"], row["labels"]) for row in rows_of(old)]
    held = set(manifest_of("run").images["val"])
    for i, (path, labels) in enumerate(rows):  # wrong labels in train: the answers have to change
        if sha256_of_file(old.parent / path) not in held and rng.random() < 0.6:
            rows[i] = (path, "|".join(sorted(set(OLD) - set(labels.split("|")))))
    write_table(old, ["path", "labels"], rows)
    trained = extend(draw_sets("new", 40, NEW, seed=1))
    assert trained.metrics["extended"]["images"]["relabelled"] > 10
    before, after = by_name(run.run / "predictions.csv"), by_name(trained.run / "predictions.csv")
    assert before.keys() < after.keys()
    found = trained.metrics["extended"]["compared"]
    true = label_matrix([before[path]["label"] for path in before], OLD)
    for name, rows_now in (("before", before), ("after", after)):
        scores = [[float(rows_now[path][f"p:{label}"]) for label in OLD] for path in before]
        expected = average_precision_score(true, np.array(scores), average="macro")
        assert found["label_sets"][f"mean_average_precision_{name}"] == pytest.approx(expected)
        right = [
            LabelSet.of(rows_now[path]["predicted"]).labels - {"triangles"} == LabelSet.of(before[path]["label"]).labels
            for path in before
        ]
        assert found[f"accuracy_{name}"] == pytest.approx(np.mean(right))
    sets = found["label_sets"]
    change = sets["mean_average_precision_after"] - sets["mean_average_precision_before"]
    assert sets["labels"] == list(OLD) and sets["difference"]["change"] == pytest.approx(change)
    if sets["difference"]["change_ci95"]:
        assert sets["difference"]["change_ci95"][0] <= change <= sets["difference"]["change_ci95"][1]
    flips = by_name(trained.run / "flips.csv")
    assert flips.keys() == {path for path in before if before[path]["predicted"] != after[path]["predicted"]} != set()
    for path, flip in flips.items():
        truth = LabelSet.of(before[path]["label"]).labels
        was, now = (LabelSet.of(flip[name]).labels - {"triangles"} == truth for name in ("before", "after"))
        became = {(True, True): "still right", (True, False): "wrong", (False, True): "right"}.get((was, now))
        assert flip["became"] == (became or "another mistake")
    counts = [found[name] for name in ("became_right", "became_wrong", "other_mistakes", "still_right")]
    words = ("right", "wrong", "another mistake", "still right")
    assert counts == [sum(flip["became"] == word for flip in flips.values()) for word in words]
    assert trained.extension.startswith(
        "extends run by 40 new images, the new label 'triangles'; on the 13 images judged in both, the mean average precision "
        "of 2 labels was "
    )
    page = (trained.run / "report.html").read_text(encoding="utf-8")
    assert "What adding to the run changed" in page and all(name in page for name in flips)


def test_a_table_with_a_column_for_each_label_says_what_it_has(run: Trained, old: Path) -> None:
    """A 0 is an answer, also of an old image; an empty cell, and a label without a column, is none."""
    rows = []
    for i, row in enumerate(rows_of(old)):
        has = [int(name in row["labels"]) for name in OLD]
        rows.append((f"old/{row['path']}", *has, 0 if i < 10 else ""))
    new = draw_sets("new", 30, NEW, seed=1)
    rows += [(f"new/{row['path']}", *(int(name in row["labels"]) for name in NEW)) for row in rows_of(new)]
    trained = extend(write_table(Path("grown.csv"), ["path", *NEW], rows))
    said = labels_in("more")
    unsaid = ["?triangles" in said[digest] for digest in digests_in(old)]
    assert unsaid == [False] * 10 + [True] * 50
    assert (trained.metrics["extended"]["images"]["new"], trained.metrics["extended"]["images"]["relabelled"]) == (30, 0)
    columns = draw_sets("columns", 30, ("squares", "triangles"), seed=2, form="columns")
    extend(columns, "more", "third")
    said = labels_in("third")
    assert all(LabelSet.of(said[digest]).unknown == {"circles"} for digest in digests_in(columns))
    assert ["?triangles" in said[digest] for digest in digests_in(old)] == unsaid


def test_in_a_chain_it_stays_unknown(run: Trained, old: Path, settings: Make) -> None:
    """The run that extends a run with a new label does not take the silence of the first images for an answer."""
    new = draw_sets("new", 30, NEW, seed=1)
    extend(new)
    third = draw_sets("third", 12, NEW, seed=2)
    trained = extend(third, "more", "again")
    said = labels_in("again")
    assert all(LabelSet.of(said[digest]).unknown == {"triangles"} for digest in digests_in(old))
    assert not any("?" in said[digest] for digest in [*digests_in(new), *digests_in(third)])
    report = trained.metrics["extended"]
    assert (report["images"]["kept"], report["images"]["relabelled"], report["images"]["classes_added"]) == (90, 0, [])
    assert report["compared"]["label_sets"]["labels"] == list(NEW)
    again = manifest_of("again").extends
    assert again is not None and again.added_labels == ("triangles",)
    # What the table says now of an old image counts: that it has the label.
    rows = [(f"old/{row['path']}", row["labels"] + "|triangles" * (i < 3)) for i, row in enumerate(rows_of(old))]
    extend(write_table(Path("told.csv"), ["path", "labels"], rows), "again", "fourth")
    said = labels_in("fourth")
    assert [LabelSet.of(said[digest]).unknown for digest in digests_in(old)] == [set()] * 3 + [{"triangles"}] * 57


def test_a_new_label_that_all_new_images_have(run: Trained, old: Path) -> None:
    """Nothing tells it from the others: that is refused, with what to do; images without it are enough."""
    new = draw_sets("new", 20, seed=1)
    rows = [(row["path"], "triangles" + f"|{row['labels']}".rstrip("|")) for row in rows_of(new)]
    write_table(new, ["path", "labels"], rows)
    with pytest.raises(DataError, match="no train image is known to lack the new label 'triangles': 15 have it, and 47") as no:
        extend(new)
    assert "a column for each label" in (no.value.hint or "")
    assert not Path("more").exists()


def test_without_a_new_label_nothing_is_unknown(run: Trained, old: Path) -> None:
    trained = extend(draw_sets("new", 2, seed=1))
    assert not any("?" in text for text in labels_in("more").values())
    assert trained.extension.startswith("extends run by 2 new images; on the 13 images judged in both")
    assert not any("not known" in note for note in trained.notes)


def test_a_fine_tuned_run_is_extended_and_resumed(old: Path, settings: Make) -> None:
    """It is fine-tuned on with what is not known masked; interrupted and resumed it ends as an undisturbed one."""
    chosen = settings(strategy="finetune", epochs=1, task="multi-label", view="whole")
    headstart.train(old, chosen, output="run", pictures=False)
    new = draw_sets("new", 24, NEW, seed=1)
    undisturbed = extend(new, output="undisturbed", epochs=2)
    assert undisturbed.metrics["extended"]["compared"]["split"] == "val"
    with ended_by_a_save():
        assert extend(new, epochs=2).interrupted
    resumed = headstart.train(None, resume="more", pictures=False)
    assert resumed.metrics["extended"] == undisturbed.metrics["extended"]
    assert resumed.metrics["evaluation"] == undisturbed.metrics["evaluation"]
    assert labels_in("more") == labels_in("undisturbed")


def test_what_it_answered_is_of_no_use_for_another_task(run: Trained, old: Path) -> None:
    with pytest.raises(SettingsError, match="run has --task multi-label, and what it answered is of no use"):
        extend(old, task="single-label")
