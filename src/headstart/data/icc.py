"""An ICC profile made of chromaticities and a gamma, for files that state their colours without one."""

import struct
from dataclasses import dataclass

import numpy as np

CURVE_POINTS = 1024
LEAST_GAMMA, MOST_GAMMA = 0.1, 5.0  # of an encoding; anything else is damage
USUAL_GAMMA = 1 / 2.2  # what files with the primaries and the curve of sRGB say (PNG, 11.3.2.5)
# Bradford's cone responses, by which profiles adapt colours to the white of D50 (ICC.1:2022, annex E).
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D50 = np.array([0.9642, 1.0, 0.8249])


@dataclass(frozen=True, slots=True)
class Chromaticities:
    """CIE x and y of white and of the three primaries."""

    white: tuple[float, float]
    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]


SRGB_CHROMATICITIES = Chromaticities((0.3127, 0.3290), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))


def profile_from(gamma: float | None, points: Chromaticities, *, is_grey: bool = False) -> bytes | None:
    """The profile of an encoding with this gamma, such as 1 / 2.2, and these primaries (ICC.1:2001-04, version 2).

    Without a gamma its curve is that of sRGB. None if it is sRGB, or if the numbers make no sense.
    """
    if gamma is not None and not LEAST_GAMMA <= gamma <= MOST_GAMMA:
        return None
    if (gamma is None or abs(gamma - USUAL_GAMMA) < 0.002) and _are_srgb(points):
        return None
    steps = np.linspace(0, 1, CURVE_POINTS)
    linear = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    curve = _curve(linear if gamma is None else steps ** (1 / gamma))
    if is_grey:
        return _profile(b"GRAY", [(b"kTRC", curve)])
    colorants = _colorants(points)
    if colorants is None:
        return None
    channels = zip((b"r", b"g", b"b"), colorants.T, strict=True)
    tags = [tag for name, column in channels for tag in ((name + b"XYZ", _xyz(column)), (name + b"TRC", curve))]
    return _profile(b"RGB ", tags)


def _are_srgb(points: Chromaticities) -> bool:
    pairs = zip(_flat(points), _flat(SRGB_CHROMATICITIES), strict=True)
    return all(abs(one - other) < 0.002 for one, other in pairs)


def _flat(points: Chromaticities) -> tuple[float, ...]:
    return (*points.white, *points.red, *points.green, *points.blue)


def _colorants(points: Chromaticities) -> np.ndarray | None:
    """(3, 3): the XYZ of each primary in a column, under D50; None for primaries or a white that cannot be."""
    if min(points.white[1], points.red[1], points.green[1], points.blue[1]) <= 0:
        return None
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in (points.red, points.green, points.blue)]).T
    white = np.array([points.white[0] / points.white[1], 1.0, (1 - sum(points.white)) / points.white[1]])
    if abs(np.linalg.det(columns)) < 1e-6:
        return None
    adapted = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ white)) @ BRADFORD
    found: np.ndarray = adapted @ (columns * np.linalg.solve(columns, white))
    return found if np.abs(found).max() < 4 else None


def _profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    tags = [(b"wtpt", _xyz(D50)), *tags]
    at = 128 + 4 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    for name, body in tags:
        table += struct.pack(">4sII", name, at + len(content), len(body))
        content += body + bytes(-len(body) % 4)
    size = at + len(content)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, b"mntr", space, b"XYZ ") + bytes(12) + b"acsp" + bytes(28)
    return header + _xyz(D50)[8:] + bytes(128 - len(header) - 12) + table + content


def _xyz(values: np.ndarray) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(float(value) * 65536) for value in values))


def _curve(levels: np.ndarray) -> bytes:
    return struct.pack(">4s4xI", b"curv", len(levels)) + np.round(levels * 65535).astype(">u2").tobytes()
