"""Sensitivity: one hyperparameter of one strategy over several values, everything else the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from reglab.declare import Param, params
from reglab.errors import ReglabError, nearest
from reglab.expressions import format_value
from reglab.recipe import Recipe, RecipeLike
from reglab.results import Results
from reglab.strategies import CATALOGUE, Strategy

__all__ = ["Grid", "grid", "spaced", "validation_curve"]


@dataclass(frozen=True)
class Grid:
    """The recipes of a sweep.

    Attributes:
        strategy, parameter: whose value changes.
        values: the values, in their order.
        recipes: by name: the recipe without the strategy, which is the baseline, then one for each value.
        baseline: the name of the first.
    """

    strategy: str
    parameter: str
    values: tuple[Any, ...]
    recipes: dict[str, Recipe]
    baseline: str

    @property
    def names(self) -> list[str]:
        """The names of the recipes with a value, in the order of ``values``."""
        return [name for name in self.recipes if name != self.baseline]


def grid(strategy: str, parameter: str | None = None, values: Iterable[Any] | None = None, *, num: int = 5,
         beside: RecipeLike = "none") -> Grid:  # fmt: skip
    """Return the recipes that differ in one hyperparameter, and the one without the strategy.

    Args:
        strategy: a strategy's name.
        parameter: the hyperparameter; by default the strategy's first that has a search range.
        values: its values; by default ``num`` over its declared search range.
        num: how many values, where none are given.
        beside: the recipe that the strategy is added to. If it has the strategy already, its other hyperparameters stay
            as they are there.

    Raises:
        ReglabError: for a strategy, hyperparameter or value that is not possible.

    Example:
        >>> list(grid("l2", "kernel", [1e-4, 1e-2]).recipes)
        ['none', 'kernel=0.0001', 'kernel=0.01']
    """
    if strategy not in CATALOGUE:
        raise ReglabError(
            f"Unknown strategy {strategy!r}.{nearest(strategy, CATALOGUE)} Known: {', '.join(CATALOGUE)}."
        )
    declared = params(CATALOGUE[strategy])
    if not declared:
        raise ReglabError(f"{strategy} has no hyperparameter, so no search range either. Compare it as it is.")
    name = parameter or next((key for key, each in declared.items() if each.search), next(iter(declared)))
    if name not in declared:
        raise ReglabError(
            f"{strategy} has no hyperparameter {name!r}.{nearest(name, declared)} It has {', '.join(declared)}."
        )
    context = Recipe.of(beside)
    present = [each for each in context if each.name == strategy]
    if len(present) > 1:
        raise ReglabError(f"{context.to_text()} has {strategy} twice, so it is not said which one is swept.")
    others = Recipe(*(each for each in context if each.name != strategy))
    tried = _distinct(list(values) if values is not None else _over(strategy, name, declared[name], num))
    baseline = others.to_text()
    recipes = {baseline: others}
    for value in tried:
        swept = _with(present[0] if present else None, CATALOGUE[strategy], name, value)
        recipes[f"{name}={format_value(getattr(swept, name))}"] = others + swept
    return Grid(strategy, name, tuple(tried), recipes, baseline)


def _with(present: Strategy | None, cls: type[Strategy], name: str, value: object) -> Strategy:
    return cls(**{name: value}) if present is None else dataclasses.replace(present, **{name: value})


def _distinct(values: list[Any]) -> list[Any]:
    if len(values) < 2:
        raise ReglabError(f"{len(values)} value is no sweep. Give two or more, such as 1e-4,1e-3,1e-2.")
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if twice is not None:
        raise ReglabError(f"The value {format_value(twice)} stands twice. Give each once.")
    return values


def _over(strategy: str, name: str, declared: Param, num: int) -> list[Any]:
    if declared.search is None:
        raise ReglabError(f"{strategy} declares no search range for {name}. Give its values.")
    low, high, *scale = declared.search
    if scale and scale[0] in ("log", "linear"):
        return spaced(low, high, num, log=scale[0] == "log", whole=declared.kind == "int")
    return list(declared.search)


def spaced(low: float, high: float, num: int, *, log: bool, whole: bool = False) -> list[float]:
    """Return ``num`` values from ``low`` to ``high``, evenly spaced or by a constant factor, to four digits.

    >>> spaced(1e-4, 1e-1, 4, log=True)
    [0.0001, 0.001, 0.01, 0.1]

    Raises:
        ReglabError: if they are not increasing, or not above zero where they grow by a factor.
    """
    if num < 2 or not low < high or (log and low <= 0):
        order = "0 < low < high" if log else "low < high"
        raise ReglabError(f"{num} values from {low:g} to {high:g} are not possible. Expected {order}, and 2 or more.")
    values = np.geomspace(low, high, num) if log else np.linspace(low, high, num)
    rounded = [round(float(v)) if whole else float(f"{v:.4g}") for v in values]
    return list(dict.fromkeys(rounded))


def validation_curve(results: Results, swept: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, training scores and validation scores, in the shapes of scikit-learn's ``validation_curve``.

    Scores are the deciding metric at the best epoch, measured without noise, dropout or augmentation; arrays
    ``(values,)`` and twice ``(values, seeds)``, NaN where a run did not finish.
    """
    rows = [results.comparison.row(name) for name in swept.names]
    scores = [
        np.array([[row.values[metric].get(seed, np.nan) for seed in row.seeds] for row in rows])
        for metric in (f"train_{results.metric.name}", f"val_{results.metric.name}")
    ]
    return np.array(swept.values), scores[0], scores[1]
