"""From a study to its runs: which recipes are trained, which are computed from another's training, and in what order.

Pure: no Keras, no disk.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reglab.recipe import Recipe
from reglab.strategies import Strategy
from reglab.tasks import Task

__all__ = ["RESULT_VERSION", "Plan", "Queue", "Ride", "Run", "as_text", "identity", "rides"]

RESULT_VERSION = 6  # raised when a change of reglab's alters the result of a run; told in the changelog


@dataclass(frozen=True)
class Run:
    """One recipe with one seed."""

    id: str
    name: str
    recipe: Recipe
    seed: int

    def summary(self) -> dict[str, Any]:
        """Return what says which run it is."""
        return {
            "id": self.id, "name": self.name, "recipe": self.recipe.to_text(),
            "hyperparameters": self.recipe.fingerprint(), "seed": self.seed,
        }  # fmt: skip


@dataclass(frozen=True)
class Ride:
    """One training and the runs that are computed from it.

    ``recipe`` is what is trained. Each run in ``runs`` is that recipe, up to riders: an early stopping that only
    decides when to stop looking, an averaging of weights that only decides what to look at.
    """

    recipe: Recipe
    runs: tuple[Run, ...]

    @property
    def seed(self) -> int:
        return self.runs[0].seed

    @property
    def key(self) -> str:
        """What names the training, whichever of its runs are asked for."""
        return hashlib.sha256(f"{self.recipe.fingerprint()} {self.seed}".encode()).hexdigest()[:20]

    @property
    def names(self) -> list[str]:
        return [run.name for run in self.runs]


@dataclass(frozen=True)
class Plan:
    """The runs of a study.

    Attributes:
        runs: for each recipe's name its runs, in the order of seeds. Two names of one recipe have the same runs.
        facts: what results depend on beside the spec, each as a short text: content of the data, model, versions.
        versions: of reglab, Keras and the backend.
        task: what is predicted, and which metric decides.
        result_bytes: about how much a run leaves on disk.
        bases: for each seed everything but the recipe that decides the result of a run, as text.
        notes: what is to be said of the model before anything is trained.
        refused: of the candidates of the assignment those that cannot act on the model, and why.
        trained: how all runs are trained, as the first line says it.
    """

    runs: dict[str, tuple[Run, ...]]
    facts: dict[str, str]
    versions: dict[str, str]
    task: Task
    result_bytes: int = 0
    bases: dict[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    trained: str = ""

    def of(self, recipes: Mapping[str, Recipe], seeds: Iterable[int] | None = None) -> Plan:
        """Return the plan of other recipes with all else the same; whether they can act on the model is not known."""
        chosen = list(self.bases) if seeds is None else list(seeds)
        facts = {seed: json.loads(self.bases[seed]) for seed in chosen}
        runs = {
            name: tuple(
                Run(identity({**facts[seed], "recipe": recipe.fingerprint()}), name, recipe, seed) for seed in chosen
            )
            for name, recipe in recipes.items()
        }
        return replace(self, runs=runs)

    def unique(self) -> list[Run]:
        """Return every run once: all recipes with the first seed, then all with the second, and so on."""
        found: dict[str, Run] = {}
        for runs in zip(*self.runs.values(), strict=True):
            for run in runs:
                found.setdefault(run.id, run)
        return list(found.values())

    def missing(self, have: Collection[str]) -> list[Ride]:
        """Return the trainings that give the runs which are not among ``have``."""
        seeds: dict[int, list[Run]] = {}
        for run in self.unique():
            if run.id not in have:
                seeds.setdefault(run.seed, []).append(run)
        return [ride for runs in seeds.values() for ride in rides(runs)]


def rides(runs: list[Run]) -> list[Ride]:
    """Group runs of one seed into as few trainings as give all of them.

    Runs share a training if they differ by riders only. Where something of a rider is part of the program, such as an
    average of weights with its momentum, runs with another one get their own.
    """
    groups: dict[Recipe, dict[tuple[Strategy, ...], list[Run]]] = {}
    for run in runs:
        aboard = tuple(each for each in run.recipe if each.rides() and each.in_program())
        of_host = groups.setdefault(run.recipe.host(), {})
        if not aboard:
            # Such runs can watch any training of their host.
            key = next(iter(of_host), ())
            of_host.setdefault(key, []).append(run)
        elif () in of_host:
            of_host[aboard] = [*of_host.pop(()), run]
        else:
            of_host.setdefault(aboard, []).append(run)
    return [
        Ride(host + Recipe(*aboard), tuple(members))
        for host, of_host in groups.items()
        for aboard, members in of_host.items()
    ]


class Queue:
    """The trainings that are to be done, from which each worker takes what suits it.

    The order is that of the plan. But a worker leaves alone what another one has compiled as long as there is something
    else, and once it has compiled as many programs as it can keep, it stays with those. So every program is compiled as
    seldom as possible, and no worker waits while there is work.
    """

    def __init__(self, rides: Iterable[Ride]) -> None:
        self._by_structure: dict[tuple, deque[tuple[int, Ride]]] = {}
        self._count = 0
        self._first = 0  # position of whatever comes first of all
        for position, ride in enumerate(rides):
            self._of(ride).append((position, ride))
            self._count += 1

    def __len__(self) -> int:
        return self._count

    def put_back(self, ride: Ride) -> None:
        """Put a ride before all others."""
        self._first -= 1
        self._of(ride).appendleft((self._first, ride))
        self._count += 1

    def take(
        self,
        *,
        compiled: Collection[tuple] = (),
        elsewhere: Collection[tuple] = (),
        capacity: int = 16,
        most: int = 1,
    ) -> list[Ride]:
        """Take out what a worker should train next: up to ``most`` trainings of one structure.

        Args:
            compiled: structures that the worker has compiled.
            elsewhere: structures that other workers have compiled.
            capacity: how many programs a worker keeps.
            most: how many trainings it is given at a time.
        """
        structures = [structure for structure, waiting in self._by_structure.items() if waiting]
        own = [structure for structure in structures if structure in compiled]
        fresh = [structure for structure in structures if structure not in elsewhere]
        full = len(compiled) >= capacity
        suitable = (own or fresh or structures) if full else ({*own, *fresh} or structures)
        if not suitable:
            return []
        waiting = self._by_structure[min(suitable, key=lambda structure: self._by_structure[structure][0][0])]
        taken = [waiting.popleft()[1] for _ in range(min(most, len(waiting)))]
        self._count -= len(taken)
        return taken

    def _of(self, ride: Ride) -> deque[tuple[int, Ride]]:
        return self._by_structure.setdefault(ride.recipe.structure(), deque())


def identity(facts: Mapping[str, Any]) -> str:
    """Return the identity of a run: a hash of everything that changes its result, and of nothing else."""
    return hashlib.sha256(as_text({"result_version": RESULT_VERSION, **facts}).encode()).hexdigest()[:20]


def as_text(facts: Mapping[str, Any]) -> str:
    """Return facts as text: the same for the same facts, and for what is read from it."""
    return json.dumps(facts, sort_keys=True, default=str)
