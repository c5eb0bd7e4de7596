"""One run as it follows a training: its history, its best epoch, and when it stops looking."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from reglab.regularized.watching import Watchers
from reglab.study.checkpoint import TrackState
from reglab.study.plan import Run
from reglab.study.records import Predictions
from reglab.study.sparsity import sparsity
from reglab.tasks import Task

__all__ = ["Track"]


class Track:
    """One run of a training. ``follow`` is called after each epoch until it is ``done``.

    Attributes:
        watchers: the observers of its recipe.
    """

    def __init__(self, run: Run, task: Task) -> None:
        self.run = run
        self.task = task
        self._decides = f"val_{task.deciding}"
        self.watchers = Watchers(run.recipe, task)
        self.latest: Callable[[], list[np.ndarray]] = list  # gives the weights that were measured last
        self.history: dict[str, list[float]] = {}
        self.best_epoch = -1
        self.best_weights: list[np.ndarray] = []
        self.done = False
        self.diverged = ""
        self.seconds = 0.0
        self._began = time.perf_counter()

    def follow(self, epoch: int, values: dict[str, float], weights: Callable[[], list[np.ndarray]]) -> None:
        """Take in the clean metrics of an epoch; ``weights`` gives the weights they were measured with."""
        for key, value in values.items():
            self.history.setdefault(key, []).append(value)
        self.seconds = time.perf_counter() - self._began
        self.latest = weights
        # A metric of the user's may have no value; the task's have one as long as numbers are numbers.
        watched = ("loss", *(f"{part}_{metric.name}" for metric in self.task.watched for part in ("train", "val")))
        if not all(np.isfinite(values[key]) for key in watched):
            bad = ", ".join(key for key in watched if not np.isfinite(values[key]))
            self.diverged, self.done = f"not a number in epoch {epoch + 1}: {bad}", True
            return
        improved = self._improves(values)
        for observer, judgement in self.watchers.judge(epoch, values):
            if observer.monitor is not None:
                improved = self.best_epoch < 0 or judgement.best
            self.done = self.done or judgement.stop
        if improved:
            self.best_epoch, self.best_weights = epoch, weights()

    def state(self) -> TrackState:
        """Return all that the run remembers."""
        return TrackState(
            history={key: list(values) for key, values in self.history.items()}, best_epoch=self.best_epoch,
            best_weights=self.best_weights, done=self.done, diverged=self.diverged, seconds=self.seconds,
            observers=self.watchers.remembered(),
        )  # fmt: skip

    def restore(self, state: TrackState) -> None:
        """Be where a run was that gave ``state``."""
        self.history = {key: list(values) for key, values in state.history.items()}
        self.best_epoch, self.best_weights = state.best_epoch, list(state.best_weights)
        self.done, self.diverged, self.seconds = state.done, state.diverged, state.seconds
        self._began = time.perf_counter() - state.seconds
        self.watchers.recall(state.observers)

    def _improves(self, values: dict[str, float]) -> bool:
        sign, before = self.task.decides.sign, self.history[self._decides]
        return self.best_epoch < 0 or sign * values[self._decides] > sign * before[self.best_epoch]

    def metrics(self, validation: Predictions, test: Predictions | None, weights: list[np.ndarray]) -> dict[str, float]:
        """Return the scalars of the run: what test predictions and weights give, and where its best epoch stands."""
        pair = validation.labels, validation.predicted
        best = {key: values[self.best_epoch] for key, values in self.history.items() if key != "loss"}
        return {
            **({} if test is None else self.task.scores(test.labels, test.predicted, validation=pair)),
            "sparsity": sparsity(weights),
            **best,
            **self.task.gaps(best),
            "epochs": float(len(self.history["loss"])),
            "best_epoch": float(self.best_epoch + 1),
            "seconds": self.seconds,
        }
