"""One training, and the runs that come out of it. No disk.

The engine is ``keras.Model.fit``. What is measured each epoch is measured in inference mode and without penalties: on a
fixed part of the training split and on validation. The test set is read once a run, at its end, with the best weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from reglab.analysis.metrics import accuracy, cross_entropy, macro_precision
from reglab.data.batches import Batches
from reglab.models import Head
from reglab.recipe import Recipe
from reglab.regularized.model import RegularizedModel
from reglab.regularized.optimizer import unscaled
from reglab.strategies import EMA, EarlyStopping
from reglab.streams import derive
from reglab.study.plan import Ride, Run
from reglab.study.records import DIVERGED, FINISHED, Predictions, Record

__all__ = ["Program", "SeedData"]

# Numbers in the inputs of a prediction step. Larger steps are slower: on a CPU their activations leave the caches, and
# memory is asked of the system and given back each time.
_CHUNK_VALUES = 2**18


@dataclass(frozen=True, eq=False)
class SeedData:
    """What a seed fixes: the split, preprocessed with statistics of its training part, and the initial weights.

    ``train`` are indices into the raw arrays; ``clean``, ``validation`` and ``test`` are pairs of preprocessed inputs
    and labels, ``clean`` being a fixed part of the training split.
    """

    seed: int
    x: np.ndarray
    y: np.ndarray
    train: np.ndarray
    preprocess: Any
    clean: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    initial_weights: list[np.ndarray]


class Program:
    """A compiled model of one structure, trained again and again with other seeds and strengths.

    Before each training every variable goes back to where it stood after compiling, the network gets the seed's initial
    weights, and every random stream restarts; so a training equals that of a model made for it alone.
    """

    def __init__(self, model: RegularizedModel, head: Head, input_shape: tuple[int, ...]) -> None:
        self.model = model
        self.head = head
        model.build((None, *input_shape))
        model.optimizer.build(model.trainable_variables)
        state = [*model.optimizer.variables, *model.metrics_variables, *model.non_trainable_variables]
        self._start = [(variable, np.array(keras.ops.convert_to_numpy(variable))) for variable in state]

    def train(
        self, ride: Ride, data: SeedData, *, epochs: int, batch_size: int, on_epoch: Callable[[int, dict], None]
    ) -> list[Record]:
        """Train a ride and return the record of each of its runs."""
        self._reset(ride.recipe, data)
        batches = Batches(
            data.x, data.y, data.train, batch_size=batch_size, epochs=epochs, seed=derive(data.seed, "batches"),
            preprocess=data.preprocess,
        )  # fmt: skip
        watch = _Watch(self, ride, data, on_epoch)
        self.model.fit(
            batches, epochs=epochs, steps_per_epoch=batches.steps, shuffle=False, verbose=0, callbacks=[watch]
        )
        return [self._record(track, data) for track in watch.tracks]

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return class probabilities ``(N, classes)`` in inference mode."""
        outputs = [
            keras.ops.convert_to_numpy(self.model.predict_on_batch(chunk))[:count] for chunk, count in _chunks(x)
        ]
        return self.head.probabilities(np.concatenate(outputs).astype("float32"))

    def _reset(self, recipe: Recipe, data: SeedData) -> None:
        for variable, value in self._start:
            variable.assign(value)
        self.model.network.set_weights(data.initial_weights)
        self.model.set_recipe(recipe)
        self.model.set_seed(derive(data.seed, "training"))
        if any(strategy.needs_data or strategy.needs_range for strategy in recipe):
            limits = data.preprocess.range()
            low, high = limits if limits is not None else (None, None)
            self.model.adapt(data.preprocess(data.x[np.sort(data.train)]), low=low, high=high)
        self.model.stop_training = False

    def _record(self, track: _Track, data: SeedData) -> Record:
        common: dict[str, Any] = {
            "id": track.run.id,
            "name": track.run.name,
            "recipe": track.run.recipe.to_text(),
            "seed": track.run.seed,
        }
        if track.diverged:
            return Record(**common, status=DIVERGED, history=track.history, error=track.diverged)
        self.model.network.set_weights(track.best_weights)
        validation = Predictions(self.probabilities(data.validation[0]), data.validation[1])
        test = Predictions(self.probabilities(data.test[0]), data.test[1])
        return Record(
            **common, status=FINISHED, metrics=track.metrics(test), history=track.history, validation=validation,
            test=test, weights=track.best_weights,
        )  # fmt: skip


