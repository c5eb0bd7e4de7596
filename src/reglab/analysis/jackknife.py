"""What examples add to a metric that is no mean over them, by leaving groups of them out. Arrays in, arrays out."""

from __future__ import annotations

import math

import numpy as np

from reglab.tasks import Metric

__all__ = ["grouped_scores"]

_FEWEST = 10  # groups, so that their spread is estimated at all


def grouped_scores(metric: Metric, y: np.ndarray, predictions: np.ndarray) -> np.ndarray | None:
    """Return what each of several groups of examples adds to a metric, ``(groups,)``; their mean is the metric.

    The grouped jackknife (Quenouille 1956): with ``g`` groups and ``m_k`` the metric without group ``k``, the
    pseudo-value of the group is ``g m - (g - 1) m_k``, here moved so that their mean is ``m``. Of a metric that is a
    mean these are the means of the groups. Without a single example at a time the jackknife is wrong for medians; with
    groups of more than ``sqrt(N)`` examples it is right for them too (Shao and Wu 1989), so there are ``sqrt(N)``
    groups, but ten at least. Which example is in which group is the same for all predictions of as many examples.

    Returns None where there are fewer than two examples a group, or the metric is not a number without one of them.
    """
    count = len(y)
    groups = max(_FEWEST, math.isqrt(count))
    if count < 2 * groups:
        return None
    member = np.random.default_rng(0).permutation(count) % groups
    whole = metric(y, predictions)
    without = np.array([metric(y[member != k], predictions[member != k]) for k in range(groups)])
    found = groups * whole - (groups - 1) * without
    found += whole - found.mean()
    return found if np.isfinite(found).all() else None
