"""What each ingredient of a combination contributes. Numbers in, numbers out.

A combination of k ingredients is trained without each of them, with each alone and with each pair, so that
three questions are told apart: what it loses without one, what one brings alone, and whether two help each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from reglab.analysis.paired import Paired, paired, smallest_step
from reglab.analysis.verdict import Ended, Verdict, decide
from reglab.tasks import Metric

__all__ = ["Contribution", "Ingredient", "contribution", "subsets"]

Subset = frozenset[str]
Question = tuple[str, ...]  # what is asked, and of which ingredients


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
        interactions: for each pair, the metric of both minus that of each alone plus that of nothing: where that is
            better than zero, two help each other; where it is worse, they do the same work. The verdict is on that
            number.
        whole: the verdict on the combination, against nothing.
        questions: how many verdicts there are, which are one family.
    """

    ingredients: tuple[Ingredient, ...]
    interactions: dict[tuple[str, str], Verdict]
    whole: Verdict
    questions: int


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
    values: Mapping[Subset, Mapping[int, float]],
    status: Mapping[Subset, list[str]],
    seconds: Mapping[Subset, float],
    *,
    metric: Metric,
    margin: float | None = None,
) -> Contribution:
    """Return what each ingredient contributes.

    Leaving one out is judged against the whole, each alone and the whole against nothing, and each pair for its
    interaction. All of these are one family: Holm adjusts over all of them, so that the chance of any false claim in
    the whole report is 5 % at most (where differences are about symmetric). An ingredient is dropped if the combination
    is better without it, or equivalent within the margin; it is kept if the combination is worse without it.

    Args:
        names: of the ingredients.
        values: for each subset a number per seed, of runs that finished.
        status: for each subset how each of its runs ended.
        seconds: for each subset the mean time of a run.
        metric: what the numbers are.
        margin: the smallest difference that matters, declared beforehand.
    """
    asked = _questions(names)
    found = {question: _difference(cells, values) for question, cells in asked.items()}
    ended = {question: _ended(cells, status) for question, cells in asked.items()}
    verdicts = decide(found, ended, metric=metric, margin=margin)
    whole = frozenset(names)
    ingredients = tuple(
        Ingredient(
            name, verdicts["left out", name], verdicts["alone", name], seconds[whole] - seconds[whole - {name}],
            _advice(verdicts["left out", name].word),
        )
        for name in names
    )  # fmt: skip
    pairs = {(one, other): verdicts["pair", one, other] for one, other in combinations(names, 2)}
    return Contribution(ingredients, pairs, verdicts["whole",], len(asked))


def _questions(names: tuple[str, ...]) -> dict[Question, tuple[tuple[Subset, ...], tuple[Subset, ...]]]:
    """Return, for each question, the parts whose values are added and those that are subtracted."""
    whole, nothing = frozenset(names), frozenset[str]()
    asked: dict[Question, tuple[tuple[Subset, ...], tuple[Subset, ...]]] = {("whole",): ((whole,), (nothing,))}
    asked |= {("left out", name): ((whole - {name},), (whole,)) for name in names}
    asked |= {("alone", name): ((frozenset({name}),), (nothing,)) for name in names}
    for one, other in combinations(names, 2):
        asked["pair", one, other] = (
            (frozenset({one, other}), nothing), (frozenset({one}), frozenset({other})),
        )  # fmt: skip
    return asked


def _difference(
    cells: tuple[tuple[Subset, ...], tuple[Subset, ...]], of: Mapping[Subset, Mapping[int, float]]
) -> Paired:
    plus, minus = cells
    of_cells = [of[part] for part in (*plus, *minus)]
    seeds = [seed for seed in of_cells[0] if all(seed in cell for cell in of_cells)]
    values = np.array([[cell[seed] for seed in seeds] for cell in of_cells])
    step = smallest_step([value for cell in of_cells for value in cell.values()])
    return paired(values[: len(plus)].sum(axis=0) - values[len(plus) :].sum(axis=0), resolution=step)


def _ended(cells: tuple[tuple[Subset, ...], tuple[Subset, ...]], status: Mapping[Subset, list[str]]) -> Ended:
    """Return how the runs of a question's parts ended; the first part is the one that the question is about."""
    first, *others = (*cells[0], *cells[1])
    bad = [sum(state in ("diverged", "failed") for state in status[part]) for part in (first, *others)]
    return Ended(bad[0], len(status[first]), sum(bad[1:]), sum(len(status[part]) for part in others))


def _advice(without: str) -> str:
    if without in ("better", "equivalent"):
        return "drop"
    return "keep" if without == "worse" else "cannot tell"
