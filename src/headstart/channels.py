"""Which pages, planes and channels of a stack become the image, as --channels names it."""

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

Projection = Literal["max", "mean", "min"]
Pick = int | Projection
PROJECTIONS: tuple[Projection, ...] = ("max", "mean", "min")
AXES = ("page", "t", "z", "c")
NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]{1,2})?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})")
MOST_CHANNELS = 3
HOW = "parts such as page=3, z=max, t=0, c=0,2,1 and window=1..99 or levels=0..4095, with + between them; all count from 0"


@dataclass(frozen=True, slots=True)
class Channels:
    """One plane or up to three channels of a stack, and what becomes black and white in them."""

    page: Pick | None = None  # of the file, as it stores them
    t: Pick | None = None
    z: Pick | None = None
    c: Pick | tuple[int, ...] | None = None  # two or three: red, green, blue
    levels: tuple[tuple[float, float], ...] = ()  # black and white: one pair for all, or one for each channel
    window: tuple[float, float] | None = None  # the percentiles of the training images that become the levels

    @property
    def n_listed(self) -> int:
        """How many channels are listed that become colours, each with levels of its own; 1 for grey and for RGB as it is."""
        return len(self.c) if isinstance(self.c, tuple) else 1

    def with_levels(self, levels: tuple[tuple[float, float], ...]) -> "Channels":
        """The same with these levels in place of a window."""
        return replace(self, levels=levels, window=None)

    @property
    def text(self) -> str:
        """As --channels takes it, in one spelling for one meaning."""
        parts = [f"{axis}={_shown(pick)}" for axis in AXES if (pick := getattr(self, axis)) is not None]
        if self.levels:
            parts.append("levels=" + ",".join(f"{low:.9g}..{high:.9g}" for low, high in self.levels))
        if self.window:
            parts.append("window={:.9g}..{:.9g}".format(*self.window))
        return "+".join(parts)


@cache
def channels_of(text: str) -> Channels:
    """What a text names; "" names nothing. Raises ValueError, which says how it is written."""
    found: dict[str, object] = {}
    for part in text.split("+") if text else ():
        name, _, value = part.partition("=")
        if name in found:
            raise ValueError(f"{name} is given twice: {HOW}")
        found[name] = _value(name, value)
    made = Channels(**found)  # type: ignore[arg-type]  # each value is of its name's type
    if made.levels and made.window:
        raise ValueError("levels are given, or found by a window: leave out one of them")
    if len(made.levels) not in (0, 1, made.n_listed):
        raise ValueError(f"{len(made.levels)} pairs of levels for {made.n_listed} channels")
    return made


def _value(name: str, value: str) -> object:
    if name in ("levels", "window"):
        pairs = [match and (float(match[1]), float(match[2])) for match in map(RANGE.fullmatch, value.split(","))]
        if all(pair and pair[0] < pair[1] for pair in pairs):
            if name == "levels":
                return tuple(pairs)
            if len(pairs) == 1 and pairs[0] and pairs[0][0] >= 0 and pairs[0][1] <= 100:
                return pairs[0]
    elif name in AXES:
        if value in PROJECTIONS:
            return value
        numbers = value.split(",")
        if all(re.fullmatch("[0-9]{1,6}", number) for number in numbers):
            if len(numbers) == 1:
                return int(value)
            if name == "c" and len(numbers) <= MOST_CHANNELS:
                return tuple(map(int, numbers))
    raise ValueError(HOW)


def _shown(pick: Pick | tuple[int, ...]) -> str:
    return ",".join(map(str, pick)) if isinstance(pick, tuple) else str(pick)
