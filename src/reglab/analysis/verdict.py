"""What may be said of each recipe against the baseline. Numbers in, verdicts out; see docs/statistics.md.

How it is said is the report's: ``report/verdicts.py``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from reglab.analysis.paired import (
    Paired,
    detectable,
    holm,
    paired,
    seeds_to_detect,
    smallest_step,
    upper_spread,
)
from reglab.tasks import Metric

__all__ = ["ALPHA", "ENOUGH_SEEDS", "Ended", "Verdict", "collapsed", "decide", "judge"]

Key = TypeVar("Key")

ALPHA = 0.05  # familywise: over all recipes of a study
ENOUGH_SEEDS = 5  # fewer are screening: differences and intervals, no verdicts
POWER = 0.8
# A run has collapsed if it is this far worse than the median of its recipe: as a share of what the metric can be, and
# in standard deviations of the others (by the median absolute deviation). Of 5 to 20 runs with normal noise this names
# one in 2 % of recipes.
COLLAPSE = 0.03
COLLAPSE_SPREADS = 4.0


@dataclass(frozen=True)
class Verdict:
    """One recipe against the baseline.

    Attributes:
        word: ``better``, ``worse``, ``equivalent`` (no difference larger than the margin), ``identical`` (in every seed
            its network is the baseline's), ``cannot tell``, ``unreliable`` (some of its runs, or of the baseline's,
            diverged or failed), or ``screening`` (fewer than five seeds).
        metric: what it is about.
        paired: the statistics of its differences.
        p_adjusted: Holm's p value over all recipes that were tested; NaN where no test was made.
        confidence: of the interval: ``1 - alpha / recipes``, or ``1 - alpha`` where no test was made. NaN for a bound,
            which has none of its own.
        low, high: the adjusted interval of the mean difference. It never contradicts the word. Of a :attr:`bound` one
            end is zero and the other infinite.
        margin: the difference that was declared to matter, or None.
        seeds_needed: about how many seeds would show a difference of the margin with a chance of 80 %, at the upper
            80 % confidence limit of the spread; None without a margin or a spread, or for more than 100,000.
        detectable: the smallest difference that as many seeds would show with a chance of 80 %; NaN without a spread.
        bad, runs: how many of its runs diverged or failed, and how many it has.
        baseline_bad, baseline_runs: the same of the baseline.
        collapsed: seeds of its runs that finished and lie far below its others.
    """

    word: str
    metric: Metric
    paired: Paired
    p_adjusted: float
    confidence: float
    low: float
    high: float
    margin: float | None
    seeds_needed: int | None
    detectable: float
    bad: int
    runs: int
    baseline_bad: int = 0
    baseline_runs: int = 0
    collapsed: tuple[int, ...] = ()

    @property
    def bound(self) -> str:
        """``>0`` or ``<0`` where the step-down test shows the sign and no interval goes with it; else empty."""
        if self.word not in ("better", "worse"):
            return ""
        return ">0" if math.isinf(self.high) else "<0" if math.isinf(self.low) else ""


def collapsed(values: Mapping[int, float], metric: Metric) -> tuple[int, ...]:
    """Return the seeds of runs that are far worse than the others of their recipe; none with fewer than four runs.

    >>> from reglab.tasks import Binary
    >>> accuracy = Binary(classes=("no", "yes")).decides
    >>> collapsed({0: 0.91, 1: 0.90, 2: 0.92, 3: 0.80, 4: 0.91}, accuracy)
    (3,)
    """
    if len(values) < 4:
        return ()
    numbers = metric.sign * np.array(list(values.values()))
    middle = float(np.median(numbers))
    spread = 1.4826 * float(np.median(np.abs(numbers - middle)))
    limit = middle - max(COLLAPSE * metric.size(middle), COLLAPSE_SPREADS * spread)
    return tuple(seed for seed, value in zip(values, numbers, strict=True) if value < limit)


def judge(
    values: Mapping[str, Mapping[int, float]],
    status: Mapping[str, Sequence[str]],
    *,
    baseline: str,
    metric: Metric,
    margin: float | None = None,
    alpha: float = ALPHA,
    resolution: float | None = None,
    identical: Collection[str] = (),
) -> dict[str, Verdict]:
    """Return the verdict on every recipe but the baseline.

    The paired t test decides, its p values adjusted by Holm over the recipes that are tested, so that, where
    differences are about symmetric, the chance of any false "better" or "worse" in the study is ``alpha`` at most. It
    is not where recipes collapse now and then. A recipe is equivalent if its interval lies within the margin, which is
    TOST at a level that allows for the number of recipes.

    Intervals are Bonferroni's, at ``1 - alpha / recipes``. Holm rejects more than Bonferroni: where it does although
    the interval reaches over zero, no interval is given but the bound that the test shows, above or below zero.

    Differences that are all zero are never equivalence: that some runs differ by much cannot be excluded.

    Args:
        values: for each recipe's name a number per seed; of runs that finished.
        status: for each recipe's name how each of its runs ended.
        baseline: the name of the recipe the others are compared with. Where some of its runs diverged or failed, every
            verdict is unreliable.
        metric: what the numbers are.
        margin: the smallest difference that matters, declared beforehand.
        alpha: familywise error rate.
        resolution: the step in which the numbers come, such as ``1 / N`` for accuracy on ``N`` test examples; no
            smaller spread of differences is believed. By default the smallest step between the values of a pair.
        identical: names of recipes whose networks are the baseline's in every seed. They are not tested.
    """
    names = [name for name in values if name != baseline]
    found = {name: _pair(values[name], values[baseline], resolution) for name in names}
    bad, runs = _bad(status[baseline]), len(status[baseline])
    ended = {
        name: Ended(
            _bad(status[name]), len(status[name]), bad, runs, collapsed(values[name], metric), name in identical
        )
        for name in names
    }
    return decide(found, ended, metric=metric, margin=margin, alpha=alpha)


@dataclass(frozen=True)
class Ended:
    """How the runs of a recipe and of what it is compared with ended; see :class:`Verdict`."""

    bad: int = 0
    runs: int = 0
    baseline_bad: int = 0
    baseline_runs: int = 0
    collapsed: tuple[int, ...] = ()
    identical: bool = False


def decide(
    found: Mapping[Key, Paired],
    ended: Mapping[Key, Ended],
    *,
    metric: Metric,
    margin: float | None = None,
    alpha: float = ALPHA,
) -> dict[Key, Verdict]:
    """Return the verdicts on a family of differences, as :func:`judge` does on those from a baseline."""
    tested = [
        key for key, each in found.items()
        if each.n >= ENOUGH_SEEDS and not ended[key].bad and not ended[key].baseline_bad and not ended[key].identical
    ]  # fmt: skip
    adjusted = dict(zip(tested, holm([found[key].p for key in tested]), strict=True))
    share = alpha / max(1, len(tested))
    return {
        key: _decided(
            each, ended[key], adjusted.get(key, math.nan), metric=metric, margin=margin, alpha=alpha, share=share
        )
        for key, each in found.items()
    }


def _decided(
    found: Paired, ended: Ended, p: float, *, metric: Metric, margin: float | None, alpha: float, share: float
) -> Verdict:
    level = alpha if math.isnan(p) else share
    low, high = _bounded(found, level, rejected=p <= alpha)
    word = _word(found, ended, p, low, high, sign=metric.sign, margin=margin, alpha=alpha)
    bound = word in ("better", "worse") and math.inf in (-low, high)
    known = math.isfinite(found.std) and math.isfinite(found.spread)
    likely = upper_spread(found.spread, found.n) if known and margin is not None else math.nan
    return Verdict(
        word, metric, found, p, math.nan if bound else 1 - level, low, high, margin,
        None if margin is None else seeds_to_detect(margin, likely, alpha=share, wanted=POWER),
        detectable(found.spread, found.n, alpha=share, wanted=POWER) if known else math.nan,
        ended.bad, ended.runs, ended.baseline_bad, ended.baseline_runs, ended.collapsed,
    )  # fmt: skip


def _bad(status: Sequence[str]) -> int:
    return sum(state in ("diverged", "failed") for state in status)


def _pair(values: Mapping[int, float], baseline: Mapping[int, float], resolution: float | None) -> Paired:
    differences = [value - baseline[seed] for seed, value in values.items() if seed in baseline]
    step = smallest_step([*values.values(), *baseline.values()]) if resolution is None else resolution
    return paired(differences, resolution=step)


def _bounded(found: Paired, alpha: float, *, rejected: bool) -> tuple[float, float]:
    """Return the interval, or the bound that the test shows where it shows more than the interval."""
    low, high = found.interval(1 - alpha)
    if rejected and low <= 0 <= high:
        return (0.0, math.inf) if found.mean > 0 else (-math.inf, 0.0)
    return low, high


def _word(
    found: Paired, ended: Ended, p: float, low: float, high: float, *, sign: float, margin: float | None, alpha: float
) -> str:
    if ended.bad or ended.baseline_bad:
        return "unreliable"
    if ended.identical and found.n:
        return "identical"
    if found.n < ENOUGH_SEEDS:
        return "screening"
    if p <= alpha:
        return "better" if sign * found.mean > 0 else "worse"
    if margin is not None and -margin <= low and high <= margin and not found.all_zero:
        return "equivalent"
    return "cannot tell"
