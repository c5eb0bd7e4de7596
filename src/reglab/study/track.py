"""One run as it follows a training: its history, its best epoch, and when it stops looking."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from reglab.strategies.averaging.ema import EMA
from reglab.strategies.optimization.early_stopping import DECIDING, EarlyStopping
from reglab.study.checkpoint import TrackState
from reglab.study.plan import Run
from reglab.study.records import Predictions
from reglab.study.sparsity import sparsity
from reglab.tasks import Task

__all__ = ["Track"]

_REMEMBERED = ("wait", "stopped_epoch", "best", "best_epoch")  # what Keras' EarlyStopping decides by


class Track:
    """One run of a training. ``follow`` is called after each epoch until it is ``done``."""

    def __init__(self, run: Run, task: Task) -> None:
        self.run = run
        self.task = task
        self._decides = f"val_{task.deciding}"
        self.averaged = any(isinstance(strategy, EMA) for strategy in run.recipe)
        self.history: dict[str, list[float]] = {}
        self.best_epoch = -1
        self.best_weights: list[np.ndarray] = []
        self.done = False
        self.diverged = ""
        self.seconds = 0.0
        self._began = time.perf_counter()
        self._stopping = next((s for s in run.recipe if isinstance(s, EarlyStopping) and s.rides()), None)
        self._stopper = self._stopping.callback(restore=False) if self._stopping else None
        if self._stopper is not None:
            # Keras' own rule decides; it asks its model for nothing but to stop.
            self._stopper.set_model(_StopFlag())
            self._stopper.on_train_begin()

    def follow(self, epoch: int, values: dict[str, float], weights: Callable[[], list[np.ndarray]]) -> None:
        """Take in the clean metrics of an epoch; ``weights`` gives the weights they were measured with."""
        for key, value in values.items():
            self.history.setdefault(key, []).append(value)
        self.seconds = time.perf_counter() - self._began
        if not all(np.isfinite(value) for value in values.values()):
            bad = ", ".join(key for key, value in values.items() if not np.isfinite(value))
            self.diverged, self.done = f"not a number in epoch {epoch + 1}: {bad}", True
            return
        improved = self._improves(values)
        if self._stopper is not None:
            self._stopper.on_epoch_end(epoch, self._monitored(values))
            if self._stopper.monitor != DECIDING:
                improved = self.best_epoch < 0 or self._stopper.best_epoch == epoch
            self.done = self._stopper.model.stop_training
        if improved:
            self.best_epoch, self.best_weights = epoch, weights()

    def state(self) -> TrackState:
        """Return all that the run remembers."""
        stopper = None if self._stopper is None else {key: getattr(self._stopper, key) for key in _REMEMBERED}
        return TrackState(
            history={key: list(values) for key, values in self.history.items()}, best_epoch=self.best_epoch,
            best_weights=self.best_weights, done=self.done, diverged=self.diverged, seconds=self.seconds,
            stopper=stopper,
        )  # fmt: skip

    def restore(self, state: TrackState) -> None:
        """Be where a run was that gave ``state``."""
        self.history = {key: list(values) for key, values in state.history.items()}
        self.best_epoch, self.best_weights = state.best_epoch, list(state.best_weights)
        self.done, self.diverged, self.seconds = state.done, state.diverged, state.seconds
        self._began = time.perf_counter() - state.seconds
        for key, value in (state.stopper or {}).items():
            setattr(self._stopper, key, value)

    def _monitored(self, values: dict[str, float]) -> dict[str, float]:
        """Return what early stopping can watch: what decides, larger is better, under its default name; the loss."""
        decides, criterion = self.task.decides, self.task.criterion
        return {DECIDING: decides.sign * values[self._decides], "val_loss": values[f"val_{criterion.name}"]}

    def _improves(self, values: dict[str, float]) -> bool:
        sign, before = self.task.decides.sign, self.history[self._decides]
        return self.best_epoch < 0 or sign * values[self._decides] > sign * before[self.best_epoch]

    def metrics(self, validation: Predictions, test: Predictions | None) -> dict[str, float]:
        """Return the scalars of the run: what test predictions give, and where its best epoch stands."""
        pair = validation.labels, validation.predicted
        best = {key: values[self.best_epoch] for key, values in self.history.items() if key != "loss"}
        return {
            **({} if test is None else self.task.scores(test.labels, test.predicted, validation=pair)),
            "sparsity": sparsity(self.best_weights),
            **best,
            **self.task.gaps(best),
            "epochs": float(len(self.history["loss"])),
            "best_epoch": float(self.best_epoch + 1),
            "seconds": self.seconds,
        }


class _StopFlag:
    """All of a model that Keras' EarlyStopping needs when it restores nothing."""

    stop_training = False
