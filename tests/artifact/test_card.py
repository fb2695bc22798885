"""The model card: true, safe to show, and with a program that answers as headstart does."""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from conftest import SavedRun, draw_shape
from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image, ImageCms

from artifact.conftest import edit
from headstart.artifact.bundle import CARD, FAMILIARITY, WEIGHTS, read_bundle
from headstart.artifact.card import card_of, plain
from headstart.artifact.card_program import classifying_program
from headstart.artifact.export import export_model
from headstart.artifact.manifest import MANIFEST, Manifest
from headstart.artifact.predictor import Predictor
from headstart.data.colour import DISPLAY_P3
from headstart.data.icc import SRGB_CHROMATICITIES, profile_from
from headstart.data.odd_images import odd_images
from headstart.model.exported import HEAD, ExportFormat, ExportPrecision

MARKDOWN = MarkdownIt("commonmark").enable("table")
HOSTILE = ("a|b\n| c | d |", "`rm -rf`\n```\n# no code", "<script>alert(1)</script> & [x](http://y) **z** ~~u~~ $v$")


def tokens_of(text: str) -> list[Token]:
    """All tokens of a Markdown document, those within lines included."""
    found: list[Token] = []
    for token in MARKDOWN.parse(text):
        found += [token, *(token.children or [])]
    return found


def cells_of(text: str) -> list[str]:
    """The cells of all tables as a reader sees them."""
    tokens = MARKDOWN.parse(text)
    cells = (tokens[i + 1] for i, token in enumerate(tokens) if token.type in ("td_open", "th_open"))
    return ["".join(part.content for part in cell.children or []) for cell in cells]


def headings_of(text: str) -> list[str]:
    """The headings in their order."""
    return re.findall(r"^## (.*)$", text, flags=re.MULTILINE)


def renamed(manifest: Manifest, names: tuple[str, ...]) -> Manifest:
    """A manifest of a model whose classes have other names."""
    values: dict[str, Any] = manifest.as_json()
    values["classes"] = names
    values["notes"] = [f"test has no image of {name!r}" for name in names] + [f"raw: {names[-1]}"]
    values["data"]["name"] = names[1]
    for entry, name in zip(values["evaluation"]["per_class"], names, strict=True):
        entry |= {"class": name, "recall": 0.0, "n": 30}
    return Manifest.from_json(values)


def test_a_card_tells_what_the_manifest_knows(saved_run: SavedRun) -> None:
    """Data and counts, numbers with what they were measured on, classes, limits, licence and use: all is in the card."""
    card = (saved_run.model / CARD).read_text(encoding="utf-8")
    manifest = read_bundle(saved_run.model).manifest
    assert card == card_of(manifest)
    assert headings_of(card) == [
        "What it was trained on",
        "How good it is",
        "What it does not know",
        "How it was made",
        "How to use it",
        "Licence",
        "Files",
    ]
    cells = cells_of(card)
    assert cells[:3] == ["class", "train images", "val images"]
    assert cells[3:6] == ["circles", "12", "7"]
    assert manifest.data.counts == {"train": (12, 12, 12), "val": (7, 7, 7)}
    assert manifest.data.skipped == 2
    assert "36 in train" in card and "2 files could not be read" in card
    assert manifest.evaluation is not None
    assert f"{manifest.evaluation.accuracy:.1%} of 21 validation images are classified correctly (95 % interval" in card
    assert "nothing was selected on them" in card
    decisions = manifest.decisions
    assert decisions.familiarity is not None and f"{decisions.familiarity.threshold:.3f}" in card
    assert "about 1% of images like the training images" in card
    assert {MANIFEST, WEIGHTS, FAMILIARITY, CARD} <= set(cells)
    for line in (
        "headstart predict MODEL photo.jpg",
        "headstart verify MODEL",
        "--data-binary @photo.jpg http://127.0.0.1:8000",
    ):
        assert line in card


def test_a_card_of_a_model_that_was_not_measured(saved_run: SavedRun) -> None:
    """Without held-out images the card says that nothing was measured, in place of numbers."""
    card = card_of(read_bundle(saved_run.model).manifest.model_copy(update={"evaluation": None}))
    assert "was not measured" in card and "accuracy |" not in card


def test_numbers_that_are_none_are_refused(saved_run: SavedRun) -> None:
    """An evaluation of another form is an error with the place, not a card with holes."""
    values = read_bundle(saved_run.model).manifest.as_json()
    with pytest.raises(ValueError, match=r"^evaluation\."):
        card_of(Manifest.from_json(values | {"evaluation": {"accuracy": "good"}}))


