"""What a comparison finds: each contender beside the first, and which one pays."""

from typing import Literal

from pydantic import Field, computed_field

from headstart.data.sources import Skipped
from headstart.evaluation.number_metrics import NumberMetrics
from headstart.evaluation.paired import Difference
from headstart.evaluation.paired_scores import ErrorChange
from headstart.schema import NotNegative, Positive, Schema, Share, ShareInterval


class ComparedModel(Schema):
    """What is known of every contender: one strategy on one backbone."""

    strategy: Literal["probe", "finetune"]
    backbone: str
    seconds: NotNegative  # of one training run, with features already computed
    size_mb: NotNegative  # of the backbone's weights
    ms_per_image: NotNegative | None  # of the backbone on this machine; None on a GPU or for a named engine

    @property
    def name(self) -> str:
        """Strategy and backbone, such as "finetune efficientnet_lite0"."""
        return f"{self.strategy} {self.backbone}"

    def cost(self, first: "ComparedModel") -> str:
        """What it costs next to the first, in words: milliseconds per image for another backbone, else seconds of training."""
        if self.backbone != first.backbone and self.ms_per_image and first.ms_per_image:
            return f"takes {self.ms_per_image:.1f} ms an image instead of {first.ms_per_image:.1f}"
        ratio = self.seconds / max(first.seconds, 1e-9)
        if ratio < 1.5:
            return f"takes {self.seconds:.1f} s instead of {first.seconds:.1f}"
        return f"takes {ratio:.0f} times as long"


class Contender(ComparedModel):
    """A contender whose answers are classes or labels."""

    accuracy: Share
    accuracy_ci95: ShareInterval
    to_first: Difference | None = Field(exclude=True)  # None for the first contender itself

    @computed_field  # type: ignore[prop-decorator]
    @property
    def difference(self) -> float | None:
        """Accuracy minus that of the first contender."""
        return None if self.to_first is None else self.to_first.gain

    @computed_field  # type: ignore[prop-decorator]
    @property
    def difference_ci95(self) -> tuple[float, float] | None:
        """The 95 % interval of that difference."""
        return None if self.to_first is None else self.to_first.ci95


class NumberContender(ComparedModel):
    """A contender whose answers are numbers."""

    numbers: NumberMetrics  # beside always answering the mean or the median of the same images
    to_first: ErrorChange | None = Field(exclude=True)  # None for the first contender itself

    @computed_field  # type: ignore[prop-decorator]
    @property
    def difference(self) -> float | None:
        """Mean absolute error minus that of the first contender: below 0 it is better."""
        return None if self.to_first is None else self.to_first.change

    @computed_field  # type: ignore[prop-decorator]
    @property
    def difference_ci95(self) -> tuple[float, float] | None:
        """The 95 % interval of that difference."""
        return None if self.to_first is None else self.to_first.ci95


class Comparison(Schema):
    """The result of a comparison."""

    format: Literal[1] = 1
    data: str
    n: Positive  # images, each predicted once by a model that never saw it
    n_groups: Positive = Field(exclude=True)  # unrelated groups among them
    n_folds: Positive = Field(alias="folds")
    contenders: tuple[Contender, ...] | tuple[NumberContender, ...]
    # The fastest of those that no other is shown to be better than; None for a single backbone, or if speeds are not known.
    pays: str | None
    skipped_files: tuple[Skipped, ...] = Field(exclude=True)  # files that were not used
    seconds: dict[str, NotNegative]
    peak_rss_mb: NotNegative

    @computed_field  # type: ignore[prop-decorator]
    @property
    def skipped(self) -> int:
        """How many files were not used."""
        return len(self.skipped_files)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sentences(self) -> list[str]:
        """For each contender after the first, a sentence that says whether it is better; then which backbone pays."""
        first, *others = self.contenders
        found = [_sentence(first, other, other.to_first) for other in others if other.to_first]
        if self.pays:
            found.append(f"{self.pays} pays: it is the fastest of those that no other is shown to be better than.")
        return found


def _sentence(first: ComparedModel, other: ComparedModel, difference: Difference | ErrorChange) -> str:
    if not difference.is_shown:
        shown = f"can be shown with {difference.n} images ({difference.signed()})"
        cost = f"; {other.name} {other.cost(first)}" if other.backbone != first.backbone else ""
        return f"No difference between {other.name} and {first.name} {shown}{cost}."
    better = "better" if difference.gain > 0 else "worse"
    return f"{other.name} is {better} than {first.name} by {difference.in_points()} and {other.cost(first)}."
