"""A search for a recipe: Optuna proposes, studies train, and only validation is looked at.

The folder remembers what was tried (recorded.py) and trained. A search that is interrupted, or given more, goes on from
there; its file is only written when something new is known, and never holds less than before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reglab.declare import params
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.studies import Study
from reglab.study.coordinate import Limits, coordinate
from reglab.study.executors.base import Executor
from reglab.study.executors.choice import Execution
from reglab.study.plan import Plan
from reglab.study.progress import Progress
from reglab.study.storage import disk
from reglab.study.storage.store import Store
from reglab.tasks import Metric
from reglab.tuning.budget import Budget
from reglab.tuning.recorded import COMPLETE, RUNNING, Proposal, Sampler, Trial
from reglab.tuning.space import Space

__all__ = ["Trial", "another", "search"]

FILE = "search.json"
_REPEATS = 200  # proposals in a row that were there before, after which the space counts as exhausted


def search(
    study: Study,
    space: Space,
    budget: Budget,
    *,
    progress: Progress | None = None,
    execution: Mapping[str, Any] | None = None,
    on_trial: Callable[[Trial], None] = lambda trial: None,
    leave_out: bool = False,
    also: Mapping[str, Recipe] = MappingProxyType({}),
) -> list[Trial]:
    """Search a space, and return the trials, the best first.

    Trials are trained on seeds of their own, and never on test data: the study has to be sealed. The value of a trial
    is the mean of the deciding metric on validation. Of trials with the same recipe only the first is trained and
    counted.

    Args:
        study: sealed, with seeds from ``SEARCH_SEEDS`` on; its folder keeps every run, so that a search that was
            interrupted is called again with the same arguments.
        space: what may be proposed.
        budget: how much may be tried, and how.
        progress: hears of every training.
        execution: how trainings run, see :meth:`Study.run`.
        on_trial: is called with each trial that has ended.
        leave_out: whether strategies that cannot act on the model are left out, which is said, and not refused.
        also: recipes that are trained afterwards, and have to be able to act on it too.

    Raises:
        ReglabError: for a study that is not sealed, a folder that holds another search, or a strategy that cannot act
            on the model.
    """
    if not study.settings.sealed:
        raise ReglabError("A search must not read the test set. Give a study with sealed=True.")
    _check_budget(study, budget)
    how = Execution(**(execution or {}))
    course = _Course(space, budget, study.task.decides, on_trial)
    course.load(study.out)  # so that another search is told before anything is trained
    heard = progress or Progress()
    candidates = {**space.candidates(), **also}
    with study.opened(how, heard, candidates=candidates, required=not leave_out) as (store, trainer, plan):
        if plan.refused:
            heard.note(f"Not looked for, because they cannot act here: {', '.join(plan.refused)}.")
            course.narrow(plan.refused)
        course.load(store.folder)  # what another process added until the folder was free
        limits = Limits(timeout=how.timeout, checkpoint_every=how.checkpoint_every)
        course.run(_Trainings(store, trainer, plan, study.settings.epochs, limits, heard))
    return course.ranked()


def another(folder: Path, space: Space, budget: Budget) -> list[str]:
    """Return in what the search of a folder differs from this one; nothing where the folder has none.

    What is decided by, and how it is trained, is told by the study of the folder.
    """
    held = disk.read_json(folder / FILE)
    return _changed(held, space, budget) if isinstance(held, dict) else []


def _changed(held: Mapping[str, Any], space: Space, budget: Budget) -> list[str]:
    before = held.get("search")
    before = before if isinstance(before, Mapping) else {}
    return [key for key, value in _asked(space, budget).items() if before.get(key) != value]


def _asked(space: Space, budget: Budget) -> dict[str, Any]:
    """Return what makes a search the same one."""
    how = {key: getattr(budget, key) for key in params(Budget)}
    for limit in ("trials", "epoch_budget", "minutes"):  # a search can be given more, and goes on
        how.pop(limit)
    return {
        "strategies": list(space.strategies), "optional": space.optional, "always": list(space.always),
        "beside": space.beside.to_text(), "without": sorted(space.without), **how,
    }  # fmt: skip


def _check_budget(study: Study, budget: Budget) -> None:
    one = study.settings.seeds * study.settings.epochs
    if budget.epoch_budget is not None and budget.epoch_budget < one:
        raise ReglabError(
            f"epoch_budget={budget.epoch_budget} allows no trial: one takes up to {one} epochs "
            f"({study.settings.epochs} with each of {study.settings.seeds} seeds). Give {one} or more."
        )


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
        """Return the deciding metric on validation, and epochs, of each recipe with a seed."""
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
            return self.plan.task.decides.worst, self.epochs
        return float(held["metrics"][f"val_{self.plan.task.deciding}"]), int(held["metrics"]["epochs"])


class _Course:
    """How far a search has come: what the folder has of it, and what comes next."""

    def __init__(self, space: Space, budget: Budget, metric: Metric, on_trial: Callable[[Trial], None]) -> None:
        self.space, self.budget, self.metric, self.on_trial = space, budget, metric, on_trial
        self.trials: list[Trial] = []
        self._batches: list[list[Proposal]] = []
        self._path = Path(FILE)
        self._seconds = 0.0
        self._sampler = Sampler(space, budget, metric)
        self._damaged = False

    def narrow(self, without: Collection[str]) -> None:
        """Propose nothing with these strategies."""
        self._sampler = Sampler(self.space.but(without), self.budget, self.metric)

    def load(self, folder: Path) -> None:
        """Take up what the folder has.

        Raises:
            ReglabError: if that is another search.
        """
        self._path = folder / FILE
        self._damaged = self._path.is_file()
        held = disk.read_json(self._path)
        if isinstance(held, dict):
            self._check_same(held)
            self._damaged = not self._read(held)

    def _check_same(self, held: Mapping[str, Any]) -> None:
        if changed := _changed(held, self.space, self.budget):
            raise ReglabError(
                f"{self._path.parent} holds another search: {', '.join(changed)} "
                f"{'differs' if len(changed) == 1 else 'differ'}. Give another folder with --out."
            )

    def _read(self, held: Mapping[str, Any]) -> bool:
        """Take up what was tried; return False if that is damaged, and then begin anew."""
        self._batches = []
        try:
            trials = [Trial.of(each, self.metric) for each in held["trials"]]
            seen: set[int] = set()
            for batch in held["proposals"]:
                proposals = []
                for each in batch:
                    number = int(each["trial"])
                    proposals.append(Proposal(dict(each["params"]), trials[number], number not in seen))
                    seen.add(number)
                self._batches.append(proposals)
            self._seconds = 60 * float(held["minutes"])
        except (KeyError, IndexError, TypeError, ValueError, ReglabError):
            self._batches = []
            return False
        self.trials = trials
        return True

    def run(self, trainings: _Trainings) -> None:
        self._sampler.restore(self._batches)
        for trial in self.trials:
            if trial.state != RUNNING:
                self.on_trial(trial)
        if self._batches and any(proposal.open is not None for proposal in self._batches[-1]):
            self._train(self._batches[-1], trainings)
        known = {trial.recipe: trial for trial in self.trials}
        repeats = 0
        while not self._spent() and repeats < _REPEATS:
            batch: list[Proposal] = []
            for _ in range(self._room()):
                proposed, recipe = self._sampler.propose()
                fresh = recipe not in known
                if fresh:
                    known[recipe] = Trial(len(self.trials), recipe, self.metric)
                    self.trials.append(known[recipe])
                batch.append(Proposal(dict(proposed.params), known[recipe], fresh, proposed))
            self._batches.append(batch)
            repeats = 0 if any(proposal.fresh for proposal in batch) else repeats + len(batch)
            self._train(batch, trainings)

    def _train(self, batch: list[Proposal], trainings: _Trainings) -> None:
        """Train the recipes of a batch that are new, seed by seed, and tell the sampler what came of all."""
        waiting = [proposal for proposal in batch if proposal.fresh and proposal.open is not None]
        seeds = trainings.seeds()
        for step, seed in enumerate(seeds):
            if not waiting:
                break
            began = time.monotonic()
            values = trainings.values([proposal.trial.recipe for proposal in waiting], seed)
            self._seconds += time.monotonic() - began
            going_on = []
            for proposal, (value, epochs) in zip(waiting, values, strict=True):
                trial = proposal.trial
                trial.values[step:], trial.epochs = [value], epochs + (trial.epochs if step else 0)
                if self._sampler.step(proposal, step, last=step == len(seeds) - 1):
                    self.on_trial(trial)
                else:
                    going_on.append(proposal)
            waiting = going_on
            self._keep()
        for proposal in batch:
            if proposal.open is not None:
                self._sampler.repeat(proposal)

    def _room(self) -> int:
        """Return how many trials to propose now."""
        left = self.budget.batch if self.budget.trials is None else self.budget.trials - len(self.trials)
        return max(1, min(self.budget.batch, left))

    def _spent(self) -> bool:
        b = self.budget
        return (
            (b.trials is not None and len(self.trials) >= b.trials)
            or (b.epoch_budget is not None and sum(trial.epochs for trial in self.trials) >= b.epoch_budget)
            or (b.minutes is not None and self._seconds >= 60 * b.minutes)
        )

    def ranked(self) -> list[Trial]:
        """Return the trials, the best first: those with all seeds before those that were given up."""
        return sorted(self.trials, key=lambda trial: (trial.state != COMPLETE, -trial.gain, trial.number))

    def _keep(self) -> None:
        if self._damaged:  # it may hold what can still be read by eye
            disk.set_aside(self._path)
            self._damaged = False
        proposals = [[{"trial": p.trial.number, "params": p.params} for p in batch] for batch in self._batches]
        disk.write_json(
            self._path,
            {
                "schema": 2, "search": _asked(self.space, self.budget), "optuna": self._sampler.version,
                "minutes": self._seconds / 60,
                "trials": [trial.to_dict() for trial in self.trials], "proposals": proposals,
            },
        )  # fmt: skip
