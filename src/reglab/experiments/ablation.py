"""A combination taken apart: trained whole, without each ingredient, with each alone and with each pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from reglab.analysis.contribution import Contribution, contribution, subsets
from reglab.errors import ReglabError
from reglab.recipe import Recipe, RecipeLike
from reglab.results import Results
from reglab.studies import Study
from reglab.study.progress import Progress

__all__ = ["Ablation", "ablate", "parts_of"]


@dataclass(frozen=True)
class Ablation:
    """A combination taken apart.

    Attributes:
        results: of the study in which its parts were trained.
        contribution: what each ingredient contributes on the test set.
    """

    results: Results
    contribution: Contribution


def parts_of(recipe: Recipe) -> dict[frozenset[str], tuple[str, Recipe]]:
    """Return what has to be trained, by ingredients, each with a name and the recipe.

    Raises:
        ReglabError: if the recipe has fewer than two strategies.
    """
    if len(recipe) < 2:
        raise ReglabError(
            f"{recipe.to_text()} is no combination. Give a recipe of two or more strategies, such as "
            "'l2(kernel=1e-3) + dropout(rate=0.1)'."
        )
    ingredients = _named(recipe)
    names = tuple(ingredients)
    found = {}
    for part in subsets(names):
        kept = [name for name in names if name in part]
        missing = [name for name in names if name not in part]
        if not missing:
            label = "all"
        elif len(missing) == 1 and len(kept) > 1:
            label = f"without {missing[0]}"
        else:
            label = " + ".join(kept) or "none"
        found[part] = (label, Recipe(*(ingredients[name] for name in kept)))
    return found


def _named(recipe: Recipe) -> dict[str, Any]:
    """Return the strategies by name; of two of one name, with the places they act at."""
    names = [strategy.name for strategy in recipe]
    return {
        s.name if names.count(s.name) == 1 else f"{s.name} at {', '.join(s.places)}": s for s in recipe
    }  # fmt: skip


def ablate(
    recipe: RecipeLike,
    make: Callable[..., Study],
    *,
    progress: Progress | None = None,
    execution: Mapping[str, Any] = MappingProxyType({}),
) -> Ablation:
    """Train a combination and its parts under identical conditions, and return what each ingredient contributes.

    Args:
        recipe: the combination.
        make: from ``recipes`` and ``baseline`` to a study.
        progress: hears of every training.
        execution: how trainings run, see :meth:`Study.run`.

    Example:
        >>> make = lambda **kwargs: reglab.Study("digits", "mlp", seeds=10, epochs=30, **kwargs)
        >>> found = ablate("l2(kernel=1e-3) + dropout(rate=0.3)", make)
        >>> list(found.results.runs)  # nothing, each alone, the whole; `reglab ablate` says what follows
        ['none', 'dropout', 'l2', 'all']
    """
    parts = parts_of(Recipe.of(recipe))
    study = make(recipes=dict(parts.values()), baseline=parts[frozenset()][0])
    results = study.run(progress, **execution)
    return Ablation(results, taken_apart(results, parts))


def taken_apart(results: Results, parts: Mapping[frozenset[str], tuple[str, Recipe]]) -> Contribution:
    """Return the contributions from the results of a study that has all the parts."""
    rows = {part: results.comparison.row(name) for part, (name, _) in parts.items()}
    names, metric = tuple(next(iter(part)) for part in parts if len(part) == 1), results.metric
    margin = results.spec.get("margin")
    return contribution(
        names,
        {part: row.values[metric.name] for part, row in rows.items()},
        {part: list(row.status) for part, row in rows.items()},
        {part: row.mean("seconds") for part, row in rows.items()},
        metric=metric,
        margin=None if margin is None else margin / metric.scale,
    )
