"""report.html: one file that tells the owner of the images what the model can do, and what was done to get there."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.artifact.page import render_page, share
from headstart.artifact.story import Story
from headstart.data.sources import Skipped
from headstart.evaluation.intervals import TOO_FEW, in_words
from headstart.evaluation.metrics import Evaluation
from headstart.storage import write_text

SPLIT_IN_WORDS = {
    "val": "validation images",
    "test": "test images",
    "cv": "images, each answered by a model that never saw it (cross-validation)",
    "all": "images",
}


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """A picture of the report."""

    title: str
    caption: str
    file: Path


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """All that the report tells."""

    name: str
    strategy: str
    recipe: str
    backbone: str
    classes: tuple[str, ...]
    counts: dict[str, int]  # split -> images
    evaluation: Evaluation
    story: Story
    notes: tuple[str, ...]  # what else is to be known
    figures: tuple[ReportFigure, ...]
    skipped: tuple[Skipped, ...]
    tables: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]  # (title, rows of key and value)


def summary_sentence(evaluation: Evaluation, n_trained_on: int = 0) -> str:
    """The claim in one sentence: the share that is right, how sure that is, and whether the images were used before."""
    sentence = (
        f"{evaluation.accuracy:.1%} of {evaluation.n} {SPLIT_IN_WORDS[evaluation.split]} are classified correctly ("
        + in_words(evaluation.accuracy_ci95, evaluation.n)
        + (f", from {evaluation.n_groups} unrelated groups)" if evaluation.n_groups < evaluation.n else ")")
    )
    if n_trained_on:
        return sentence + f"; {n_trained_on} of them were trained on, so the number flatters the model."
    if evaluation.selected_on and evaluation.corrected:
        corrected = evaluation.corrected
        low, high = corrected.accuracy_ci95
        return sentence + (
            f"; the best epoch was chosen on these very images, and without that advantage it is {corrected.accuracy:.1%} "
            f"({low:.1%} to {high:.1%})."
        )
    if evaluation.selected_on:
        return sentence + "; the best epoch was chosen on these very images, so expect a little less on new ones."
    return sentence + "; nothing was selected on them."


def uneven_sentence(evaluation: Evaluation) -> str:
    """What to look at where some classes are much larger than others: numbers that count every class alike."""
    return (
        f"balanced accuracy {evaluation.balanced_accuracy:.1%}, macro-F1 {evaluation.macro_f1:.3f}: "
        "the classes are uneven, and these count every class alike"
    )


def write_report(file: Path, facts: ReportFacts) -> None:
    """Writes the report as one self-contained file: its pictures are inside."""
    page = render_page(
        "report.html.j2",
        name=facts.name,
        strategy=facts.strategy,
        recipe=facts.recipe,
        backbone=facts.backbone,
        classes=facts.classes,
        counts=facts.counts,
        summary=summary_sentence(facts.evaluation),
        story=facts.story,
        notes=facts.notes,
        numbers=_numbers(facts.evaluation),
        per_class=facts.evaluation.per_class,
        figures=[
            {
                "title": figure.title,
                "caption": figure.caption,
                "data": base64.b64encode(figure.file.read_bytes()).decode("ascii"),
            }
            for figure in facts.figures
        ],
        skipped=facts.skipped,
        tables=facts.tables,
    )
    write_text(file, page)


def _numbers(evaluation: Evaluation) -> Sequence[tuple[str, str, str, str]]:
    """(name, value, 95 % interval, meaning)."""
    groups = f" in {evaluation.n_groups} unrelated groups" if evaluation.n_groups < evaluation.n else ""
    rows = [
        (
            "accuracy",
            share(evaluation.accuracy),
            _interval(evaluation.accuracy_ci95 if evaluation.n >= TOO_FEW else None),
            f"of {evaluation.n} images{groups}",
        ),
        (
            "balanced accuracy",
            share(evaluation.balanced_accuracy),
            _interval(evaluation.balanced_accuracy_ci95),
            "the mean recall of the classes: rare ones count as much",
        ),
        ("macro-F1", share(evaluation.macro_f1), _interval(evaluation.macro_f1_ci95), "the mean F1 of the classes"),
    ]
    if evaluation.top5_accuracy is not None:
        rows.append(("top-5 accuracy", share(evaluation.top5_accuracy), "", "the true class is among the five most probable"))
    return (
        *rows,
        (
            "log loss",
            f"{evaluation.log_loss:.3f}",
            _interval(evaluation.log_loss_ci95),
            "how wrong the probabilities are, in nats an image; 0 is best",
        ),
        (
            "calibration error",
            share(evaluation.ece),
            "",
            "mean gap between how sure and how often right (ECE, 15 equal-mass bins)",
        ),
    )


def _interval(interval: tuple[float, float] | None) -> str:
    return "too few images" if interval is None else f"{share(interval[0])} to {share(interval[1])}"
