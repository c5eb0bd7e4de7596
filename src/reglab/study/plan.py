"""From a study to its runs: which recipes are trained, and which are computed from another's training. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reglab.recipe import Recipe
from reglab.strategies import EMA

__all__ = ["Ride", "Run", "identity", "rides"]

RESULT_VERSION = 1  # raised when a change of reglab's alters the result of a run; told in the changelog


@dataclass(frozen=True)
class Run:
    """One recipe with one seed."""

    id: str
    name: str
    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class Ride:
    """One training and the runs that are computed from it.

    ``recipe`` is what is trained. Each run in ``runs`` is that recipe, up to riders: an early stopping that only
    decides when to stop looking, an averaging of weights that only decides what to look at.
    """

    recipe: Recipe
    runs: tuple[Run, ...]


def rides(runs: list[Run]) -> list[Ride]:
    """Group runs of one seed into as few trainings as give all of them.

    Runs share a training if they differ by riders only. A training averages weights with one momentum, so runs with
    another momentum get their own.
    """
    groups: dict[tuple[Recipe, EMA | None], list[Run]] = {}
    for run in runs:
        host = run.recipe.host()
        average = next((strategy for strategy in run.recipe if isinstance(strategy, EMA)), None)
        key = (host, average)
        if average is None:
            # Runs without an average can watch any training of their host.
            key = next((known for known in groups if known[0] == host), key)
        elif (host, None) in groups:
            groups[key] = groups.pop((host, None))
        groups.setdefault(key, []).append(run)
    return [
        Ride(host if average is None else host + average, tuple(members)) for (host, average), members in groups.items()
    ]


def identity(facts: Mapping[str, Any]) -> str:
    """Return the identity of a run: a hash of everything that changes its result, and of nothing else."""
    text = json.dumps({"result_version": RESULT_VERSION, **facts}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]
