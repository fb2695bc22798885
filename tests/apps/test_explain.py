"""`predict --explain`: a page with the places that speak for the answers."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import SavedRun

from apps.conftest import Result, assert_explained
from headstart.artifact.explained import _marked, explained, explainer_of
from headstart.artifact.export import export_model
from headstart.artifact.predictor import Predictor

Command = Callable[..., Result]


@pytest.mark.slow
def test_a_page_of_explanations(headstart: Command, draw_classes: Callable[..., Path], tmp_path: Path) -> None:
    """Each image is there twice, plain and marked, with its answer; the page asks no other host for anything."""
    data = draw_classes({"circles": 12, "squares": 12})
    headstart("train", data, "--strategy", "probe", "--output", tmp_path / "run", "--quiet")
    result = headstart("predict", tmp_path / "run", data / "circles", "--explain", tmp_path / "why.html")
    assert result.code == 0 and f"where the answers come from is in {tmp_path / 'why.html'}" in result.err
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="(data:image/jpeg;base64,[^"]+)"', page)
    assert len(pictures) == 2 * 12 and len(set(pictures)) == 2 * 12
    assert page.count("The marked places add most to &#39;circles&#39;") >= 10
    assert "http" not in page.replace("data:image", "")
    again = headstart("predict", tmp_path / "run", data / "circles", "--explain", tmp_path / "why.html")
    assert_explained(again, "already exists")


@pytest.mark.slow
def test_a_page_of_explained_numbers(headstart: Command, draw_classes: Callable[..., Path], tmp_path: Path) -> None:
    """What raises a number and what lowers it, from the mean of the training images to the answer; nothing of classes."""
    drawn, data = draw_classes({"circles": 12, "squares": 12}), tmp_path / "numbers"
    data.mkdir()
    for name, number in (("circles", "2000"), ("squares", "3000")):
        (drawn / name).rename(data / number)
    options = ["--task", "regression", "--strategy", "probe", "--view", "crop", "--quiet"]
    assert headstart("train", data, *options, "--output", tmp_path / "run").code == 0
    asked = headstart("predict", tmp_path / "run", data, "--explain", tmp_path / "why.html", "--format", "jsonl")
    answers = [json.loads(line)["predicted"] for line in asked.out.splitlines()]
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    told = re.findall(r"From ([\d.]+), the mean .* raise the number by ([\d.]+) and .* lower it by ([\d.]+), exactly", page)
    assert len(told) == len(answers) == 24 and "raise the answer in orange" in page and "speak for" not in page
    for answer, (mean, raised, lowered) in zip(answers, told, strict=True):
        assert f"<strong>{answer:.4g} (" in page
        assert float(mean) + float(raised) - float(lowered) == pytest.approx(answer, abs=2)  # of four digits each


def test_numbers_are_marked_in_two_colours() -> None:
    """Orange where it is raised, blue where it is lowered, and the pixels themselves where nothing is added."""
    grey = np.full((2, 3, 3), 128, np.uint8)
    marked = _marked(grey, np.array([[1.0, 0.0, -1.0], [0.5, 0.0, -0.5]], np.float32)).astype(int)
    assert (marked[:, 1] == 128).all()
    assert (marked[:, 0, 0] > 128).all() and (marked[:, 0, 2] < 128).all()
    assert (marked[:, 2, 0] < 128).all() and (marked[:, 2, 2] > 128).all()
    assert (np.abs(marked[0] - 128).sum(axis=-1) >= np.abs(marked[1] - 128).sum(axis=-1)).all()


def test_what_cannot_be_explained(headstart: Command, saved_run: SavedRun, tmp_path: Path) -> None:
    """An export, whose maps are not at hand, is refused before anything is answered; so is a wrong ending."""
    image = next(iter(saved_run.labels))
    export_model(saved_run.run, tmp_path / "export")
    refused = headstart("predict", tmp_path / "export", image, "--explain", tmp_path / "why.html")
    assert_explained(refused, "maps of this network are not at hand")
    assert refused.out == "" and not (tmp_path / "why.html").exists()
    assert_explained(headstart("predict", saved_run.run, image, "--explain", tmp_path / "why.png"), "does not end in .html")
    page = tmp_path / "a.html"
    same = headstart("predict", saved_run.run, image, "--explain", page, "--output", page, "--format", "table")
    assert_explained(same, "are both")


def test_what_is_explained_is_the_answer(saved_run: SavedRun) -> None:
    """Whatever the first view alone says: several views, or the median of grades, may give another class."""
    predictor = Predictor.load(saved_run.run)
    explainer = explainer_of(predictor)
    image = Path(next(iter(saved_run.labels)))
    (answer,) = predictor.predict(image)
    assert answer.probabilities is not None
    for probabilities in np.eye(len(predictor.classes)):
        given = replace(answer, probabilities=probabilities)
        assert repr(given.best) in explained(image.read_bytes(), given, explainer).sentence
