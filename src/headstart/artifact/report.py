"""report.html: one file that tells the owner of the images what the model can do and how it was made."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.artifact.evaluation_words import words_of
from headstart.artifact.page import render_page
from headstart.artifact.story import Story
from headstart.data.sources import Skipped
from headstart.evaluation.judging import AnyEvaluation
from headstart.evaluation.label_thresholds import LabelThreshold
from headstart.storage import write_text


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """A picture of the report."""

    title: str
    caption: str
    file: Path


@dataclass(frozen=True, slots=True)
class ReportChanges:
    """What adding to a finished run changed."""

    sentence: str
    heading: tuple[str, ...]  # of the cells
    images: tuple[tuple[str, ...], ...]  # cells for each image whose answer changed, its path first
    n_images: int  # of all, of which these are the first


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """All that the report contains."""

    name: str
    strategy: str
    recipe: str
    backbone: str
    classes: tuple[str, ...]
    counts: dict[str, int]  # split -> images
    class_counts: dict[str, tuple[int, ...]]  # split -> images of each class
    evaluation: AnyEvaluation
    story: Story
    notes: tuple[str, ...]  # what else the owner should know
    figures: tuple[ReportFigure, ...]
    skipped: tuple[Skipped, ...]
    tables: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]  # (title, rows of key and value)
    thresholds: tuple[LabelThreshold, ...] = ()  # of several labels
    changes: ReportChanges | None = None  # None for a run that extends none
    number: str = ""  # what the numbers are called, where answers are numbers


def write_report(file: Path, facts: ReportFacts) -> None:
    """Writes the report as one self-contained file: its pictures are inside."""
    words = words_of(facts.evaluation)
    page = render_page(
        "report.html.j2",
        name=facts.name,
        number=facts.number,
        strategy=facts.strategy,
        recipe=facts.recipe,
        backbone=facts.backbone,
        classes=facts.classes,
        counts=facts.counts,
        class_counts=facts.class_counts,
        summary=words.sentence(),
        story=facts.story,
        notes=facts.notes,
        numbers=words.table(),
        per_class=words.per_class,
        per_label=words.per_label,
        thresholds=facts.thresholds,
        figures=_embedded(facts.figures),
        skipped=facts.skipped,
        tables=facts.tables,
        changes=facts.changes,
    )
    write_text(file, page)


def _embedded(figures: Sequence[ReportFigure]) -> list[dict[str, str]]:
    """The figures with their files as text, for a page that is one file."""
    return [
        {
            "title": figure.title,
            "caption": figure.caption,
            "data": base64.b64encode(figure.file.read_bytes()).decode("ascii"),
        }
        for figure in figures
    ]
