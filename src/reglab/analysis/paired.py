"""Statistics of paired differences: one number a seed, recipe minus baseline. Arrays in, numbers out.

The deciding test is the paired t test. Beside it stand two checks that assume less: the exact sign-flip test, and the
share of seeds in which the recipe was better. What all of them speak of is this data and this way of splitting it: the
training sets of seeds overlap and the test set is one and the same, so they say how a repetition with other seeds would
come out, and not how another data set would.

Accuracy comes in steps of one test example. A spread below that step was measured too coarsely to be believed, so tests
and intervals take the step for it; they never take a spread of zero for certainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from reglab.lazy import optimize, special, stats

__all__ = [
    "Crossed",
    "Paired",
    "bound_on_share",
    "crossed",
    "detectable",
    "holm",
    "mcnemar",
    "paired",
    "possibly_best",
    "seeds_to_detect",
    "smallest_step",
    "t_statistics",
    "upper_spread",
]

_MOST_SEEDS = 100_000
_MOST_FLIPPED = 14  # pairs of which all assignments of signs are counted


@dataclass(frozen=True)
class Paired:
    """Differences of ``n`` pairs.

    Attributes:
        n: how many pairs.
        mean: their mean.
        std: their standard deviation, with ``n - 1``; NaN with one pair.
        p: two-sided p value of the paired t test; NaN with one pair.
        p_sign_flip: two-sided p value of the exact sign-flip test, which assumes only that without an effect a
            difference and its negative are equally likely.
        p_floor: the smallest p value that ``n`` pairs can give there, ``2 / 2**n``.
        better: the share of pairs above zero, those at zero counting half.
        resolution: the step in which the numbers come, such as one test example; 0 where it is not known.
    """

    n: int
    mean: float
    std: float
    p: float
    p_sign_flip: float
    p_floor: float
    better: float
    resolution: float = 0.0

    @property
    def spread(self) -> float:
        """The standard deviation that tests and intervals use: ``std``, but at least ``resolution``.

        Where all differences are the same and the resolution is not known, it is their size, as they can be one step;
        where they are all zero, it is infinite, as nothing is known of it.
        """
        return float(_floored(np.array([self.std]), np.array([self.mean]), self.resolution)[0])

    @property
    def all_zero(self) -> bool:
        """Whether there are differences and each of them is zero."""
        return self.n > 0 and self.mean == 0 and not self.std > 0

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the t interval ``mean +- t * spread / sqrt(n)``; NaN with one pair."""
        if self.n < 2:
            return math.nan, math.nan

        half = float(special.stdtrit(self.n - 1, (1 + confidence) / 2)) * self.spread / math.sqrt(self.n)
        return self.mean - half, self.mean + half


def bound_on_share(n: int, *, alpha: float = 0.05) -> float:
    """Return the largest share of runs that may differ although none of ``n`` did, with confidence ``1 - alpha``.

    Exact: of runs of which a share ``q`` differs, ``n`` in a row do not with probability ``(1 - q)**n``.

    >>> round(bound_on_share(5), 2), round(bound_on_share(10), 2)
    (0.45, 0.26)
    """
    return 1.0 if n < 1 else float(1 - alpha ** (1 / n))


def paired(differences: Sequence[float] | np.ndarray, *, resolution: float = 0.0) -> Paired:
    """Return the statistics of paired differences.

    Args:
        differences: one per pair.
        resolution: the step in which they come, such as ``1 / N`` of an accuracy on ``N`` examples: no smaller spread
            is believed. 0 where it is not known.

    Example:
        >>> found = paired([0.02, 0.01, 0.03, 0.02, 0.02])
        >>> round(found.mean, 3), round(found.p, 4), found.p_sign_flip, found.p_floor
        (0.02, 0.0032, 0.0625, 0.0625)
    """
    d = np.asarray(differences, dtype="float64")
    n = len(d)
    if n == 0:
        return Paired(0, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, resolution)
    mean = float(d.mean())
    better = float((np.count_nonzero(d > 0) + np.count_nonzero(d == 0) / 2) / n)
    if n == 1:
        return Paired(1, mean, math.nan, math.nan, 1.0, 1.0, better, resolution)
    std = float(d.std(ddof=1)) if np.ptp(d) > 0 else 0.0  # the mean of equal numbers is not always that number
    p = _two_sided(np.array([mean]), np.array([std]), n, resolution)
    return Paired(n, mean, std, p, _sign_flip(d), 2.0 ** (1 - n), better, resolution)


def smallest_step(values: Sequence[float] | np.ndarray) -> float:
    """Return the smallest difference between two of these numbers that are not the same; 0 if all are.

    Of accuracies it is one example, or a few.

    >>> round(smallest_step([0.90, 0.91, 0.95, 0.91]), 6)
    0.01
    """
    steps = np.diff(np.unique(np.asarray(values, dtype="float64")))
    steps = steps[steps > 1e-9]  # less is rounding
    return float(steps.min()) if len(steps) else 0.0


