"""What becomes black and white in measured values: given as levels, or as percentiles of training images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.channels import Channels, channels_of
from headstart.data.images import UnreadableImage, measured
from headstart.data.sources import Candidate, Sources
from headstart.errors import DataError
from headstart.settings import TrainSettings
from headstart.threads import map_in_threads

MOST_IMAGES = 200  # that percentiles are found on, evenly spread over train
MOST_VALUES = 1 << 16  # of each image and channel, evenly spread over it: each image counts the same


@dataclass(frozen=True, slots=True)
class Levels:
    """What is chosen of stacks in a run, with the levels that were found."""

    channels: str
    notes: tuple[str, ...] = ()


def levels_found(sources: Sequence[Sources], settings: TrainSettings) -> Levels:
    """The channels of the settings, with the percentiles of train in place of a window.

    Images of val and test that came with the data do not count; those that are split off train later do. Raises DataError
    if no image tells what its values are, or if they are all the same.
    """
    if not settings.channels:
        return Levels("")
    channels = channels_of(settings.channels)
    if channels.window is None:
        return Levels(channels.text)
    train = [one for source in sources for one in source.candidates if one.split in (None, "train")]
    places = np.unique(np.linspace(0, len(train) - 1, min(MOST_IMAGES, len(train))).round().astype(int)).tolist()
    reasons: list[str] = []
    values: list[list[np.ndarray]] = [[] for _ in range(channels.n_listed)]
    for bands in map_in_threads(lambda one: _values(one, channels), [train[place] for place in places], settings.workers):
        if isinstance(bands, str):
            reasons.append(bands)
            continue
        for number, band in enumerate(bands):
            values[number % len(values)].append(band)
    n = len(places) - len(reasons)
    if not n:
        first = f"; the first: {reasons[0]}" if reasons else ""
        raise DataError(f"--channels {channels.text} finds no image of train with values{first}", hint="check --channels")
    levels = tuple(_percentiles(np.concatenate(of_channel), channels) for of_channel in values)
    found = channels.with_levels(levels).text
    asked = "percentiles {:g} and {:g}".format(*channels.window)
    return Levels(found, (f"black and white are {asked} of {n} images of train: --channels {found}",))


def _values(candidate: Candidate, channels: Channels) -> list[np.ndarray] | str:
    """Some values of each channel, (n,) float64; or why the image has none."""
    try:
        bands = measured(candidate.read(), channels.text)
    except UnreadableImage as unreadable:
        return f"{candidate.path}: {unreadable.reason}"
    flat = [band.ravel()[:: max(1, -(-band.size // MOST_VALUES))].astype(np.float64) for band in bands]
    return [band[np.isfinite(band)] for band in flat]


def _percentiles(values: np.ndarray, channels: Channels) -> tuple[float, float]:
    assert channels.window is not None
    low, high = (float(f"{level:.6g}") for level in np.percentile(values, channels.window)) if values.size else (0.0, 0.0)
    if low >= high:
        raise DataError(
            f"percentiles {channels.window[0]:g} and {channels.window[1]:g} of the training images are both {low:g}",
            hint="choose percentiles that are further apart, or levels=LOW..HIGH",
        )
    return low, high
