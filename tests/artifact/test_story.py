"""The sentences of the report: what a reader is told of a run, and what not."""

from dataclasses import replace

import numpy as np
import pytest

from headstart.artifact.story import Story, StoryFacts, tell
from headstart.evaluation.calibration import BeforeAndAfter, Calibration, CalibrationError
from headstart.evaluation.learning_curve import CurvePoint, LearningCurve
from headstart.evaluation.metrics import evaluate_predictions
from headstart.evaluation.paired import Difference

CURVE = LearningCurve(
    points=(
        CurvePoint(share=0.5, n_train=50, accuracy=0.8, accuracy_ci95=(0.7, 0.9)),
        CurvePoint(share=1.0, n_train=100, accuracy=0.9, accuracy_ci95=(0.8, 0.95)),
    ),
    difference=Difference(gain=0.1, ci95=(0.05, 0.15), n=100, is_shown=True),
)


def evidence(n: int = 100, n_right: int = 90) -> StoryFacts:
    """Of two classes, the mistakes all in the second, with nothing else known."""
    labels = np.repeat([0, 1], [n // 2, n - n // 2])
    predicted = np.where(np.arange(n) < n_right, labels, 0)
    probabilities = np.where(np.eye(2)[predicted] == 1, 0.9, 0.1)
    evaluation = evaluate_predictions(probabilities, labels, ["ants", "bees"], split="val")
    return StoryFacts(evaluation, None, None, None, None, (), ("a/1.jpg", "a/2.jpg"), (50, 50))


def calibration(temperature: float, ece: tuple[float, float]) -> Calibration:
    """Errors before and after a temperature; what chance alone would make is nothing."""
    return Calibration(
        temperature=temperature,
        fitted_on="val",
        log_loss=BeforeAndAfter(before=0.5, after=0.4),
        ece=CalibrationError(before=ece[0], after=ece[1], by_chance=0.0),
    )


def text(parts: Story) -> str:
    """All of it."""
    return " ".join((*parts.certainty, *parts.doubts, *parts.next_steps))


def test_the_range_is_said_in_images_of_a_hundred() -> None:
    """The interval in words a non-statistician reads; with few images, that they are few."""
    assert "between 83 and 94 to be" in text(tell(evidence()))
    assert "12 images are too few" in text(tell(evidence(12, 11)))
    few_groups = replace(evidence(), evaluation=evidence().evaluation.model_copy(update={"n_groups": 5}))
    assert "100 images are of 5 unrelated groups, too few groups" in text(tell(few_groups))


def test_a_class_that_is_not_recognised_is_named() -> None:
    """Not one that is recognised."""
    doubts = " ".join(tell(evidence(100, 80)).doubts)
    assert "'bees' only 60%" in doubts and "'ants'" not in doubts


@pytest.mark.parametrize(("ece", "words"), [(0.01, "can be taken at face value"), (0.2, "Do not take")])
def test_probabilities_are_judged(ece: float, words: str) -> None:
    """By their calibration error, and what the temperature did."""
    story = tell(replace(evidence(), calibration=calibration(1.5, (0.25, ece))))
    assert words in text(story) and "25.0 before" in text(story)
    assert "before" not in text(tell(replace(evidence(), calibration=calibration(1.0, (ece, ece)))))


def test_uneven_classes_lead_to_balance() -> None:
    """Said as a doubt and as a step; of even ones nothing is said."""
    story = tell(replace(evidence(), counts=(10, 90)))
    assert "10 to 90" in " ".join(story.doubts) and "--balance" in " ".join(story.next_steps)
    assert "balance" not in text(tell(evidence()))


def test_steps_begin_with_what_costs_least() -> None:
    """The surest mistakes first; the curve's verdict when there is one; a test split where val was selected on."""
    one = evidence()
    steps = tell(replace(one, curve=CURVE, evaluation=one.evaluation.model_copy(update={"selected_on": True}))).next_steps
    assert "a/1.jpg, a/2.jpg" in steps[0]
    assert any(step.startswith("More images would likely help: from 50 to 100") for step in steps)
    assert "--test" in steps[-1]
