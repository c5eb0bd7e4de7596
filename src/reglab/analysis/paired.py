"""Statistics of paired differences: one number a seed, recipe minus baseline. Arrays in, numbers out.

The deciding test is the paired t test. Beside it stand two checks that assume less: the exact sign-flip test, and the
share of seeds in which the recipe was better. What all of them speak of is this data and this way of splitting it: the
training sets of seeds overlap and the test set is one and the same, so they say how a repetition with other seeds would
come out, and not how another data set would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "Crossed",
    "Paired",
    "crossed",
    "detectable",
    "holm",
    "mcnemar",
    "paired",
    "possibly_best",
    "seeds_to_detect",
]

_MOST_SEEDS = 100_000


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
    """

    n: int
    mean: float
    std: float
    p: float
    p_sign_flip: float
    p_floor: float
    better: float

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the t interval ``mean +- t * std / sqrt(n)``; NaN with one pair."""
        if self.n < 2:
            return math.nan, math.nan
        from scipy import stats

        half = float(stats.t.ppf((1 + confidence) / 2, self.n - 1)) * self.std / math.sqrt(self.n)
        return self.mean - half, self.mean + half


def paired(differences: Sequence[float] | np.ndarray) -> Paired:
    """Return the statistics of paired differences.

    Example:
        >>> found = paired([0.02, 0.01, 0.03, 0.02, 0.02])
        >>> round(found.mean, 3), round(found.p, 4), found.p_sign_flip, found.p_floor
        (0.02, 0.0032, 0.0625, 0.0625)
    """
    d = np.asarray(differences, dtype="float64")
    n = len(d)
    if n == 0:
        return Paired(0, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan)
    mean = float(d.mean())
    better = float((np.count_nonzero(d > 0) + np.count_nonzero(d == 0) / 2) / n)
    if n == 1:
        return Paired(1, mean, math.nan, math.nan, 1.0, 1.0, better)
    std = float(d.std(ddof=1))
    return Paired(n, mean, std, _t_test(mean, std, n), _sign_flip(d), 2.0 ** (1 - n), better)


def _t_test(mean: float, std: float, n: int) -> float:
    from scipy import stats

    scale = std / math.sqrt(n)
    if scale <= 1e-12 * max(abs(mean), 1e-300):  # differences that are all the same, as of a rider that changes nothing
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / scale, n - 1))


def _sign_flip(d: np.ndarray) -> float:
    """Return the share of all assignments of signs whose mean is at least as far from zero."""
    from scipy import stats

    if not np.any(d):
        return 1.0
    n_resamples = 2 ** len(d) if len(d) <= 14 else 9999
    found = stats.permutation_test(
        (d,), lambda x, axis=-1: np.mean(x, axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=n_resamples, rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(found.pvalue)


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
    from scipy import stats

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
    if math.isnan(std) or effect == 0:
        return None
    low, high = 2, 2
    while power(effect, std, high, alpha=alpha) < wanted:
        low, high = high, 2 * high
        if high > _MOST_SEEDS:
            return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, std, middle, alpha=alpha) >= wanted else (middle + 1, high)
    return high


def detectable(std: float, n: int, *, alpha: float = 0.05, wanted: float = 0.8) -> float:
    """Return the smallest difference that ``n`` seeds show with a chance of ``wanted``; infinite with one seed."""
    from scipy import optimize

    if n < 2:
        return math.inf
    if std <= 0:
        return 0.0
    return float(optimize.brentq(lambda e: power(e, std, n, alpha=alpha) - wanted, 0.0, 1e6 * std, xtol=1e-9 * std))


def possibly_best(values: np.ndarray, *, alpha: float = 0.05) -> np.ndarray:
    """Return which recipes cannot be told from the best: multiple comparisons with the best, for paired values.

    A recipe is out if some other one is significantly better: one-sided paired t test at ``alpha / (k - 1)``. The true
    best is kept with probability ``1 - alpha`` at least, though which one looks best was picked from the same numbers.

    It is Hsu's procedure (Hsu 1996, Multiple Comparisons, chapter 4) with Bonferroni's bound in place of the exact
    critical value, which would need equal variances of all differences.

    Args:
        values: ``(recipes, seeds)``, the larger the better; every recipe with every seed.
        alpha: how often the true best may be lost.

    Returns:
        booleans ``(recipes,)``; all True with fewer than two seeds.
    """
    from scipy import stats

    k, n = values.shape
    kept = np.ones(k, dtype=bool)
    if k < 2 or n < 2:
        return kept
    for i in range(k):
        d = values - values[i]  # how much better each other one is
        mean, scale = d.mean(axis=1), d.std(axis=1, ddof=1) / math.sqrt(n)
        t = np.divide(mean, scale, out=np.where(mean > 1e-12, np.inf, 0.0), where=scale > 1e-12)
        p = stats.t.sf(np.delete(t, i), n - 1)
        kept[i] = bool(p.min() > alpha / (k - 1))
    return kept


@dataclass(frozen=True)
class Crossed:
    """A mean difference over seeds and test examples, both taken as samples.

    Attributes:
        mean, low, high: the difference and its interval.
        seeds, examples, rest: standard deviations of the components: between seeds, between test examples, and what is
            particular to a pair of them.
    """

    mean: float
    low: float
    high: float
    seeds: float
    examples: float
    rest: float


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
    from scipy import stats

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
    from scipy import stats

    b = int(np.count_nonzero(right & ~other_right))
    c = int(np.count_nonzero(~right & other_right))
    return 1.0 if b + c == 0 else float(stats.binomtest(b, b + c, 0.5).pvalue)
