"""What is said of an accuracy on images that the studio chose."""

import numpy as np

from headstart.labelling.asked_for import AskedFor, asked_for
from headstart.labelling.live_model import LiveFit, LiveModel
from headstart.labelling.next_images import FEW_LABELS


def fit_of(n: int, n_right: int, n_classes: int = 2) -> LiveFit:
    """A fit whose answers of its own are right for the first images, and wrong for the others."""
    rows, labels = np.arange(n), np.arange(n) % n_classes
    model = LiveModel()
    model.stop()
    fit = model.fit(np.eye(n, 4, dtype=np.float16), rows, labels, rows, ["a", "b"][:n_classes])
    answers = np.where(rows < n_right, labels, (labels + 1) % n_classes)
    return LiveFit(rows, labels, fit.chosen, fit.head, np.eye(n_classes)[answers], fit.evaluation)


def said(fit: LiveFit, asked: np.ndarray, flattering: object = (), val: object = (), n_open: int = 100) -> AskedFor | None:
    """What is said where some rows are asked for, flattering or of val, and so many images have no label."""
    return asked_for(fit, n_open, *(np.isin(fit.rows, rows) for rows in (asked, flattering, val)), fit.rows)


def test_few_that_were_asked_for_need_no_word() -> None:
    """Below a twentieth of the labels nothing is said."""
    fit = fit_of(100, 80)
    assert said(fit, np.arange(0)) is None and said(fit, np.arange(4)) is None
    assert said(fit, np.arange(5)) is not None


def test_where_nearly_all_images_have_a_label_none_was_chosen() -> None:
    """The accuracy on all of them is what it is."""
    fit = fit_of(95, 80)
    assert said(fit, np.arange(60), n_open=5) is not None
    assert said(fit, np.arange(60), n_open=4) is None and said(fit, np.arange(95), n_open=0) is None


def test_typical_images_first_then_hard_ones() -> None:
    """While most of the images that were asked for are typical ones the accuracy is too high, later too low, between either."""
    typical = 2 * FEW_LABELS  # of two classes
    for n, too, word in (
        (typical, "high", "likely too high."),
        (typical * 4 // 3, "high", "likely too high."),
        (typical * 4 // 3 + 1, None, "may be too high or too low."),
        (3 * typical, None, "may be too high or too low."),
        (3 * typical + 1, "low", "likely too low."),
    ):
        found = said(fit_of(n, n), np.arange(n))
        assert found is not None and (found.n, found.likely_too) == (n, too)
        assert found.sentence.startswith(f"{n} of the {n} labels are of images that the studio asked for: ")
        assert f"this accuracy {'is ' if too else ''}{word}" in found.sentence
        assert found.accuracy_of_others is None and "label unlabelled ones in shuffled order" in found.sentence


def test_with_labels_of_before_no_typical_images_are_asked_for() -> None:
    """Where there were enough labels already, all that is asked for is hard."""
    found = said(fit_of(50, 50), np.arange(40, 50))
    assert found is not None and found.likely_too == "low"


def test_the_accuracy_on_the_others() -> None:
    """Twenty labels that were not asked for give an accuracy of their own, without those that flatter; those of val first."""
    fit = fit_of(100, 90)
    found = said(fit, np.arange(40))
    assert found is not None and found.accuracy_of_others == 50 / 60
    assert found.ci95_of_others is not None and found.ci95_of_others[0] < 50 / 60 < found.ci95_of_others[1]
    assert f"On the other 60 it is 83.3% [{found.ci95_of_others[0]:.1%}, " in found.sentence
    without = said(fit, np.arange(40), flattering=np.arange(40, 50))
    assert without is not None and without.accuracy_of_others == 40 / 50
    val = said(fit, np.arange(40), val=np.arange(30, 90))
    assert val is not None and val.accuracy_of_others == 1
    assert "On the 50 of val that it did not ask for it is 100.0% [" in val.sentence
    few = said(fit, np.arange(81))
    assert few is not None and few.accuracy_of_others is None


def test_nothing_is_said_without_answers() -> None:
    """With fewer than ten labels there is no accuracy."""
    fit = fit_of(20, 20)
    assert said(LiveFit(fit.rows, fit.labels, fit.chosen, fit.head, None, None), np.arange(20)) is None
