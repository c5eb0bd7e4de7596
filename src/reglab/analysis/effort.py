"""How good a strategy is by the tuning that it was given. Numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["expected_best", "trials_to_reach"]


def expected_best(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return what the best of n trials is expected to be, for n from 1 to their number.

    Of N values of independent trials (random search), ``E[max of n] = sum_i v_(i) ((i / N)^n - ((i - 1) / N)^n)``, with
    ``v_(i)`` the i-th smallest: the expectation for n draws with replacement (Dodge et al. 2019, "Show Your Work",
    arXiv:1909.03004, equation 3). It reads as a curve: a strategy that is good is high at the right, and one that is
    easy to tune is high at the left. For few trials it leans low (Tang et al. 2020, arXiv:2011.04946).

    >>> expected_best([0.2, 0.4]).tolist()
    [0.30000000000000004, 0.35000000000000003]
    """
    ordered = np.sort(np.asarray(values, dtype="float64"))
    count = len(ordered)
    if count == 0:
        return np.empty(0)
    n = np.arange(1, count + 1)[:, None]
    upper = np.arange(1, count + 1)[None, :] / count
    lower = np.arange(count)[None, :] / count
    return np.asarray((upper**n - lower**n) @ ordered)


def trials_to_reach(values: Sequence[float] | np.ndarray, target: float) -> int | None:
    """Return how many trials are expected to reach ``target``, or None if as many as there are do not."""
    reached = np.flatnonzero(expected_best(values) >= target)
    return int(reached[0]) + 1 if len(reached) else None
