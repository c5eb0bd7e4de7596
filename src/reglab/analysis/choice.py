"""Which recipe to use, by validation. Numbers in, a choice out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reglab.analysis.paired import possibly_best, smallest_step, t_statistics
from reglab.analysis.verdict import ALPHA, ENOUGH_SEEDS
from reglab.lazy import stats

__all__ = ["Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """What validation says of which recipe to use.

    Attributes:
        best: the recipe with the highest mean on validation; of equal ones the one with the fewest strategies.
        candidates: all that cannot be told from the best, the best one first.
        recommended: the best; or, where a margin was declared, the recipe with the fewest strategies that is shown to
            be no more than the margin behind any other. The baseline counts as any other.
        screening: whether there are too few seeds for that, and ``candidates`` is everything.
        margin: the declared difference that matters, or None.
    """

    best: str
    candidates: tuple[str, ...]
    recommended: str
    screening: bool
    margin: float | None = None


def choose(
    validation: Mapping[str, Mapping[int, float]],
    sizes: Mapping[str, int],
    *,
    margin: float | None = None,
    alpha: float = ALPHA,
) -> Choice | None:
    """Return which recipes may be the best by validation, and which one to use.

    That a recipe cannot be told from the best does not make it as good. So a simpler one takes the place of the best
    only if it is shown not to be inferior: against every other recipe the one-sided paired t test rejects that it is
    the margin or more behind. Each of the simpler ones is tested at ``alpha / simpler``, so that one that is more than
    the margin behind the true best is recommended in its place with probability ``alpha`` at most.

    Time plays no part: it differs from one repetition of a study to the next.

    Args:
        validation: for each recipe's name a number per seed, the larger the better; of runs that finished. Recipes that
            lack a seed which others have are left out.
        sizes: how many strategies each has.
        margin: the smallest difference that matters, declared beforehand.
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
    enough, step = most >= ENOUGH_SEEDS, smallest_step(values)
    kept = possibly_best(values, alpha=alpha, resolution=step) if enough else np.ones(len(names), dtype=bool)
    order = sorted(range(len(names)), key=lambda i: (-means[i], sizes.get(names[i], 0)))
    best = recommended = order[0]
    if enough and margin is not None:
        simpler = [i for i in order if sizes.get(names[i], 0) < sizes.get(names[best], 0)]
        level = alpha / max(1, len(simpler))
        good = [i for i in simpler if _not_inferior(values, i, margin=margin, alpha=level, resolution=step)]
        recommended = min(good, key=lambda i: sizes.get(names[i], 0), default=best)  # of equal ones the better
    candidates = tuple(names[i] for i in order if kept[i] or i == best)
    return Choice(names[best], candidates, names[recommended], not enough, margin)


def _not_inferior(values: np.ndarray, which: int, *, margin: float, alpha: float, resolution: float) -> bool:
    """Whether each recipe that differs from it in some seed is shown to be less than ``margin`` ahead."""
    n = values.shape[1]
    d = values - values[which]
    d = d[(d != 0).any(axis=1)]
    lead = margin - d.mean(axis=1)
    t = np.where(lead > 0, t_statistics(lead, d.std(axis=1, ddof=1), n, resolution=resolution), -math.inf)
    return bool((t >= stats.t.ppf(1 - alpha, n - 1)).all())
