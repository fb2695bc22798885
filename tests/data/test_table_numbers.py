"""Labels that are numbers: how they may be written, and what is said of those that are none."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.data.class_counts import classes_found
from headstart.data.given_labels import given_numbers
from headstart.data.number_sources import check_numbers
from headstart.data.number_strata import LEAST, N_STRATA, strata_of
from headstart.data.sources import Candidate, Sources
from headstart.data.splits import can_be_held, fold_count, folds, hold_out
from headstart.data.table_numbers import COMMA, LARGEST, hint_for, number_cells, number_in, number_text
from headstart.data.wording import in_digits
from headstart.errors import DataError


def test_however_a_number_is_written_it_is_the_same() -> None:
    """Zeros, signs and exponents make no difference; whole numbers have no point."""
    cells = ["0.50", ".5", "5e-1", "+0.5", "1.0", "1", "-0", "1e3", "2."]
    assert number_cells(cells, range(2, 11), "t.csv", "age") == ["0.5"] * 4 + ["1", "1", "0", "1000", "2"]


@given(st.floats(-LARGEST, LARGEST))
def test_text_keeps_the_number(number: float) -> None:
    """The text of a number is read as the very same number."""
    assert number_in(number_text(number)) == number


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("0,5", COMMA),
        ("1,234", COMMA),
        ("1.234,5", COMMA),
        ("12 mm", "unit"),
        ("high", "unit"),
        ("inf", "unit"),
        ("1e101", "up to 1e+100"),
        ("1_000", "unit"),
        ("50 %", "unit"),
    ],
)
def test_what_is_no_number_is_named_with_its_row(cell: str, hint: str) -> None:
    """The sentence names the cell, its row and its column; the hint says how numbers are written."""
    with pytest.raises(DataError) as caught:
        number_cells(["1", cell], [2, 7], "t.csv", "age")
    assert str(caught.value.message) == f"t.csv has {cell!r} in row 7, column 'age', which is not a number"
    assert hint in str(caught.value.hint)
    assert hint_for(cell) == caught.value.hint


def test_long_cells_are_shortened() -> None:
    """A cell that is a whole text does not fill the screen."""
    with pytest.raises(DataError, match=r"'x{39}…' in row 1"):
        number_cells(["x" * 500], [1], "t.csv", "age")


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=200),
    st.integers(1, 60),
)
def test_strata(numbers: list[float], n_groups: int) -> None:
    """Strata are in the order of numbers, hold whole groups, and nearly as many groups each."""
    values = np.array(numbers)
    groups = np.random.default_rng(0).integers(0, n_groups, len(values))
    found = strata_of(values, groups)
    stratum_of = {group: set(found[groups == group].tolist()) for group in np.unique(groups)}
    assert all(len(of_group) == 1 for of_group in stratum_of.values())
    counts = np.bincount([next(iter(of_group)) for of_group in stratum_of.values()])
    assert len(counts) == max(1, min(N_STRATA, len(stratum_of) // LEAST))
    assert np.ptp(counts) <= 1
    means = {group: values[groups == group].mean() for group in stratum_of}
    tops = [max(means[g] for g, s in stratum_of.items() if s == {i}) for i in range(len(counts))]
    bottoms = [min(means[g] for g, s in stratum_of.items() if s == {i}) for i in range(len(counts))]
    assert all(top <= bottom + 1e-9 for top, bottom in zip(tops, bottoms[1:], strict=False))


def test_folds_over_strata_are_alike() -> None:
    """Five folds over strata have nearly the same mean, that of all."""
    numbers = np.random.default_rng(0).normal(size=500)
    means = [numbers[held].mean() for _, held in folds(strata_of(numbers, np.arange(500)), np.arange(500), 5, 0)]
    at_random = [part.mean() for part in np.array_split(np.random.default_rng(0).permutation(numbers), 5)]
    assert np.std(means) < 0.3 * np.std(at_random)


@pytest.mark.parametrize("group_size", [1, 4])
def test_what_is_held_out_has_numbers_of_all_sizes(group_size: int) -> None:
    """About a fifth of the images, whole groups, from small numbers to large ones; the same for the same seed."""
    numbers = np.random.default_rng(0).lognormal(size=400)
    groups = np.arange(400) // group_size
    held = hold_out(numbers, groups, 0.2, 3, ("age",))
    assert 70 <= held.sum() <= 90
    assert not np.isin(groups[held], groups[~held]).any()
    for low, high in ((0, 25), (25, 50), (50, 75), (75, 100)):
        inside = (numbers >= np.percentile(numbers, low)) & (numbers <= np.percentile(numbers, high))
        assert 0.1 < held[inside].mean() < 0.3
    assert (hold_out(numbers, groups, 0.2, 3, ("age",)) == held).all()
    assert (hold_out(numbers, groups, 0.2, 4, ("age",)) != held).any()


def test_one_group_cannot_be_held_out() -> None:
    """Frames of one video cannot be on both sides: that is said, and cross-validation has no folds."""
    numbers, groups = np.arange(20.0), np.zeros(20, np.int64)
    with pytest.raises(DataError, match="all images are one group"):
        hold_out(numbers, groups, 0.2, 0, ("age",))
    assert fold_count(numbers, groups) == 1
    assert fold_count(numbers, np.arange(20) // 7) == 3
    assert not can_be_held(numbers, groups).any() and can_be_held(numbers, np.arange(20)).all()


def test_how_many_numbers_were_found() -> None:
    """The line before anything is opened says what the numbers are called and where they lie."""
    files = tuple(Candidate(f"{i}.png", Path(f"{i}.png"), label) for i, label in enumerate(("2", "10.5", "-1")))
    assert classes_found([Sources("t", files, number="age")]) == "age from -1 to 10.5 in 3 files"
    files = tuple(Candidate(f"{i}.png", Path(f"{i}.png"), label) for i, label in enumerate(("1700000000", "1700003540")))
    assert classes_found([Sources("t", files, number="time")]) == "time from 1700000000 to 1700003540 in 2 files"


@pytest.mark.parametrize(
    ("number", "span", "text"),
    [
        (2138.47, 68, "2138"),
        (1700001235.02, 1952, "1700001235"),
        (-1700001235.02, 1952, "-1700001235"),
        (2020.5, 0.25, "2020.5"),
        (2020.4567, 0.25, "2020.46"),
        (0.0, 5, "0"),
        (3.14159, 0, "3.142"),
        (3.14159, 100, "3.142"),
        (1e17 + 160, 960, "1.0000000000000016e+17"),
        (12e-7, 1e-6, "1.2e-06"),
    ],
)
def test_digits_tell_numbers_apart(number: float, span: float, text: str) -> None:
    """Four digits, and more where all numbers would look alike."""
    assert in_digits(number, span) == text


@pytest.mark.parametrize(("numbers", "told"), [(["1", "1"], "have the number 1"), (["0", "1e-120"], "within 1e-120")])
def test_numbers_that_cannot_be_learnt(numbers: list[str], told: str) -> None:
    """Those that are all the same, or so near that the squares of their differences are 0."""
    with pytest.raises(DataError, match=told):
        check_numbers([(number, None) for number in numbers])


@pytest.mark.parametrize("number", [np.inf, 1e200])
def test_programs_cannot_give_endless_numbers(number: float) -> None:
    with pytest.raises(DataError, match="infinite, or larger than 1e"):
        given_numbers([1.0, number])
