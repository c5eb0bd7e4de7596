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

_LOOK = 0.5  # of the epochs, after which strengths of one strategy are compared; before, strong ones only look bad
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
        pick: the recipe with the best mean on validation of those that were left.
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
    seen: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    spent: int = 0

    def cost(self, names: Sequence[str], seeds: Sequence[int], epochs: int) -> int:
        return sum(max(0, epochs - self.trained.get((name, seed), 0)) for name in names for seed in seeds)

    def train(self, names: Sequence[str], seeds: Sequence[int], epochs: int) -> None:
        self.spent += self.cost(names, seeds, epochs)
        for (name, seed), curve in self.curves(names, seeds, epochs).items():
            self.trained[name, seed] = max(epochs, self.trained.get((name, seed), 0))
            values = np.asarray(curve, dtype="float64")[:epochs]
            # The best epoch counts, as in a study; a run that diverged or failed is worth less than any other.
            fine = len(values) > 0 and bool(np.isfinite(values).all())
            self.seen[name, seed] = values.tolist() if fine else []
            self.scores[name, seed, epochs] = max(self.seen[name, seed], default=-math.inf)

    def hopeful(self, names: Sequence[str], seed: int) -> list[str]:
        """Return the strengths of a strategy that may still become its best, from curves of half of the epochs."""
        best = max((max(self.seen[name, seed], default=-math.inf) for name in names), default=-math.inf)
        return [name for name in names if _reached(self.seen[name, seed]) >= best]

    def table(self, names: Sequence[str], seeds: Sequence[int], epochs: int) -> np.ndarray:
        return np.array([[self.scores[name, seed, epochs] for seed in seeds] for name in names])

    def ranked(self, names: Sequence[str], seeds: Sequence[int], epochs: int) -> list[str]:
        means = self.table(names, seeds, epochs).mean(axis=1)
        return [names[i] for i in np.argsort(-means, kind="stable")]


def _reached(curve: list[float]) -> float:
    """Return what a curve would come to that goes on at the pace of its second half."""
    if not curve:
        return -math.inf
    now, before = max(curve), max(curve[: (len(curve) + 1) // 2])
    return now + (now - before)


def race(
    families: Mapping[str, Sequence[str]], seeds: Sequence[int], *, epochs: int, budget: int, curves: Curves
) -> Race:
    """Find a good recipe with few epochs.

    1. With the first seed every recipe is trained for half of the epochs. A strength is hopeless, and dropped, if it is
       further behind the best strength of its strategy than it came in the last quarter: going on at that pace it
       would not catch up, and learning slows down.
    2. The others are trained to the end.
    3. Seeds are added to the recipes in doubt, to fewer and fewer of them (sequential halving; Karnin, Koren and Somekh
       2013), until one is left, the budget ends, or there are no more seeds. Recipes that are two standard errors
       behind the leader, paired by seed, are out of doubt.

    Args:
        families: for each strategy the names of its recipes, which differ in strength.
        seeds: that may be used, in this order.
        epochs: of a full training.
        budget: epochs of training in all; a recipe that is trained on costs only what is new.
        curves: trains recipes with seeds for a number of epochs, or on to there, and returns for each pair the
            value on validation of every epoch, of which larger is better; an empty curve where it failed.

    Raises:
        ReglabError: if the budget does not reach for training every recipe once, saying how many epochs that takes.
    """
    everyone = [name for names in families.values() for name in names]
    least = len(everyone) * epochs
    if budget < least:
        raise ReglabError(
            f"A race of {len(everyone)} recipes over {epochs} epochs needs {least:,} epochs at least; the budget is "
            f"{budget:,}. Give more, or fewer recipes."
        )
    track, stages = _Track(curves, budget), []
    first = list(seeds[:1])
    until = max(1, math.ceil(_LOOK * epochs))
    track.train(everyone, first, until)
    left = [name for names in families.values() for name in track.hopeful(names, first[0])]
    stages.append(Stage(until, 1, tuple(left), track.spent))
    track.train(left, first, epochs)
    used = 1
    while True:
        left = _in_doubt(track.ranked(left, seeds[:used], epochs), track, seeds[:used], epochs)
        stages.append(Stage(epochs, used, tuple(left), track.spent))
        going_on, more = _next_round(left, track, list(seeds[used:]), epochs)
        if not more:
            break
        left = going_on
        track.train(left, more, epochs)
        used += len(more)
    return Race(left[0], tuple(left), track.spent, tuple(stages))


def _in_doubt(names: list[str], track: _Track, seeds: Sequence[int], epochs: int) -> list[str]:
    """Return the recipes that are not surely behind the leader, by paired differences with their spread pooled.

    Those that failed with a seed are behind all others.
    """
    if len(names) < 2 or len(seeds) < 2:
        return names
    values = track.table(names, seeds, epochs)
    names = [name for name, of_name in zip(names, values, strict=True) if np.isfinite(of_name).all()] or names[:1]
    if len(names) < 2:
        return names
    values = values[np.isfinite(values).all(axis=1)]
    behind = values[0] - values
    spread = math.sqrt(float(behind[1:].var(axis=1, ddof=1).mean()))
    limit = _SURE * spread / math.sqrt(len(seeds))
    return [name for name, gap in zip(names, behind.mean(axis=1), strict=True) if gap <= limit]


def _next_round(
    names: list[str], track: _Track, seeds: list[int], epochs: int
) -> tuple[list[str], list[int]]:  # fmt: skip
    """Return which recipes get which seeds next, so that halving them round by round spends what is left."""
    room = track.budget - track.spent
    if len(names) < 2 or not seeds or room < 2 * epochs:
        return names, []
    kept = names[: max(2, math.ceil(len(names) / 2))]
    while len(kept) > 2 and room / _rounds(kept) < len(kept) * epochs:
        kept = kept[:-1]
    each = min(len(seeds), max(1, int(room / _rounds(kept) / (len(kept) * epochs))))
    return kept, seeds[:each]


def _rounds(names: Sequence[str]) -> int:
    return max(1, math.ceil(math.log2(len(names))))
