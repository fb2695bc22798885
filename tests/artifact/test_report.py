"""report.html: one file that says all, shows all, and runs nothing."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import SavedRun
from PIL import Image

from headstart.artifact.numbers import summary_sentence
from headstart.artifact.report import ReportFacts, ReportFigure, write_report
from headstart.artifact.story import Story
from headstart.data.sources import Skipped
from headstart.evaluation.metrics import Evaluation, evaluate_predictions
from headstart.evaluation.selection import Corrected

EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><h1>mine</h1>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;ants&gt; & bees",
    "größe 大きさ 🙂",
)
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would see: tags with attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text, white space collapsed."""
        return " ".join(" ".join(self.words).split())


def evaluation_of(
    n_right: int, n: int, *, split: str = "val", selected_on: bool = False, names: tuple[str, ...] = ("a", "b")
) -> Evaluation:
    """Metrics of a model that has `n_right` of `n` right."""
    labels = np.arange(n) % len(names)
    predicted = np.where(np.arange(n) < n_right, labels, (labels + 1) % len(names))
    shares = np.full((n, len(names)), 0.1 / (len(names) - 1))
    shares[np.arange(n), predicted] = 0.9
    return evaluate_predictions(shares, labels, names, split=split, selected_on=selected_on)


def facts_of(picture: Path, **changes: object) -> ReportFacts:
    """What a report tells, with names that a careless page would run."""
    Image.new("RGB", (8, 8), "red").save(picture)
    values: dict[str, object] = {
        "name": EVIL[0],
        "strategy": "probe",
        "recipe": "default",
        "backbone": "efficientnet_lite0",
        "classes": EVIL,
        "counts": {"train": 40, "val": 12, "test": 0},
        "class_counts": {"train": (9, 8, 7, 6, 5, 5), "val": (2, 2, 2, 2, 2, 2)},
        "evaluation": evaluation_of(10, 12, names=EVIL),
        "story": Story((EVIL[0],), (EVIL[1],), (EVIL[2],)),
        "notes": (EVIL[1],),
        "figures": (ReportFigure(EVIL[2], EVIL[3], picture),),
        "skipped": tuple(Skipped(f"{name}.jpg", "the file is empty") for name in EVIL),
        "tables": ((EVIL[4], ((EVIL[5], EVIL[0]), ("nothing", None), ("a list", [1, 2]))),),
    }
    return ReportFacts(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(params=["made up", "a run's"])
def html(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A report with evil names, and that of a real run."""
    if request.param == "made up":
        write_report(tmp_path / "r.html", facts_of(tmp_path / "p.png"))
        return (tmp_path / "r.html").read_text(encoding="utf-8")
    run: SavedRun = request.getfixturevalue("saved_run")
    return (run.run / "report.html").read_text(encoding="utf-8")


def test_self_contained(html: str) -> None:
    """A report refers to nothing outside itself: it can be mailed, and opens without a network."""
    page = Page(html)
    sources = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href", "srcset", "data")]
    assert sources
    assert all(source and source.startswith("data:image/png;base64,") for source in sources)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"url\(|@import|https?://", html.split("<body>")[0])


def test_pictures_are_inside(html: str) -> None:
    """Each picture is in the page itself, can be opened, and has a text for those who cannot see it."""
    images = [attrs for tag, attrs in Page(html).tags if tag == "img"]
    assert images
    for attrs in images:
        data = base64.b64decode((attrs["src"] or "").partition(",")[2], validate=True)
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert image.format == "PNG"
        assert attrs["alt"]


def test_nothing_in_it_runs(html: str) -> None:
    """No name of a class, file, figure or setting becomes a tag or a handler, and every element is closed."""
    page = Page(html)
    assert page.open == []
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    """Whatever a class, a file or a setting is called, the page shows that very name."""
    write_report(tmp_path / "r.html", facts_of(tmp_path / "p.png"))
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    text = Page(html).text
    for name in EVIL:
        assert text.count(name) >= 2, name
        assert f"{name}.jpg" in text


@pytest.mark.parametrize("split", ["val", "test", "cv", "all"])
@pytest.mark.parametrize("selected_on", [False, True])
def test_summary_sentence(split: str, selected_on: bool) -> None:
    """The claim names the share, the number of images, which images, the 95 % interval, and whether they were selected on."""
    sentence = summary_sentence(evaluation_of(147, 153, split=split, selected_on=selected_on))
    assert sentence.startswith("96.1% of 153 ")
    assert "95 % interval 91.7% to 98.2%" in sentence  # field-notes.md: 147 of 153
    assert {"val": "validation", "test": "test", "cv": "cross-validation", "all": "images"}[split] in sentence
    assert ("best epoch was chosen on these" in sentence, "nothing was selected" in sentence) == (selected_on, not selected_on)
    assert sentence.endswith(".")


def test_summary_sentence_of_one_image() -> None:
    """One is said as one."""
    alone = evaluation_of(1, 1, split="val", selected_on=False)
    assert "of 1 validation image are" in summary_sentence(alone)
    assert summary_sentence(alone, 1).endswith("1 of them was trained on, so the number is too high.")
    assert "1 of them has a twin in train" in summary_sentence(alone.model_copy(update={"leaked": 1}))


@pytest.mark.parametrize("split", ["val", "cv"])
def test_summary_sentence_says_that_views_were_chosen(split: str) -> None:
    """Where views were chosen on some of the images, the claim says on how many, and of the epoch only what is true."""
    chosen = evaluation_of(147, 153, split=split).model_copy(update={"selected_on": True, "views_chosen_on": 60})
    sentence = summary_sentence(chosen)
    assert sentence.endswith("); the views were chosen on 60 of them, so expect a little less on new ones.")
    assert "epoch" not in sentence and "nothing was selected" not in sentence
    corrected = Corrected(accuracy=0.94, accuracy_ci95=(0.9, 0.97))
    both = summary_sentence(chosen.model_copy(update={"selection_corrected": corrected}))
    assert "; the views were chosen on 60 of them; the best epoch was chosen on these very images" in both


def test_a_run_s_report_tells_what_metrics_json_holds(saved_run: SavedRun) -> None:
    """The page has the summary sentence, the interval, each class's numbers, the mistakes and the files that were not used."""
    text = Page((saved_run.run / "report.html").read_text(encoding="utf-8")).text
    metrics = json.loads((saved_run.run / "metrics.json").read_text(encoding="utf-8"))
    evaluation = metrics["evaluation"]
    low, high = evaluation["accuracy_ci95"]
    assert f"{evaluation['accuracy']:.1%} of {evaluation['n']} validation images are classified correctly" in text
    assert f"95 % interval {low:.1%} to {high:.1%}" in text
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"):
        assert f"{evaluation[name]:.3f}" in text
    for entry in evaluation["per_class"]:
        recall = f"{entry['recall']:.3f} too few"  # seven images a class
        assert f"{entry['class']} {entry['n']} {entry['precision']:.3f} {recall} {entry['f1']:.3f}" in text
    for name, reason in (("notes.jpg", "a text file, not an image"), ("empty.png", "the file is empty")):
        assert name in text
        assert reason in text
    assert "2 of them" in text
    for title in ("Which classes are confused", "The most confident mistakes", "Sample predictions", "Versions"):
        assert title in text
    assert metrics["backbone"]["weights_sha256"] in text
    assert "train/circles/notes.jpg" in text and str(saved_run.data) not in text  # images are named within the data set
    assert re.search(r"one: val/\w+/", text)  # the most confident mistakes


@pytest.mark.parametrize(("count", "words"), [(0, "None: every file was read"), (50, "50 of them"), (53, "and 3 more")])
def test_skipped_files(tmp_path: Path, count: int, words: str) -> None:
    """No file that was left out is hidden: fifty are listed, the others counted."""
    skipped = tuple(Skipped(f"broken-{i}.jpg", "the file is empty") for i in range(count))
    write_report(tmp_path / "r.html", facts_of(tmp_path / "p.png", skipped=skipped))
    text = Page((tmp_path / "r.html").read_text(encoding="utf-8")).text
    assert words in text
    assert text.count("broken-") == min(count, 50)
    assert ("more." in text) == (count > 50)


def test_a_class_without_images(tmp_path: Path) -> None:
    """Numbers that mean nothing, as the recall of a class without images, are dashes, not zeros."""
    shares = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    evaluation = evaluate_predictions(shares, np.array([0, 1]), ("a", "b", "c"), split="test")
    write_report(tmp_path / "r.html", facts_of(tmp_path / "p.png", evaluation=evaluation, classes=("a", "b", "c")))
    assert "c 0 – – too few –" in Page((tmp_path / "r.html").read_text(encoding="utf-8")).text


@pytest.mark.parametrize(
    ("n", "n_groups", "words"),
    [
        (19, 19, "(too few for an interval: 20 are needed)"),
        (20, 20, "(95 % interval 53.1% to 88.8%)"),
        (20, 5, "(too few groups for an interval: 8 are needed, from 5 unrelated groups)"),
        (40, 10, "from 10 unrelated groups)"),
    ],
)
def test_the_claim_says_how_sure_it_is(n: int, n_groups: int, words: str) -> None:
    """Below twenty images or eight groups there is no interval to go by; images of groups say how many groups they are of."""
    probabilities = np.tile([0.9, 0.1], (n, 1))
    labels, groups = (np.arange(n) % 4 == 0).astype(int), np.arange(n) % n_groups
    assert words in summary_sentence(evaluate_predictions(probabilities, labels, ("a", "b"), split="test", groups=groups))


def test_the_recipe_is_named_where_it_is_not_the_default(tmp_path: Path) -> None:
    """A report of the tutorial's procedure says so at its top."""
    write_report(tmp_path / "r.html", facts_of(tmp_path / "p.png", recipe="tutorial"))
    assert (
        "probe, recipe tutorial on efficientnet_lite0; 6 classes; 40 train, 12 val"
        in Page((tmp_path / "r.html").read_text(encoding="utf-8")).text
    )


def test_the_classes_and_their_images(tmp_path: Path) -> None:
    """Every class is listed with its images in each split."""
    write_report(
        tmp_path / "r.html",
        facts_of(tmp_path / "p.png", classes=("ants", "bees"), class_counts={"train": (31, 32), "val": (7, 8)}),
    )
    assert "class train val ants 31 7 bees 32 8" in Page((tmp_path / "r.html").read_text(encoding="utf-8")).text