def test_thresholds_are_told(saved_run: SavedRun) -> None:
    """What the model says beside a class, and on what images that was settled, is in the card, as a promise only if it is."""
    values = read_bundle(saved_run.model).manifest.as_json()
    precision = {"min_confidence": 0.913, "target": 0.99, "promised": False, "precision": 1.0, "share_answered": 0.5, "n": 60}
    conformal = {"coverage": 0.95, "min_probability": 0.1, "mean_size": 1.25, "n": 60}
    values["decisions"] |= {"temperature": 1.5, "set_on": "val", "precision": precision, "conformal": conformal}
    card = card_of(Manifest.from_json(values))
    assert "Below a probability of 0.913" in card and "which is not a promise" in card
    assert "for 95% of images" in card and "1.25 classes on average" in card
    assert "temperature of 1.5, fitted on val" in card
    values["decisions"]["precision"] |= {"promised": True}
    assert "promised with 95 % confidence" in card_of(Manifest.from_json(values))
    values["decisions"]["precision"] |= {"share_answered": 0.0}
    assert "`unsure` for nearly every image" in card_of(Manifest.from_json(values))


def test_names_are_text_whatever_they_hold(saved_run: SavedRun) -> None:
    """Class names with |, `, line ends, tags and links stay within their cell and are shown letter by letter."""
    manifest = read_bundle(saved_run.model).manifest
    usual, card = card_of(manifest), card_of(renamed(manifest, HOSTILE))
    shown = [name.replace("\n", "\\n") for name in HOSTILE]
    assert set(shown) <= set(cells_of(card))
    assert len(cells_of(card)) == len(cells_of(usual))
    assert headings_of(card) == headings_of(usual)
    kinds = {token.type for token in tokens_of(card)}
    assert kinds.isdisjoint({"html_block", "html_inline", "link_open", "image", "strong_open", "em_open", "s_open"})
    fences = [token.content for token in tokens_of(card) if token.type == "fence"]
    assert fences == [token.content for token in tokens_of(usual) if token.type == "fence"]


def test_plain_text_survives_markdown() -> None:
    """Every printable sign of ASCII is shown as itself within a line."""
    signs = "".join(map(chr, range(33, 127)))
    (paragraph,) = (token for token in MARKDOWN.parse(f"x {plain(signs)}") if token.type == "inline")
    assert "".join(part.content for part in paragraph.children or []) == f"x {signs}"
    assert plain("a\u202eb\x00c\ud800") == r"a\\u202eb\\x00c\\ud800"


def inputs_of(card: str) -> str:
    """What the card says of the network's input."""
    cells = cells_of(card)
    return cells[cells.index("input") + 1]


def program_of(folder: Path) -> str:
    """The program in a folder's card."""
    (program,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", (folder / CARD).read_text(encoding="utf-8"), flags=re.DOTALL)
        if "sys.argv" in block
    )
    return str(program)


def assert_program_agrees(folder: Path, images: Iterable[Path], tolerance: float = 1e-4) -> None:
    """The card's program, in a process without headstart, gives the class and probability that headstart gives."""
    files = [str(path) for path in images]
    blocked = "import sys\nsys.modules['headstart'] = None\n" + program_of(folder)
    ran = subprocess.run([sys.executable, "-c", blocked, *files], cwd=folder, capture_output=True, encoding="utf-8")
    assert ran.returncode == 0, ran.stderr
    lines = [line.split("\t") for line in ran.stdout.splitlines()]
    assert [path for path, _, _ in lines] == files
    for (path, label, probability), answer in zip(lines, Predictor.load(folder).predict(files), strict=True):
        assert label == answer.best, path
        assert float(probability) == pytest.approx(answer.probability, abs=tolerance), path


@pytest.fixture
def difficult_images(saved_run: SavedRun, tmp_path: Path) -> list[Path]:
    """Drawn images, odd ones, and large JPEG files in each of the eight orientations a camera writes."""
    folder = tmp_path / "difficult"
    folder.mkdir()
    for name, data in odd_images().items():
        (folder / f"{name}.png").write_bytes(data)
    large = draw_shape("circles", np.random.default_rng(1), (1500, 1100))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        large.save(folder / f"large {orientation}.jpg", exif=exif)
    wide, srgb = profile_from(None, DISPLAY_P3), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = profile_from(1.0, SRGB_CHROMATICITIES, is_grey=True)
    for kind in ("jpg", "png", "tif"):
        large.save(folder / f"wide colours.{kind}", icc_profile=wide)
        large.save(folder / f"colours of sRGB.{kind}", icc_profile=srgb)
        large.convert("L").save(folder / f"linear grey.{kind}", icc_profile=grey)
    large.convert("RGBA").save(folder / "wide colours with alpha.png", icc_profile=wide)
    large.convert("LA").save(folder / "linear grey with alpha.png", icc_profile=grey)
    large.convert("P").save(folder / "wide palette.png", transparency=3, icc_profile=wide)
    large.convert("P").save(folder / "palette.png", transparency=3)
    large.convert("LA").save(folder / "grey with alpha.png")
    return [*sorted(folder.iterdir()), *map(Path, list(saved_run.labels)[:6])]