class _Track:
    """One run as it follows a training: its history, its best epoch, and when it stops."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.averaged = any(isinstance(strategy, EMA) for strategy in run.recipe)
        self.history: dict[str, list[float]] = {}
        self.best_epoch = -1
        self.best_weights: list[np.ndarray] = []
        self.done = False
        self.diverged = ""
        self.seconds = 0.0
        self._began = time.perf_counter()
        self._stopping = next((s for s in run.recipe if isinstance(s, EarlyStopping)), None)
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
            self._stopper.on_epoch_end(epoch, {**values, "val_loss": values["val_cross_entropy"]})
            if self._stopper.monitor != "val_accuracy":
                improved = self.best_epoch < 0 or self._stopper.best_epoch == epoch
            self.done = self._stopper.model.stop_training
        if improved:
            self.best_epoch, self.best_weights = epoch, weights()

    def _improves(self, values: dict[str, float]) -> bool:
        return self.best_epoch < 0 or values["val_accuracy"] > self.history["val_accuracy"][self.best_epoch]

    def metrics(self, test: Predictions) -> dict[str, float]:
        best = {key: values[self.best_epoch] for key, values in self.history.items()}
        return {
            "accuracy": accuracy(test.labels, test.probabilities),
            "precision": macro_precision(test.labels, test.probabilities),
            "cross_entropy": cross_entropy(test.labels, test.probabilities),
            "train_accuracy": best["train_accuracy"],
            "train_cross_entropy": best["train_cross_entropy"],
            "val_accuracy": best["val_accuracy"],
            "val_cross_entropy": best["val_cross_entropy"],
            "gap": best["train_accuracy"] - best["val_accuracy"],
            "epochs": float(len(self.history["val_accuracy"])),
            "best_epoch": float(self.best_epoch + 1),
            "seconds": self.seconds,
        }


class _StopFlag:
    """All of a model that Keras' EarlyStopping needs when it restores nothing."""

    stop_training = False


class _Watch(keras.callbacks.Callback):
    """Measures each epoch in inference mode and lets every track follow."""

    def __init__(self, program: Program, ride: Ride, data: SeedData, on_epoch: Callable[[int, dict], None]) -> None:
        super().__init__()
        self.tracks = [_Track(run) for run in ride.runs]
        self._program = program
        self._data = data
        self._on_epoch = on_epoch
        self._x = np.concatenate([data.clean[0], data.validation[0]])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float((logs or {}).get("loss", np.nan))
        waiting = [track for track in self.tracks if not track.done]
        shown: dict[str, float] = {}
        for averaged in sorted({track.averaged for track in waiting}):
            values, weights = self._measure(averaged=averaged)
            for track in waiting:
                if track.averaged == averaged:
                    track.follow(epoch, {"loss": loss, **values}, weights)
            shown = shown or values
        self._on_epoch(epoch, shown)
        if all(track.done for track in self.tracks):
            self.model.stop_training = True

    def _measure(self, *, averaged: bool) -> tuple[dict[str, float], Callable[[], list[np.ndarray]]]:
        network = self._program.model.network
        if not averaged:
            values = self._clean_metrics()
            cache: list[list[np.ndarray]] = []

            def weights() -> list[np.ndarray]:
                if not cache:
                    cache.append(_copies(network))
                return cache[0]

            return values, weights
        moving = _copies(network)
        averages = unscaled(self.model.optimizer)._model_variables_moving_average
        for variable, average in zip(self.model.trainable_variables, averages, strict=True):
            # By way of NumPy: on JAX, memory that two variables share is gone for both once a step was given it.
            variable.assign(np.array(keras.ops.convert_to_numpy(average)))
        values, at_average = self._clean_metrics(), _copies(network)
        network.set_weights(moving)
        return values, lambda: at_average

    def _clean_metrics(self) -> dict[str, float]:
        probabilities = self._program.probabilities(self._x)
        count = len(self._data.clean[1])
        values = {}
        for part, rows, labels in (
            ("train", probabilities[:count], self._data.clean[1]),
            ("val", probabilities[count:], self._data.validation[1]),
        ):
            finite = bool(np.isfinite(rows).all())
            values[f"{part}_accuracy"] = accuracy(labels, rows) if finite else float("nan")
            values[f"{part}_cross_entropy"] = cross_entropy(labels, rows) if finite else float("nan")
        return values


def _copies(network: Any) -> list[np.ndarray]:
    """Return the weights as arrays of their own: some backends hand out views of memory they go on using."""
    return [np.array(weight) for weight in network.get_weights()]


def _chunks(x: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Yield equal pieces of ``x``, the last one padded with its own first row, and how many rows of each are real."""
    size = min(max(32, min(512, _CHUNK_VALUES // int(np.prod(x.shape[1:])))), len(x))
    for start in range(0, len(x), size):
        piece = x[start : start + size]
        count = len(piece)
        if count < size:
            piece = np.concatenate([piece, np.repeat(piece[:1], size - count, axis=0)])
        yield piece, count
