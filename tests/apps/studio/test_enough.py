"""What is said while somebody labels what is asked for: how good the model is, and whether there are enough labels."""

from collections.abc import Callable
from pathlib import Path

from conftest import COLOURS

from apps.studio.conftest import Studio, draw


def label_next(studio: Studio, n: int) -> None:
    """Gives the images that are asked for their labels, with a model after each."""
    for _ in range(n):
        version, (item,) = studio.get("/api/model")["version"], studio.queue("next", 1)
        name = Path(studio.row(item["row"])["path"]).name.partition("-")[0]
        assert studio.decide([item["row"]], "label:next", label=name).status_code == 200
        if len(set(studio.column("label").tolist())) > 2:
            studio.until(lambda version=version: studio.get("/api/model")["version"] > version)


def test_enough_for_now(open_studio: Callable[..., Studio], tmp_path: Path) -> None:
    """It is said when the answers have settled, also after a restart, and taken back when there is a new class."""
    data = draw(tmp_path / "photos", dict.fromkeys(COLOURS, 20), flat=True)
    studio = open_studio(data)
    label_next(studio, 29)
    assert studio.get("/api/model")["enough"] is None, "too few labels"
    while (sentence := studio.get("/api/model")["enough"]) is None:
        label_next(studio, 1)
    assert sentence.startswith("Enough for now: the latest third of the ") and sentence.endswith(".")
    assert studio.end()[0] == 0
    studio = open_studio(data)
    studio.until(lambda: studio.get("/api/model")["enough"])
    assert studio.post("/api/classes", {"name": "stars"}).status_code == 200
    assert studio.get("/api/model")["enough"] is None
    studio.decide(studio.order(), "relabel", label=None)
    assert studio.until(lambda: (found := studio.get("/api/model"))["accuracy"] is None and found)["enough"] is None


def test_labels_that_were_asked_for(open_studio: Callable[..., Studio], tmp_path: Path) -> None:
    """The accuracy on images that the studio chose is said to be too high or too low; others have one of their own."""
    data = draw(tmp_path / "photos", dict.fromkeys(COLOURS, 25), flat=True)
    studio = open_studio(data)
    label_next(studio, 12)
    found = studio.until(lambda: (found := studio.await_model())["n_asked_for"] == 12 and found)
    assert (found["likely_too"], found["accuracy_of_others"]) == ("high", None)
    assert found["caution"].startswith("12 of the 12 labels are of images that the studio asked for")
    others = studio.order("random", unlabelled=True)[:24]
    for name in COLOURS:
        rows = [row for row in others if Path(studio.row(row)["path"]).name.startswith(name)]
        studio.decide(rows, "label", label=name)
    found = studio.until(lambda: "the other 24 it is " in (found := studio.await_model())["caution"] and found)
    low, high = found["accuracy_of_others_ci95"]
    assert found["n_asked_for"] == 12 and low <= found["accuracy_of_others"] <= high


def test_nobody_asked(open_studio: Callable[..., Studio], tmp_path: Path) -> None:
    """Of labels that came with the data nothing of the kind is said."""
    studio = open_studio(draw(tmp_path / "shapes", dict.fromkeys(COLOURS, 8)))
    found = studio.await_model()
    assert (found["n_asked_for"], found["likely_too"], found["caution"]) == (0, None, None)
