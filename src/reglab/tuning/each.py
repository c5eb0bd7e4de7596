"""Equal budgets: every strategy tuned with the same number of trials, then compared at its best.

Fixed strengths compare settings and not strategies: the one whose default happens to fit wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from reglab.analysis.effort import expected_best
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.results import Results
from reglab.studies import Study
from reglab.study.progress import Progress
from reglab.study.storage import disk, owned
from reglab.tuning.budget import Budget
from reglab.tuning.confirm import confirming
from reglab.tuning.folders import group_folder
from reglab.tuning.search import Trial, search
from reglab.tuning.seeds import searching_study
from reglab.tuning.space import Space

__all__ = ["Tuning", "tune_each"]

FILE = "tuning.json"
_RATE = "learning_rate"


@dataclass(frozen=True)
class Tuning:
    """Strategies that were each tuned with the same number of trials.

    Attributes:
        folder: the searches are in ``search-<strategy>``, their confirmation in ``confirmation``.
        trials: for each strategy its trials, in the order in which they were tried.
        results: the best trial of each, trained afresh with other seeds and compared with the baseline.
    """

    folder: Path
    trials: dict[str, list[Trial]]
    results: Results

    def curves(self) -> dict[str, np.ndarray]:
        """Return, for each strategy, what the best of n trials is expected to have on validation."""
        sign = self.results.metric.sign
        return {name: sign * expected_best([trial.gain for trial in trials]) for name, trials in self.trials.items()}

    def best(self, name: str) -> Recipe:
        """Return the recipe of a strategy that was best on validation."""
        return _best(self.trials[name])


def tune_each(
    make: Callable[..., Study],
    strategies: tuple[str, ...],
    trials: int,
    *,
    out: str | Path | None = None,
    beside: Mapping[str, Any] = MappingProxyType({}),
    baseline: str = "none",
    search_seeds: int = 2,
    learning_rate: bool = True,
    progress: Progress | None = None,
    confirmation: Progress | None = None,
    execution: Mapping[str, Any] = MappingProxyType({}),
    on_trial: Callable[[str, Trial], None] = lambda name, trial: None,
    began: Callable[[Path], None] = lambda folder: None,
) -> Tuning:
    """Give every strategy the same number of random trials, and compare the best of each on other seeds.

    Trials are drawn at random and not by a sampler that learns, so that they are independent and the expected best of n
    can be told from them. As in a search the test set is sealed, and the seeds are the search's own.

    Args:
        make: from ``recipes``, ``out`` and settings to a study.
        strategies: names of strategies.
        trials: for each of them.
        out: a folder; by default ``reglab-out/DATA-MODEL-tuned``, or that with a number where it has other searches.
            The same call again goes on where it was interrupted.
        beside: recipes of fixed strengths that are compared too, by name.
        baseline: what the others are compared with: ``none``, a strategy that is tuned, or a name of ``beside``.
        search_seeds: seeds of each trial.
        learning_rate: whether each trial draws a learning rate too, and no regularization gets as many trials of it
            alone. A strategy compared at a learning rate tuned for the baseline is not compared fairly.
        progress: hears of the trainings of the searches.
        confirmation: hears of those of the confirmation.
        execution: how trainings run, see :meth:`Study.run`.
        on_trial: is called with each trial.
        began: is called with the folder before anything is trained.

    Raises:
        ReglabError: for a strategy that cannot be searched, or seeds of the confirmation that the searches use, before
            anything is trained.
    """
    if not strategies:
        raise ReglabError("No strategy is named, so there is nothing to tune.")
    _check_names(strategies, beside, baseline)
    budget = Budget(trials=trials, search_seeds=search_seeds, sampler="random", pruner="none")
    searches = _searches(make, _tuned(strategies, learning_rate=learning_rate), search_seeds)
    parts = {f"search-{name}": study for name, (study, _) in searches.items()}
    name_of_all = f"{next(iter(parts.values())).name}-tuned"
    out = group_folder(out, name_of_all, parts)
    owned.check_group(out, "search-*", "confirmation*")
    began(out)
    later = {name: recipe for _, space in searches.values() for name, recipe in space.candidates().items()}
    found: dict[str, list[Trial]] = {}
    for name, (study, space) in searches.items():

        def named(trial: Trial, of: str = name) -> None:
            on_trial(of, trial)

        study = study.with_(out=out / f"search-{name}", reuse=study.reuse or None)
        ranked = search(study, space, budget, progress=progress, execution=execution, on_trial=named, also=later)
        found[name] = sorted(ranked, key=lambda trial: trial.number)
    best = {name: _best(of_name) for name, of_name in found.items()}
    study = confirming(make, {"none": Recipe(), **best, **beside}, out, baseline=baseline)
    tuning = Tuning(out, found, study.run(confirmation, **execution))
    _keep(tuning, trials)
    return tuning


def _best(trials: list[Trial]) -> Recipe:
    return max(trials, key=lambda trial: trial.gain).recipe


def _check_names(strategies: tuple[str, ...], beside: Mapping[str, Any], baseline: str) -> None:
    """Raise a ReglabError for names that two recipes have, or that none has."""
    twice = sorted({"none", *strategies} & set(beside))
    if twice:
        raise ReglabError(
            f"{', '.join(twice)}: a fixed recipe is called like what is tuned, and one of them would be lost. Give the "
            f"fixed one another name: 'fixed {twice[0]}=RECIPE'."
        )
    if baseline not in {"none", *strategies, *beside}:
        raise ReglabError(
            f"The baseline {baseline!r} is not among what is compared: "
            f"{', '.join(dict.fromkeys(('none', *strategies, *beside)))}."
        )


def _tuned(strategies: tuple[str, ...], *, learning_rate: bool) -> dict[str, tuple[str, ...]]:
    """Return, for each name, the strategies whose strengths are drawn."""
    tuned: dict[str, tuple[str, ...]] = {"none": (_RATE,)} if learning_rate else {}
    for name in strategies:
        tuned[name] = (name, _RATE) if learning_rate and name != _RATE else (name,)
    return tuned


def _searches(
    make: Callable[..., Study], tuned: Mapping[str, tuple[str, ...]], search_seeds: int
) -> dict[str, tuple[Study, Space]]:
    """Return a study and a space for each: all before any is trained, so that what is impossible is said first."""
    found = {}
    for name, parts in tuned.items():
        study = searching_study(make, seeds=search_seeds)
        found[name] = study, Space(parts, optional=False, without=study.dataset.label_changing)
    return found


def _keep(tuning: Tuning, trials: int) -> None:
    curves = {name: curve.tolist() for name, curve in tuning.curves().items()}
    tried = {name: [trial.to_dict() for trial in of_name] for name, of_name in tuning.trials.items()}
    held = {"schema": 1, "trials_each": trials, "curves": curves, "trials": tried}
    disk.write_json(tuning.results.folder / FILE, held)
