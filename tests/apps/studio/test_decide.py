"""Deciding: labels, exclusions, undo and redo, conflicts, keys; also after a restart."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import COLOURS
from PIL import Image

from apps.studio.conftest import Studio, draw, studio_of
from headstart.data.prepared_changes import MANY

CIRCLES, SQUARES, TRIANGLES = range(3)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, home: Path, tiny_weights: Path) -> Iterator[Studio]:
    """A studio whose labels the tests of this module change: 12 circles, squares and triangles, 2 of each labelled wrongly."""
    root = tmp_path_factory.mktemp("deciding")
    data = draw(root / "shapes", dict.fromkeys(COLOURS, 12), flipped=2)
    with studio_of(data, root / "project", home=home, weights=tiny_weights) as started:
        started.await_model()
        yield started


@pytest.fixture
def studio(begun: Studio) -> Iterator[Studio]:
    """The same, and after the test as it was before."""
    yield begun
    for who in ("me", "bob", "ada"):  # bob decides after ada where both do
        while begun.post("/api/undo", who=who).json().get("decision"):
            pass
    assert (begun.column("label") == begun.column("given")).all()
    assert not begun.column("decided").any() and not begun.column("excluded").any()


def state(studio: Studio, row: int) -> tuple[int, bool, bool]:
    """(label, whether it is excluded, whether it was decided on)."""
    found = studio.row(row)
    assert found["label"] == studio.column("label")[row]
    return found["label"], found["excluded"], found["decided"]


def test_a_decision_is_on_disk_when_the_answer_comes(studio: Studio) -> None:
    """Labelled, excluded, taken in again: each is an entry of the log, with who and why."""
    for wish, after in (
        ({"label": "squares", "why": "relabel:label_error"}, (SQUARES, False, True)),
        ({"excluded": True, "why": "exclude"}, (SQUARES, True, True)),
        ({"label": None, "excluded": False, "why": "relabel"}, (-1, False, True)),
    ):
        answer = studio.decide([3], **wish).json()
        assert answer == {"decision": studio.last, "changed": 1}
        with studio.log() as log:
            (written,) = log.since(studio.last - 1)
            assert (written.who, written.why, len(written.changes)) == ("me", wish["why"], 1)
        assert state(studio, 3) == after


def test_undo_and_redo(studio: Studio) -> None:
    """Everything can be taken back and made again, also what changed nothing: undo takes back what was done last."""
    studio.decide([3], "relabel", label="squares")
    studio.decide([4], "relabel", label="circles")  # it is a circle already
    studio.decide([5, 6], "exclude", excluded=True)
    answers = [studio.post("/api/undo").json()["rows"] for _ in range(4)]
    assert answers == [[5, 6], [4], [3], []]
    assert state(studio, 3) == (CIRCLES, False, False)
    assert [studio.post("/api/redo").json()["rows"] for _ in range(4)] == [[3], [4], [5, 6], []]
    assert state(studio, 3) == (SQUARES, False, True)
    assert state(studio, 6) == (CIRCLES, True, True)


def test_two_windows(studio: Studio) -> None:
    """What another window decided meanwhile is told and nothing is lost; who has seen it may decide anew."""
    seen = studio.last
    first = studio.decide([3], "relabel", who="ada", label="squares").json()["decision"]
    answer = studio.decide([2, 3], "relabel", who="bob", label="triangles", expected=seen)
    assert answer.status_code == 409
    (conflict,) = answer.json()["conflicts"]
    assert (conflict["row"], conflict["label"], conflict["excluded"], conflict["who"]) == (3, SQUARES, False, "ada")
    assert state(studio, 2) == (CIRCLES, False, False) and state(studio, 3)[0] == SQUARES
    assert studio.decide([3], "relabel", who="ada", label="circles", expected=seen).status_code == 200  # her own
    assert studio.decide([3], "relabel", who="bob", label="triangles", expected=first + 1).status_code == 200


def test_what_another_window_took_back_is_a_conflict(studio: Studio) -> None:
    """A label that is kept must be the one that was seen."""
    studio.decide([3], "relabel", who="ada", label="squares")
    seen = studio.last
    studio.post("/api/undo", who="ada")
    answer = studio.decide([3], "keep:label_error", who="bob", expected=seen)
    assert answer.status_code == 409 and answer.json()["conflicts"][0]["label"] == CIRCLES


def test_undo_passes_over_what_others_decided_on(studio: Studio) -> None:
    """A decision that another one rests on cannot be taken back; this is told once, and the one before it comes next."""
    studio.decide([2], "relabel", who="ada", label="squares")
    studio.decide([3], "relabel", who="ada", label="squares")
    studio.decide([3], "relabel", who="bob", label="triangles")
    refused = studio.post("/api/undo", who="ada")
    assert refused.status_code == 409 and refused.json()["conflicts"][0]["who"] == "bob"
    assert studio.post("/api/undo", who="ada").json()["rows"] == [2]
    studio.post("/api/undo", who="bob")
    studio.decide([5], "keep", who="ada")
    assert [studio.post("/api/undo", who="ada").json()["rows"] for _ in range(2)] == [[5], [3]]


def test_many_at_once(studio: Studio) -> None:
    """All that an order gives are decided on at once, if they are as many as were seen, and taken back at once."""
    wish = {"order": {"filter": {"label": [CIRCLES]}}, "excluded": True, "why": "exclude", "expected": studio.last}
    assert studio.post("/api/decisions", wish | {"n": 11}).status_code == 409
    assert studio.post("/api/decisions", wish | {"n": 12}, key="many-at-once").json()["changed"] == 12
    assert studio.post("/api/decisions", wish | {"n": 12}, key="many-at-once").json()["changed"] == 12
    wish["order"] = {"filter": {"label": [CIRCLES], "excluded": False}}
    assert studio.post("/api/decisions", wish | {"n": 12}, key="many-at-once").json()["changed"] == 12
    assert studio.post("/api/decisions", wish | {"n": 0}).json() == {"decision": None, "changed": 0}
    assert studio.column("excluded").sum() == 12
    assert len(studio.post("/api/undo").json()["rows"]) == 12


def test_a_decision_that_is_sent_again(studio: Studio) -> None:
    """With the same key it gets its first answer and does nothing twice, whatever came between; so do undo and redo."""
    wish = {"rows": [3], "label": "squares", "why": "relabel", "expected": studio.last}
    first = studio.post("/api/decisions", wish, key="key-of-the-first").json()
    studio.decide([3], "relabel", who="bob", label="triangles")
    assert studio.post("/api/decisions", wish, key="key-of-the-first").json() == first
    assert state(studio, 3)[0] == TRIANGLES
    nothing = studio.post("/api/redo", key="key-of-nothing").json()
    undone = studio.post("/api/undo", who="bob", key="key-of-the-undo").json()
    assert studio.post("/api/undo", who="bob", key="key-of-the-undo").json() == undone
    assert state(studio, 3)[0] == SQUARES
    studio.post("/api/undo")
    assert studio.post("/api/redo", key="key-of-nothing").json() == nothing == {"decision": None, "rows": []}
    assert state(studio, 3)[0] == CIRCLES
    redone = studio.post("/api/redo", key="key-of-the-redo").json()
    studio.post("/api/undo")
    assert studio.post("/api/redo", key="key-of-the-redo").json() == redone
    assert state(studio, 3)[0] == CIRCLES


def test_the_key_of_another_request(studio: Studio) -> None:
    """A key that was used for something else is refused, not answered with what that came to."""
    studio.decide([3], "relabel", label="squares", key="key-of-another")
    last = studio.last
    for answer in (
        studio.decide([4], "relabel", who="bob", label="squares", key="key-of-another"),
        studio.post("/api/undo", key="key-of-another"),
        studio.post("/api/redo", key="key-of-another"),
        studio.post("/api/undo", key="short"),
    ):
        assert answer.status_code == 422 and answer.json()["hint"]
    assert studio.last == last


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"rows": [36]}, "no row 36"),
        ({"rows": [-1]}, "no row -1"),
        ({"rows": None}, "rows or about an order"),
        ({"order": {}}, "rows or about an order"),
        ({"why": "undo"}, "why"),
        ({"why": "label:\n"}, "why"),
        ({"label": ""}, "label"),
        ({"label": " squares"}, "cannot be the name"),
        ({"label": "NA"}, "cannot be the name"),
        ({"label": "a\nb"}, "cannot be the name"),
        ({"label": 7}, "label"),
        ({"expected": None}, "expected"),
        ({"expected": "many"}, "expected"),
        ({"lable": "squares"}, "lable"),
    ],
)
def test_wrong_decisions(studio: Studio, wish: dict[str, Any], told: str) -> None:
    """What cannot be done is refused with a sentence, and nothing is written."""
    whole = {"rows": [3], "label": "squares", "why": "relabel", "expected": studio.last} | wish
    answer = studio.post("/api/decisions", {name: value for name, value in whole.items() if name != "rows" or value})
    assert answer.status_code == 422, answer.text
    assert told in answer.json()["error"] and answer.json()["hint"]
    assert studio.last == whole["expected"] or wish.keys() == {"expected"}


def test_a_label_that_no_text_is(studio: Studio) -> None:
    """Half of a surrogate pair is no text."""
    body = b'{"rows": [3], "label": "\\ud800", "why": "relabel", "expected": 0}'
    answer = studio.client.post("/api/decisions", content=body, headers={"X-Window": "me", "Content-Type": "application/json"})
    assert answer.status_code == 422 and answer.json()["hint"]


def test_queues_are_left_and_come_back(studio: Studio) -> None:
    """What was kept, skipped or labelled leaves its queue, and is back when that is undone; flipped labels come first."""
    names = [Path(studio.row(item["row"])["path"]) for item in studio.queue("label_error")]
    flipped = [not path.name.startswith(path.parent.name) for path in names]
    assert sum(flipped[:6]) >= 5, names
    for wish in ({"why": "keep:label_error"}, {"why": "skip:label_error"}, {"why": "relabel:label_error", "label": "squares"}):
        item = studio.queue("label_error", 1)[0]
        studio.decide([item["row"]], **wish)
        assert item["row"] not in [one["row"] for one in studio.queue("label_error", 200)]
        counted = next(queue for queue in studio.get("/api/queues") if queue["name"] == "label_error")
        assert counted["done"] == 1
        studio.post("/api/undo")
        studio.until(lambda row=item["row"]: row in [one["row"] for one in studio.queue("label_error", 200)])


def test_a_decision_of_a_queue_that_is_taken_back_leaves_the_one_before(studio: Studio) -> None:
    """Kept, then skipped, then the skip undone: it was still kept."""
    row = studio.queue("label_error", 1)[0]["row"]
    studio.decide([row], "keep:label_error")
    studio.decide([row], "skip:label_error")
    studio.post("/api/undo")
    assert row not in [one["row"] for one in studio.queue("label_error", 200)]
    assert state(studio, row)[2]


def test_suggestions_are_backed(studio: Studio) -> None:
    """A suggested class comes with labelled images that speak for it and for the label, none of them the image itself."""
    item = next(one for one in studio.queue("label_error") if one["suggestion"] is not None)
    labels = studio.column("label")
    assert item["for"] and {labels[row] for row in item["for"]} == {item["suggestion"]}
    assert {labels[row] for row in item["against"]} <= {labels[item["row"]]}
    assert item["row"] not in item["for"] + item["against"]
    assert item["sentence"]


def test_changes_are_told_at_once(studio: Studio) -> None:
    """A window that waits hears of another's decision, a new class and a new model; one that has missed some, of all."""
    begin, found = studio.get("/api/project"), []
    waits = {"since": begin["last"], "n_read": begin["n_read"]}  # not for the model, which may follow the test before
    waiting = threading.Thread(target=lambda: found.append(studio.get("/api/changes", params=waits)))
    waiting.start()
    studio.decide([3], "relabel", who="ada", label="squares")
    waiting.join()
    (change,) = found[0]["changes"]
    assert (change["row"], change["label"], change["excluded"], change["who"]) == (3, SQUARES, False, "ada")
    assert (found[0]["last"], found[0]["n_read"], found[0]["scanning"]) == (begin["last"] + 1, 36, False)
    studio.await_model(after=begin["model"])
    studio.post("/api/undo", who="ada")
    all_of_them = studio.get("/api/changes", params={"since": begin["last"]})["changes"]
    assert [(one["label"], one["decided"]) for one in all_of_them] == [(SQUARES, False), (CIRCLES, False)]


