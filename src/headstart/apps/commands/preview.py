"""`headstart preview`."""

from itertools import chain, count
from pathlib import Path
from typing import Annotated

import typer

from headstart.addresses.targets import target_file
from headstart.apps.console import as_named, check_target, command, note, say
from headstart.apps.options import DEFAULT, BoxesOption, ChannelsOption, EveryOption, LabelColumn, PathColumn, setting
from headstart.data.catalog import open_data
from headstart.data.given import check_columns
from headstart.data.image_files import ImageFile, image_file
from headstart.data.reading import Reading
from headstart.data.sources import Skipped, Sources
from headstart.data.videos import with_frames
from headstart.errors import explains_missing_packages
from headstart.model.specs import default_preprocess
from headstart.recipes import CROP_SCALES
from headstart.record.places import check_outside
from headstart.settings import Augment, Recipe, TrainSettings


@command
def preview(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled images, in any form that train accepts.")],
    augment: Annotated[Augment, setting("augment")] = "standard",
    recipe: Annotated[Recipe, setting("recipe")] = "default",
    images: Annotated[int, typer.Option(min=1, max=24, help="How many images to draw.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other images and crops.")] = 0,
    path_column: PathColumn = DEFAULT.path_column,
    label_column: LabelColumn = DEFAULT.label_column,
    boxes: BoxesOption = DEFAULT.boxes,
    channels: ChannelsOption = DEFAULT.channels,
    every: EveryOption = DEFAULT.every,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="File to draw to; default: preview.png, or the next free preview-2.png."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier picture at --output.")] = False,
) -> None:
    """Draw a labelled sample of images, raw and augmented.

    The first column is the image, the second what the network sees when it predicts, the others what it sees in training.

    Examples:

      headstart preview photos

      headstart preview digits --augment no-flip --output digits.png

      headstart preview cells --channels z=max+c=0,2,1+window=1..99
    """
    settings = TrainSettings.of(
        path_column=path_column,
        label_column=label_column,
        boxes=boxes,
        channels=channels,
        every=every,
        augment=augment,
        recipe=recipe,
        strategy="finetune",
    )
    reading = Reading.of(settings)
    with open_data(data, reading) as given, with_frames([given], every) as (sources,):
        check_columns(reading, [given])
        file = output or _free_name()
        inputs: list[ImageFile] = [image_file(data), *(candidate.file for candidate in given.candidates)]
        check_target(file, inputs, overwrite=overwrite, endings=[".png"])
        check_outside(file, data)
        with target_file(file) as place:
            skipped = _draw(place, sources, settings, images, seed)
    for entry in skipped:
        note(f"skipped {entry.path}: {entry.reason}")
    say(as_named(file))


def _free_name() -> Path:
    """The first of preview.png, preview-2.png ... in the current folder that does not exist."""
    names = chain(["preview.png"], (f"preview-{number}.png" for number in count(2)))
    return next(path for path in map(Path, names) if not path.exists())


@explains_missing_packages("drawing")
def _draw(output: Path, sources: Sources, settings: TrainSettings, n_images: int, seed: int) -> tuple[Skipped, ...]:
    from headstart.artifact.preview import write_preview
    from headstart.fitting.levels import levels_found
    from headstart.model.pretrained import preprocess_for

    levels = levels_found([sources], settings)
    for told in levels.notes:
        note(told)
    preprocess = preprocess_for(settings, default_preprocess()).choosing(levels.channels)
    augment = settings.augment or "standard"
    crop_scale = CROP_SCALES[settings.recipe]
    return write_preview(output, sources, preprocess, augment, crop_scale, n_images=n_images, seed=seed)
