"""A search for a recipe: Optuna proposes, studies train, and only validation is looked at.

What was trained is what the folder remembers. A search that is interrupted is played again from the beginning: the
sampler has a seed, so it proposes the same recipes, and those that are recorded are not trained again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.strategies.declare import param, params
from reglab.study import disk
from reglab.study.coordinate import Limits, coordinate
from reglab.study.executors.choice import Ways
from reglab.study.progress import Progress
from reglab.tuning.space import Space

if TYPE_CHECKING:
    from reglab.laboratory import Study
    from reglab.study.executors.base import Executor
    from reglab.study.plan import Plan
    from reglab.study.store import Store

__all__ = ["Budget", "Trial", "search"]

FILE = "search.json"
_REPEATS = 200  # proposals in a row that were there before, after which the space counts as exhausted
SAMPLERS = ("tpe", "random")  # those of Optuna's that take spaces with conditions
PRUNERS = ("median", "none")


@dataclass(frozen=True)
class Budget:
    """What a search may take, declared once: the command line's options and the arguments of Python."""

    trials: int | None = param(None, "recipes that are tried", kind="int", low=1, optional=True)
    epoch_budget: int | None = param(None, "epochs of training in all", kind="int", low=1, optional=True)
    minutes: float | None = param(None, "minutes in all", low=0, open_low=True, optional=True)
    search_seeds: int = param(2, "seeds of each trial", kind="int", low=1)
    sampler: str = param("tpe", "Optuna's sampler", kind="choice", choices=SAMPLERS)
    pruner: str = param(
        "median", "median: a trial whose first seeds are below the median of the others' gets no more seeds",
        kind="choice", choices=PRUNERS,
    )  # fmt: skip
    batch: int = param(4, "trials that are proposed together, and can be trained beside each other", kind="int", low=1)
    sampler_seed: int = param(0, "of the sampler", kind="int", low=0)

    def __post_init__(self) -> None:
        for key, declared in params(self).items():
            object.__setattr__(self, key, declared.check("search", key, getattr(self, key)))
        if self.trials is None and self.epoch_budget is None and self.minutes is None:
            raise ReglabError("A search needs a budget: trials, epoch_budget (epochs in all) or minutes.")


@dataclass
class Trial:
    """One proposed recipe and what came of it.

    Attributes:
        number: in the order of proposal.
        recipe: what was proposed.
        values: validation accuracy at the best epoch, a number a seed; 0 where a run diverged or failed.
        state: ``complete``, or ``pruned`` where later seeds were not trained.
        epochs: that its trainings took.
    """

    number: int
    recipe: Recipe
    values: list[float] = field(default_factory=list)
    state: str = "complete"
    epochs: int = 0

    @property
    def value(self) -> float:
        """The mean over the seeds that were trained."""
        return sum(self.values) / len(self.values)

    def to_dict(self) -> dict[str, Any]:
        return {
            "number": self.number, "recipe": self.recipe.to_text(), "value": self.value, "values": self.values,
            "state": self.state, "epochs": self.epochs,
        }  # fmt: skip


