"""How sure an accuracy is."""

import math

Z95 = 1.959963984540054  # the standard normal's 97.5 % point


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of `n_right` among `n`, by Wilson's score method (Wilson 1927).

    It stays inside 0 .. 1 and keeps its promise for small n and shares near 1, where the usual plus-minus does not
    (Brown, Cai and DasGupta 2001). Raises ValueError where n is 0.
    """
    if n < 1 or not 0 <= n_right <= n:
        raise ValueError(f"{n_right} of {n} is no share")
    share = n_right / n
    centre = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    scale = 1 + Z95**2 / n
    low = 0.0 if n_right == 0 else (centre - half) / scale  # exact at the ends, where rounding would leave 1e-17
    high = 1.0 if n_right == n else (centre + half) / scale
    return low, high
