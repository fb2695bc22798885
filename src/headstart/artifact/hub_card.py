"""The model card as the Hugging Face hub wants it: with a YAML front matter, by which models are found and compared there."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headstart.artifact.card import card_of
from headstart.artifact.manifest import Manifest
from headstart.data.sources import printable
from headstart.evaluation.metrics import Evaluation
from headstart.model.licences import PERMISSIVE
from headstart.model.specs import find_backbone
from headstart.model.weights import GIVEN

TASK = "image-classification"  # the hub's name of what such a model does
NUMBERS_TASK = "image-regression"  # of a model that answers with numbers, for which the hub has no name
Measured = tuple[str, str, float | None]  # the hub's name of a number, as it is shown, and its value
# The names that the hub has for licences of weights; any other is `other` with its own name.
LICENCES = PERMISSIVE | {"cc-by-nc-4.0", "cc-by-nc-sa-4.0", "fair-noncommercial-research-license", "apple-amlr", "gemma"}
METHODS = {"probe": "linear-probe", "finetune": "fine-tuning"}


def hub_card(manifest: Manifest, address: str) -> str:
    """README.md of the model in the repository at an address."""
    place = f"`{address}` (after `pip install 'headstart[hub]'`) or for a folder with these files"
    return f"{front_matter(manifest)}\n{card_of(manifest, place)}"


def front_matter(manifest: Manifest) -> str:
    """What the hub wants to know, as YAML between two lines of dashes; all of it is from the manifest."""
    values: dict[str, Any] = _licence(manifest.backbone.licence)
    values |= {"library_name": "headstart", **({} if manifest.numbers else {"pipeline_tag": TASK}), "tags": _tags(manifest)}
    base = base_model(manifest)
    if base:
        values |= {"base_model": base, "base_model_relation": "finetune"}
    if manifest.evaluation is not None:
        results = _results(manifest, manifest.evaluation.split, _of_classes(manifest.evaluation))
        values |= {"metrics": ["accuracy", "f1"], "model-index": [results]}
    elif manifest.numbers is not None and manifest.numbers.evaluation is not None:
        measured = manifest.numbers.evaluation
        numbers = [("mae", "Mean absolute error", measured.numbers.mean_absolute_error), ("r2", "R2", measured.numbers.r2)]
        values |= {"metrics": ["mae", "r_squared"], "model-index": [_results(manifest, measured.split, numbers)]}
    return "\n".join(["---", *_lines(values), "---", ""])


def base_model(manifest: Manifest) -> str:
    """The hub's name of the pretrained network; "" if the weights were somebody's own file, or if it has none there."""
    backbone = manifest.backbone
    if backbone.weights_origin.startswith(GIVEN):
        return ""
    return find_backbone(backbone.name).hf_repo or (backbone.name if "." in backbone.name else "")


def _licence(licence: str) -> dict[str, str]:
    known = licence.strip().lower()
    if known in ("", "unknown"):
        return {"license": "unknown"}
    return {"license": known} if known in LICENCES else {"license": "other", "license_name": known}


def _tags(manifest: Manifest) -> list[str]:
    kind = manifest.export.format if manifest.export else "safetensors"
    task = NUMBERS_TASK if manifest.numbers else TASK
    return ["headstart", task, METHODS[manifest.strategy], kind, *([manifest.task] if manifest.task != "single-label" else [])]


def _of_classes(evaluation: Evaluation) -> list[Measured]:
    """The numbers of a classifier."""
    numbers: list[Measured] = [
        ("accuracy", "Accuracy", evaluation.accuracy),
        ("f1", "Macro-F1", evaluation.macro_f1),
        ("log_loss", "Log loss", evaluation.log_loss),
        ("ece", "Calibration error (ECE)", evaluation.ece),
    ]
    if grades := evaluation.grades:
        numbers.append(("mae", "Mean absolute error in grades", grades.mean_absolute_error))
        numbers.append(("quadratic_kappa", "Quadratic kappa", grades.quadratic_kappa))
    if sets := evaluation.label_sets:
        numbers.append(("mean_average_precision", "Mean average precision", sets.mean_average_precision))
    return numbers


def _results(manifest: Manifest, split: str, numbers: Sequence[Measured]) -> dict[str, Any]:
    """What was measured, in the form of a model index: https://github.com/huggingface/hub-docs, modelcard.md."""
    name = manifest.data.name or "images"
    task = (NUMBERS_TASK, "Image regression") if manifest.numbers else (TASK, "Image classification")
    return {
        "name": name,
        "results": [
            {
                "task": {"type": task[0], "name": task[1]},
                "dataset": {"type": "images", "name": name, "split": split},
                "metrics": [
                    {"type": kind, "name": shown, "value": round(value, 4)}
                    for kind, shown, value in numbers
                    if value is not None
                ],
            }
        ],
    }


def _lines(value: Mapping[str, Any] | Sequence[Any]) -> Iterator[str]:
    """A mapping or a list as lines of YAML. Text is always in quotes: a class may be called `no` or `1e3`."""
    named = isinstance(value, Mapping)
    for key, part in value.items() if isinstance(value, Mapping) else (("", part) for part in value):
        start = f"{key}:" if named else "-"
        if isinstance(part, str | int | float):
            yield f"{start} {quoted(part) if isinstance(part, str) else part}"
            continue
        inner = list(_lines(part))
        if named:
            yield start
            yield from (f"  {line}" for line in inner)
        else:
            yield f"- {inner[0]}"
            yield from (f"  {line}" for line in inner[1:])


def quoted(text: str) -> str:
    """A text as YAML in double quotes, in which nothing has another meaning."""
    escaped = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in escaped) + '"'
