"""What adding to a finished run changed: its answers before and after, on the images that both were judged on."""

from dataclasses import dataclass, fields
from pathlib import Path

from headstart.fitting.earlier import Growth
from headstart.fitting.fitted import Fitted
from headstart.record.answer_pairs import pairs_of
from headstart.record.changed_answers import Compared, Flip, compare_answers
from headstart.record.changed_numbers import ComparedNumbers, Move, compare_numbers
from headstart.schema import Name, Schema, Sha256
from headstart.storage import write_csv

FLIPS = "flips.csv"


class ExtensionReport(Schema):
    """The run that was added to, and what that changed; labels are those of now."""

    run: Name
    manifest_sha256: Sha256
    images: Growth
    several: bool = False  # whether what was added to its classes are labels, of which an image has any number
    compared: Compared | ComparedNumbers | None  # None if no image was judged by both

    def sentence(self) -> str:
        """What changed, in a sentence."""
        begins = f"extends {self.run} by {self.images.in_words('label' if self.several else 'class')}"
        if self.compared is None:
            return f"{begins}; no image was judged in both runs, so what it changed cannot be said"
        return f"{begins}; {self.compared.sentence(self.images)}"


@dataclass(frozen=True, slots=True)
class Extension:
    """What adding to a run changed."""

    report: ExtensionReport
    kind: type[Flip] | type[Move]  # of the changes
    changes: tuple[Flip, ...] | tuple[Move, ...]  # the images whose answer changed, those to look at first

    def write(self, file: Path) -> None:
        """Writes these images as a table."""
        header = [field.name for field in fields(self.kind)]
        write_csv(file, header, ([getattr(change, name) for name in header] for change in self.changes))


def extension_of(fitted: Fitted) -> Extension | None:
    """What adding to a finished run changed; None for a run that extends none."""
    extended = fitted.scanned.extended
    if extended is None:
        return None
    earlier, of_numbers = extended.earlier, bool(fitted.dataset.number)
    pairs = pairs_of(fitted, earlier)
    compare = compare_numbers if of_numbers else compare_answers
    compared, changes = (None, ()) if pairs is None else compare(fitted, extended, pairs)
    report = ExtensionReport(
        run=earlier.run,
        manifest_sha256=earlier.manifest_sha256,
        images=extended.growth,
        several=fitted.dataset.several,
        compared=compared,
    )
    return Extension(report, Move if of_numbers else Flip, changes)
