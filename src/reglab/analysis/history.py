"""What the history of one run says: which of its metrics are looked at, and what they do. A history in, a Run out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from reglab.analysis import curves
from reglab.analysis.diagnosis import GAP_MATTERS, Run
from reglab.errors import ReglabError
from reglab.tasks import Metric, Task, of_log

__all__ = ["History", "cost_of", "read", "task_of"]

History = Mapping[str, Sequence[float]]


def task_of(histories: Sequence[History], task: Task | None = None) -> Task:
    """Return what histories are of: the task that is given, else what names of metrics tell."""
    if task is None:
        names = {key.removeprefix("train_").removeprefix("val_") for history in histories for key in history}
        task = of_log(names)
    if task is None:
        raise ReglabError("What is predicted cannot be told from these histories. Give task=.")
    return task


def cost_of(histories: Sequence[History], task: Task) -> Metric:
    """Return which metric of histories is the cost: the criterion, or where there is none, what else should fall."""
    names = {key for history in histories for key in history}
    lower = (metric for metric in (task.criterion, task.decides) if metric.better == "lower")
    there = (metric for metric in lower if names & {f"train_{metric.name}", f"val_{metric.name}"})
    return next(there, task.criterion)


def read(history: History, task: Task | None = None, cost: Metric | None = None) -> Run:
    """Return what one run's history says; the cost is by default what :func:`cost_of` finds."""
    task = task_of([history], task)
    cost, level, decides = cost or cost_of([history], task), task.level, task.decides
    names = [f"{part}_{metric.name}" for metric in (level, cost) for part in ("train", "val")]
    found = [np.asarray(list(history.get(name, ())), dtype="float64") for name in names]
    there = [values for values in found if len(values)]
    epochs = min((len(curves.finite(values)) for values in there), default=0)
    diverged = any(len(curves.finite(values)) < len(values) for values in there)
    train, val, train_cost, val_cost = (values[:epochs] for values in found)
    chosen = decides.sign * np.asarray(list(history.get(f"val_{decides.name}", ()))[:epochs], dtype="float64")
    chosen = next((curve for curve in (chosen, val, -val_cost) if len(curve)), chosen)
    best = int(chosen.argmax()) if len(chosen) else -1
    apart, costs_apart = _minus(train, val), _minus(val_cost, train_cost)
    followed = next((curve for curve in (val_cost, level.highest - val) if len(curve)), val_cost)
    learned = [curve for curve in (train_cost, level.highest - train) if len(curve)]
    lost, lost_error = curves.lost(val)
    return Run(
        epochs=epochs, diverged=diverged, turn=curves.turn(val_cost), lost=lost, lost_error=lost_error,
        train=curves.late(train), val=curves.late(val),
        train_cost=curves.late(train_cost), val_cost=curves.late(val_cost),
        gap=curves.late(apart), cost_gap=curves.late(costs_apart),
        best_epoch=best + 1, best_gap=_at(apart, best), best_cost_gap=_at(costs_apart, best),
        opened=_opened(apart), levelled=curves.levelled(val_cost),
        falls=curves.falls(followed), shake=curves.shake(val),
        train_falls=any(curves.falls(curve) for curve in learned),
        train_stopped=bool(learned) and all(curves.fall(curve) < curves.STILL_FALLS for curve in learned),
    )  # fmt: skip


def _at(curve: np.ndarray, epoch: int) -> float:
    return float(curve[epoch]) if len(curve) else math.nan


def _minus(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a - b if len(a) == len(b) else np.empty(0)


def _opened(gap: np.ndarray) -> int | None:
    """Return the first epoch, from 1, from which the smoothed gap stays at three points or more."""
    if not len(gap):
        return None
    below = np.flatnonzero(curves.smooth(gap) < GAP_MATTERS)
    first = int(below[-1]) + 1 if len(below) else 0
    return first + 1 if first < len(gap) else None
