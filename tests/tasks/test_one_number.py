"""A number as the answer: outputs of the network and numbers, losses, and which answers count as the same."""

import numpy as np
import pytest
import torch

from headstart.model.losses import training_loss
from headstart.settings import TrainSettings
from headstart.tasks.kinds import task_named, task_of
from headstart.tasks.one_number import CLOSE, Numbers


def test_outputs_are_standard_deviations() -> None:
    """An output of 0 is the mean of the training images' numbers, one of 1 a standard deviation more; and back."""
    task = Numbers.like(np.array([1990.0, 2010.0]))
    assert (task.mean, task.spread, task.unit) == (2000.0, 10.0, 10.0)
    numbers = task.probabilities(np.array([[0.0], [1.5]], np.float32))
    assert numbers.dtype == np.float64
    assert task.decide(numbers).tolist() == [2000, 2015]
    np.testing.assert_allclose(task.logits(numbers), [[0], [1.5]])
    assert task.targets(np.array([1990.0, 2005.0])).tolist() == [-1, 0.5]
    assert Numbers.like(np.array([7.0, 7.0])).spread == 1.0  # of equal numbers no unit follows


def test_losses_are_those_of_training() -> None:
    """Squared errors in variances: 1 on average for always answering the mean, the same in torch."""
    numbers = np.random.default_rng(0).normal(40, 12, 500)
    task = Numbers.like(numbers)
    assert task.losses(np.zeros((500, 1)), numbers).mean() == pytest.approx(1)
    outputs = np.random.default_rng(1).normal(size=(500, 1)).astype(np.float32)
    loss, targets = training_loss(task), torch.from_numpy(task.targets(numbers))
    assert float(loss.of(torch.from_numpy(outputs), targets)) == pytest.approx(task.losses(outputs, numbers).mean(), rel=1e-5)
    right = task.right(task.probabilities(outputs), numbers)
    assert loss.right(torch.from_numpy(outputs), targets).numpy().tolist() == right.tolist()
    assert 0.2 < right.mean() < 0.5


def test_which_answers_are_right_and_the_same() -> None:
    """Less than half a standard deviation off is near enough while training; exports agree within a hundredth."""
    task = Numbers(100.0, 10.0)
    assert task.are_right(np.array([104.9, 105.1]), np.array([100.0, 100.0])).tolist() == [True, False]
    assert task.agree("100", f"{100 + 9.9 * CLOSE}") and not task.agree("100", f"{100 + 10.1 * CLOSE}")
    assert task.alike(np.array([[1.0], [1.0]]), np.array([[1.09], [1.11]])).tolist() == [True, False]
    assert (task.answer(("age",), np.array([3.0]), 0.5), task.named(("age",), 2.50)) == (("3", 1.0), "2.5")
    assert not task.is_unsure(0.0, 1.0)


def test_the_task_by_its_name() -> None:
    """`--task regression` is this task."""
    assert task_named("regression", ("age",)).name == "regression"
    assert isinstance(task_of(TrainSettings.of(task="regression")), Numbers)