def test_what_is_kept_is_not_fitted_to_again(studio: Studio) -> None:
    """Where no label changes, the model stays as it is; windows hear of it all the same."""
    before = studio.await_model()["version"]
    for row in range(20):
        studio.decide([row], "keep:label_error" if row % 2 else "skip:label_error")
        told = studio.get("/api/changes", params={"since": studio.last - 1})["changes"]
        assert [change["row"] for change in told] == [row]
    for _ in range(20):
        studio.post("/api/undo")
    assert studio.get("/api/model")["version"] <= before + 1  # the strength may have been chosen meanwhile


def test_a_class_made_in_the_page(studio: Studio) -> None:
    """A class is there as soon as it is made, also without an image; names that a table would not give back are refused."""
    answer = studio.post("/api/classes", {"name": "größe 大"})
    assert answer.json()["classes"] == [*sorted(COLOURS), "größe 大"]
    assert studio.post("/api/classes", {"name": "größe 大"}).json() == answer.json()
    studio.decide([0], "relabel", label="größe 大")
    assert state(studio, 0)[0] == 3
    for name in ("", " ", "nan", "a ", None, 7):
        refused = studio.post("/api/classes", {"name": name})
        assert refused.status_code == 422 and refused.json()["hint"], name
    model = studio.await_model(after=studio.get("/api/model")["version"] - 1)
    assert len(model["per_class"]) == len(model["confusion"])


