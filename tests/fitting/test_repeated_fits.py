"""The learning curve."""

import numpy as np

from headstart.fitting.feature_table import FeatureTable
from headstart.fitting.repeated_fits import measure_learning_curve
from headstart.progress import silent
from headstart.settings import TrainSettings


def test_the_head_of_all_is_not_fitted_again() -> None:
    """With the head that the run has fitted on all of train the curve is the same as with one fitted for it."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    vectors = (rng.normal(size=(3, 10))[labels] + rng.normal(size=(300, 10))).astype(np.float32)
    table = FeatureTable(vectors, labels, np.arange(300), 3)
    train, val = np.arange(200), np.arange(200, 300)
    probe = table.fit(train, 0)
    given = (table, train, table.answer(probe, val, "val"), probe, TrainSettings(), silent)
    curve = measure_learning_curve(*given, head_of_all=probe.uncalibrated)
    assert curve is not None
    assert curve == measure_learning_curve(*given)