def t_statistics(mean: np.ndarray, std: np.ndarray, n: int, *, resolution: float = 0.0) -> np.ndarray:
    """Return t statistics of means of ``n`` differences, with the floor that :class:`Paired` puts under a spread."""
    return mean * math.sqrt(n) / _floored(std, mean, resolution)


def _floored(std: np.ndarray, mean: np.ndarray, resolution: float) -> np.ndarray:
    spread = np.maximum(std, resolution)
    tiny = spread <= 1e-12 * np.maximum(np.abs(mean), 1e-300)  # rounding, and no spread
    return np.where(tiny, np.where(mean == 0, np.inf, np.abs(mean)), spread)


def _two_sided(mean: np.ndarray, std: np.ndarray, n: int, resolution: float) -> float:
    return float(2 * special.stdtr(n - 1, -abs(t_statistics(mean, std, n, resolution=resolution)[0])))


def _sign_flip(d: np.ndarray) -> float:
    """Return the share of all assignments of signs whose mean is at least as far from zero; of many pairs, of 9,999."""
    if not np.any(d):
        return 1.0
    exact = len(d) <= _MOST_FLIPPED
    signs = _signs(len(d)) if exact else np.random.default_rng(0).choice((-1.0, 1.0), size=(9999, len(d)))
    sums = np.abs(signs @ d)
    count = int(np.count_nonzero(sums >= abs(d.sum()) - 1e-12 * np.abs(d).sum()))
    return count / len(signs) if exact else (count + 1) / (len(signs) + 1)


