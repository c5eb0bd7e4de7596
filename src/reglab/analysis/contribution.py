"""What each ingredient of a combination contributes. Numbers in, numbers out.

A combination of k ingredients is trained without each of them, with each alone and with each pair, so that
three questions are told apart: what it loses without one, what one brings alone, and whether two help each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from reglab.analysis.paired import Paired, holm, paired
from reglab.analysis.verdict import ALPHA, ENOUGH_SEEDS, Verdict, judge

__all__ = ["Contribution", "Effect", "Ingredient", "contribution", "subsets"]

Subset = frozenset[str]


@dataclass(frozen=True)
class Effect:
    """A mean over seeds with its interval.

    Attributes:
        paired: the statistics of it.
        low, high: 95 % paired t interval, of this one alone.
        p_adjusted: Holm's over all interactions; NaN with fewer than five seeds.
    """

    paired: Paired
    low: float
    high: float
    p_adjusted: float = float("nan")


@dataclass(frozen=True)
class Ingredient:
    """One ingredient of a combination.

    Attributes:
        name: its strategy.
        left_out: the verdict on the combination without it, against the whole: worse means that it is needed.
        alone: the verdict on it alone, against nothing.
        seconds: what it adds to the time of a run: of the whole minus that without it, mean over seeds.
        advice: ``keep``, ``drop`` or ``cannot tell``.
    """

    name: str
    left_out: Verdict
    alone: Verdict
    seconds: float
    advice: str


@dataclass(frozen=True)
class Contribution:
    """What the ingredients of a combination contribute.

    Attributes:
        ingredients: in the order of the combination.
        interactions: for each pair, accuracy of both minus that of each alone plus that of nothing: above zero, two
            help each other; below, they do the same work.
        whole: the verdict on the combination, against nothing.
    """

    ingredients: tuple[Ingredient, ...]
    interactions: dict[tuple[str, str], Effect]
    whole: Verdict


def subsets(names: tuple[str, ...]) -> list[Subset]:
    """Return what has to be trained: nothing, each alone, each pair, the whole without each, and the whole.

    For three ingredients that is all eight subsets, for k it is ``2 + 2 k + k (k - 1) / 2`` at most.

    >>> len(subsets(("a", "b", "c"))), len(subsets(("a", "b", "c", "d")))
    (8, 16)
    """
    whole = frozenset(names)
    wanted: list[Subset] = [frozenset()]
    wanted += [frozenset(part) for size in (1, 2) for part in combinations(names, size)]
    wanted += [whole - {name} for name in names] + [whole]
    return list(dict.fromkeys(wanted))


def contribution(
    names: tuple[str, ...],
    accuracy: Mapping[Subset, Mapping[int, float]],
    status: Mapping[Subset, list[str]],
    seconds: Mapping[Subset, float],
    *,
    margin: float | None = None,
) -> Contribution:
    """Return what each ingredient contributes.

    Leaving one out is judged against the whole, each alone against nothing, each family by Holm at 5 % (as a study
    judges recipes against its baseline). An ingredient is dropped if the combination is better without it, or
    equivalent within the margin; it is kept if the combination is worse without it.

    Args:
        names: of the ingredients.
        accuracy: for each subset a number a seed, of runs that finished.
        status: for each subset how each of its runs ended.
        seconds: for each subset the mean time of a run.
        margin: the smallest difference that matters, declared beforehand.
    """
    whole, nothing = frozenset(names), frozenset[str]()
    without = _judged({name: whole - {name} for name in names}, whole, accuracy, status, margin)
    alone = _judged({name: frozenset({name}) for name in names}, nothing, accuracy, status, margin)
    combined = _judged({"whole": whole}, nothing, accuracy, status, margin)["whole"]
    ingredients = tuple(
        Ingredient(n, without[n], alone[n], seconds[whole] - seconds[whole - {n}], _advice(without[n].word))
        for n in names
    )
    return Contribution(ingredients, _interactions(names, accuracy), combined)


def _judged(
    parts: Mapping[str, Subset], against: Subset, accuracy: Mapping, status: Mapping, margin: float | None
) -> dict[str, Verdict]:  # fmt: skip
    values = {"": accuracy[against], **{name: accuracy[part] for name, part in parts.items()}}
    states = {"": status[against], **{name: status[part] for name, part in parts.items()}}
    return judge(values, states, baseline="", margin=margin)


def _advice(without: str) -> str:
    if without in ("better", "equivalent"):
        return "drop"
    return "keep" if without == "worse" else "cannot tell"


def _interactions(
    names: tuple[str, ...], accuracy: Mapping[Subset, Mapping[int, float]]
) -> dict[tuple[str, str], Effect]:
    found: dict[tuple[str, str], Paired] = {}
    for one, other in combinations(names, 2):
        cells = [accuracy[frozenset(part)] for part in ((one, other), (one,), (other,), ())]
        seeds = [seed for seed in cells[0] if all(seed in cell for cell in cells)]
        both, first, second, neither = (np.array([cell[seed] for seed in seeds]) for cell in cells)
        found[one, other] = paired(both - first - second + neither)
    tested = [each.p if each.n >= ENOUGH_SEEDS else float("nan") for each in found.values()]
    return {
        pair: Effect(each, *each.interval(1 - ALPHA), p_adjusted=p)
        for (pair, each), p in zip(found.items(), holm(tested), strict=True)
    }
