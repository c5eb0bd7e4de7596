"""A recipe for a model: searched on some seeds, confirmed on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reglab.data import Dataset
from reglab.data.several import by_input
from reglab.declare import params
from reglab.errors import ReglabError
from reglab.recipe import Recipe, RecipeLike
from reglab.results import Results
from reglab.strategies import CATALOGUE, ModelInput, Strategy
from reglab.strategies.understood import check_understood
from reglab.studies import Study
from reglab.study.progress import Progress
from reglab.study.storage import folders, owned
from reglab.tuning.budget import Budget
from reglab.tuning.folders import group_folder
from reglab.tuning.search import Trial, another, search
from reglab.tuning.seeds import searching_study
from reglab.tuning.space import Space

__all__ = ["Tuned", "confirming", "every_strategy", "tune"]


@dataclass(frozen=True)
class Tuned:
    """What a search found, and what came of it on seeds that the search had not seen.

    Attributes:
        folder: the search is in ``search``, its confirmation in ``confirmation``, or the same with a number where that
            holds the confirmation of other recipes or with other seeds.
        trials: the best first.
        results: the confirmation: the best trials and no regularization, trained afresh; None where it was left out.
        names: for each recipe of the confirmation, the trial that it was.
    """

    folder: Path
    trials: list[Trial]
    results: Results | None
    names: dict[str, Trial]

    @property
    def recipe(self) -> Recipe:
        """The recipe to use: what the confirmation recommends, or the best trial without one."""
        if self.results is None or self.results.comparison.choice is None:
            return self.trials[0].recipe
        name = self.results.comparison.choice.recommended
        return self.names[name].recipe if name in self.names else Recipe()

    def optimism(self, name: str) -> float:
        """Return how much better a recipe looked to the search than it is on validation of other seeds.

        It was picked because it looked good, so some of that was luck.
        """
        if self.results is None:
            raise ReglabError("Without a confirmation nothing tells how optimistic the search was.")
        metric = self.results.metric
        return metric.sign * (self.names[name].value - self.now(name))

    def now(self, name: str) -> float:
        """Return the mean on validation of the confirmation, which the search had not seen."""
        if self.results is None:
            raise ReglabError("Without a confirmation there is nothing that the search had not seen.")
        return self.results.comparison.row(name).mean(f"val_{self.results.metric.name}")


def every_strategy(data: Dataset) -> tuple[str, ...]:
    """Return the strategies that a search takes up by itself: all that have something to look for in this data."""
    return tuple(
        name
        for name, cls in CATALOGUE.items()
        if any(each.search for each in params(cls).values()) and name != "learning_rate" and _takes(cls, data)
    )


def _takes(cls: type[Strategy], data: Dataset) -> bool:
    """Whether a strategy can act on examples of such a kind and shape."""
    try:
        check_understood(cls(), data)
        for x in by_input(data.x).values():
            cls().check_input(ModelInput((None, *x.shape[1:])))
    except ReglabError:
        return False
    return True


def confirming(make: Callable[..., Study], recipes: Mapping[str, Any], out: Path, *, baseline: str = "none") -> Study:
    """Return the study that confirms recipes: in ``confirmation``, or with a number where that holds another one.

    Results that an earlier confirmation has are taken over.
    """
    first = make(recipes=recipes, baseline=baseline, out=out / "confirmation")
    folder = folders.free(first.out, first.spec())
    earlier = [each for each in folders.known(first.out) if each != folder]
    return make(recipes=recipes, baseline=baseline, out=folder, reuse=[*first.reuse, *earlier])


def tune(
    make: Callable[..., Study],
    budget: Budget,
    *,
    out: str | Path | None = None,
    strategies: tuple[str, ...] = (),
    optional: bool = True,
    learning_rate: bool = False,
    beside: RecipeLike = "none",
    rivals: int = 3,
    progress: Progress | None = None,
    confirmation: Progress | None = None,
    execution: Mapping[str, Any] = MappingProxyType({}),
    on_trial: Callable[[Trial], None] = lambda trial: None,
    began: Callable[[Path], None] = lambda folder: None,
) -> Tuned:
    """Search for a recipe, then train the best trials afresh with seeds that the search has not seen.

    The search looks at validation alone. What it saw of the winner is too good, since it was picked for that; only the
    confirmation estimates, on the test set, and it judges the rivals against no regularization as any study does.

    Args:
        make: from ``recipes``, ``out`` and settings to a study; its own ``seeds`` are those of the confirmation.
        budget: how much is tried, and how.
        out: a folder; by default ``reglab-out/DATA-MODEL-tuned``, or that with a number where it has another search.
            The same call again goes on where it was interrupted.
        strategies: which are looked for; by default all that fit the data.
        optional: whether each may be left out.
        learning_rate: whether the learning rate is looked for too, in every recipe.
        beside: what every recipe has.
        rivals: how many of the best trials are confirmed; 0 for none.
        progress: hears of the trainings of the search, which come in many small rounds.
        confirmation: hears of those of the confirmation.
        execution: how trainings run, see :meth:`Study.run`.
        on_trial: is called with each trial.
        began: is called with the folder before anything is trained.

    Raises:
        ReglabError: for an empty space, or seeds of the confirmation that the search uses, before anything is trained.

    Example:
        >>> make = lambda **kwargs: reglab.Study("digits", "mlp", **{"seeds": 10, "epochs": 30, **kwargs})
        >>> found = tune(make, Budget(trials=50), out="reglab-out/digits-tuned", strategies=("l2", "dropout"))
        >>> found.recipe in {trial.recipe for trial in found.trials} | {reglab.Recipe()}
        True
    """
    fixed = Recipe.of(beside)
    searching = searching_study(make, seeds=budget.search_seeds, beside=fixed, confirmed=rivals > 0)
    space = Space(
        strategies or every_strategy(searching.dataset), optional=optional, beside=fixed,
        without=searching.dataset.label_changing, always=("learning_rate",) if learning_rate else (),
    )  # fmt: skip
    out = group_folder(
        out, f"{searching.name}-tuned", {"search": searching},
        same=lambda folder: not another(folder / "search", space, budget),
    )  # fmt: skip
    owned.check_group(out, "search", "confirmation*")
    searching = searching.with_(out=out / "search", reuse=searching.reuse or None)
    began(out)
    trials = search(
        searching, space, budget, progress=progress, execution=execution, on_trial=on_trial, leave_out=not strategies
    )
    best = [trial for trial in trials if trial.state == "complete" and trial.recipe != Recipe()][:rivals]
    if not best:
        return Tuned(out, trials, None, {})
    named = {f"trial {trial.number}": trial for trial in best}
    recipes = {"none": Recipe(), **{name: trial.recipe for name, trial in named.items()}}
    study = confirming(make, recipes, out)
    return Tuned(out, trials, study.run(confirmation, **execution), named)
