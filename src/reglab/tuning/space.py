"""The space of recipes, from what the strategies declare: which are on, and how strong."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reglab.declare import Param, params
from reglab.errors import ReglabError, nearest
from reglab.recipe import Recipe
from reglab.strategies import CATALOGUE, Strategy

if TYPE_CHECKING:
    import optuna

__all__ = ["Space"]


@dataclass(frozen=True)
class Space:
    """Recipes that a search may propose.

    Attributes:
        strategies: names of the strategies that are looked for.
        optional: whether each may be left out, which makes it a search for the combination too. Otherwise all are on.
        beside: strategies that every recipe has, with fixed strengths.
        without: transforms that are left out, because they change what examples of the data are.
        always: names of strategies that are on in every recipe, their strengths looked for too.

    Raises:
        ReglabError: for no strategies, unknown ones, ones without a search range, or conflicts when all are on.

    Example:
        >>> Space(("dropout", "l2")).names()
        ['dropout', 'dropout.rate', 'l2', 'l2.kernel', 'l2.bias', 'l2.activity']
    """

    strategies: tuple[str, ...]
    optional: bool = True
    beside: Recipe = field(default_factory=Recipe)
    without: frozenset[str] = frozenset()
    always: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.strategies:
            raise ReglabError(f"The space is empty: name strategies to look for. Known are {', '.join(CATALOGUE)}.")
        for name in (*self.strategies, *self.always):
            if name not in CATALOGUE:
                raise ReglabError(
                    f"Unknown strategy {name!r}.{nearest(name, CATALOGUE)} Known: {', '.join(CATALOGUE)}."
                )
            if (*self.strategies, *self.always).count(name) > 1:
                raise ReglabError(f"{name} is named twice. Name each strategy once.")
            if not self._searched(name):
                raise ReglabError(f"{name} declares no search range, so there is nothing to look for in it.")
            if any(name == strategy.name for strategy in self.beside):
                raise ReglabError(f"{name} is looked for and fixed at the same time. Leave it out of one of them.")
        if not self.optional:
            Recipe(*self.beside, *(CATALOGUE[name]() for name in self.strategies))  # says what conflicts

    def _searched(self, name: str) -> dict[str, Param]:
        declared = params(CATALOGUE[name])
        return {key: each for key, each in declared.items() if each.search and key not in self.without}

    def candidates(self) -> dict[str, Recipe]:
        """Return each strategy alone, by its name."""
        return {name: Recipe(CATALOGUE[name]()) for name in (*self.strategies, *self.always)}

    def but(self, names: Collection[str]) -> Space:
        """Return the space without these strategies."""
        return dataclasses.replace(self, strategies=tuple(name for name in self.strategies if name not in names))

    def names(self) -> list[str]:
        """Return the dimensions: a switch for each strategy, where it has one, and its strengths."""
        found = []
        for name in (*self.strategies, *self.always):
            found += [name] if self.optional and name not in self.always else []
            found += [f"{name}.{key}" for key in self._searched(name)]
        return found

    def suggest(self, trial: optuna.trial.BaseTrial) -> Recipe:
        """Return the recipe of a trial. The strengths of a strategy that is off are not asked for.

        A strategy that conflicts with one before it, or with what is fixed, is off.
        """
        chosen: list[Strategy] = list(self.beside)
        for name in (*self.strategies, *self.always):
            if _conflicts(name, chosen):
                continue
            if self.optional and name not in self.always and not trial.suggest_categorical(name, (False, True)):
                continue
            searched = self._searched(name)
            values = {key: _suggest(trial, f"{name}.{key}", declared) for key, declared in searched.items()}
            chosen.append(CATALOGUE[name](**values))
        return Recipe(*chosen)


def _conflicts(name: str, chosen: Iterable[Strategy]) -> bool:
    return any(other.name in CATALOGUE[name].conflicts or name in other.conflicts for other in chosen)


def _suggest(trial: optuna.trial.BaseTrial, name: str, declared: Param) -> Any:
    assert declared.search is not None
    low, high, *scale = declared.search
    if not scale or scale[0] not in ("log", "linear"):
        return trial.suggest_categorical(name, declared.search)
    log = scale[0] == "log"
    if declared.kind == "int":
        return trial.suggest_int(name, int(low), int(high), log=log)
    # Four digits are more than any strength needs, and a recipe stays readable.
    return float(f"{trial.suggest_float(name, low, high, log=log):.4g}")
