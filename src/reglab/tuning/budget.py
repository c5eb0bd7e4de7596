"""What a search may take."""

from __future__ import annotations

from dataclasses import dataclass

from reglab.declare import param, params
from reglab.errors import ReglabError

__all__ = ["PRUNERS", "SAMPLERS", "Budget"]

SAMPLERS = ("tpe", "random")  # those of Optuna's that take spaces with conditions
PRUNERS = ("median", "none")


@dataclass(frozen=True)
class Budget:
    """What a search may take, declared once: the command line's options and the arguments of Python."""

    trials: int | None = param(None, "recipes that are tried", kind="int", low=1, optional=True)
    epoch_budget: int | None = param(None, "epochs of training in all", kind="int", low=1, optional=True)
    minutes: float | None = param(None, "minutes of training in all", low=0, open_low=True, optional=True)
    search_seeds: int = param(2, "seeds of each trial", kind="int", low=1)
    sampler: str = param("tpe", "Optuna's sampler", kind="choice", choices=SAMPLERS)
    pruner: str = param(
        "median", "median: a trial whose first seeds are worse than the median of the others' gets no more seeds",
        kind="choice", choices=PRUNERS,
    )  # fmt: skip
    batch: int = param(4, "trials that are proposed together, and can be trained beside each other", kind="int", low=1)
    sampler_seed: int = param(0, "of the sampler", kind="int", low=0)

    def __post_init__(self) -> None:
        for key, declared in params(self).items():
            object.__setattr__(self, key, declared.check("search", key, getattr(self, key)))
        if self.trials is None and self.epoch_budget is None and self.minutes is None:
            raise ReglabError("A search needs a budget: trials, epoch_budget (epochs in all) or minutes.")
