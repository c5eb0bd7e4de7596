"""What may be said of each recipe against the baseline, and which recipes may be the best. Numbers in, verdicts out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reglab.analysis.paired import Paired, detectable, holm, paired, possibly_best, seeds_to_detect

__all__ = ["ALPHA", "ENOUGH_SEEDS", "Choice", "Verdict", "choose", "judge"]

ALPHA = 0.05  # familywise: over all recipes of a study
ENOUGH_SEEDS = 5  # fewer are screening: differences and intervals, no verdicts
POWER = 0.8
_SAME_TIME = 1.1  # times of runs vary by more than a small difference in cost


@dataclass(frozen=True)
class Verdict:
    """One recipe against the baseline.

    Attributes:
        word: ``better``, ``worse``, ``equivalent`` (no difference larger than the margin), ``cannot tell``,
            ``unreliable`` (some of its runs diverged or failed), or ``screening`` (fewer than five seeds).
        paired: the statistics of its differences.
        p_adjusted: Holm's p value over all recipes of the study; NaN where no test was made.
        confidence: of the interval: ``1 - alpha / recipes``, or ``1 - alpha`` where no test was made.
        low, high: the adjusted interval of the mean difference. It never contradicts the word.
        margin: the difference that was declared to matter, or None.
        seeds_needed: seeds that would show a difference of the margin with a chance of 80 %, at the observed spread;
            None without a margin or a spread.
        detectable: the smallest difference that as many seeds would show with a chance of 80 %.
        bad: how many of its runs diverged or failed.
        runs: how many runs it has.
    """

    word: str
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

    def sentence(self, name: str, *, unit: float = 100.0) -> str:
        """Return the verdict in words, differences multiplied by ``unit`` (points of accuracy)."""
        d = self.paired
        size = f"{unit * d.mean:+.2f} points [{unit * self.low:+.2f}, {unit * self.high:+.2f}]"
        if self.word == "unreliable":
            return f"{name} is unreliable: {self.bad} of {self.runs} runs diverged or failed."
        if self.word == "screening":
            return f"{name}: {d.n} seeds are screening, too few for a verdict."
        if self.word in ("better", "worse"):
            return f"{name} is {self.word}: {size}."
        if self.word == "equivalent":
            return f"{name} makes no difference larger than {unit * (self.margin or 0):g} points: {size}."
        needed = ""
        if self.margin is not None:
            seeds = "over 100,000" if self.seeds_needed is None else f"{self.seeds_needed:,}"
            needed = f" A difference of {unit * self.margin:g} points would need {seeds} seeds at this spread."
        elif math.isfinite(self.detectable):
            needed = f" {d.n} seeds at this spread detect differences from {unit * self.detectable:.1f} points on."
        return f"{name} cannot be told from the baseline: {size}.{needed}"


def judge(
    values: Mapping[str, Mapping[int, float]],
    status: Mapping[str, Sequence[str]],
    *,
    baseline: str,
    margin: float | None = None,
    alpha: float = ALPHA,
) -> dict[str, Verdict]:
    """Return the verdict on every recipe but the baseline.

    The paired t test decides, its p values adjusted by Holm over the recipes that are tested, so that the chance of any
    false "better" or "worse" in the study is ``alpha`` at most. A recipe is equivalent if its interval lies within the
    margin, which is TOST at a level that the number of recipes is allowed for.

    Intervals are Bonferroni's, at ``1 - alpha / recipes``. Holm rejects more than Bonferroni: where it does although
    the interval reaches over zero, the interval is cut there. So each covers with ``1 - alpha`` at least, and all
    together do where there is no effect (docs/statistics.md has what simulation says).

    Args:
        values: for each recipe's name a number a seed, the larger the better; of runs that finished.
        status: for each recipe's name how each of its runs ended.
        baseline: the name of the recipe the others are compared with.
        margin: the smallest difference that matters, declared beforehand.
        alpha: familywise error rate.
    """
    names = [name for name in values if name != baseline]
    found = {name: paired(_differences(values[name], values[baseline])) for name in names}
    bad = {name: sum(state in ("diverged", "failed") for state in status[name]) for name in names}
    tested = [name for name in names if found[name].n >= ENOUGH_SEEDS and not bad[name]]
    adjusted = dict(zip(tested, holm([found[name].p for name in tested]), strict=True))
    share = alpha / max(1, len(tested))
    verdicts = {}
    for name in names:
        p = adjusted.get(name, math.nan)
        level = share if name in adjusted else alpha
        low, high = _cut(found[name], level, rejected=p <= alpha)
        word = _word(found[name], p, low, high, margin=margin, alpha=alpha, bad=bad[name])
        spread, n = found[name].std, found[name].n
        verdicts[name] = Verdict(
            word, found[name], p, 1 - level, low, high, margin,
            None if margin is None else seeds_to_detect(margin, spread, alpha=share, wanted=POWER),
            math.nan if math.isnan(spread) else detectable(spread, n, alpha=share, wanted=POWER),
            bad[name], len(status[name]),
        )  # fmt: skip
    return verdicts


def _differences(values: Mapping[int, float], baseline: Mapping[int, float]) -> list[float]:
    return [value - baseline[seed] for seed, value in values.items() if seed in baseline]


def _cut(found: Paired, alpha: float, *, rejected: bool) -> tuple[float, float]:
    low, high = found.interval(1 - alpha)
    if rejected and found.mean > 0:
        low = max(low, 0.0)
    if rejected and found.mean < 0:
        high = min(high, 0.0)
    return low, high


def _word(
    found: Paired, p: float, low: float, high: float, *, margin: float | None, alpha: float, bad: int
) -> str:  # fmt: skip
    if bad:
        return "unreliable"
    if found.n < ENOUGH_SEEDS:
        return "screening"
    if p <= alpha:
        return "better" if found.mean > 0 else "worse"
    if margin is not None and -margin <= low and high <= margin:
        return "equivalent"
    return "cannot tell"


@dataclass(frozen=True)
class Choice:
    """What validation says of which recipe to use.

    Attributes:
        best: the recipe with the highest mean on validation.
        candidates: all that cannot be told from the best, the best one first.
        recommended: the cheapest of them: of those that take the least time a run, within 10 %, the one with the
            fewest strategies. The baseline counts as any other.
        screening: whether there are too few seeds for that, and ``candidates`` is everything.
    """

    best: str
    candidates: tuple[str, ...]
    recommended: str
    screening: bool


def choose(
    validation: Mapping[str, Mapping[int, float]],
    seconds: Mapping[str, float],
    sizes: Mapping[str, int],
    *,
    alpha: float = ALPHA,
) -> Choice | None:
    """Return which recipes may be the best by validation, and the cheapest of them.

    Args:
        validation: for each recipe's name a number a seed, the larger the better; of runs that finished. Recipes that
            lack a seed which others have are left out.
        seconds: what a run of each costs.
        sizes: how many strategies each has.
        alpha: how often the true best may be missed.

    Returns:
        None if no recipe has a run.
    """
    most = max((len(of_name) for of_name in validation.values()), default=0)
    names = [name for name, of_name in validation.items() if len(of_name) == most]
    if most == 0:
        return None
    seeds = sorted(validation[names[0]])
    names = [name for name in names if sorted(validation[name]) == seeds]
    values = np.array([[validation[name][seed] for seed in seeds] for name in names])
    means = values.mean(axis=1)
    enough = most >= ENOUGH_SEEDS
    kept = possibly_best(values, alpha=alpha) if enough else np.ones(len(names), dtype=bool)
    order = sorted(range(len(names)), key=lambda i: -means[i])
    candidates = tuple(names[i] for i in order if kept[i])
    least = min(seconds.get(name, math.inf) for name in candidates)
    cheap = [name for name in candidates if seconds.get(name, math.inf) <= _SAME_TIME * least]
    cheapest = min(cheap or candidates, key=lambda name: sizes.get(name, 0))
    return Choice(names[order[0]], candidates, cheapest if enough else names[order[0]], not enough)
