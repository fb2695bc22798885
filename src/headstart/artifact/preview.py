"""The preview: a sample of training images next to what the network sees of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from headstart.artifact.figures import Tile, grid_figure, save_figure
from headstart.data.images import UnreadableImage, thumbnail
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate, Skipped, Sources
from headstart.errors import DataError
from headstart.model.augmentation import apply_view, draw_view, rng_for
from headstart.settings import Augment

TILE_PX = 150
AUGMENTED_VIEWS = 4


def write_preview(
    file: Path,
    sources: Sources,
    preprocess: Preprocess,
    augment: Augment,
    crop_scale: tuple[float, float],
    *,
    n_images: int = 6,
    seed: int = 0,
) -> tuple[Skipped, ...]:
    """Draws `n_images` training images, taking the classes in turn; returns those that could not be read.

    Raises DataError if none could be read.
    """
    tiles: list[Tile] = []
    skipped: list[Skipped] = []
    drawn = 0
    for number, candidate in enumerate(_in_turn(sources, seed)):
        if drawn == n_images:
            break
        try:
            image = preprocess.decode(candidate.read()).rgb  # of more channels the first three, as people are shown them
        except UnreadableImage as unreadable:
            skipped.append(Skipped(candidate.path, unreadable.reason))
            continue
        drawn += 1
        pixels = np.asarray(image)
        tiles.append(Tile(thumbnail(image, TILE_PX), (candidate.label or "", Path(candidate.path).name)))
        tiles.append(Tile(preprocess.view(image), ("as predicted",)))
        for epoch in range(1, AUGMENTED_VIEWS + 1):
            view = preprocess.view(image)
            if augment != "none":
                drawn_view = draw_view(image.width, image.height, augment, crop_scale, rng_for(seed, epoch, number))
                view = apply_view(pixels, drawn_view, preprocess.size_px, preprocess.interpolation)
            tiles.append(Tile(view, (f"training, epoch {epoch}",)))
    if not tiles:
        reason = f"; the first is {skipped[0].path}: {skipped[0].reason}" if skipped else ""
        raise DataError(
            f"{sources.name} has no image that can be read{reason}", hint="give JPEG, PNG, WebP, BMP or TIFF images"
        )
    title = f"{sources.name}: --augment {augment}"
    save_figure(grid_figure(tiles, 2 + AUGMENTED_VIEWS, title), file)
    return tuple(skipped)


def _in_turn(sources: Sources, seed: int) -> Iterator[Candidate]:
    """The training candidates in random order, taking the classes in turn."""
    rng = np.random.default_rng(seed)
    of_class: dict[str, list[Candidate]] = {}
    for candidate in sources.candidates:
        if candidate.split in (None, "train"):
            of_class.setdefault(candidate.label or "", []).append(candidate)
    queues = [[members[i] for i in rng.permutation(len(members))] for _, members in sorted(of_class.items())]
    for place in range(max(map(len, queues), default=0)):
        yield from (queue[place] for queue in queues if place < len(queue))