def search(
    study: Study,
    space: Space,
    budget: Budget,
    *,
    progress: Progress | None = None,
    ways: Mapping[str, Any] | None = None,
    told: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """Search a space, and return the trials, the best first.

    Trials are trained on seeds of their own, and never on test data: the study has to be sealed. The value of a trial
    is its mean validation accuracy. Of trials with the same recipe only the first is trained and counted.

    Args:
        study: sealed, with seeds from ``SEARCH_SEEDS`` on; its folder keeps every run, so that a search that was
            interrupted is called again with the same arguments.
        space: what may be proposed.
        budget: how much may be tried, and how.
        progress: hears of every training.
        ways: how trainings run, see :meth:`Study.run`.
        told: hears of each trial that has ended.

    Raises:
        ReglabError: for a study that is not sealed, or a folder that holds another search.
    """
    if not study.settings.sealed:
        raise ReglabError("A search must not read the test set. Give a study with sealed=True.")
    how = Ways(**(ways or {}))
    course = _Course(space, budget, told)
    with study.opened(how, progress or Progress()) as (store, trainer, plan):
        course.open(study.out)
        limits = Limits(timeout=how.timeout, checkpoint_every=how.checkpoint_every)
        course.run(_Trainings(store, trainer, plan, study.settings.epochs, limits, progress or Progress()))
    return course.ranked()


@dataclass
class _Trainings:
    """Trains recipes with a seed, or finds that the folder has them."""

    store: Store
    executor: Executor
    plan: Plan
    epochs: int
    limits: Limits
    progress: Progress
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runs = {run.id: run.summary() for run in self.plan.unique()}

    def seeds(self) -> list[int]:
        return list(self.plan.bases)

    def values(self, recipes: Sequence[Recipe], seed: int) -> list[tuple[float, int]]:
        """Return validation accuracy and epochs of each recipe with a seed."""
        wanted = self.plan.of({recipe.to_text(): recipe for recipe in recipes}, [seed])
        self.runs |= {run.id: run.summary() for run in wanted.unique()}
        self.store.register(self.plan.facts, self.runs.values())
        if wanted.missing(self.store.accepted()):
            coordinate(
                self.store, self.executor, wanted, epochs=self.epochs, limits=self.limits, progress=self.progress
            )
        return [self._value(wanted.runs[recipe.to_text()][0].id) for recipe in recipes]

    def _value(self, run: str) -> tuple[float, int]:
        held = self.store.summary(run)
        if held is None or held["status"] != "finished":
            return 0.0, self.epochs
        return float(held["metrics"]["val_accuracy"]), int(held["metrics"]["epochs"])


class _Course:
    def __init__(self, space: Space, budget: Budget, told: Callable[[Trial], None]) -> None:
        self.space, self.budget, self.told = space, budget, told
        self.trials: list[Trial] = []
        self._known: dict[Recipe, Trial] = {}
        self._folder = Path()
        self._spent_before = 0.0
        self._began = time.monotonic()

    def open(self, folder: Path) -> None:
        """Make sure that the folder holds this search or none."""
        self._folder = folder
        held = disk.read_json(folder / FILE)
        if isinstance(held, dict):
            changed = [key for key, value in self._what().items() if held.get("search", {}).get(key) != value]
            if changed:
                raise ReglabError(
                    f"{folder} holds another search: {', '.join(changed)} "
                    f"{'differs' if len(changed) == 1 else 'differ'}. Give another folder with --out."
                )
            self._spent_before = 60 * float(held.get("minutes", 0.0))
        self._keep()

    def run(self, trainings: _Trainings) -> None:
        optuna, study = _optuna_study(self.budget)
        repeats = 0
        while not self._spent() and repeats < _REPEATS:
            fresh: list[tuple[Any, Trial]] = []
            again: list[tuple[Any, Trial]] = []
            for _ in range(self._room()):
                proposed = study.ask()
                recipe = self.space.suggest(proposed)
                if recipe in self._known:
                    again.append((proposed, self._known[recipe]))
                    continue
                trial = self._known[recipe] = Trial(len(self.trials), recipe)
                self.trials.append(trial)
                fresh.append((proposed, trial))
            repeats = 0 if fresh else repeats + len(again)
            self._train(fresh, trainings, optuna, study)
            for proposed, trial in again:
                study.tell(proposed, trial.value)

    def _train(self, fresh: list[tuple[Any, Trial]], trainings: _Trainings, optuna: Any, study: Any) -> None:
        waiting = list(fresh)
        for step, seed in enumerate(trainings.seeds()):
            if not waiting:
                return
            values = trainings.values([trial.recipe for _, trial in waiting], seed)
            last = step == len(trainings.seeds()) - 1
            going_on = []
            for (proposed, trial), (value, epochs) in zip(waiting, values, strict=True):
                trial.values.append(value)
                trial.epochs += epochs
                proposed.report(trial.value, step)
                if last or proposed.should_prune():
                    trial.state = "complete" if last else "pruned"
                    state = optuna.trial.TrialState.COMPLETE if last else optuna.trial.TrialState.PRUNED
                    study.tell(proposed, trial.value if last else None, state=state)
                    self.told(trial)
                else:
                    going_on.append((proposed, trial))
            waiting = going_on
            self._keep()

    def _room(self) -> int:
        """Return how many trials to propose now."""
        left = self.budget.batch if self.budget.trials is None else self.budget.trials - len(self.trials)
        return max(1, min(self.budget.batch, left))

    def _spent(self) -> bool:
        b = self.budget
        return (
            (b.trials is not None and len(self.trials) >= b.trials)
            or (b.epoch_budget is not None and sum(trial.epochs for trial in self.trials) >= b.epoch_budget)
            or (b.minutes is not None and self._seconds() >= 60 * b.minutes)
        )

    def _seconds(self) -> float:
        return self._spent_before + time.monotonic() - self._began

    def ranked(self) -> list[Trial]:
        """Return the trials, the best first: those with all seeds before those that were given up."""
        return sorted(self.trials, key=lambda trial: (trial.state != "complete", -trial.value, trial.number))

    def _what(self) -> dict[str, Any]:
        budget = {key: getattr(self.budget, key) for key in params(Budget)}
        for limit in ("trials", "epoch_budget", "minutes"):  # a search can be given more, and goes on
            budget.pop(limit)
        return {
            "strategies": list(self.space.strategies), "optional": self.space.optional,
            "always": list(self.space.always),
            "beside": self.space.beside.to_text(), "without": sorted(self.space.without), **budget,
        }  # fmt: skip

    def _keep(self) -> None:
        done = [trial.to_dict() for trial in self.trials if trial.values]
        minutes = self._seconds() / 60
        disk.write_json(self._folder / FILE, {"schema": 1, "search": self._what(), "minutes": minutes, "trials": done})


def _optuna_study(budget: Budget) -> tuple[Any, Any]:
    try:
        import optuna
    except ImportError:
        raise ReglabError("Optuna is not installed. Run pip install 'reglab[tune]'.") from None
    seed = budget.sampler_seed
    samplers = {
        # The liar keeps the trials of a batch apart, whose values are not known to each other.
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
    }
    pruners = {"median": optuna.pruners.MedianPruner(n_startup_trials=5), "none": optuna.pruners.NopPruner()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna, optuna.create_study(
        direction="maximize", sampler=samplers[budget.sampler](), pruner=pruners[budget.pruner]
    )
