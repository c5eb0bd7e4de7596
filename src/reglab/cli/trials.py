"""A search on the terminal: a line for each trial."""

from __future__ import annotations

import math
from collections.abc import Callable

from rich.text import Text

from reglab.cli.console import Console
from reglab.study.progress import Progress
from reglab.tuning.search import Trial

__all__ = ["Checking", "Trials"]


class Checking(Progress):
    """Says nothing of the many small rounds of a search but notes, and lets Ctrl-C take effect."""

    def __init__(self, check: Callable[[], None], notes: Progress | None = None) -> None:
        if notes is not None:
            self.note = notes.note  # type: ignore[method-assign]
        self.epoch = lambda job, epoch, metrics: check()  # type: ignore[method-assign]
        self.waiting = check  # type: ignore[method-assign]


class Trials:
    """A line for each trial, the best so far in bold; of several searches each by its name."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._best: dict[str, float] = {}

    def print(self, trial: Trial, of: str = "") -> None:
        better = trial.state == "complete" and trial.gain > self._best.get(of, -math.inf)
        if better:
            self._best[of] = trial.gain
        note = " best so far" if better else " given up" if trial.state == "pruned" else ""
        line = f"trial {trial.number}: {trial.metric.shown(trial.value)}{note}: {trial.recipe.to_text()}"
        self._console.print(Text(line, style="bold" if better else ""))
