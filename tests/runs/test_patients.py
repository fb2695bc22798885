"""DICOM images of one patient are on one side of a split, and no file of a run names anybody."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_shape

import headstart
from headstart.data.dataset import LabelledImage
from headstart.data.dicom import GROUP
from headstart.data.patients import by_patient
from headstart.record.trained import Trained
from headstart.runs.evaluating import evaluate_model
from headstart.settings import TrainSettings

pytest.importorskip("pydicom")

from data.dicoms import dicom

from runs.conftest import CLASSES


def draw_patients(folder: Path, n_patients: int, n_each: int, patient_id: Callable[[int], str]) -> Path:
    """Drawn shapes as DICOM images, each patient with those of one class; files have no ending, as is frequent."""
    rng = np.random.default_rng([7, *folder.name.encode()])
    for patient in range(n_patients):
        of_class = folder / CLASSES[patient % 2]
        of_class.mkdir(parents=True, exist_ok=True)
        for number in range(n_each):
            pixels = np.asarray(draw_shape(CLASSES[patient % 2], rng))
            data = dicom(pixels, PatientID=patient_id(patient), PatientName="Secret^Jane")
            (of_class / f"{patient}-{number}").write_bytes(data)
    return folder


def held_patients(run: Trained) -> list[str]:
    with (run.run / "predictions.csv").open(encoding="utf-8") as file:
        return [Path(row["path"]).name.split("-")[0] for row in csv.DictReader(file)]


@pytest.mark.parametrize("place", [None, pytest.param("local:2", marks=pytest.mark.process)])
def test_patients_stay_together(place: str | None, settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """Whole patients are held out, by a first run and by one with stored features, here and elsewhere; a note says so."""
    data = draw_patients(tmp_path / "data", 12, 4, "Secret{}".format)
    for name in ("first", "second"):
        run = headstart.train(data, settings(workplace=place), output=tmp_path / name)
        held = held_patients(run)
        assert held and all(held.count(patient) == 4 for patient in held)
        assert run.evaluation.n_groups == len(set(held))
        assert any("48 DICOM images of 12 patients" in note for note in run.notes)
        for file in (tmp_path / name).rglob("*"):
            assert not file.is_file() or b"Secret" not in file.read_bytes()
    evaluated = evaluate_model(tmp_path / "first", data, split="all")
    assert evaluated.evaluation.n_groups == 12 and any("of 12 patients" in note for note in evaluated.notes)


def test_a_patient_in_two_given_splits(settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """Where the data came with splits, a patient in train and val is told."""
    draw_patients(tmp_path / "data" / "train", 8, 2, "{}".format)
    draw_patients(tmp_path / "data" / "val", 4, 1, "{}".format)
    run = headstart.train(tmp_path / "data", settings(), output=tmp_path / "run")
    assert any("4 of the 4 val images are of groups that train has" in note for note in run.notes)


def test_made_anonymous(settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """Files that all name the same patient, as tools leave them, are not grouped by that, and a note says so."""
    data = draw_patients(tmp_path / "data", 10, 1, lambda _: "ANONYMOUS")
    run = headstart.train(data, settings(), output=tmp_path / "run")
    assert run.evaluation.n == run.evaluation.n_groups
    assert any("all 10 DICOM images name the same patient" in note for note in run.notes)


def test_groups_of_a_table_count_first(settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """Where a table names groups, these are used."""
    data = draw_patients(tmp_path / "data", 12, 2, "{}".format)
    rows = [
        f"{file.relative_to(data)},{file.parent.name},{file.name[-1]}{i % 5}"
        for i, file in enumerate(sorted(data.rglob("*-*")))
    ]
    (data / "table.csv").write_text("\n".join(["path,label,group", *rows]))
    run = headstart.train(data / "table.csv", settings(), output=tmp_path / "run")
    assert not any("patient" in note for note in run.notes)


def test_notes_count_rightly() -> None:
    """One image of a patient beside others without, and none at all."""
    plain = LabelledImage("a", Path("a"), "x", None, None, "0" * 64, 1, 1)
    of_patient = replace(plain, path="b", group=f"{GROUP}1")
    assert by_patient([plain]).notes == ()
    found = by_patient([plain, of_patient])
    assert found.images == (plain, of_patient) and found.notes[0].startswith("1 DICOM image of 1 patient:")
