"""Data sets whose labels are numbers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headstart.data.sources import Sources
from headstart.data.table_numbers import hint_for, number_in, number_text, shown
from headstart.errors import DataError

LEAST_APART = 1e-100  # of the smallest and the largest number: the squares of smaller differences are 0
NUMBER = "number"  # what the labels are called where no column names them
FORMS_OF_NUMBERS = (
    "for --task regression give a CSV or Parquet file with the columns path and label, or folders named by numbers"
)


def with_numbers(sources: Sources) -> Sources:
    """The sources with labels that are numbers; those of tables are already. Raises DataError for a class that is none."""
    if sources.number:
        return sources
    texts: dict[str, str] = {}
    for candidate in sources.candidates:
        label = candidate.label
        if label is None or label in texts:
            continue
        number = number_in(label)
        if number is None:
            raise DataError(
                f"{sources.name} has the class {shown(label)}, which is not a number",
                hint=hint_for(label) if "," in label else FORMS_OF_NUMBERS,
            )
        texts[label] = number_text(number)
    candidates = tuple(
        candidate if candidate.label is None else replace(candidate, label=texts[candidate.label])
        for candidate in sources.candidates
    )
    return replace(sources, candidates=candidates, empty_classes=(), number=NUMBER)


def check_numbers(images: Sequence[tuple[str, str | None]]) -> None:
    """Raises DataError if the numbers, as text, in (text, split) of the images of a data set cannot be learnt."""
    given = {split for _, split in images} - {None}
    if given and "train" not in given:
        raise DataError("there are no train images", hint="name the split of the training images train")
    numbers = np.array([float(text) for text, split in images if split in (None, "train")])
    if np.ptp(numbers) == 0:
        raise DataError(
            f"all training images have the number {number_text(numbers[0])}: there is nothing to learn from them",
            hint="give images with different numbers",
        )
    if np.ptp(numbers) < LEAST_APART:
        raise DataError(
            f"the numbers of all training images are within {np.ptp(numbers):g}: too little to tell them apart",
            hint="write them in a smaller unit",
        )
