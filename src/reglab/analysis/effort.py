"""How good a strategy is by the tuning that it was given. Numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reglab.lazy import special

__all__ = ["expected_best", "trials_to_reach"]


def expected_best(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return what the best of n trials is expected to be, for n from 1 to their number.

    Of N values of independent trials (random search), ``E[max of n] = sum_i v_(i) C(i - 1, n - 1) / C(N, n)``, with
    ``v_(i)`` the i-th smallest: the mean over all subsets of n trials, which is unbiased (Tang et al. 2020,
    arXiv:2011.04946). Draws with replacement (Dodge et al. 2019, arXiv:1909.03004) would lean low. It reads as a curve:
    a strategy that is good is high at the right, and one that is easy to tune is high at the left.

    Values that are minus infinity, of trials that failed, make what may be one of them minus infinity.

    >>> expected_best([0.2, 0.4]).round(6).tolist()
    [0.3, 0.4]
    >>> expected_best([0.2, -np.inf]).tolist()
    [-inf, 0.2]
    """
    ordered = np.sort(np.asarray(values, dtype="float64"))
    count = len(ordered)
    if count == 0:
        return np.empty(0)
    n, i = np.arange(1, count + 1)[:, None], np.arange(1, count + 1)[None, :]

    def log_comb(a: np.ndarray | int, b: np.ndarray) -> np.ndarray:
        return np.asarray(special.gammaln(a + 1) - special.gammaln(b + 1) - special.gammaln(a - b + 1))

    weights = np.exp(np.where(i >= n, log_comb(np.maximum(i, n) - 1, n - 1) - log_comb(count, n), -np.inf))
    failed = np.isneginf(ordered)
    means = np.asarray(weights @ np.where(failed, 0.0, ordered))
    return np.where((weights[:, failed] > 0).any(axis=1), -np.inf, means)


def trials_to_reach(values: Sequence[float] | np.ndarray, target: float) -> int | None:
    """Return how many trials are expected to reach ``target``, or None if as many as there are do not."""
    reached = np.flatnonzero(expected_best(values) >= target - 1e-12)
    return int(reached[0]) + 1 if len(reached) else None
