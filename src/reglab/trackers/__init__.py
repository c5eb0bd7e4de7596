"""Runs of a study handed to tools that track experiments. They are read from its folder, so it may still be running."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from reglab.declare import params
from reglab.errors import ReglabError, nearest
from reglab.recipe import Recipe
from reglab.results import Results, RunResult

__all__ = ["TRACKERS", "entries", "hyperparameters", "tracker"]

TRACKERS = ("tensorboard", "mlflow")


def tracker(name: str) -> Callable[..., list[str]]:
    """Return the function that hands over the runs of a study: ``log(results, where=None)``.

    It returns the ids of the runs that it handed over; those that were before are left as they are.

    Raises:
        ReglabError: if there is no such tracker, or its package is not installed.
    """
    if name not in TRACKERS:
        raise ReglabError(f"Unknown tracker {name!r}.{nearest(name, TRACKERS)} Known are {', '.join(TRACKERS)}.")
    return importlib.import_module(f"reglab.trackers.{name}").log


def entries(results: Results) -> list[RunResult]:
    """Return the runs that have ended, each once, under the first of their names."""
    found: dict[str, RunResult] = {}
    for of_name in results.runs.values():
        for run in of_name.values():
            if run.status != "missing":
                found.setdefault(run.id, run)
    return list(found.values())


def hyperparameters(results: Results, run: RunResult) -> dict[str, Any]:
    """Return what a run was trained with: the recipe, each number of it by name, the seed, and the study's settings."""
    recipe = Recipe.parse(results.spec["recipes"][run.name])
    numbers = {f"{s.name}.{key}": getattr(s, key) for s in recipe for key in params(s) if getattr(s, key) is not None}
    left_out = ("recipes", "baseline", "seeds", "first_seed", "margin")
    settings = {key: value for key, value in results.spec.items() if key not in left_out and value is not None}
    settings.setdefault("optimizer", results.facts.get("optimizer", ""))  # that of the model, or the default
    return {
        "recipe": run.name,
        "recipe_text": recipe.to_text(),
        "seed": run.seed,
        **_plain(numbers),
        **_plain(settings),
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if isinstance(value, bool | int | float | str) else str(value) for key, value in values.items()}
