"""Rows are sorted as numpy's stable sort would."""

import numpy as np
import pytest

from headstart.data.sources import Candidate
from headstart.labelling.catalogue import READ, Catalogue
from headstart.labelling.orders import Order, rows_of


@pytest.mark.parametrize("descending", [False, True])
def test_the_order_is_that_of_a_stable_sort(descending: bool) -> None:
    """Ties keep their order, minus zero is zero, infinities have their places, and what has no value comes last."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=500).round(1).astype(np.float32)
    values[:8] = [np.nan, 0.0, -0.0, np.inf, -np.inf, np.float32(1e-45), -np.float32(1e-45), -np.nan]
    made = Catalogue.of([Candidate(f"{i}.jpg", f"{i}.jpg") for i in range(500)])  # type: ignore[arg-type]
    made.columns["state"][:] = READ
    made.columns["confidence"][:] = values
    found = rows_of(made, Order(sort="confidence", descending=descending), ())
    assert found.tolist() == np.argsort(-values if descending else values, kind="stable").tolist()
