"""An evaluation in words, whatever kind of answers it is of."""

import numpy as np

from headstart.artifact.evaluation_words import words_of
from headstart.data.label_sets import HAS
from headstart.evaluation.judging import evaluate_answers
from headstart.evaluation.number_evaluation import evaluate_numbers
from headstart.evaluation.number_metrics import NumbersSeen
from headstart.tasks.several_labels import SeveralLabels


def test_words_of_classes() -> None:
    """The claim, what to look at where classes are uneven, and a line a class."""
    labels = np.repeat([0, 1], [54, 6])
    words = words_of(evaluate_answers(np.eye(2)[np.arange(60) % 50 // 49] * 0.8 + 0.1, labels, ("ants", "bees"), split="test"))
    lines = list(words.lines())
    assert "of 60 test images" in words.sentence() and "3 of them were" in words.sentence(3)
    assert lines[0] == words.uneven and "balanced accuracy" in words.uneven
    assert [line.split()[0] for line in lines[2:]] == ["class", "ants", "bees"]
    assert [one.name for one in words.per_class] == ["ants", "bees"] and words.per_label == ()
    assert words.table()[0][0] == "accuracy"


def test_words_of_several_labels() -> None:
    """They have the metrics of each label besides."""
    labels = (np.random.default_rng(0).random((40, 2)) < 0.5).astype(np.int8) * HAS
    words = words_of(evaluate_answers(labels * 0.8 + 0.1, labels, ("cat", "dog"), split="test", task=SeveralLabels()))
    assert len(words.per_label) == len(words.per_class) == 2


def test_words_of_numbers() -> None:
    """How far answers are off, and nothing of classes."""
    truth = np.linspace(0, 100, 30)
    found = evaluate_numbers(truth + 2, truth, NumbersSeen.of(truth), split="val", groups=np.arange(30))
    words = words_of(found)
    assert "off by 2 on average" in words.sentence() and "4 of them were trained on" in words.sentence(4)
    assert (words.uneven, words.per_class, words.per_label) == ("", (), ())
    assert [line.split("  ")[0] for line in words.lines()] == [row[0] for row in words.table()]
    assert words.table()[0][:2] == ("mean absolute error", "2")
