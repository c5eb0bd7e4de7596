"""Epochs of a study, timed in the process that trains them. ``speed.py`` asks for them, of one process a backend.

They are a study's own: its program, its batches, and what is measured after an epoch. Where epochs are so long that a
visit would not hold several, they are cut short: fewer steps, and fewer examples that are measured.
"""

from __future__ import annotations

import functools
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from reglab import backends
from reglab.aliases import Logs
from reglab.data.batches import Batches
from reglab.study.plan import Run, rides
from reglab.study.workbench import Workbench

__all__ = ["first", "visit"]

_STEPS = 6  # the share of a visit that the steps of an epoch take at most: one of so many
_MEASURING = 12  # and what is measured after them
_EXAMPLES = 512  # measured at least, where there are as many
_ENDLESS = 10**6  # epochs; the clock ends every fit


def first(bench: Workbench) -> tuple[str, str, int, int]:
    """Do the first training step, with whatever has to be built and compiled for it.

    Returns:
        The version of the backend; what it computes on; how many steps an epoch of the study has; and on how many
        examples it is measured.
    """
    training = _training(bench)
    training.fit(_Clock(1, lambda: None, seconds=0.0))
    return backends.version(), backends.device(), training.steps, len(training.measured)


def visit(bench: Workbench, seconds: float) -> tuple[list[tuple[float, float]], int | None]:
    """Train for so many seconds, or for one short epoch if that takes longer.

    Returns:
        For each epoch, the seconds of a step and those of measuring all examples; and the bytes that the process has
        had at most so far, or None where the system does not tell.
    """
    return _training(bench).visit(seconds), _peak()


@functools.cache
def _training(bench: Workbench) -> _Training:
    return _Training(bench)


class _Training:
    """The training of the one recipe that the workbench has."""

    def __init__(self, bench: Workbench) -> None:
        ((name, recipe),) = bench.recipes.items()
        (ride,) = rides([Run(name, name, recipe, bench.settings.first_seed)])
        self._program, self._data = bench.at_start(ride)
        self._batch_size = bench.settings.batch_size
        self.steps = -(-len(self._data.train) // self._batch_size)
        self.measured = np.concatenate([self._data.clean[0], self._data.validation[0]])
        self._known: tuple[float, float] | None = None  # what a visit before found, as it is returned

    def visit(self, seconds: float) -> list[tuple[float, float]]:
        """Return the seconds of a step, and of measuring, in each epoch of a visit."""
        if self._known is None:
            self._last_batch()
        step, measuring = self._known or (seconds, seconds)
        steps = min(max(1, int(seconds / _STEPS / step)), self.steps)
        count = len(self.measured)
        examples = min(max(_EXAMPLES, int(seconds / _MEASURING / measuring * count)), count)
        clock = _Clock(steps, lambda: self._program.predict(self.measured[:examples]), seconds=seconds)
        self.fit(clock)
        # The first epoch of a fit starts its pipeline. It is left out where there are others.
        found = [(step, measuring * count / examples) for step, measuring in clock.epochs[1:] or clock.epochs]
        self._known = statistics.median(step for step, _ in found), statistics.median(all_ for _, all_ in found)
        return found

    def _last_batch(self) -> None:
        """Train on a batch that is as small as the last one of an epoch: where shapes are fixed, it is compiled too."""
        rest = len(self._data.train) % self._batch_size
        if rest:
            self.fit(_Clock(1, lambda: None, seconds=0.0), self._data.train[:rest])

    def fit(self, clock: _Clock, indices: np.ndarray | None = None) -> None:
        """Train until the clock ends it, on all training examples or on some."""
        chosen = self._data.train if indices is None else indices
        feed = self._program.feed(self._batches(chosen))
        if feed.most > 1 and clock.steps < self.steps:  # as many items as that are, which are an epoch of their own
            clock.steps = min(-(-clock.steps // feed.most) * feed.most, len(chosen) // self._batch_size)
            feed = self._program.feed(self._batches(chosen[: clock.steps * self._batch_size]))
        model = self._program.model
        model.stop_training = False
        model.fit(
            feed.data, epochs=_ENDLESS, steps_per_epoch=feed.steps if feed.most > 1 else clock.steps, shuffle=False,
            verbose=0, callbacks=[clock],
        )  # fmt: skip

    def _batches(self, indices: np.ndarray) -> Batches:
        data = self._data
        return Batches(
            data.x, data.y, indices, batch_size=self._batch_size, epochs=_ENDLESS, seed=data.stream("batches"),
            preprocess=data.preprocess, weights=data.weights,
        )  # fmt: skip


class _Clock(keras.callbacks.Callback):
    """Times epochs of so many steps, and what is measured after each; ends the fit when its time is over."""

    def __init__(self, steps: int, measure: Callable[[], object], *, seconds: float) -> None:
        super().__init__()
        self.steps = steps
        self.epochs: list[tuple[float, float]] = []
        self._measure = measure
        self._end = time.perf_counter() + seconds
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        float((logs or {})["loss"])  # a number, so whatever was still being computed is done
        trained = time.perf_counter()
        self._measure()
        now = time.perf_counter()
        self.epochs.append(((trained - self._began) / self.steps, now - trained))
        if now >= self._end:
            self.model.stop_training = True


def _peak() -> int | None:
    """Return the most memory that this process has had so far, in bytes."""
    try:  # of this program alone; getrusage also counts what the process was before it became this program
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    if os.name != "posix":
        return None

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