def test_decided_because_the_model_disagreed(studio: Studio) -> None:
    """Labels that follow the model are counted apart."""
    before = studio.get("/api/model")
    item = next(one for one in studio.queue("label_error") if one["suggestion"] is not None)
    studio.decide([item["row"]], "relabel:label_error", label=sorted(COLOURS)[item["suggestion"]])
    found = studio.await_model(after=before["version"])
    assert found["n_decided_by_model"] == 1 and 0 < found["accuracy_without_those"] <= 1


def test_without_labels_there_is_no_model(studio: Studio) -> None:
    """When the last labels are taken away, what the model said is taken back too; labels bring it again."""
    wish = {"order": {}, "label": None, "why": "relabel", "expected": studio.last}
    assert studio.post("/api/decisions", wish).json()["changed"] == 36
    studio.until(lambda: (studio.column("predicted") == -1).all())
    assert studio.get("/api/model")["accuracy"] is None and studio.queue("label_error") == []
    assert studio.get("/api/project")["problem"] is None
    studio.post("/api/undo")
    studio.await_model()


def test_a_review_of_a_sample(studio: Studio) -> None:
    """With the sample reviewed, the accuracy without wrong labels is given, beside the one as it is."""
    first = studio.get("/api/reviewed")
    assert first["n_needed"] > 0 and first["accuracy"] is None
    while items := studio.queue("sample", 200):
        for item in items:
            right = Path(studio.row(item["row"])["path"]).name.partition("-")[0]
            is_right = studio.column("label")[item["row"]] == sorted(COLOURS).index(right)
            studio.decide(
                [item["row"]], "keep:sample" if is_right else "relabel:sample", **({} if is_right else {"label": right})
            )
    found = studio.get("/api/reviewed")
    assert found["n_done"] == found["n_needed"]
    assert found["naive"] < found["accuracy"] and found["accuracy_ci95"][0] <= found["accuracy"] <= found["accuracy_ci95"][1]
    assert found["sentence"]


