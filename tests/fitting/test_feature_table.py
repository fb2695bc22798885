"""The features of a data set, as fits use them."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from headstart.fitting.feature_table import FeatureTable


@pytest.mark.parametrize("n", [60, 1020])
def test_products_of_fits_take_one_thread(n: int) -> None:
    """The threads of small matrix products would only wait for each other: folds share the cores instead."""
    if all(pool["num_threads"] < 2 for pool in pools_of_two()):
        pytest.skip("this machine has one core")
    labels = np.arange(n) % 2
    vectors = np.random.default_rng(0).normal(size=(n, 5)).astype(np.float32) + labels[:, None]
    table = FeatureTable(vectors, labels, np.arange(n), 2)
    seen: set[int] = set()
    with threadpool_limits(2, user_api="blas"):
        table.fit(np.arange(n), 0, lambda *_: seen.update(pool["num_threads"] for pool in blas_pools()))
    assert seen == {1}


def blas_pools() -> list[dict[str, int]]:
    return [pool for pool in threadpool_info() if pool["user_api"] == "blas"]


def pools_of_two() -> list[dict[str, int]]:
    with threadpool_limits(2, user_api="blas"):
        return blas_pools()
