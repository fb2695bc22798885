"""One image out of a stack of planes: which planes and channels, and which of their values are black and white."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from headstart.channels import AXES, COLOURS, PROJECTIONS, Channels, Projection
from headstart.data.unreadable import UnreadableImage

NAMES = {"page": "page", "t": "time t", "z": "plane z", "c": "channel c"}


@dataclass(frozen=True, slots=True)
class Stack:
    """The planes of a file, read where they are asked for."""

    format: str
    mode: str
    width: int
    height: int
    lengths: Mapping[str, int]  # of `page`, `t`, `z`, `c`; an axis that is not there has a length of 1
    plane: Callable[[Mapping[str, int]], np.ndarray]  # (height, width) or (height, width, n) at a place on these axes
    n_samples: int  # values of a pixel that are read together
    white: float | None  # the value that is white without levels; None: unknown
    is_colour: bool = False  # whether the n values of a pixel are red, green, blue, and perhaps alpha
    is_inverted: bool = False  # whether low values are white
    has_levels: bool = True  # whether it holds measured values, of which levels can be chosen
    n_pages: int = 1
    orientation: int = 1


def bands_of(stack: Stack, channels: Channels) -> list[np.ndarray]:
    """The values of one band for a grey image, or of each that is listed, (height, width). Raises UnreadableImage."""
    if (channels.levels or channels.window) and not stack.has_levels:
        raise UnreadableImage(f"levels are chosen for measured values, and not for a photograph ({stack.format})", "type")
    axis = channels.listed_axis
    if not axis or (axis == "c" and axis not in stack.lengths):
        return _samples(_values(stack, channels, {}), stack, channels)
    places = [_checked(axis, number, stack.lengths.get(axis, 1)) for number in getattr(channels, axis)]
    planes = (_values(stack, channels, {axis: place}) for place in places)
    return [_one(_samples(plane, stack, channels) if axis != "c" else [_squeezed(plane)]) for plane in planes]


def _samples(values: np.ndarray, stack: Stack, channels: Channels) -> list[np.ndarray]:
    """The chosen ones of the values that a pixel of a plane has."""
    if values.ndim == 2 and "c" not in stack.lengths:
        values = values[..., None]
    if values.ndim == 2:
        return [values]
    n = values.shape[-1]
    if channels.c is None or "c" in stack.lengths:
        if n == 1:
            return [values[..., 0]]
        if stack.is_colour and n >= COLOURS:
            return [values[..., number] for number in range(COLOURS)]
        raise _unclear("c", n)
    if isinstance(channels.c, str):
        return [_projected([values[..., number] for number in range(n)], channels.c)]
    listed = (channels.c,) if isinstance(channels.c, int) else channels.c
    return [values[..., _checked("c", number, n)] for number in listed]


def levels_applied(bands: list[np.ndarray], stack: Stack, channels: Channels) -> np.ndarray:
    """(height, width), (height, width, 3) or, of four channels and more, (height, width, n) uint8.

    Raises UnreadableImage if it is not known which value is white.
    """
    if channels.levels:
        pairs = channels.levels * len(bands) if len(channels.levels) == 1 else channels.levels
    elif stack.white is None:
        kind = bands[0].dtype
        raise UnreadableImage(f"{kind} pixels: their range is unknown; choose it, as by --channels window=1..99", "type")
    else:
        pairs = ((0.0, float(stack.white)),) * len(bands)
    shown = [_as_bytes(band, *pair) for band, pair in zip(bands, pairs, strict=True)]
    if stack.is_inverted:
        shown = [255 - band for band in shown]
    if len(shown) == 1:
        return shown[0]
    if len(shown) == 2:
        shown.append(np.zeros_like(shown[0]))
    return np.stack(shown, axis=-1)


def _values(stack: Stack, channels: Channels, at: dict[str, int]) -> np.ndarray:
    """The plane at a place, with projections over the axes that are not in it."""
    axis = next((axis for axis in AXES if axis in stack.lengths and axis not in at), None)
    for other in AXES:  # an axis that is not there has one place
        pick = getattr(channels, other)
        if other != "c" and other not in stack.lengths and isinstance(pick, int | tuple):
            _checked(other, max(pick) if isinstance(pick, tuple) else pick, 1)
    if axis is None:
        return stack.plane(at)
    n, pick = stack.lengths[axis], getattr(channels, axis)
    if pick is None and n > 1:
        raise _unclear(axis, n)
    if pick in PROJECTIONS:
        return _projected((_values(stack, channels, at | {axis: number}) for number in range(n)), pick)
    return _values(stack, channels, at | {axis: _checked(axis, pick or 0, n)})


def _projected(planes: Iterable[np.ndarray], pick: Projection) -> np.ndarray:
    total: np.ndarray | None = None
    n = 0
    for plane in planes:
        n += 1
        if total is None:
            total = plane.astype(np.float64) if pick == "mean" else plane
        elif pick == "mean":
            total += plane
        else:
            total = np.maximum(total, plane) if pick == "max" else np.minimum(total, plane)
    assert total is not None
    return total / n if pick == "mean" else total


def _one(bands: list[np.ndarray]) -> np.ndarray:
    if len(bands) > 1:
        raise UnreadableImage("channels of several colours each, of which --channels cannot choose", "type")
    return bands[0]


def _squeezed(values: np.ndarray) -> np.ndarray:
    return _one([values[..., number] for number in range(values.shape[-1])] if values.ndim == 3 else [values])


def _checked(axis: str, number: int, n: int) -> int:
    if number >= n:
        raise UnreadableImage(f"it has no {NAMES[axis]}={number}: it has {n}, counted from 0".replace("page=", "page "), "type")
    return number


def _unclear(axis: str, n: int) -> UnreadableImage:
    example = {"page": "page=0", "c": "c=0 or c=0,1,2"}.get(axis, f"{axis}=max or {axis}=0")
    kind = {"page": "pages", "t": "times", "z": "planes", "c": "channels"}[axis]
    return UnreadableImage(f"it has {n} {kind}: say which are meant, as in --channels {example}", "type")


def _as_bytes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    if not np.isfinite(values).all():
        raise UnreadableImage("pixels that are no numbers", "type")
    return np.floor(np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)
