"""What the page is told about rows, the model and decisions."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from headstart.apps.http.limits import Problem
from headstart.data.decided import Decision
from headstart.labelling.asked_for import asked_for
from headstart.labelling.catalogue import READ, SPLITS, UNREADABLE, Catalogue
from headstart.labelling.live_model import LiveFit
from headstart.labelling.next_queue import QUEUE as NEXT_QUEUE
from headstart.labelling.next_queue import open_for_labels
from headstart.labelling.review_sample import QUEUE
from headstart.labelling.workbench import Workbench

MOST_ROWS = 500  # in one answer
SHOWN_COLUMNS = (
    *("label", "given", "excluded", "split", "predicted", "confidence", "suspicion", "unfamiliar", "findings", "folder"),
    *("width", "height", "brightness", "sharpness", "decided", "state"),
)


def number(value: float) -> float | None:
    """A number for JSON, which has no NaN."""
    return None if math.isnan(value) else round(float(value), 6)


def checked_rows(catalogue: Catalogue, rows: Iterable[int]) -> list[int]:
    """The rows, if they exist. Raises Problem."""
    found = list(rows)
    wrong = [row for row in found if not 0 <= row < len(catalogue)]
    if wrong:
        raise Problem(422, f"there is no row {wrong[0]}", f"rows go from 0 to {len(catalogue) - 1}")
    return found


def row_as_json(bench: Workbench, row: int, sentences: dict[int, list[str]]) -> dict[str, Any]:
    """What is known of a row; `sentences` are its findings."""
    catalogue = bench.catalogue
    columns = catalogue.columns
    return {
        "row": row,
        "path": bench.keys[row],
        "digest": catalogue.digest(row) if columns["state"][row] == READ else "",
        "width": int(columns["width"][row]),
        "height": int(columns["height"][row]),
        "split": SPLITS[columns["split"][row]],
        "given": int(columns["given"][row]),
        "label": int(columns["label"][row]),
        "excluded": bool(columns["excluded"][row]),
        "predicted": int(columns["predicted"][row]),
        "confidence": number(columns["confidence"][row]),
        "suspicion": number(columns["suspicion"][row]),
        "findings": sentences.get(row, []),
        "decided": bool(columns["decided"][row]),
        "problem": catalogue.problems.get(row, "") if columns["state"][row] == UNREADABLE else "",
    }


def sentences_of(bench: Workbench, rows: set[int]) -> dict[int, list[str]]:
    """Row -> what the checks say of it."""
    found: dict[int, list[str]] = {}
    for one in bench.findings.found if bench.findings else ():
        if one.row in rows:
            found.setdefault(one.row, []).append(one.sentence)
    return found


def changes_as_json(bench: Workbench, decisions: Iterable[Decision]) -> list[dict[str, Any]]:
    """Row by row what decisions changed."""
    catalogue = bench.catalogue
    return [
        {
            "row": row,
            "label": catalogue.class_number(change.new.label),
            "excluded": change.new.excluded,
            "decided": bool(catalogue.columns["decided"][row]),
            "why": decision.why,
            "who": decision.who,
        }
        for decision in decisions
        for row, change in bench.book.pairs_in(decision)
    ]


def model_as_json(bench: Workbench) -> dict[str, Any]:
    """How good the model beside the person is."""
    fit = bench.fit
    shown: dict[str, Any] = {
        "version": bench.version,
        "fitting": bench.fitting,
        "n_labelled": len(bench.catalogue.labelled()),
        "accuracy": None,
        "accuracy_ci95": None,
        "per_class": [],
        "confusion": [],
        "curve": [{"n": n, "accuracy": accuracy} for n, accuracy in bench.history],
        "n_decided_by_model": 0,
        "accuracy_without_those": None,
        "n_asked_for": 0,
        "likely_too": None,
        "accuracy_of_others": None,
        "accuracy_of_others_ci95": None,
        "caution": None,
        "enough": bench.enough(),
    }
    if fit is None or fit.evaluation is None or fit.held_out is None:
        return shown
    found = fit.evaluation
    by_model = np.isin(fit.rows, bench.book.decided_by_model())
    right = fit.held_out.argmax(axis=1) == fit.labels
    return shown | {
        "accuracy": found.accuracy,
        "accuracy_ci95": found.accuracy_ci95,
        "per_class": [
            {"class": number, "n": c.n, "recall": c.recall, "precision": c.precision}
            for number, c in enumerate(found.per_class)
        ],
        "confusion": found.confusion,
        "n_decided_by_model": int(by_model.sum()),
        "accuracy_without_those": float(right[~by_model].mean()) if by_model.any() and not by_model.all() else None,
        **_asked_for_as_json(bench, fit, by_model),
    }


def _asked_for_as_json(bench: Workbench, fit: LiveFit, by_model: np.ndarray) -> dict[str, Any]:
    """What it does to the accuracy that images were asked for; `by_model` (n,) bool: labels that the model had changed."""
    asked = np.isin(fit.rows, list(bench.book.settled.of(NEXT_QUEUE)))
    is_val = bench.catalogue.columns["split"][fit.rows] == SPLITS.index("val")
    groups = bench.findings.groups[fit.rows] if bench.findings else fit.rows
    n_open = int(open_for_labels(bench.catalogue, set()).sum())
    found = asked_for(fit, n_open, asked, by_model, is_val, groups)
    if found is None:
        return {"n_asked_for": int(asked.sum())}
    return {
        "n_asked_for": found.n,
        "likely_too": found.likely_too,
        "accuracy_of_others": found.accuracy_of_others,
        "accuracy_of_others_ci95": found.ci95_of_others,
        "caution": found.sentence,
    }


def review_as_json(bench: Workbench) -> dict[str, Any]:
    """How far the review of a sample is, and the accuracy that follows from it."""
    done, sample = bench.book.settled.of(QUEUE), bench.review()
    found = sample.result(bench.catalogue, done) if sample else None
    return {
        "n_needed": len(sample.chosen) if sample else 0,
        "n_done": len(sample.chosen) - len(sample.waiting(done)) if sample else 0,
        "accuracy": found.accuracy if found else None,
        "accuracy_ci95": found.accuracy_ci95 if found else None,
        "naive": found.naive if found else None,
        "sentence": found.sentence if found else None,
    }
