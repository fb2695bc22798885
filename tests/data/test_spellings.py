"""Classes whose names differ only in letter case or spaces become one where the owner says so."""

from pathlib import Path

import pytest

from headstart.data.given import open_given
from headstart.data.sources import Candidate, Sources
from headstart.data.spellings import class_called, join_spellings, spelled_as, spelling_key
from headstart.errors import SettingsError
from headstart.settings import TrainSettings


def sources(*labels: str, empty: tuple[tuple[str, str], ...] = ()) -> Sources:
    return Sources("set", tuple(Candidate(label, Path(label), label) for label in labels), empty_classes=empty)


def labels_of(found: Sources) -> list[str | None]:
    return [candidate.label for candidate in found.candidates]


@pytest.mark.parametrize("twin", ["Ants", "ANTS", " ants", "ants  ", "aNtS"])
def test_spellings_of_one_class(twin: str) -> None:
    """Letter case and spaces do not matter, other signs do."""
    assert spelling_key(twin) == spelling_key("ants")
    assert spelling_key("red ants") == spelling_key("Red  Ants") != spelling_key("red_ants")
    assert spelling_key("Straße") == spelling_key("STRASSE")


def test_the_most_frequent_spelling_is_the_name() -> None:
    """The name is the spelling of most files, over all sources; the first in natural order if there is a tie."""
    one, other = join_spellings([sources("Ants", "ants", "bees"), sources("ants", "Bees")])
    assert labels_of(one) == ["ants", "ants", "Bees"]
    assert labels_of(other) == ["ants", "Bees"]


def test_an_empty_folder_of_another_spelling() -> None:
    """An empty folder is no empty class if another spelling of it has files in the same split."""
    (found,) = join_spellings([sources("ants", "bees", empty=(("", "Ants"), ("", "wasps")))])
    assert found.empty_classes == (("", "wasps"),)


def test_labels_of_a_model() -> None:
    """Labels are written as the model's classes are; what it does not know stays as it is."""
    assert labels_of(spelled_as(sources("ANTS", "Wasps"), ["ants", "bees"])) == ["ants", "Wasps"]
    assert class_called("ANTS", ["ants"], join_case=True) == "ants"
    assert class_called("ANTS", ["ants"], join_case=False) is None
    assert class_called("ants", ["ants"], join_case=False) == "ants"


def test_join_case_counts_for_all_that_is_given(tmp_path: Path) -> None:
    """--join-case joins the classes of DATA with those of --val, of folders and tables alike."""
    for name in ("set/Ants/1.jpg", "set/Ants/2.jpg", "set/bees/3.jpg", "val/4.jpg", "val/5.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    table = tmp_path / "val" / "labels.csv"
    table.write_text("path,label\n4.jpg,ANTS\n5.jpg,Bees\n4.jpg,ants\n")
    with open_given(tmp_path / "set", TrainSettings.of(val=table, join_case=True)) as given:
        assert {label for source in given for label in labels_of(source)} == {"Ants", "Bees"}
        assert [entry.kind for entry in given[1].skipped] == ["repeated"]
    with open_given(tmp_path / "set", TrainSettings.of(val=table)) as given:
        assert [entry.kind for entry in given[1].skipped] == ["conflict"]


def test_columns_need_a_table(tmp_path: Path) -> None:
    """--path-column and --label-column without any table are an error, not ignored."""
    (tmp_path / "ants").mkdir()
    with (
        pytest.raises(SettingsError, match=r"--path-column and --label-column is for tables, but .* is none"),
        open_given(tmp_path, TrainSettings.of(path_column="a", label_column="b")),
    ):
        pass
