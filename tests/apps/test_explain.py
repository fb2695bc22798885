"""`predict --explain`: a page with the places that speak for the answers."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import SavedRun

from apps.conftest import Result, assert_explained
from headstart.artifact.explained import explained, explainer_of
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