def test_after_a_restart(open_studio: Callable[..., Studio], tmp_path: Path) -> None:
    """Labels, classes, queues and answers are as they were, and the window's decisions can be taken back one by one."""
    data = draw(tmp_path / "shapes", dict.fromkeys(COLOURS, 4), flipped=1)
    studio = open_studio(data)
    studio.post("/api/classes", {"name": "stars"})
    studio.decide([0], "relabel", label="moons")
    studio.decide([1], "keep:label_error")
    studio.decide([1], "keep:sample")
    studio.decide([2], "exclude", excluded=True, key="key-before")
    studio.decide([2], "relabel", label="squares", who="ada")
    studio.post("/api/undo", who="ada")
    before = studio.get("/api/project"), studio.column("label").tolist(), studio.column("decided").tolist()
    code, err = studio.end()
    assert (code, err) == (0, "")
    again = open_studio(data)
    after = again.get("/api/project"), again.column("label").tolist(), again.column("decided").tolist()
    assert after[1:] == before[1:]
    assert (after[0]["classes"], after[0]["last"]) == (before[0]["classes"], before[0]["last"])
    assert after[0]["classes"][-2:] == ["stars", "moons"]
    # A window that was open all the time has not seen what was taken back.
    assert again.decide([2], "keep", who="bob", expected=5).status_code == 409
    assert again.decide([2], "exclude", excluded=True, key="key-before").json() == {"decision": 4, "changed": 1}
    assert [one["row"] for one in again.queue("sample", 200)].count(1) == 0
    assert [one["row"] for one in again.queue("label_error", 200)].count(1) == 0
    assert [again.post("/api/undo").json()["rows"] for _ in range(5)] == [[2], [1], [1], [0], []]
    assert not again.column("decided").any() and (again.column("label") == again.column("given")).all()


