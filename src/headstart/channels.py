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
COLOURS = 3  # more channels than these do not become colours: each is a channel of the network's input
MOST_CHANNELS = 32
HOW = (
    "parts such as page=3, z=max, t=0, c=0,2,1 and window=1..99 or levels=0..4095, with + between them; all count from 0, "
    f"and one part may list up to {MOST_CHANNELS} numbers"
)


@dataclass(frozen=True, slots=True)
class Channels:
    """One plane or several channels of a stack, and what becomes black and white in them.

    One axis at most has a list. Two or three that are listed are red, green and blue; four or more are channels of their own.
    """

    page: Pick | tuple[int, ...] | None = None  # of the file, as it stores them
    t: Pick | tuple[int, ...] | None = None
    z: Pick | tuple[int, ...] | None = None
    c: Pick | tuple[int, ...] | None = None
    levels: tuple[tuple[float, float], ...] = ()  # black and white: one pair for all, or one for each channel
    window: tuple[float, float] | None = None  # the percentiles of the training images that become the levels

    @property
    def listed_axis(self) -> str:
        """The axis whose places are listed as channels; "" if there is none."""
        return next((axis for axis in AXES if isinstance(getattr(self, axis), tuple)), "")

    @property
    def n_listed(self) -> int:
        """How many channels are listed, each with levels of its own; 1 for grey and for RGB as it is."""
        return len(getattr(self, self.listed_axis)) if self.listed_axis else 1

    @property
    def n_channels(self) -> int:
        """How many channels the image has for a network: those that are listed, but at least red, green and blue."""
        return max(self.n_listed, COLOURS)

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
    if sum(isinstance(pick, tuple) for pick in (made.page, made.t, made.z, made.c)) > 1:
        raise ValueError(f"only one part may be a list: {HOW}")
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
            if len(numbers) <= MOST_CHANNELS:
                return tuple(map(int, numbers))
    raise ValueError(HOW)


def _shown(pick: Pick | tuple[int, ...]) -> str:
    return ",".join(map(str, pick)) if isinstance(pick, tuple) else str(pick)
