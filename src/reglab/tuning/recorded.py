"""What a search has tried, as ``search.json`` keeps it, and how a sampler of Optuna's is given it again.

A proposal depends on the sampler's seed, on its number, and on the proposals before it with what came of them; all of
that is recorded. So a search that is interrupted goes on as if it had not been, and one that is called again by another
version of Optuna keeps what it has, and only goes on differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.seeds import derive
from reglab.tasks import Metric
from reglab.tuning.budget import Budget
from reglab.tuning.space import Space

__all__ = ["COMPLETE", "PRUNED", "RUNNING", "Proposal", "Sampler", "Trial"]

COMPLETE, PRUNED, RUNNING = "complete", "pruned", "running"


@dataclass
class Trial:
    """One proposed recipe and what came of it.

    Attributes:
        number: in the order of proposal.
        recipe: what was proposed.
        metric: the one that decides.
        values: that metric on validation at the best epoch, a number per seed; the worst that it can be where a run
            diverged or failed.
        state: ``complete``; ``pruned`` where later seeds were not trained; ``running`` where they are still to come.
        epochs: that its trainings took.
    """

    number: int
    recipe: Recipe
    metric: Metric
    values: list[float] = field(default_factory=list)
    state: str = RUNNING
    epochs: int = 0

    @property
    def value(self) -> float:
        """The mean over the seeds that were trained."""
        return sum(self.values) / len(self.values)

    @property
    def gain(self) -> float:
        """The value with the sign by which larger is better."""
        return self.metric.sign * self.value

    def to_dict(self) -> dict[str, Any]:
        return {
            "number": self.number, "recipe": self.recipe.to_text(), "value": self.value, "values": list(self.values),
            "state": self.state, "epochs": self.epochs,
        }  # fmt: skip

    @classmethod
    def of(cls, held: dict[str, Any], metric: Metric) -> Trial:
        """Return the trial that :meth:`to_dict` gave; JSON holds null for what is infinite."""
        values = [metric.worst if value is None else float(value) for value in held["values"]]
        recipe = Recipe.parse(held["recipe"])
        return cls(int(held["number"]), recipe, metric, values, str(held["state"]), int(held["epochs"]))


@dataclass
class Proposal:
    """What the sampler proposed, and the trial that it is of: a recipe may be proposed again.

    Attributes:
        params: the sampler's own values.
        trial: what came of the recipe.
        fresh: whether the recipe was proposed for the first time.
        open: Optuna's trial, while the sampler does not know what came of it.
    """

    params: dict[str, Any]
    trial: Trial
    fresh: bool
    open: Any = None


class Sampler:
    """Optuna's sampler and pruner, told of everything that was tried.

    Args:
        space: what may be proposed.
        budget: which sampler and pruner.
        metric: the one that decides, and so its direction.

    Raises:
        ReglabError: if Optuna is not installed.
    """

    def __init__(self, space: Space, budget: Budget, metric: Metric) -> None:
        try:
            import optuna
        except ImportError:
            raise ReglabError("Optuna is not installed. Run pip install 'reglab[tune]'.") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._space, self._budget = optuna, space, budget
        pruners = {"median": optuna.pruners.MedianPruner(n_startup_trials=5), "none": optuna.pruners.NopPruner()}
        direction = "minimize" if metric.better == "lower" else "maximize"
        self._study = optuna.create_study(direction=direction, pruner=pruners[budget.pruner])
        self._count = 0

    @property
    def version(self) -> str:
        return str(self._optuna.__version__)

    def propose(self) -> tuple[Any, Recipe]:
        """Return Optuna's trial and the recipe of the next proposal."""
        seed = derive(self._budget.sampler_seed, "proposal", self._count)
        samplers = self._optuna.samplers
        # The liar keeps the trials of a batch apart, whose values are not known to each other.
        self._study.sampler = (
            samplers.TPESampler(seed=seed, constant_liar=True)
            if self._budget.sampler == "tpe"
            else samplers.RandomSampler(seed=seed)
        )
        self._count += 1
        proposed = self._study.ask()
        return proposed, self._space.suggest(proposed)

    def step(self, proposal: Proposal, step: int, *, last: bool) -> bool:
        """Tell the mean after one more seed; return whether the trial has ended, and set its state."""
        trial, proposed = proposal.trial, proposal.open
        proposed.report(trial.value, step)
        if not last and not proposed.should_prune():
            return False
        trial.state = COMPLETE if last else PRUNED
        states = self._optuna.trial.TrialState
        if last:
            self._study.tell(proposed, trial.value, state=states.COMPLETE)
        else:
            self._study.tell(proposed, state=states.PRUNED)
        proposal.open = None
        return True

    def repeat(self, proposal: Proposal) -> None:
        """Tell of a proposal that was there before what came of it then."""
        self._study.tell(proposal.open, proposal.trial.value)
        proposal.open = None

    def restore(self, batches: Sequence[Sequence[Proposal]]) -> None:
        """Give the sampler proposals of before, in their order; those that are not at an end are open again."""
        for batch in batches:
            going = any(proposal.fresh and proposal.trial.state == RUNNING for proposal in batch)
            for proposal in batch:
                ended = proposal.trial.state != RUNNING if proposal.fresh else not going
                self._add(proposal) if ended else self._reopen(proposal)
                self._count += 1

    def _reopen(self, proposal: Proposal) -> None:
        self._study.enqueue_trial(proposal.params)
        proposal.open = self._study.ask()
        self._space.suggest(proposal.open)

    def _add(self, proposal: Proposal) -> None:
        trial = proposal.trial
        same = self._optuna.trial.FixedTrial(proposal.params)
        self._space.suggest(same)
        pruned = proposal.fresh and trial.state == PRUNED
        means = {step: sum(trial.values[: step + 1]) / (step + 1) for step in range(len(trial.values))}
        states = self._optuna.trial.TrialState
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=states.PRUNED if pruned else states.COMPLETE, value=trial.value, params=same.params,
                distributions=same.distributions, intermediate_values=means if proposal.fresh else {},
            )
        )  # fmt: skip
