"""Measures the choices in recipes.py again: fine-tuning with one number of the plan changed at a time.

    python benchmarks/recipe_decisions.py sign_digits --only freeze --seeds 0 1 2

Each variant and seed takes minutes on two cores. The accuracy is that of the last epoch on the data's val split, or on a fifth
of train. Nothing is selected on it. Prints one line per variant and writes results/recipe-<data>.json.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from headstart.data.given import open_given
from headstart.data.splits import Split
from headstart.fitting.finetune_fit import FinetuneJob, answers_of_trial, finetune_job
from headstart.fitting.fit import split_for
from headstart.fitting.scanned import scan_given
from headstart.machine import peak_rss_mb
from headstart.progress import silent
from headstart.recipes import TrainingPlan, grouped
from headstart.settings import TrainSettings

RESULTS = Path(__file__).parent / "results"
# A number of the plan -> other values to try. The recipe's own choice is always measured first.
VARIANTS: dict[str, list[Any]] = {
    "freeze": [0, 5],
    "epochs": [2, 6, 8],
    "crop_scale": [(0.08, 1.0), (0.35, 1.0), (0.8, 1.0)],
    "label_smoothing": [0.0],
    "batch_size": [8, 32],
    "learning_rate": [1e-4, 4e-4],
    "weight_decay": [0.0, 0.05],
    "schedule": ["constant", "one-cycle"],
    "micro_batch": [2, 8, 16],
}


def main() -> None:
    """Measures the numbers that --only names, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a data set: a folder, or a name of the catalog")
    parser.add_argument("--only", nargs="*", choices=sorted(VARIANTS), default=sorted(VARIANTS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    options = parser.parse_args()
    changes: list[dict[str, Any]] = [{}]
    for name in options.only:
        changes += [{name: value} for value in VARIANTS[name]]
    rows = []
    for change in changes:
        found = [measured(options.data, seed, change) for seed in options.seeds]
        row = {
            "change": change,
            "accuracy": [accuracy for accuracy, _ in found],
            "seconds": [round(seconds, 1) for _, seconds in found],
            "peak_rss_mb": round(peak_rss_mb()),  # of the process so far
        }
        rows.append(row)
        says = ", ".join(f"{name} {value}" for name, value in change.items()) or "the recipe"
        print(f"{says:<32} {mean(row['accuracy']):.4f}  {mean(row['seconds']):7.1f} s", flush=True)
    file = RESULTS / f"recipe-{Path(options.data).name}.json"
    file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measured(data: str, seed: int, change: dict[str, Any]) -> tuple[float, float]:
    """Accuracy on the held-out images, and seconds for training, decoding included."""
    job = job_of(data, TrainSettings(strategy="finetune", seed=seed))
    rows = job.split.test
    plan = TrainingPlan.from_json(grouped(job.plan.as_json() | change))
    began = time.perf_counter()
    answers = answers_of_trial(replace(job, plan=plan), rows, silent)
    return float((answers.argmax(axis=1) == job.labels[rows]).mean()), time.perf_counter() - began


def job_of(data: str, settings: TrainSettings) -> FinetuneJob:
    """Fine-tuning on train, with val held out as a test: no epoch is chosen by it."""
    with open_given(data, settings) as sources:
        scanned = scan_given(sources, settings)
        split = split_for(scanned)
        held_out = Split(split.train, np.empty(0, np.int64), split.val, "none")
        return finetune_job(scanned, held_out, None, silent)


if __name__ == "__main__":
    main()
