"""Several labels an image, as one text: `cat|dog`; `|` is an image with none of them, and `?dog` is not known to be one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.sources import natural_order
from headstart.data.spellings import one_spelling, spelling_key
from headstart.data.wording import listed
from headstart.errors import DataError

SEPARATOR, UNKNOWN = "|", "?"
HAS, LACKS, NOT_KNOWN = 1, 0, -1  # what is known of an image and a label


@dataclass(frozen=True, slots=True)
class LabelSet:
    """The labels of an image. Those that are in neither set are known to be absent."""

    labels: frozenset[str]
    unknown: frozenset[str] = frozenset()

    @classmethod
    def of(cls, text: str) -> "LabelSet":
        """What a text says, in whatever order and with spaces around the names. Raises DataError for a contradiction."""
        parts = [part.strip() for part in text.split(SEPARATOR)]
        labels = frozenset(part for part in parts if part and not part.startswith(UNKNOWN))
        unknown = frozenset(part.removeprefix(UNKNOWN).strip() for part in parts if part.startswith(UNKNOWN)) - {""}
        both = sorted(labels & unknown)
        if both:
            raise DataError(f"{text!r} has the label {both[0]!r}, and says that it is not known", hint="remove one of the two")
        return cls(labels, unknown)

    @property
    def text(self) -> str:
        """The text of it, the same for the same sets; never empty."""
        known = sorted(self.labels, key=natural_order)
        marked = [f"{UNKNOWN}{name}" for name in sorted(self.unknown, key=natural_order)]
        return SEPARATOR.join([*known, *marked]) or SEPARATOR


def check_label(name: str) -> str:
    """The name of a label. Raises DataError if it cannot be told from others in a text."""
    if SEPARATOR in name or name.startswith(UNKNOWN) or not name.strip():
        raise DataError(
            f"a label cannot be called {name!r}", hint=f"a name has no {SEPARATOR} and does not begin with {UNKNOWN}: rename it"
        )
    return name


def labels_in(texts: Iterable[str]) -> tuple[str, ...]:
    """Every label that some of the texts have, in natural order; one that is never known to be there is none."""
    found = {name for text in dict.fromkeys(texts) for name in LabelSet.of(text).labels}
    return tuple(sorted(found, key=natural_order))


def label_matrix(texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """(n, n_labels) int8: HAS, LACKS or NOT_KNOWN for each text and label; other labels in a text do not count."""
    place = {name: i for i, name in enumerate(labels)}
    rows: dict[str, np.ndarray] = {}
    for text in dict.fromkeys(texts):
        row = np.full(len(labels), LACKS, np.int8)
        found = LabelSet.of(text)
        for names, value in ((found.labels, HAS), (found.unknown, NOT_KNOWN)):
            row[[place[name] for name in names if name in place]] = value
        rows[text] = row
    return np.stack([rows[text] for text in texts]) if len(texts) else np.empty((0, len(labels)), np.int8)


def in_words(text: str) -> str:
    """A text as people read it: `cat, dog`."""
    return ", ".join(sorted(LabelSet.of(text).labels, key=natural_order)) or "none"


def known_labels(text: str) -> str:
    """A text without the labels that are not known."""
    return LabelSet(LabelSet.of(text).labels).text


def rarest_labels(matrix: np.ndarray) -> np.ndarray:
    """(n,) int64: the label of each image that the fewest images have; n_labels for an image without any."""
    counts = (matrix == HAS).sum(axis=0)
    by_rarity = np.argsort(counts, kind="stable")
    has = matrix[:, by_rarity] == HAS
    return np.where(has.any(axis=1), by_rarity[has.argmax(axis=1)] if matrix.shape[1] else 0, matrix.shape[1]).astype(np.int64)


def labels_to_learn(images: Sequence[tuple[str, str | None]]) -> tuple[str, ...]:
    """The labels in (text, split) of the images of a data set. Raises DataError if they cannot be learnt."""
    found = labels_in(text for text, _ in images)
    if len(found) < 2:
        raise DataError(
            f"there is only one label, {found[0]!r}" if found else "no image has a label",
            hint="give two or more labels; whether an image has one label or not are two classes of --task single-label",
        )
    spelled = one_spelling(found)
    twin = next((name for name in found if spelled[spelling_key(name)] != name), None)
    if twin is not None:
        raise DataError(
            f"the labels {spelled[spelling_key(twin)]!r} and {twin!r} differ only in case or spaces", hint="rename one of them"
        )
    given = {split for _, split in images} - {None}
    if given and "train" not in given:
        raise DataError("there are no train images", hint="name the split of the training images train")
    of_train = set(labels_in(text for text, split in images if split in (None, "train")))
    for split in ("val", "test"):
        extra = [name for name in labels_in(text for text, its in images if its == split) if name not in of_train]
        if extra:
            raise DataError(f"{split} has the label {extra[0]!r}, which train lacks", hint="check how the labels are written")
    return found


def notes_on_labels(images: Sequence[tuple[str, str | None]], labels: Sequence[str]) -> tuple[str, ...]:
    """What the owner should know of the labels in (text, split) of the images: unknown ones, and ones that cannot be judged."""
    matrix = label_matrix([text for text, _ in images], labels)
    if not ((matrix == HAS).any(axis=0) & (matrix == LACKS).any(axis=0)).any():
        raise DataError(
            f"no image is known to lack any of the labels {listed(labels)}: there is nothing to tell apart",
            hint="add images without some of them",
        )
    notes = []
    n_unknown = int((matrix == NOT_KNOWN).any(axis=1).sum())
    if n_unknown:
        they = "it has" if n_unknown == 1 else "they have"
        notes.append(f"of {n_unknown} of the {len(images)} images it is not known whether {they} some of the labels")
    always = [name for name, column in zip(labels, matrix.T, strict=True) if not (column == LACKS).any()]
    if always:
        one = "it" if len(always) == 1 else "them"
        notes.append(f"no image is known to lack {listed(always, 'or')}: the model will always say {one}")
    for split in ("val", "test"):
        rows = np.array([its == split for _, its in images], bool)
        absent = [name for i, name in enumerate(labels) if rows.any() and not (matrix[rows, i] == HAS).any()]
        if absent:
            notes.append(f"{split} has no image with {listed(absent)}: its metrics are over the labels present")
    return tuple(notes)


def known_to(labels: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
    """Notes on texts with labels that a model of `labels` does not know. Raises DataError if it knows none of them."""
    others = [name for name in labels_in(texts) if name not in set(labels)]
    if texts and len(others) == len(labels_in(texts)) > 0:
        raise DataError(
            f"no image has a label that the model knows; the data has {listed(others)}", hint=f"it knows {listed(labels)}"
        )
    return (f"the model does not know {listed(others)}: only its other labels are measured",) if others else ()
