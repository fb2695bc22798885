"""Fonts for what people call their classes: scripts that matplotlib's own font lacks are drawn in an installed one."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from headstart.errors import HeadstartWarning
from headstart.storage import home


@contextmanager
def matplotlib_in_home() -> Iterator[None]:
    """While the block imports matplotlib: its settings and its list of fonts are below home(), or where MPLCONFIGDIR says.

    Matplotlib remembers the folder. When the block ends, the environment is as before.
    """
    if os.environ.get("MPLCONFIGDIR") or "matplotlib" in sys.modules:
        yield
        return
    os.environ["MPLCONFIGDIR"] = str(home() / "matplotlib")
    try:
        yield
    finally:
        del os.environ["MPLCONFIGDIR"]


with matplotlib_in_home():
    from matplotlib.figure import Figure
    from matplotlib.font_manager import findfont, fontManager, get_font
    from matplotlib.text import Text

DEFAULT = "DejaVu Sans"  # comes with matplotlib: Latin, Greek, Cyrillic, Arabic and more, but no Chinese, Japanese or Korean
PLACEHOLDERS = "Last Resort"  # a font with a box for every character


def lend_fonts(figure: Figure) -> None:
    """Gives the texts of a figure the fonts that have their characters.

    Warns once of characters that no installed font has: they are drawn as boxes.
    """
    texts = [text for text in figure.findobj(Text) if _lacking(text.get_text())]
    if texts:
        families, missing = _families("".join(sorted({sign for text in texts for sign in _lacking(text.get_text())})))
        for text in texts:
            text.set_fontfamily([DEFAULT, *families])
        if missing:
            _tell(missing)


def _lacking(text: str) -> set[str]:
    """The visible characters that the default font does not have."""
    return set() if text.isascii() else {sign for sign in text if sign.isprintable() and ord(sign) not in _characters(DEFAULT)}


@cache
def _characters(family: str) -> frozenset[int]:
    return frozenset(get_font(findfont(family)).get_charmap())


@cache
def _families(characters: str) -> tuple[tuple[str, ...], str]:
    """The installed families that together have the characters, and the characters that none has."""
    families: list[str] = []
    missing = set(characters)
    upright = {font.name: font for font in fontManager.ttflist if font.style == "normal" and PLACEHOLDERS not in font.name}
    for name in sorted(upright, key=lambda name: ("Sans" not in name, name)):
        found = {sign for sign in missing if ord(sign) in get_font(upright[name].fname).get_charmap()}
        if found:
            families.append(name)
            missing -= found
        if not missing:
            break
    return tuple(families), "".join(sorted(missing))


@cache
def _tell(missing: str) -> None:
    shown = missing[:10] + ("…" if len(missing) > 10 else "")
    warnings.warn(
        f"no installed font has the characters {shown}: pictures show boxes instead; install one, such as Noto Sans CJK",
        HeadstartWarning,
        stacklevel=2,
    )
