"""The hyperparameters that a study sweeps, found in its recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.results import Results

__all__ = ["Sweep", "sweeps"]

_FEWEST = 3  # values that make a curve


@dataclass(frozen=True)
class Sweep:
    """Recipes that are the same but for one number.

    Attributes:
        strategy, parameter: whose number it is.
        values: the numbers, in ascending order.
        names: the recipe of each.
        rest: what else is in all of these recipes, as text; empty for nothing.

    Example:
        >>> reglab.figures.Sweep("l2", "kernel", (1e-4, 1e-3), ("weak", "strong"), rest="mixup").title
        'l2, kernel, with mixup'
    """

    strategy: str
    parameter: str
    values: tuple[float, ...]
    names: tuple[str, ...]
    rest: str = ""

    @property
    def title(self) -> str:
        return f"{self.strategy}, {self.parameter}" + (f", with {self.rest}" if self.rest else "")


def sweeps(results: Results) -> list[Sweep]:
    """Return the sweeps of a study, found in its recipes: at least three values of a number, all else equal.

    Example:
        >>> results = reglab.Results.load("reglab-out/digits-mlp")
        >>> [sweep.title for sweep in reglab.figures.sweeps(results)]
        ['l2, kernel']
    """
    groups: dict[Any, dict[float, str]] = {}
    for row in results.comparison.rows:
        try:
            recipe = Recipe.parse(row.recipe)
        except ReglabError:  # of a strategy of somebody's own, which is not known here
            continue
        for at, item in enumerate(recipe.to_list()):
            ((strategy, options),) = item.items()
            for parameter, value in options.items():
                if isinstance(value, bool) or not isinstance(value, int | float):
                    continue
                rest = " + ".join(Recipe(s).to_text() for i, s in enumerate(recipe) if i != at)
                same = repr(sorted((key, other) for key, other in options.items() if key != parameter))
                groups.setdefault((strategy, parameter, same, rest), {})[float(value)] = row.name
    return [
        Sweep(strategy, parameter, tuple(sorted(of)), tuple(of[value] for value in sorted(of)), rest)
        for (strategy, parameter, _, rest), of in groups.items()
        if len(of) >= _FEWEST
    ]
