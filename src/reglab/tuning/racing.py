"""Racing: epochs go where it is in doubt which recipe is best. Pure: whoever trains is asked for learning curves.

Two things are in doubt, and they are settled apart. Which strength of a strategy is good shows early: strengths of one
strategy are compared on few epochs, and the hopeless ones are dropped. Which strategy is good does not: strong
regularizers learn slower and the curves cross, so recipes of different strategies meet only when they are fully
trained, and then seeds are added to those that are still in doubt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from reglab.errors import ReglabError

__all__ = ["Race", "Stage", "race"]

# Of strengths of one strategy, the share that goes on after a quarter and after a half of the epochs.
_RUNGS = ((0.25, 0.6), (0.5, 0.67))
_FIRST_SEEDS = 2  # for the first look at every recipe: one seed's luck would drop good ones
_FEWEST = 2  # strengths of a strategy that are fully trained: where curves of strengths cross, the second may be best
_SURE = 2.0  # standard errors behind the leader, with the spread of all recipes taken together, to be out

Curves = Callable[[Sequence[str], Sequence[int], int], Mapping[tuple[str, int], Sequence[float]]]


@dataclass(frozen=True)
class Stage:
    """What was known when recipes were dropped.

    Attributes:
        epochs: that the recipes were trained for.
        seeds: that each had.
        left: the recipes that went on, best first.
        spent: epochs of training so far.
    """

    epochs: int
    seeds: int
    left: tuple[str, ...]
    spent: int


@dataclass(frozen=True)
class Race:
    """How a race went.

    Attributes:
        pick: the recipe with the highest mean validation accuracy of those that were left.
        left: all that could not be told from it, best first.
        spent: epochs of training.
        stages: how it came to that.
    """

    pick: str
    left: tuple[str, ...]
    spent: int
    stages: tuple[Stage, ...]


@dataclass
class _Track:
    """What has been trained: learning curves by recipe and seed, and what they cost."""

    curves: Curves
    budget: int
    trained: dict[tuple[str, int], int] = field(default_factory=dict)
    scores: dict[tuple[str, int, int], float] = field(default_factory=dict)
    spent: int = 0

    def cost(self, names: Sequence[str], seeds: Sequence[int], epochs: int) -> int:
        return sum(max(0, epochs - self.trained.get((name, seed), 0)) for name in names for seed in seeds)

    def train(self, names: Sequence[str], seeds: Sequence[int], epochs: int) -> None:
        self.spent += self.cost(names, seeds, epochs)
        for (name, seed), curve in self.curves(names, seeds, epochs).items():
            self.trained[name, seed] = max(epochs, self.trained.get((name, seed), 0))
            values = np.asarray(curve, dtype="float64")[:epochs]
            # The best epoch counts, as in a study; a run that diverged or failed is worth nothing.
            fine = len(values) > 0 and bool(np.isfinite(values).all())
            self.scores[name, seed, epochs] = float(values.max()) if fine else 0.0

    def table(self, names: Sequence[str], seeds: Sequence[int], epochs: int) -> np.ndarray:
        return np.array([[self.scores[name, seed, epochs] for seed in seeds] for name in names])

    def ranked(self, names: Sequence[str], seeds: Sequence[int], epochs: int) -> list[str]:
        means = self.table(names, seeds, epochs).mean(axis=1)
        return [names[i] for i in np.argsort(-means, kind="stable")]


def race(
    families: Mapping[str, Sequence[str]], seeds: Sequence[int], *, epochs: int, budget: int, curves: Curves
) -> Race:
    """Find a good recipe with few epochs.

    Args:
        families: for each strategy the names of its recipes, which differ in strength.
        seeds: that may be used, in this order.
        epochs: of a full training.
        budget: epochs of training in all; a recipe that is trained on costs only what is new.
        curves: trains recipes with seeds for a number of epochs, or on to there, and returns for each pair the
            validation accuracy of every epoch; an empty curve where it failed.

    Raises:
        ReglabError: if the budget does not reach for the first look at every strength and a full training of one of
            each strategy, saying how many epochs that are.
    """
    track, stages = _Track(curves, budget), []
    first = list(seeds[:_FIRST_SEEDS])
    least = _least(families, first, epochs)
    if budget < least:
        raise ReglabError(f"A race of these recipes needs {least:,} epochs at least; the budget is {budget:,}.")
    left = {family: list(names) for family, names in families.items()}
    for share, kept in _RUNGS:
        until = max(1, math.ceil(share * epochs))
        everyone = [name for names in left.values() for name in names]
        track.train(everyone, first, until)
        for family, names in left.items():
            keep = max(min(_FEWEST, len(names)), math.ceil(kept * len(names)))
            left[family] = track.ranked(names, first, until)[:keep]
        stages.append(Stage(until, len(first), tuple(n for names in left.values() for n in names), track.spent))
    contenders = _affordable(left, track, first, epochs)
    track.train(contenders, first, epochs)
    used = len(first)
    contenders = track.ranked(contenders, first, epochs)
    while True:
        contenders = _in_doubt(contenders, track, seeds[:used], epochs)
        stages.append(Stage(epochs, used, tuple(contenders), track.spent))
        contenders, more = _next_round(contenders, track, list(seeds[used:]), epochs)
        if not more:
            break
        track.train(contenders, more, epochs)
        used += len(more)
        contenders = track.ranked(contenders, seeds[:used], epochs)
    return Race(contenders[0], tuple(contenders), track.spent, tuple(stages))


def _least(families: Mapping[str, Sequence[str]], seeds: Sequence[int], epochs: int) -> int:
    share = max(1, math.ceil(_RUNGS[-1][0] * epochs))
    return len(seeds) * (sum(len(names) for names in families.values()) * share + len(families) * (epochs - share))


def _affordable(left: Mapping[str, list[str]], track: _Track, seeds: Sequence[int], epochs: int) -> list[str]:
    """Return the recipes that are fully trained: the best of every strategy, then seconds, as the budget reaches."""
    chosen: list[str] = []
    for rank in range(max(len(names) for names in left.values())):
        for names in left.values():
            if rank < len(names):
                more = [*chosen, names[rank]]
                # Half of what is left is for adding seeds, except for the first of each, which are trained in any case.
                room = track.budget - track.spent
                if rank == 0 or track.cost(more, seeds, epochs) <= room / 2:
                    chosen = more
    return chosen


def _in_doubt(names: list[str], track: _Track, seeds: Sequence[int], epochs: int) -> list[str]:
    """Return the recipes that are not surely behind the leader, by paired differences with their spread pooled."""
    values = track.table(names, seeds, epochs)
    if len(names) < 2 or len(seeds) < 2:
        return names
    behind = values[0] - values
    spread = math.sqrt(float(behind[1:].var(axis=1, ddof=1).mean()))
    limit = _SURE * spread / math.sqrt(len(seeds))
    return [name for name, gap in zip(names, behind.mean(axis=1), strict=True) if gap <= limit]


def _next_round(
    names: list[str], track: _Track, seeds: list[int], epochs: int
) -> tuple[list[str], list[int]]:  # fmt: skip
    """Return who gets which seeds next: everyone in doubt, or the better half of them, so that the budget reaches.

    What is left is spent in as many rounds as halving takes (sequential halving; Karnin et al. 2013).
    """
    room = track.budget - track.spent
    if len(names) < 2 or not seeds or room < 2 * epochs:
        return names, []
    rounds = max(1, math.ceil(math.log2(len(names))))
    kept = names
    while len(kept) > 2 and room / rounds < len(kept) * epochs:
        kept = kept[: math.ceil(len(kept) / 2)]
        rounds = max(1, math.ceil(math.log2(len(kept))))
    each = min(len(seeds), max(1, int(room / rounds / (len(kept) * epochs))))
    while each > 0 and track.cost(kept, seeds[:each], epochs) > room:
        each -= 1
    return kept, seeds[:each]
