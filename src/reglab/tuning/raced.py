"""A race on a model: recipes are trained a little, and those in doubt are trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reglab.errors import ReglabError
from reglab.experiments.sweep import grid
from reglab.recipe import Recipe
from reglab.results import Results
from reglab.strategies import CATALOGUE
from reglab.studies import Study
from reglab.study.coordinate import Limits, coordinate
from reglab.study.executors.base import Executor
from reglab.study.executors.choice import Execution
from reglab.study.plan import Plan, Run, rides
from reglab.study.progress import Progress
from reglab.study.records import FAILED
from reglab.study.storage import answers, owned
from reglab.study.storage.store import Store
from reglab.tuning.confirm import confirming
from reglab.tuning.folders import group_folder
from reglab.tuning.racing import Race, race
from reglab.tuning.seeds import searching_study

__all__ = ["Raced", "families_of", "run_race"]

STEM = "race"  # of ``race.json``, and ``race-<key>.json`` for other recipes or budgets


@dataclass(frozen=True)
class Raced:
    """How a race went, and what came of it on other seeds.

    Attributes:
        folder: the race is in ``race``, its confirmation in ``confirmation``.
        race: how it went.
        recipes: by the names that the race knows.
        results: the pick, what could not be told from it, and no regularization, trained afresh with other seeds.
    """

    folder: Path
    race: Race
    recipes: dict[str, Recipe]
    results: Results | None


def families_of(strategies: Sequence[str], values: int) -> tuple[dict[str, list[str]], dict[str, Recipe]]:
    """Return, for each strategy, names of recipes over its first hyperparameter's search range, and the recipes.

    No regularization is a family of its own.

    Raises:
        ReglabError: for a strategy that is computed from another's training, and so costs nothing to compare.
    """
    for strategy in strategies:
        if strategy in CATALOGUE and CATALOGUE[strategy].rides():
            raise ReglabError(
                f"{strategy} is computed from the training of the recipe without it, so there is nothing to save by a "
                f"race. Compare its settings with reglab sweep --strategy {strategy}."
            )
    families, recipes = {"none": ["none"]}, {"none": Recipe()}
    for strategy in strategies:
        swept = grid(strategy, num=values)
        families[strategy] = [f"{strategy} {name}" for name in swept.names]
        recipes |= {f"{strategy} {name}": swept.recipes[name] for name in swept.names}
    return families, recipes


def run_race(
    make: Callable[..., Study],
    families: Mapping[str, Sequence[str]],
    recipes: Mapping[str, Recipe],
    *,
    epoch_budget: int,
    out: str | Path | None = None,
    search_seeds: int = 10,
    rivals: int = 3,
    progress: Progress | None = None,
    confirmation: Progress | None = None,
    execution: Mapping[str, Any] = MappingProxyType({}),
    began: Callable[[Path], None] = lambda folder: None,
) -> Raced:
    """Race recipes on sealed data, then train those that are left afresh with seeds that the race has not seen.

    Trainings are stopped and go on from where they stood, so no epoch is trained twice, and a training that was stopped
    equals one that was not. The same call again goes on where it was interrupted.

    Args:
        make: from ``recipes``, ``out`` and settings to a study; its own ``seeds`` are those of the confirmation.
        families: for each strategy the names of its recipes.
        recipes: by name.
        epoch_budget: of the race; the confirmation is beside it.
        out: a folder; by default ``reglab-out/DATA-MODEL-race``, or that with a number where it has another study.
        search_seeds: the most seeds that a recipe of the race may get.
        rivals: how many of those that are left are confirmed; 0 for none.
        progress: hears of the trainings of the race.
        confirmation: hears of those of the confirmation.
        execution: how trainings run, see :meth:`Study.run`.
        began: is called with the folder before anything is trained.

    Raises:
        ReglabError: if the budget is too small for these recipes, or the confirmation would have seeds of the race,
            before anything is trained.
    """
    racing = searching_study(make, seeds=search_seeds, confirmed=rivals > 0)
    out = group_folder(out, f"{racing.name}-race", {"race": racing})
    owned.check_group(out, "race", "confirmation*")
    racing = racing.with_(out=out / "race", reuse=racing.reuse or None)
    began(out)
    seeds, epochs = racing.settings.seed_list(), racing.settings.epochs
    # On curves that are all alike the race takes its longest way, and says if the budget does not reach.
    race(families, seeds, epochs=epochs, budget=epoch_budget, curves=_alike)
    how = Execution(**execution)
    candidates = {names[0]: recipes[names[0]] for names in families.values()}
    with racing.opened(how, progress or Progress(), candidates=candidates) as (store, trainer, plan):
        limits = Limits(timeout=how.timeout, checkpoint_every=how.checkpoint_every)
        trainings = _Trainings(store, trainer, plan, recipes, epochs, limits, progress or Progress())
        went = race(families, seeds, epochs=epochs, budget=epoch_budget, curves=trainings.curves)
    question = {"families": {name: list(names) for name, names in families.items()}, "epoch_budget": epoch_budget}
    answers.keep(racing.out, STEM, question, _as_dict(went, recipes))
    left = [name for name in went.left if name != "none"][:rivals]
    if not left:
        return Raced(out, went, dict(recipes), None)
    study = confirming(make, {"none": Recipe(), **{name: recipes[name] for name in left}}, out)
    return Raced(out, went, dict(recipes), study.run(confirmation, **execution))


def _alike(names: Sequence[str], seeds: Sequence[int], epochs: int) -> dict[tuple[str, int], list[float]]:
    return {(name, seed): [0.5] for name in names for seed in seeds}


@dataclass
class _Trainings:
    """Trains recipes for some epochs, or on from where they stood."""

    store: Store
    executor: Executor
    plan: Plan
    recipes: Mapping[str, Recipe]
    epochs: int
    limits: Limits
    progress: Progress
    runs: dict[str, Run] = field(default_factory=dict)

    def curves(
        self, names: Sequence[str], seeds: Sequence[int], epochs: int
    ) -> dict[tuple[str, int], list[float]]:  # fmt: skip
        wanted = self.plan.of({name: self.recipes[name] for name in names}, seeds)
        self.runs |= {run.id: run for run in wanted.unique()}
        self.store.register(self.plan.facts, [run.summary() for run in self.runs.values()])
        keys = {run.id: ride.key for run in self.runs.values() for ride in rides([run])}
        until = epochs if epochs < self.epochs else None
        coordinate(
            self.store, self.executor, wanted, epochs=self.epochs, limits=self.limits, progress=self.progress,
            until=until,
        )  # fmt: skip
        return {
            (name, run.seed): self._curve(run.id, keys[run.id]) for name in names for run in wanted.runs[name]
        }  # fmt: skip

    def _curve(self, run: str, key: str) -> list[float]:
        """Return what decides, larger being better, of each epoch so far: of its result, or of where it stands."""
        held, metric = self.store.summary(run), self.plan.task.decides
        decides = f"val_{metric.name}"
        if held is not None and held["status"] == FAILED:
            return []
        if run in self.store.accepted():
            curve = self.store.read(run).history.get(decides, [])
        else:
            checkpoint = self.store.checkpoints.read(key)
            curve = [] if checkpoint is None else checkpoint.tracks[run].history.get(decides, [])
        return [metric.sign * value for value in curve]


def _as_dict(went: Race, recipes: Mapping[str, Recipe]) -> dict[str, Any]:
    stages = [{"epochs": s.epochs, "seeds": s.seeds, "left": s.left, "spent": s.spent} for s in went.stages]
    return {
        "schema": answers.SCHEMA, "pick": went.pick, "recipe": recipes[went.pick].to_text(), "left": went.left,
        "spent": went.spent, "stages": stages,
    }  # fmt: skip
