"""Looking: the project, its columns, orders, rows, pictures, neighbours and map, through the port."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import COLOURS
from PIL import Image

from apps.studio.conftest import Studio, draw

Passing = Callable[[Callable[[str], np.ndarray]], np.ndarray]
COLUMNS = {
    "label": "int32",
    "given": "int32",
    "excluded": "uint8",
    "split": "uint8",
    "predicted": "int32",
    "confidence": "float32",
    "suspicion": "float32",
    "unfamiliar": "float32",
    "findings": "uint32",
    "folder": "int32",
    "width": "int32",
    "height": "int32",
    "brightness": "float32",
    "sharpness": "float32",
    "decided": "uint8",
}


def test_the_project(studio: Studio) -> None:
    """The page is told first what there is."""
    found = studio.get("/api/project")
    assert (found["classes"], found["n_images"], found["n_read"]) == (sorted(COLOURS), 36, 36)
    assert (found["scanning"], found["problem"], found["last"], found["map"], found["splits"]) == (False, None, 0, 0, [])
    assert [folder.rpartition("/")[2] for folder in found["folders"]] == sorted(COLOURS)
    assert {"leak", "conflict", "blank"} <= {check["name"] for check in found["checks"]}


@pytest.mark.parametrize(("name", "dtype"), COLUMNS.items())
def test_columns(studio: Studio, name: str, dtype: str) -> None:
    """Each column has one value a row, its type in a header, and a tag with which it is not sent twice."""
    for _ in range(20):  # findings may come in between
        answer = studio.client.get(f"/api/columns/{name}")
        assert answer.headers["X-Dtype"] == dtype
        assert len(np.frombuffer(answer.content, dtype)) == 36
        tag = answer.headers["ETag"]
        again = studio.client.get(f"/api/columns/{name}", headers={"If-None-Match": tag})
        if again.headers["ETag"] == tag:
            break
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert studio.client.get(f"/api/columns/{name}", headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_column_that_is_none(studio: Studio) -> None:
    """It is told which there are."""
    answer = studio.client.get("/api/columns/candidates")
    assert answer.status_code == 404
    assert "suspicion" in answer.json()["hint"]


def test_values(studio: Studio) -> None:
    """What the columns say is so."""
    assert (studio.column("width") == 96).all() and (studio.column("height") == 80).all()
    assert np.bincount(studio.column("label")).tolist() == [12, 12, 12]
    assert (studio.column("predicted") == studio.column("label")).mean() > 0.7
    confidence, suspicion = studio.column("confidence"), studio.column("suspicion")
    assert ((confidence > 1 / 3) & (confidence <= 1)).all() and ((suspicion >= 0) & (suspicion <= 1)).all()


@pytest.mark.parametrize(
    ("conditions", "passing"),
    [
        ({"label": [0]}, lambda of: of("label") == 0),
        ({"label": [0, 2]}, lambda of: of("label") != 1),
        ({"label": []}, lambda of: of("label") == 99),
        ({"label": [-1]}, lambda of: of("label") == -1),
        ({"label": [2**40]}, lambda of: of("label") == 99),
        ({"label": [10**30]}, lambda of: of("label") == 99),
        ({"given": [1], "predicted": [1, 2]}, lambda of: (of("given") == 1) & (of("predicted") > 0)),
        ({"right": False}, lambda of: of("label") != of("predicted")),
        ({"confidence": [0.5, 0.9]}, lambda of: (of("confidence") >= 0.5) & (of("confidence") <= 0.9)),
        ({"unlabelled": True}, lambda of: of("label") < 0),
        ({"excluded": False, "decided": False}, lambda of: of("label") >= 0),
        ({"split": [""]}, lambda of: of("label") >= 0),
        ({"split": ["val"]}, lambda of: of("label") == 99),
        ({"folder": ["nowhere"]}, lambda of: of("label") == 99),
        ({"rows": [3, 1, 900]}, lambda of: np.isin(np.arange(36), [1, 3])),
        ({"finding": ["blank"]}, lambda of: of("label") == 99),
    ],
)
def test_filters(
    studio: Studio, conditions: dict[str, Any], passing: Callable[[Callable[[str], np.ndarray]], np.ndarray]
) -> None:
    """A filter gives exactly the rows of which it holds, in their order."""
    assert studio.order(**conditions) == np.flatnonzero(passing(studio.column)).tolist()


@pytest.mark.parametrize("sort", ["confidence", "suspicion", "brightness", "sharpness", "size", "unfamiliar", "path", "random"])
def test_sorts(studio: Studio, sort: str) -> None:
    """All rows come, in the order of their values; rising or falling."""
    up, down = studio.order(sort), studio.order(sort, descending=True)
    assert sorted(up) == sorted(down) == list(range(36))
    if sort in COLUMNS and sort != "unfamiliar":
        values = studio.column(sort)
        assert (np.diff(values[up]) >= 0).all() and (np.diff(values[down]) <= 0).all()
    assert studio.order(sort) == up


def test_more_like_this(studio: Studio) -> None:
    """Sorted by likeness the picture itself comes first, and its own kind before others."""
    rows = studio.order("like", descending=True, like=5)
    assert rows[0] == 5
    near = [one["row"] for one in studio.get("/api/neighbours/5?n=6&labelled=1")]
    assert 5 not in near and len(near) == 6
    similar = [one["similarity"] for one in studio.get("/api/neighbours/5")]
    assert len(similar) == 12 and similar == sorted(similar, reverse=True)


@pytest.mark.parametrize(
    "order",
    [
        {"sort": "colour"},
        {"sort": "like"},
        {"filter": {"like": 36}, "sort": "like"},
        {"filter": {"finding": ["blnk"]}},
        {"filter": {"confidence": [0.5]}},
        {"filter": {"confidence": ["NaN", 1]}},
        {"filter": {"labels": [0]}},
        {"filter": {"split": ["training"]}},
        {"filter": {"rows": [-1]}},
        {"filter": {"label": ["circles"]}},
        {"filters": {}},
        [],
        "order",
        7,
    ],
)
def test_wrong_orders(studio: Studio, order: object) -> None:
    """A wrong order is refused with a sentence and a hint."""
    answer = studio.client.post("/api/orders", json=order)
    assert answer.status_code == 422, answer.text
    assert answer.json().keys() == {"error", "hint"} and all(answer.json().values())


def test_rows(studio: Studio) -> None:
    """What is known of a few rows, in the order in which they are asked for."""
    found = studio.post("/api/rows", {"rows": [35, 0, 0]}).json()
    assert [one["row"] for one in found] == [35, 0, 0]
    first = found[1]
    assert first["path"].startswith("circles/") and (first["width"], first["height"]) == (96, 80)
    assert (first["given"], first["label"], first["excluded"], first["decided"]) == (0, 0, False, False)
    for rows in ([36], [-1], list(range(36)) * 14, ["a"], [1.5], None):
        answer = studio.post("/api/rows", {"rows": rows})
        assert answer.status_code == 422 and answer.json()["hint"], rows


def test_pictures(studio: Studio) -> None:
    """A picture is asked for by its digest, small or as it is, and may be kept for ever."""
    digest = studio.row(0)["digest"]
    for side in (160, 320):
        answer = studio.client.get(f"/images/{digest}/thumbnail?side={side}")
        assert "immutable" in answer.headers["Cache-Control"]
        assert max(Image.open(io.BytesIO(answer.content)).size) <= side
    whole = studio.client.get(f"/images/{digest}")
    assert Image.open(io.BytesIO(whole.content)).size == (96, 80)
    assert whole.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/images/{digest}/thumbnail?side=100000", 422),
        ("/images/{digest}/thumbnail?side=x", 422),
        (f"/images/{'0' * 64}", 404),
        (f"/images/{'0' * 64}/thumbnail", 404),
        ("/images/{path}", 404),
        ("/images/..%2f..%2fetc%2fpasswd", 404),
        ("/images/%2e%2e/thumbnail", 404),
        ("/page/../studio_app.py", 404),
        ("/page/..%2fstudio_app.py", 404),
        ("/page/%2e%2e%2f%2e%2e%2fmain.py", 404),
        ("/runs/..%2f..%2f/report.html", 404),
        ("/runs/nothing/report.html", 404),
        ("/api/neighbours/99", 422),
        ("/api/neighbours/-1", 422),
        ("/api/neighbours/a", 422),
        ("/api/neighbours/1?n=0", 422),
        ("/api/neighbours/1?n=100000", 422),
        ("/api/queues/nothing", 404),
        ("/api/queues/next?n=0", 422),
        ("/api/changes", 422),
        ("/api/nothing", 404),
    ],
)
def test_what_is_not_there(studio: Studio, path: str, status: int) -> None:
    """No path leads out of the project, and what is wrong is told in a sentence."""
    found = studio.row(0)
    answer = studio.client.get(path.format(digest=found["digest"], path=found["path"].replace("/", "%2f")))
    assert answer.status_code == status, answer.text
    assert all(answer.json()[part] for part in ("error", "hint"))


def test_the_map(studio: Studio) -> None:
    """The map is made when it is first asked for; then it has a place for each row."""
    first = studio.client.get("/api/map")
    assert first.status_code in (200, 202)
    answer = studio.until(lambda: (found := studio.client.get("/api/map")).status_code == 200 and found)
    places = np.frombuffer(answer.content, "<f4").reshape(-1, 2)
    assert places.shape == (36, 2) and (places >= 0).all() and (places <= 1).all()
    assert studio.get("/api/project")["map"] == 1


def test_files_that_vanish_or_change(open_studio: Callable[..., Studio], tmp_path: Path) -> None:
    """A picture whose file is gone, or is another one now, is not shown, and that is told; the others are."""
    data = draw(tmp_path / "shapes", {"circles": 3, "squares": 3}, seed=7)
    (data / "squares" / "broken.png").write_bytes(b"no image")
    studio = open_studio(data)
    rows = {Path(one["path"]).name: one for one in studio.post("/api/rows", {"rows": list(range(7))}).json()}
    (data / "circles" / "circles-0.png").unlink()
    (data / "circles" / "circles-1.png").write_bytes((data / "circles" / "circles-2.png").read_bytes())
    for name, status, told in (
        ("circles-0.png", 404, "cannot be read"),
        ("circles-1.png", 410, "changed"),
        ("circles-2.png", 200, ""),
    ):
        for ending in ("", "/thumbnail", "/thumbnail?side=320"):
            answer = studio.client.get(f"/images/{rows[name]['digest']}{ending}")
            assert answer.status_code == status, (name, ending, answer.text)
            assert not told or (told in answer.json()["error"] and answer.json()["hint"])
    broken = rows["broken.png"]
    assert broken["digest"] == "" and broken["problem"]
    assert broken["row"] not in studio.order()
    answer = studio.decide([broken["row"]], "exclude", excluded=True)
    assert answer.status_code == 422 and "cannot be read" in answer.json()["error"]
    assert studio.get(f"/api/neighbours/{broken['row']}") == []
