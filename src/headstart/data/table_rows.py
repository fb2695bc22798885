"""What the rows of a table or the annotations of a COCO file mean: one candidate for each image, however many rows name it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headstart.data.boxes import Box, boxed_name
from headstart.data.image_files import BoxInFile, ImageFile, WholeFile
from headstart.data.label_sets import LabelSet
from headstart.data.reading import Reading
from headstart.data.sources import Candidate, Skipped, Sources
from headstart.data.spellings import spelling_key
from headstart.data.table_files import TableFiles
from headstart.data.table_labels import listed_rows
from headstart.data.wording import counted, joined
from headstart.errors import DataError


@dataclass(frozen=True, slots=True)
class Row:
    """One row: an image with its label."""

    number: int | str  # as people find it
    given: str  # the path as the table has it
    label: str  # "" if it is missing
    split: str | None = None
    group: str | None = None
    box: Box | str | None = None  # the image; why it is none; None: the whole picture


@dataclass(slots=True)
class Rows:
    """The rows of a file."""

    file: Path
    rows: Sequence[Row]
    boxes: str = ""  # how they are written, for people; "" if there are none
    word: str = "row"
    notes: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    number: str = ""  # the column of the labels, where they are numbers
    n_joined: int = 0  # images that have the labels of several rows
    columns: frozenset[str] = frozenset()  # the labels that have a column each, where there are several

    def numbered(self, rows: Sequence[Row]) -> str:
        """`row 3`, `rows 3 and 5`."""
        return f"{self.word}{'s' * (len(rows) != 1)} {listed_rows([row.number for row in rows])}"

    def sources(self, files: TableFiles, reading: Reading) -> Sources:
        """The candidates. Raises DataError for what is missing, contradictory or not found."""
        note = files.start(list(dict.fromkeys(row.given for row in self.rows)))
        self.notes += [note] if note else []
        pictures = self._pictures(files)
        candidates = [one for place, rows in pictures.items() for one in self._images_in(place, rows, files, reading)]
        n_conflicts = sum(entry.kind == "conflict" for entry in self.skipped)
        if n_conflicts:
            images = "1 image is" if n_conflicts == 1 else f"{n_conflicts} images are"
            labelled = "given two numbers" if self.number else "labelled as two classes"
            self.notes.append(f"{images} {labelled} by different {self.word}s of {self.file.name}: left out")
        if self.n_joined:
            several = f"{self.word}s: it has" if self.n_joined == 1 else f"{self.word}s each: they have"
            self.notes.append(
                f"{counted(self.n_joined, 'image')} of {self.file.name} {'has' if self.n_joined == 1 else 'have'} several "
                f"{several} the labels of all of them"
            )
        if not candidates:
            raise self._no_images()
        if self.boxes:
            boxed = [one.file.picture for one in candidates if isinstance(one.file, BoxInFile)]
            self.notes.append(
                f"{counted(len(boxed), 'image')} of {self.file.name} {'is a box' if len(boxed) == 1 else 'are boxes'} "
                f"({self.boxes}) in {counted(len(set(boxed)), 'picture')}, which stay together in the splits"
            )
        return Sources(
            self.file.stem,
            tuple(candidates),
            tuple(self.skipped),
            notes=tuple(self.notes),
            is_table=True,
            has_boxes=bool(self.boxes),
            several=reading.several,
            number=self.number,
            columns=self.columns,
        )

    def _pictures(self, files: TableFiles) -> dict[WholeFile, list[Row]]:
        """Each file with the rows that name it."""
        found: dict[WholeFile, list[Row]] = {}
        for row in self.rows:
            place = files.find(row.given)
            if files.stays_inside(place):
                found.setdefault(place, []).append(row)
            else:
                self.skipped.append(Skipped(files.shown(row.given, place), "its path leads out of the archive"))
        return found

    def _images_in(self, place: WholeFile, rows: Sequence[Row], files: TableFiles, reading: Reading) -> list[Candidate]:
        """The images in one file: itself, or boxes in it."""
        shown = files.shown(rows[0].given, place)
        self._check_splits(rows)
        group = self._group_of(rows)
        of_image: dict[Box | None, list[Row]] = {}
        for row in rows:
            if isinstance(row.box, str):
                self.skipped.append(Skipped(shown, f"{row.box} ({self.numbered([row])})"))
            else:
                of_image.setdefault(row.box, []).append(row)
        key = spelling_key if reading.join_case else str
        images = []
        for box, its_rows in of_image.items():
            file: ImageFile = place if box is None else BoxInFile(place, box)
            path = shown if box is None else boxed_name(shown, box)
            labels = {key(row.label): row.label for row in reversed(its_rows) if row.label}
            if reading.several and len(labels) > 1:
                labels = {"": self._joined(its_rows)}
            else:
                self._tell_repeats(path, its_rows, key)
            if len(labels) < 2:
                its_group = group or (shown if self.boxes else None)
                images.append(Candidate(path, file, next(iter(labels.values()), None), rows[0].split, its_group))
        return images

    def _joined(self, rows: Sequence[Row]) -> str:
        """The labels of all rows of an image: tables with a row for each label of an image are common."""
        sets = [LabelSet.of(row.label) for row in rows]
        labels = frozenset().union(*(one.labels for one in sets))
        self.n_joined += 1
        return LabelSet(labels, frozenset().union(*(one.unknown for one in sets)) - labels).text

    def _tell_repeats(self, path: str, rows: Sequence[Row], key: Callable[[str], str]) -> None:
        """Lists what is told of an image that several rows name."""
        if len(rows) == 1:
            return
        labels = list({key(row.label): row.label for row in reversed(rows) if row.label}.values())[::-1]
        if len(labels) > 1:
            told = f"it is labelled {joined([repr(label) for label in labels])} ({self.numbered(rows)})"
            self.skipped.append(Skipped(path, told, kind="conflict"))
        else:
            what = "file" if rows[0].box is None else "box"
            self.skipped.append(Skipped(path, f"{self.numbered(rows)} name the same {what}: it is used once", kind="repeated"))

    def _check_splits(self, rows: Sequence[Row]) -> None:
        first = rows[0]
        for row in rows[1:]:
            if row.split != first.split:
                raise DataError(
                    f"{self.file} has {first.given} in {first.split or 'no split'} ({self.numbered([first])}) "
                    f"and in {row.split or 'no split'} ({self.numbered([row])})",
                    hint="all boxes of a picture belong in one split: change one of the rows"
                    if self.boxes
                    else "an image can be in one split only: remove one of the rows",
                )

    def _group_of(self, rows: Sequence[Row]) -> str | None:
        """The group of a picture. Raises DataError if its boxes are in several: they stay together in any case."""
        named = [row for row in rows if row.group]
        other = next((row for row in named if row.group != named[0].group), None)
        if other is not None and self.boxes:
            raise DataError(
                f"{self.file} has {other.given} in the group {named[0].group!r} ({self.numbered([named[0]])}) "
                f"and in {other.group!r} ({self.numbered([other])})",
                hint="the boxes of a picture are in one group: correct the column, or leave it out",
            )
        return rows[0].group if not self.boxes else named[0].group if named else None

    def _no_images(self) -> DataError:
        unusable = [entry for entry in self.skipped if entry.kind == "unusable"]
        first = f"; the first left out: {unusable[0].path}: {unusable[0].reason}" if unusable else ""
        return DataError(
            f"{self.file} names no image with a label{first}",
            hint=f"it needs one {self.word} per image, with path and label"
            if self.word == "row"
            else "it needs annotations with bbox",
        )
