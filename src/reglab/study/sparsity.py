"""How many weights of a trained network are next to zero."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["sparsity"]


def sparsity(weights: Sequence[np.ndarray]) -> float:
    """Return the share of kernel entries smaller than a hundredth of the largest of their array, in magnitude.

    Kernels are the weights with two axes or more. Gradient steps under an L1 penalty bring weights near zero and
    hardly ever to it, so what counts is small in comparison. NaN without kernels.

    >>> sparsity([np.array([[1.0, 0.001], [0.0, -0.5]]), np.zeros(3)])
    0.5
    """
    kernels = [np.abs(weight) for weight in weights if weight.ndim >= 2 and weight.size]
    total = sum(kernel.size for kernel in kernels)
    small = sum(int(np.count_nonzero(kernel <= 0.01 * kernel.max())) for kernel in kernels)
    return small / total if total else float("nan")
