"""Class names in any script are drawn where an installed font has it, and told where none has."""

import warnings
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font

from headstart.artifact import fonts
from headstart.artifact.figures import save_figure
from headstart.artifact.fonts import DEFAULT, lend_fonts
from headstart.errors import HeadstartWarning


@pytest.fixture
def own_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the fonts that come with matplotlib, as on a machine without any."""
    place = matplotlib.get_data_path()
    monkeypatch.setattr(fontManager, "ttflist", [font for font in fontManager.ttflist if font.fname.startswith(place)])
    for function in (fonts._families, fonts._tell):
        function.cache_clear()


def figure_with(text: str) -> Figure:
    figure = Figure()
    figure.text(0, 0, text)
    return figure


def test_a_script_that_no_font_has_is_told_once(own_fonts: None, tmp_path: Path) -> None:
    """Chinese on a machine without a font for it: one warning that names the characters, and the picture is written."""
    with pytest.warns(HeadstartWarning, match="no installed font has the characters 猫: .*Noto Sans CJK"):
        save_figure(figure_with("猫"), tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure_with("猫"), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_an_installed_font_is_used(own_fonts: None) -> None:
    """A sign that the default font lacks is drawn in a font that has it, without a warning."""
    default = set(get_font(next(font.fname for font in fontManager.ttflist if font.name == DEFAULT)).get_charmap())
    other = next(font for font in fontManager.ttflist if font.name == "STIXGeneral" and font.style == "normal")
    sign = chr(next(code for code in sorted(get_font(other.fname).get_charmap()) if code not in default and code < 0xE000))
    figure = figure_with(f"a {sign}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lend_fonts(figure)
    assert figure.texts[0].get_fontfamily()[0] == DEFAULT and len(figure.texts[0].get_fontfamily()) == 2


@pytest.mark.parametrize("text", ["ants", "Größe\n10 of 12", "Кошки"])
def test_other_names_keep_the_font(text: str) -> None:
    """A text that the default font has is left alone."""
    figure = figure_with(text)
    before = figure.texts[0].get_fontfamily()
    lend_fonts(figure)
    assert figure.texts[0].get_fontfamily() == before
