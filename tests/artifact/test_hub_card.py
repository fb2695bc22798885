"""The card for the hub: its front matter is YAML that the hub's own library reads, and says what the manifest says."""

from typing import Any

import numpy as np
import pytest
from conftest import SavedRun

from headstart.artifact.bundle import read_bundle
from headstart.artifact.card import card_of
from headstart.artifact.hub_card import base_model, front_matter, hub_card, quoted
from headstart.artifact.manifest import Manifest, NumbersEntry
from headstart.evaluation.number_evaluation import NumberEvaluation
from headstart.evaluation.number_metrics import NumberMetrics, NumbersSeen

yaml = pytest.importorskip("yaml")
repocard = pytest.importorskip("huggingface_hub")


@pytest.fixture
def manifest(saved_run: SavedRun) -> Manifest:
    """That of a probe."""
    return read_bundle(saved_run.model).manifest


def changed(manifest: Manifest, **values: Any) -> Manifest:
    """The manifest with other values in its backbone and its data."""
    all_of_it = manifest.as_json()
    for name, value in values.items():
        all_of_it[name] |= value
    return Manifest.from_json(all_of_it)


def metadata(manifest: Manifest) -> dict[str, Any]:
    """The front matter, read as YAML."""
    start, text, rest = front_matter(manifest).split("---\n")
    assert (start, rest) == ("", "")
    return yaml.safe_load(text)


def test_the_hub_s_library_reads_it(manifest: Manifest) -> None:
    """Licence, library, task, tags and every number are where the hub looks for them; the card itself follows."""
    card = hub_card(manifest, "hf://ann/shapes")
    read = repocard.ModelCard(card)
    assert (read.data.license, read.data.library_name) == ("apache-2.0", "headstart")
    assert read.data.pipeline_tag == "image-classification"
    assert read.data.tags == ["headstart", "image-classification", "linear-probe", "safetensors"]
    assert manifest.evaluation is not None
    found = {one.metric_type: one.metric_value for one in read.data.eval_results}
    assert found["accuracy"] == round(manifest.evaluation.accuracy, 4)
    assert found["f1"] == round(manifest.evaluation.macro_f1, 4)
    assert {one.metric_name for one in read.data.eval_results} >= {"Accuracy", "Macro-F1", "Log loss"}
    assert {one.dataset_split for one in read.data.eval_results} == {manifest.evaluation.split}
    assert read.data.model_name == manifest.data.name == "shapes"
    assert "`MODEL` stands for `hf://ann/shapes`" in read.text
    assert read.text.strip().startswith("# shapes: an image classifier")
    assert "`MODEL` stands for this folder," in card_of(manifest)


def test_a_model_of_numbers_is_no_classifier(manifest: Manifest) -> None:
    """The hub has no name for what it does; its numbers are those of numbers."""
    values = manifest.as_json() | {"task": "regression", "classes": ["thickness"], "evaluation": None, "image_classes": {}}
    measured = NumberMetrics(
        mean_absolute_error=2.0,
        mean_guess_error=4.0,
        median_guess_error=4.0,
        root_mean_squared_error=3.0,
        r2=0.5,
        bias=0.0,
    )
    seen = NumbersSeen.of(np.arange(10.0))
    evaluation = NumberEvaluation(split="val", n=10, n_groups=10, selected_on=False, numbers=measured)
    values |= {"numbers": NumbersEntry(mean=0.0, spread=1.0, seen=seen, evaluation=evaluation).as_json()}
    values["data"] |= {"counts": {}}
    read = metadata(Manifest.from_json(values))
    assert "pipeline_tag" not in read and "image-regression" in read["tags"]
    (result,) = read["model-index"][0]["results"]
    assert {one["type"]: one["value"] for one in result["metrics"]} == {"mae": 2.0, "r2": 0.5}


@pytest.mark.parametrize(
    ("licence", "told"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("CC-BY-NC-4.0", {"license": "cc-by-nc-4.0"}),
        ("", {"license": "unknown"}),
        ("dinov3-license", {"license": "other", "license_name": "dinov3-license"}),
    ],
)
def test_the_licence_has_the_hub_s_name(manifest: Manifest, licence: str, told: dict[str, str]) -> None:
    found = metadata(changed(manifest, backbone={"licence": licence}))
    assert {key: value for key, value in found.items() if key.startswith("license")} == told


def test_the_base_model_is_the_pretrained_one(manifest: Manifest) -> None:
    """A named backbone has its repository, any other of timm its name; somebody's own weights are not called either's."""
    resnet = {"name": "resnet18", "timm_name": "resnet18.tv_in1k", "weights_origin": "torch hub's cache"}
    assert metadata(changed(manifest, backbone=resnet))["base_model"] == "timm/resnet18.tv_in1k"
    other = {"name": "timm/resnet50.a1_in1k", "timm_name": "resnet50.a1_in1k", "weights_origin": "downloaded before"}
    assert base_model(changed(manifest, backbone=other)) == "timm/resnet50.a1_in1k"
    assert "base_model" not in metadata(changed(manifest, backbone=resnet | {"weights_origin": "file mine.safetensors"}))


def test_without_numbers_there_is_no_model_index(manifest: Manifest) -> None:
    """A model that was not evaluated says no number."""
    values = manifest.as_json() | {"evaluation": {}}
    found = metadata(Manifest.from_json(values | {"evaluation": None}))
    assert "model-index" not in found and "metrics" not in found


@pytest.mark.parametrize(
    "name", ["no", "1e3", "a: b # c", '"', "\\", "a\nb\u0085\u2028\x7f", "käfer 🪲", "- x", "{}", "\u200b"]
)
def test_any_name_stays_a_text(manifest: Manifest, name: str) -> None:
    """A data set may be called whatever it is: no sign of its name means something in YAML."""
    assert yaml.safe_load(quoted(name)) == name
    assert metadata(changed(manifest, data={"name": name}))["model-index"][0]["name"] == name
