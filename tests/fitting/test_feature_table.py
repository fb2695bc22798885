"""The features of a data set, as fits use them."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from headstart.fitting.feature_table import FEW, FeatureTable


@pytest.mark.parametrize(("n", "threads"), [(60, 1), (FEW + 20, 2)])
def test_small_fits_take_one_thread(n: int, threads: int) -> None:
    """On few images the threads of a matrix product would only wait for each other; on many they share the work."""
    if all(pool["num_threads"] < 2 for pool in pools_of_two()):
        pytest.skip("this machine has one core")
    labels = np.arange(n) % 2
    vectors = np.random.default_rng(0).normal(size=(n, 5)).astype(np.float32) + labels[:, None]
    table = FeatureTable(vectors, labels, np.arange(n), 2)
    seen: set[int] = set()
    with threadpool_limits(2, user_api="blas"):
        table.fit(np.arange(n), 0, lambda *_: seen.update(pool["num_threads"] for pool in blas_pools()))
    assert seen == {threads}


def blas_pools() -> list[dict[str, int]]:
    return [pool for pool in threadpool_info() if pool["user_api"] == "blas"]


def pools_of_two() -> list[dict[str, int]]:
    with threadpool_limits(2, user_api="blas"):
        return blas_pools()