@pytest.mark.process
@pytest.mark.parametrize(
    ("format", "precision"), [("onnx", "fp32"), ("onnx", "fp16"), ("openvino", "fp32"), ("litert", "fp32"), ("litert", "fp16")]
)
def test_the_program_answers_as_headstart(
    saved_run: SavedRun, tmp_path: Path, difficult_images: list[Path], format: ExportFormat, precision: ExportPrecision
) -> None:
    """On drawn, odd, turned and large images the card's program agrees within 1e-4, in half precision as far as that goes."""
    export_model(saved_run.run, tmp_path / "out", format=format, precision=precision)
    assert_program_agrees(tmp_path / "out", difficult_images, 2e-3 if precision == "fp16" else 1e-4)


@pytest.mark.process
def test_the_program_on_photographs(saved_run: SavedRun, tmp_path: Path, shared: Path) -> None:
    """On real photographs, too, each a JPEG that is decoded at a scale of its own."""
    photos = sorted((shared / "hymenoptera_data" / "val").glob("*/*.jpg"))[::9]
    assert len(photos) > 10
    export_model(saved_run.run, tmp_path / "out")
    assert_program_agrees(tmp_path / "out", photos)


@pytest.mark.process
@pytest.mark.parametrize("cut", ["whole", "pad"])
def test_the_program_of_another_view(saved_run: SavedRun, tmp_path: Path, difficult_images: list[Path], cut: str) -> None:
    """A model that sees the whole image, squeezed or padded to a square, has a program that does so and nothing else."""
    export_model(saved_run.run, tmp_path / "out")
    edit(tmp_path / "out", lambda values: values["preprocess"].update(cuts=[cut]))
    manifest = read_bundle(tmp_path / "out").manifest
    program, card = classifying_program(manifest), card_of(manifest)
    assert f"def {cut}(image)" in program and "crop" not in program
    (tmp_path / "out" / CARD).write_text(card, encoding="utf-8")
    assert_program_agrees(tmp_path / "out", difficult_images)
    assert {"whole": "squeezed to a square", "pad": "padded to a square"}[cut] in card and "views" not in inputs_of(card)


@pytest.mark.process
@pytest.mark.parametrize("format", get_args(ExportFormat))
def test_the_program_of_several_views(
    run_of_views: Path, tmp_path: Path, difficult_images: list[Path], format: ExportFormat
) -> None:
    """A model that takes the mean of six views of an image has a program that does the same."""
    export_model(run_of_views, tmp_path / "out", format=format)
    assert_program_agrees(tmp_path / "out", difficult_images)


def test_the_card_names_views_and_features(run_of_views: Path, saved_run: SavedRun) -> None:
    """What the network sees of an image, how often, and which of its outputs are features."""
    card = card_of(read_bundle(run_of_views).manifest)
    said = inputs_of(card)
    assert "the mean of 6 views" in said and "each also mirrored" in said
    assert all(word in said for word in ("central square", "squeezed to a square", "padded to a square"))
    cells = cells_of(card)
    assert cells[cells.index("features") + 1] == (
        "last pooled layer, mean of layer1, mean of layer2, mean of layer3, mean of layer4"
    )
    assert "mean of" not in inputs_of(card_of(read_bundle(saved_run.model).manifest))


def test_the_card_of_an_export(saved_run: SavedRun, tmp_path: Path) -> None:
    """It says what the model became, how near that is to the original, and names its files."""
    export_model(saved_run.run, tmp_path / "out", precision="int8")
    card = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    cells = cells_of(card)
    assert "onnx, int8: model.onnx" in cells
    assert {MANIFEST, "model.onnx", HEAD, FAMILIARITY, CARD} <= set(cells) and WEIGHTS not in cells
    assert "instead of" in cells[cells.index("compared with the original") + 1]
    assert "headstart[runtime]" in card and str(saved_run.run.parent) not in card
