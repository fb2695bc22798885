"""A model may come from anybody: whatever its manifest says, it is refused with a sentence or answers as it should.

Nothing but headstart's own folders is written to, whatever a manifest names.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.artifact.manifest import DIGEST, MANIFEST, digest_of_manifest
from headstart.artifact.predictor import Predictor
from headstart.errors import BundleError
from headstart.model.compiled import compiled_folder

KEPT = Path(__file__).parents[1] / "kept" / "format-1"
MODELS = {"probe": KEPT / "second", "fine-tuned": KEPT / "run" / "model", "export": KEPT / "export"}
IMAGE = KEPT / "images" / "circles.png"
EXAMPLES = 250  # for each of two kinds of change


def values_of(model: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((model / MANIFEST).read_text(encoding="utf-8"))
    return found


def write(model: Path, values: dict[str, Any]) -> None:
    """Writes a manifest with its digest computed anew, as an attacker would."""
    values[DIGEST] = digest_of_manifest(values)
    (model / MANIFEST).write_text(json.dumps(values), encoding="utf-8")


def places_in(values: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key and every list index on every level."""
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in inner:
        yield (*above, key)
        yield from places_in(value, (*above, key))


def changed(values: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy of the values with another one at a place."""
    copy: dict[str, Any] = json.loads(json.dumps(values))
    inside: Any = copy
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return copy


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copies of the models, and beside them one that belongs to somebody."""
    root = tmp_path_factory.mktemp("ground")
    for name, model in MODELS.items():
        shutil.copytree(model, root / "models" / name)
    precious = root / "precious"
    (precious / "inner").mkdir(parents=True)
    (precious / "thesis.txt").write_text("three years of work", encoding="utf-8")
    return root


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def is_refused_or_answers(model: Path, values: dict[str, Any], ground: Path) -> None:
    """Loads the model with this manifest; nothing but the manifest may be any different afterwards."""
    write(model, values)
    before = content_of(ground)
    try:
        predictor = Predictor.load(model)
        prediction = next(iter(predictor.predict([IMAGE])))
        assert prediction.probabilities is not None
        assert prediction.probabilities.shape == (len(values["classes"]),)
        assert prediction.probabilities.sum() == pytest.approx(1)
    except BundleError as refusal:
        assert str(model) in refusal.message or "answers" in refusal.message
        assert "\n" not in refusal.message and len(refusal.message) < 2000
    assert content_of(ground) == before


def test_every_model_answers_as_it_is(ground: Path) -> None:
    """What follows begins with models that are whole."""
    for name in MODELS:
        write(ground / "models" / name, values_of(MODELS[name]))
        assert next(iter(Predictor.load(ground / "models" / name).predict([IMAGE]))).predicted


@pytest.mark.parametrize("name", ["probe", "fine-tuned"])
@pytest.mark.parametrize("key", ["settings.image_size", "backbone.weights_sha256", "weights_sha256"])
def test_no_folder_is_named_by_a_manifest(name: str, key: str, ground: Path, own_home: Path) -> None:
    """A manifest that leads out of home() is refused, and the folder it points at stays as it is."""
    (own_home / "compiled").unlink()  # a folder of its own, which nothing else shares
    model, values = ground / "models" / name, values_of(MODELS[name])
    write(model, changed(values, tuple(key.split(".")), f"/../../../../../../../../../..{ground / 'precious'}"))
    before = content_of(ground)
    with pytest.raises(BundleError, match="damaged at"):
        Predictor.load(model)
    assert content_of(ground) == before


def test_a_model_is_not_taken_for_the_backbone_that_it_names(ground: Path, own_home: Path) -> None:
    """A bundle may name any backbone: what its own weights compute is neither kept nor lent to others under that name."""
    (own_home / "compiled").unlink()
    model, values = ground / "models" / "probe", values_of(MODELS["probe"])
    write(model, values)
    predictor = Predictor.load(model)
    next(iter(predictor.predict([IMAGE])))
    assert predictor.extractor.kept_as is None
    named = values["backbone"]["timm_name"], values["backbone"]["weights_sha256"], None
    assert not any(compiled_folder(*named, with_stages=stages).exists() for stages in (False, True))
    assert len(list((own_home / "compiled").iterdir())) == 1


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**20, max_value=10**400),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["../../precious", "/../../../precious", "..", "", "/", "C:\\precious", "a\0b", "\ud800", "0" * 64, "model.onnx", "-1"]
    ),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


@pytest.mark.process
@hypothesis.settings(max_examples=EXAMPLES, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_hostile_value_anywhere(ground: Path, own_home: Path, data: st.DataObject) -> None:
    """Whatever stands in whatever key of a manifest, wrong types, paths, sizes and nestings among it."""
    name = data.draw(st.sampled_from(sorted(MODELS)))
    values = values_of(MODELS[name])
    places = sorted(places_in(values), key=str)
    place = data.draw(st.sampled_from([place for place in places if place != (DIGEST,)]))
    is_refused_or_answers(ground / "models" / name, changed(values, place, data.draw(ANYTHING)), ground)


@pytest.mark.process
@hypothesis.settings(max_examples=EXAMPLES, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_number_or_list_that_is_nearly_right(ground: Path, own_home: Path, data: st.DataObject) -> None:
    """Numbers with their sign changed, zero, halved or huge; lists cut, doubled or emptied; keys left out."""
    name = data.draw(st.sampled_from(sorted(MODELS)))
    values = values_of(MODELS[name])
    places = [place for place in sorted(places_in(values), key=str) if place != (DIGEST,)]
    place = data.draw(st.sampled_from(places))
    inside: Any = values
    for key in place[:-1]:
        inside = inside[key]
    old = inside[place[-1]]
    if isinstance(old, list):
        new = data.draw(st.sampled_from([old * 2, old[:1], [], old[::-1]]))
    elif isinstance(old, int | float) and not isinstance(old, bool):
        new = data.draw(st.sampled_from([-old, 0, old / 2, int(old) // 2, int(old) + 1, old * 1000, 10**9, 1e300]))
    else:
        del inside[place[-1]]
        is_refused_or_answers(ground / "models" / name, values, ground)
        return
    is_refused_or_answers(ground / "models" / name, changed(values, place, new), ground)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"x"',
        "{",
        "[" * 100_000,
        '{"format": 1e999}',
        '{"format": NaN}',
        '{"format": 1, "format": [2]}',
        '{"format": 99}',
    ],
)
def test_what_is_no_manifest(text: str, ground: Path) -> None:
    """Files that are no JSON, no manifest, or of a format to come are refused with a sentence."""
    model = ground / "models" / "probe"
    (model / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match=r"manifest\.json|format 99"):
        Predictor.load(model)
