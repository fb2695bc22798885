"""report.html of a run whose answers are numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.artifact.number_words import numbers_sentence, numbers_table
from headstart.artifact.page import render_page
from headstart.artifact.report import ReportChanges, ReportFigure, embedded
from headstart.artifact.story import Story
from headstart.evaluation.number_evaluation import NumberEvaluation
from headstart.storage import write_text


@dataclass(frozen=True, slots=True)
class NumberReport:
    """All that the report contains."""

    name: str
    number: str  # what the numbers are called
    strategy: str
    backbone: str
    counts: dict[str, int]  # split -> images
    evaluation: NumberEvaluation
    story: Story
    notes: tuple[str, ...]  # what else the owner should know
    figures: tuple[ReportFigure, ...]
    skipped: tuple[tuple[str, str], ...]  # path, reason
    tables: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]  # (title, rows of key and value)
    changes: ReportChanges | None = None  # None for a run that extends none


def write_number_report(file: Path, facts: NumberReport) -> None:
    """Writes the report as one self-contained file: its pictures are inside."""
    page = render_page(
        "report.html.j2",
        name=facts.name,
        number=facts.number,
        strategy=facts.strategy,
        recipe="default",
        backbone=facts.backbone,
        classes=(),
        counts=facts.counts,
        class_counts={},
        summary=numbers_sentence(facts.evaluation),
        story=facts.story,
        notes=facts.notes,
        numbers=numbers_table(facts.evaluation),
        per_class=(),
        per_label=(),
        thresholds=(),
        figures=embedded(facts.figures),
        skipped=[{"path": path, "reason": reason} for path, reason in facts.skipped],
        tables=facts.tables,
        changes=facts.changes,
    )
    write_text(file, page)
