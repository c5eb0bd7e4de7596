"""How much of a model's error is bias and how much variance over seeds, from predictions on the same examples."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reglab.analysis.paired import holm
from reglab.lazy import stats

__all__ = ["Change", "Decomposition", "adjusted", "decompose", "decompose_change"]


@dataclass(frozen=True)
class Decomposition:
    """A squared error of a model, taken apart over seeds: of classes the Brier score, see :meth:`Task.points`.

    Attributes:
        error: its mean over seeds and examples; ``bias + variance``.
        bias: squared bias and the noise of the labels, which single labels cannot tell apart.
        variance: how far the seeds' predictions lie apart.
        bias_interval, variance_interval: 95 %, by the jackknife over seeds; NaN with fewer than three.
        seeds: how many.
    """

    error: float
    bias: float
    variance: float
    bias_interval: tuple[float, float]
    variance_interval: tuple[float, float]
    seeds: int

    @property
    def share(self) -> float:
        """The share of the error that is variance."""
        return self.variance / self.error if self.error > 0 else math.nan


def decompose(labels: np.ndarray, predictions: np.ndarray) -> Decomposition | None:
    """Take the mean squared distance of predictions from labels apart.

    With ``p_s`` what seed ``s`` predicts, ``q`` their mean over ``S`` seeds and ``y`` the label as a point::

        mean_s |p_s - y|^2 = |q - y|^2 + mean_s |p_s - q|^2

    exactly. What the right side estimates is biased by ``1/S``, as the mean of few seeds is itself uncertain; so the
    variance is ``S / (S - 1)`` times the last term, and the bias what is left (Geman, Bienenstock and Doursat 1992;
    for networks and this estimator Yang et al. 2020, arXiv:2002.11328). The bias can come out slightly below zero.

    Args:
        labels: points ``(N, D)``, the same examples for every seed.
        predictions: points ``(seeds, N, D)``.

    Returns:
        None with fewer than two seeds.
    """
    p = np.asarray(predictions, dtype="float64")
    if len(p) < 2:
        return None
    bias, variance = _parts(labels, p)
    bounds = _jackknife([_parts(labels, np.delete(p, s, axis=0)) for s in range(len(p))] if len(p) > 2 else [])
    around = [(v - half, v + half) for v, half in zip((bias, variance), bounds, strict=True)]
    return Decomposition(bias + variance, bias, variance, around[0], around[1], len(p))


@dataclass(frozen=True)
class Change:
    """What a recipe does to bias and variance against the baseline.

    Attributes:
        bias, variance: each a mean and its 95 % interval, of this one alone.
        p: of bias and of variance, two-sided, by the jackknife.
        p_adjusted: the same, by Holm over all that are said together: by default these two, see :func:`adjusted`.
    """

    bias: tuple[float, float, float]
    variance: tuple[float, float, float]
    p: tuple[float, float]
    p_adjusted: tuple[float, float]

    def shown(self, *, alpha: float = 0.05) -> dict[str, int]:
        """Return which of them it is shown to cut (-1) or to raise (1)."""
        parts = (("bias", self.bias[0]), ("variance", self.variance[0]))
        return {
            name: -1 if mean < 0 else 1 for (name, mean), p in zip(parts, self.p_adjusted, strict=True) if p <= alpha
        }


def adjusted(changes: Sequence[Change | None]) -> list[Change | None]:
    """Return changes that are reported together, their p values by Holm over all of them, two each."""
    p = holm([value for change in changes if change is not None for value in change.p])
    pairs = iter(zip(p[::2], p[1::2], strict=True))
    return [None if each is None else dataclasses.replace(each, p_adjusted=next(pairs)) for each in changes]


def decompose_change(labels: np.ndarray, predictions: np.ndarray, baseline: np.ndarray) -> Change | None:
    """Return what changed from the baseline, paired by seed: the jackknife leaves the same seed out of both.

    Args:
        labels: points ``(N, D)``.
        predictions: of the recipe, points ``(seeds, N, D)``.
        baseline: of the baseline, the same seeds in the same order.

    Returns:
        None with fewer than three seeds.
    """
    p, q = np.asarray(predictions, dtype="float64"), np.asarray(baseline, dtype="float64")
    if len(p) != len(q) or len(p) < 3:
        return None

    def difference(keep: np.ndarray) -> tuple[float, float]:
        ours, theirs = _parts(labels, p[keep]), _parts(labels, q[keep])
        return ours[0] - theirs[0], ours[1] - theirs[1]

    seeds = np.arange(len(p))
    whole = difference(seeds)
    bounds = _jackknife([difference(np.delete(seeds, s)) for s in seeds])
    bias, variance = ((v, v - half, v + half) for v, half in zip(whole, bounds, strict=True))
    alone = [_p_value(value, half, len(seeds)) for value, half in zip(whole, bounds, strict=True)]
    both = holm(alone)
    return Change(bias, variance, (alone[0], alone[1]), (both[0], both[1]))


def _p_value(value: float, half: float, n: int) -> float:
    """Return the two-sided p value that goes with half a 95 % t interval; without a spread nothing is shown."""
    if not half > 0:
        return 1.0
    return float(2 * stats.t.sf(abs(value) / half * stats.t.ppf(0.975, n - 1), n - 1))


def _parts(labels: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """Return squared bias (with noise) and variance; both estimates are without bias where there are two seeds."""
    count, mean = len(p), p.mean(axis=0)
    spread = float(np.sum((p - mean) ** 2, axis=2).mean(axis=1).sum() / (count - 1)) if count > 1 else math.nan
    return float(np.sum((mean - np.asarray(labels)) ** 2, axis=1).mean()) - spread / count, spread


def _jackknife(left_out: list[tuple[float, float]]) -> tuple[float, float]:
    """Return half the 95 % interval of each of two estimates from their values without one seed (Tukey 1958)."""
    if len(left_out) < 3:
        return math.nan, math.nan

    values = np.array(left_out)
    n = len(values)
    error = np.sqrt((n - 1) / n * np.sum((values - values.mean(axis=0)) ** 2, axis=0))
    half = stats.t.ppf(0.975, n - 1) * error
    return float(half[0]), float(half[1])