@lru_cache(maxsize=16)
def _signs(n: int) -> np.ndarray:
    """Return all assignments of signs to ``n`` pairs, ``(2**n, n)``."""
    return 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values: below ``alpha`` only if the familywise error rate is, whatever is true.

    The k-th smallest of m is multiplied by ``m - k + 1``, made monotone, and cut at 1 (Holm 1979). NaN stays NaN and is
    not counted.
    """
    values = np.asarray(p, dtype="float64")
    adjusted = np.full(len(values), math.nan)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(tested) - rank) * values[index]))
        adjusted[index] = largest
    return [float(value) for value in adjusted]


def power(effect: float, std: float, n: int, *, alpha: float) -> float:
    """Return how likely ``n`` pairs show a difference of ``effect`` as other than zero in its direction."""
    if n < 2:
        return 0.0
    if std <= 0:
        return 1.0 if effect else 0.0
    critical = float(stats.t.ppf(1 - alpha / 2, n - 1))
    return float(stats.nct.sf(critical, n - 1, abs(effect) * math.sqrt(n) / std))


def seeds_to_detect(effect: float, std: float, *, alpha: float = 0.05, wanted: float = 0.8) -> int | None:
    """Return how many seeds show a declared difference with a chance of ``wanted``, at the observed spread.

    The effect is what one would want to see, never what was seen: power at the observed effect says nothing that the p
    value does not. None for more than 100,000.

    Example:
        >>> seeds_to_detect(0.01, 0.01)
        10
    """
    if not math.isfinite(std) or effect == 0:
        return None
    low, high = 2, 2
    while power(effect, std, high, alpha=alpha) < wanted:
        if high == _MOST_SEEDS:
            return None
        low, high = high, min(2 * high, _MOST_SEEDS)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, std, middle, alpha=alpha) >= wanted else (middle + 1, high)
    return high


def upper_spread(std: float, n: int, *, confidence: float = 0.8) -> float:
    """Return the upper confidence limit of a standard deviation that was estimated from ``n`` numbers.

    ``std * sqrt((n - 1) / q)`` with ``q`` the ``1 - confidence`` quantile of chi-squared with ``n - 1`` degrees of
    freedom. A sample size that is planned with the estimate itself is too small every other time (Browne 1995,
    Statistics in Medicine 14).

    >>> round(upper_spread(1.0, 5), 2), round(upper_spread(1.0, 20), 2)
    (1.56, 1.18)
    """
    if n < 2 or not math.isfinite(std):
        return math.nan
    return std * math.sqrt((n - 1) / float(stats.chi2.ppf(1 - confidence, n - 1)))


def detectable(std: float, n: int, *, alpha: float = 0.05, wanted: float = 0.8) -> float:
    """Return the smallest difference that ``n`` seeds show with a chance of ``wanted``.

    Infinite with one seed, or a spread of which nothing is known.
    """
    if n < 2 or math.isinf(std):
        return math.inf
    return 0.0 if std <= 0 else std * _detectable_spreads(n, alpha, wanted)


@lru_cache(maxsize=4096)
def _detectable_spreads(n: int, alpha: float, wanted: float) -> float:
    """Return what ``n`` pairs detect, in standard deviations of their differences."""
    return float(optimize.brentq(lambda e: power(e, 1.0, n, alpha=alpha) - wanted, 0.0, 1e6, xtol=1e-9))


def possibly_best(values: np.ndarray, *, alpha: float = 0.05, resolution: float = 0.0) -> np.ndarray:
    """Return which recipes cannot be told from the best: multiple comparisons with the best, for paired values.

    A recipe is out if some other one is significantly better: one-sided paired t test at ``alpha / (k - 1)``. The true
    best is kept with probability ``1 - alpha`` at least, though which one looks best was picked from the same numbers.

    It is Hsu's procedure (Hsu 1996, Multiple Comparisons, chapter 4) with Bonferroni's bound in place of the exact
    critical value, which would need equal variances of all differences.

    Args:
        values: ``(recipes, seeds)``, the larger the better; every recipe with every seed.
        alpha: how often the true best may be lost.
        resolution: the step in which the numbers come; no smaller spread of differences is believed.

    Returns:
        booleans ``(recipes,)``; all True with fewer than two seeds.
    """
    k, n = values.shape
    kept = np.ones(k, dtype=bool)
    if k < 2 or n < 2:
        return kept
    for i in range(k):
        d = values - values[i]  # how much better each other one is
        t = t_statistics(d.mean(axis=1), d.std(axis=1, ddof=1), n, resolution=resolution)
        p = special.stdtr(n - 1, -np.delete(t, i))
        kept[i] = bool(p.min() > alpha / (k - 1))
    return kept


@dataclass(frozen=True)
class Crossed:
    """A mean difference over seeds and test examples, both taken as samples.

    Attributes:
        mean, low, high: the difference and its interval.
        seeds, examples, rest: standard deviations of the components: between seeds, between test examples, and what is
            particular to a pair of them.
        groups: how many groups of examples stand for them (the grouped jackknife, of metrics that are no mean over
            examples); 0 where each counts by itself.
    """

    mean: float
    low: float
    high: float
    seeds: float
    examples: float
    rest: float
    groups: int = 0


def crossed(differences: np.ndarray, *, confidence: float = 0.95) -> Crossed:
    """Return the interval of a mean difference that holds for other seeds and other test examples of the same kind.

    ``d[s, i] = mu + seed_s + example_i + rest_si``, all random (two-way, crossed, one value a cell). With the mean
    squares of the analysis of variance, ``var(mean) = (MS_s + MS_i - MS_e) / (n N)``, its degrees of freedom by
    Satterthwaite. Where a component is estimated below zero, it is taken as zero.

    Args:
        differences: ``(seeds, examples)``, for accuracy 1, 0 or -1: whether the recipe was right minus whether the
            baseline's was. The examples are the same for every seed.
        confidence: of the interval.
    """
    d = np.asarray(differences, dtype="float64")
    n, count = d.shape
    mean = float(d.mean())
    if n < 2 or count < 2:
        return Crossed(mean, math.nan, math.nan, math.nan, math.nan, math.nan)
    by_seed, by_example = d.mean(axis=1) - mean, d.mean(axis=0) - mean
    ms_seed = count * float(by_seed @ by_seed) / (n - 1)
    ms_example = n * float(by_example @ by_example) / (count - 1)
    rest = d - mean - by_seed[:, None] - by_example[None, :]
    ms_rest = float(np.sum(rest * rest)) / ((n - 1) * (count - 1))
    terms = [(ms_seed, n - 1), (ms_example, count - 1), (-ms_rest, (n - 1) * (count - 1))]
    total = max(sum(ms for ms, _ in terms), ms_seed, ms_example)
    if total <= 0:  # all the same, of which no spread can be estimated
        return Crossed(mean, math.nan, math.nan, 0.0, 0.0, 0.0)
    squares = sum(ms * ms / df for ms, df in terms)
    df = max(1.0, total * total / squares) if squares > 0 else 1.0
    half = float(stats.t.ppf((1 + confidence) / 2, df)) * math.sqrt(total / (n * count))
    return Crossed(
        mean, mean - half, mean + half, math.sqrt(max(0.0, ms_seed - ms_rest) / count),
        math.sqrt(max(0.0, ms_example - ms_rest) / n), math.sqrt(ms_rest),
    )  # fmt: skip


def mcnemar(right: np.ndarray, other_right: np.ndarray) -> float:
    """Return the exact two-sided p value that two trained models are equally often right on the same examples.

    Only examples count that one has right and the other wrong: of ``b + c`` of them, ``b`` is Binomial(b + c, 1/2)
    (McNemar 1947). It compares two models as they are, and says nothing of the recipes that made them.
    """
    b = int(np.count_nonzero(right & ~other_right))
    c = int(np.count_nonzero(~right & other_right))
    return 1.0 if b + c == 0 else float(stats.binomtest(b, b + c, 0.5).pvalue)
