"""Where compiled networks lie, and which of them are used."""

import json
from pathlib import Path

import pytest

from headstart.errors import HeadstartWarning
from headstart.model.compiled import GRAPH, RECORD, STATE, CompiledRecord, compiled_folder, find_compiled, write_record
from headstart.model.specs import DEFAULT, NAMED, default_preprocess

FOUND = CompiledRecord(
    spec=NAMED[DEFAULT],
    preprocess=default_preprocess(),
    last_layer="fc",
    tensors={"conv.weight": (2, 3)},
    n_features=7,
    n_last=5,
)


@pytest.mark.parametrize("name", ["resnet18.tv_in1k", "../../x", "/etc", "a/b", "", "x" * 5000, "\\\\host\\share", "nul\0"])
def test_no_name_is_a_place(name: str, own_home: Path) -> None:
    """Whatever a manifest calls a network or its weights, its folder is 32 hexadecimal digits inside home()/compiled."""
    for folder in (compiled_folder(name, "0" * 64, None), compiled_folder("net", name, 224)):
        assert folder.parent == own_home / "compiled"
        assert len(folder.name) == 32 and set(folder.name) <= set("0123456789abcdef")


def test_each_ingredient_has_a_folder_of_its_own() -> None:
    """Another network, other weights, another size, or with stages or without: none shares a compiled form."""
    identities = [("a", "b", None), ("b", "b", None), ("a", "c", None), ("a", "b", 224), ("a", "b", 96), ("ab", "", None)]
    folders = {compiled_folder(*identity, with_stages=stages) for identity in identities for stages in (False, True)}
    assert len(folders) == 2 * len(identities)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """compiled.json holds all that is known of the network, and the digests of the files beside it."""
    for name in (GRAPH, STATE):
        (tmp_path / name).write_text(name)
    written = write_record(FOUND, tmp_path)
    assert set(written.sha256) == {GRAPH, STATE}
    compiled = find_compiled(tmp_path)
    assert compiled is not None and compiled.record == written
    assert (compiled.graph, compiled.state) == (tmp_path / GRAPH, tmp_path / STATE)
    assert written.model_copy(update={"sha256": {}}) == FOUND


@pytest.mark.parametrize(
    ("key", "value"),
    [("format", 2), ("format", 4), ("n_features", "7"), ("n_last", None), ("tensors", {"a": [-1]}), ("spec", None)],
)
def test_a_record_that_cannot_be_used_counts_as_none(key: str, value: object, tmp_path: Path) -> None:
    """A record of another version, or one that says what cannot be, is no error: the network is compiled anew."""
    (tmp_path / GRAPH).touch()
    write_record(FOUND, tmp_path)
    values = json.loads((tmp_path / RECORD).read_text(encoding="utf-8"))
    (tmp_path / RECORD).write_text(json.dumps(values | {key: value}), encoding="utf-8")
    assert find_compiled(tmp_path) is None


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_file_that_is_another_is_told(damage: str, tmp_path: Path) -> None:
    """A graph that is not the one the record was written for is never run."""
    (tmp_path / GRAPH).write_text("graph")
    write_record(FOUND, tmp_path)
    (tmp_path / GRAPH).unlink() if damage == "gone" else (tmp_path / GRAPH).write_text("hparg")
    with pytest.warns(HeadstartWarning, match="is damaged and will be rebuilt"):
        assert find_compiled(tmp_path) is None