@pytest.mark.process
def test_a_decision_on_an_image_that_is_not_read_again_yet(open_studio: Callable[..., Studio], tmp_path: Path) -> None:
    """After a restart a page sends what was not answered; until the image is read it is told to send it again, not no."""
    data = draw(tmp_path / "shapes", {"circles": 2}, flat=True)
    Image.new("1", (5000, 5000)).save(data / "large.png")  # takes longer to read than a request does
    studio = open_studio(data, scanned=False)
    statuses: list[int] = []
    wish = {"rows": [2], "label": "squares", "why": "label:next", "expected": 0}
    while not statuses or statuses[-1] != 200:
        answer = studio.post("/api/decisions", wish, key="key-of-the-decision")
        statuses.append(answer.status_code)
        assert answer.status_code in (200, 503), answer.text
    assert studio.row(2)["label"] == 0


@pytest.mark.process
def test_very_many_at_once(open_studio: Callable[..., Studio], tmp_path: Path) -> None:
    """A decision on more rows than are written in one piece lets others decide and is taken back as one, after kill -9 too."""
    n = MANY + 50
    (tmp_path / "photos").mkdir()
    for number in range(n):
        Image.new("RGB", (9, 9), (number % 256, number // 256, 0)).save(tmp_path / "photos" / f"{number:04}.ppm")
    studio = open_studio(tmp_path / "photos")
    wish = {"order": {"filter": {}}, "n": n, "label": "photos", "why": "label", "expected": 0}
    found = []
    whole = threading.Thread(target=lambda: found.append(studio.post("/api/decisions", wish, key="key-of-the-whole")))
    whole.start()
    studio.post("/api/classes", {"name": "other"}, who="bob")  # waits for nobody
    whole.join()
    assert found[0].json() == {"decision": 1, "changed": n}
    studio.decide([n - 1], "relabel", who="bob", label="other")
    assert studio.post("/api/undo").status_code == 409  # bob has decided on one of them
    studio.post("/api/undo", who="bob")
    assert len(studio.get("/api/changes", params={"since": 0})["changes"]) == n + 2
    studio.process.kill()
    studio.process.wait()
    studio = open_studio(tmp_path / "photos")
    assert studio.post("/api/decisions", wish, key="key-of-the-whole").json() == {"decision": 1, "changed": n}
    assert len(set(studio.column("label").tolist())) == 1 and studio.column("decided").all()
    assert len(studio.post("/api/undo").json()["rows"]) == n
    assert not studio.column("decided").any() and (studio.column("label") == -1).all()
    assert len(studio.post("/api/redo").json()["rows"]) == n


@pytest.mark.process
def test_files_that_were_moved(open_studio: Callable[..., Studio], tmp_path: Path) -> None:
    """A decision is found by the content of its image, in the studio as in train; what was moved and what is gone is told."""
    data = draw(tmp_path / "shapes", {"circles": 3, "squares": 3})
    studio = open_studio(data)
    assert studio.get("/api/project")["notes"] == []
    studio.decide([0, 1], "relabel", label="squares")
    studio.decide([2], "exclude", excluded=True)
    assert studio.end() == (0, "")
    (data / "circles" / "circles-0.png").rename(data / "squares" / "renamed.png")
    (data / "circles" / "circles-1.png").unlink()
    again = open_studio(data)
    (moved,) = [row for row in range(5) if again.row(row)["path"] == "squares/renamed.png"]
    assert (again.row(moved)["given"], state(again, moved)) == (SQUARES, (SQUARES, False, True))
    assert again.column("decided").sum() == 2
    found, gone = again.get("/api/project")["notes"]
    assert found.startswith("1 image moved") and "circles/circles-0.png, now squares/renamed.png" in found
    assert gone.startswith("1 image decided on and not in the data") and gone.endswith("circles/circles-1.png")
    again.decide([moved], "relabel", label="circles")
    assert [again.post("/api/undo").json()["rows"] for _ in range(4)] == [[moved], [0], [moved], []]
    assert not again.column("decided").any()
