"""One training, and the runs that come out of it. No disk.

The engine is ``keras.Model.fit``. What is measured each epoch is measured in inference mode and without penalties: on a
fixed part of the training split and on validation. The test set is read once a run, at its end, with the best weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from reglab import backends
from reglab.aliases import Tensor
from reglab.backends.plain import Fed
from reglab.data.batches import Batches
from reglab.data.several import Shape, example_shape, fed, numbers, with_batch_axis
from reglab.errors import ReglabError
from reglab.keras_internals import build_for
from reglab.models import by_output
from reglab.recipe import Recipe
from reglab.regularized.model import RegularizedModel
from reglab.regularized.optimizer import unscaled
from reglab.regularized.watching import Shown
from reglab.seeds import derive
from reglab.strategies import Strategy
from reglab.study.checkpoint import Checkpoint
from reglab.study.measured import Measured, MeasuredEach
from reglab.study.plan import Ride
from reglab.study.records import DIVERGED, FINISHED, Predictions, Record
from reglab.study.targets import in_own_units, scaled
from reglab.study.track import Track
from reglab.study.user_callbacks import among, logs_of, state_of, watches_steps
from reglab.tasks import Head, Task

__all__ = ["Program", "SeedData"]

# Numbers in the inputs of a prediction step, and examples at most. On a CPU larger steps are slower: their activations
# leave the caches, and memory is asked of the system and given back each time. On a GPU smaller ones are, for the time
# goes into starting them.
_ON_CPU, _ON_GPU = (2**18, 512), (2**22, 1024)


@dataclass(frozen=True, eq=False)
class SeedData:
    """What a seed fixes: the split, preprocessed with statistics of its training part, and the initial weights.

    ``train`` are indices into the raw arrays; ``clean``, ``validation`` and ``test`` are pairs of preprocessed inputs
    and labels, ``clean`` being a fixed part of the training split; ``test`` is None where it is sealed. Where examples
    do not count alike, ``weights`` says how much each of ``x`` does in the loss, and ``measured`` how much those of
    ``clean`` and of ``validation`` do in what is measured each epoch.
    """

    seed: int
    x: np.ndarray
    y: np.ndarray
    train: np.ndarray
    preprocess: Any
    clean: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray] | None
    initial_weights: list[np.ndarray]
    repetition: int = 0
    weights: np.ndarray | None = None
    measured: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
    target_scale: tuple[np.ndarray, np.ndarray] | None = None

    def stream(self, name: str) -> int:
        """Return the seed of what differs between repetitions: the order of batches, and random draws in training."""
        return derive(self.seed, name, *(("repetition", self.repetition) if self.repetition else ()))


class Program:
    """A compiled model of one structure, trained again and again with other seeds and strengths.

    Before each training every variable goes back to where it stood after compiling, the network gets the seed's initial
    weights, and every random stream restarts; so a training equals that of a model made for it alone.
    """

    def __init__(
        self,
        model: RegularizedModel,
        task: Task,
        head: Head,
        input_shape: Shape,
        *,
        measured: Measured | MeasuredEach | None = None,
    ) -> None:
        self.model = model
        self.task = task
        self.head = head
        model.build(with_batch_axis(input_shape))
        model.optimizer.build(model.trainable_variables)
        state = [*model.optimizer.variables, *model.metrics_variables, *model.non_trainable_variables]
        self.measured = measured
        self._target_scale: tuple[np.ndarray, np.ndarray] | None = None
        self._start = [(variable, _value(variable)) for variable in state]

    def train(
        self,
        ride: Ride,
        data: SeedData,
        *,
        epochs: int,
        batch_size: int,
        on_epoch: Callable[[int, dict], None],
        start: Checkpoint | None = None,
        checkpoint_every: int | None = None,
        until: int | None = None,
        on_checkpoint: Callable[[Checkpoint], None] = lambda checkpoint: None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> list[Record]:
        """Train a ride and return the record of each of its runs; of none, where it is stopped before its end.

        Args:
            ride: what to train; it must fit the program.
            data: what its seed fixes.
            epochs: how long.
            batch_size: examples a step.
            on_epoch: hears of each epoch, counted from 0, with its clean metrics.
            start: where the training stood when it was interrupted; by default it begins.
            checkpoint_every: after how many epochs each ``on_checkpoint`` is told where it stands; None for never.
            until: after how many epochs to stop, to go on from there later; by default at the end.
            on_checkpoint: hears of it.
            callbacks: the user's, of this training alone. They may stop it.
        """
        last = epochs if until is None else min(until, epochs)
        self._reset(ride.recipe, data)
        tracks = [Track(run, self.task) for run in ride.runs]
        if checkpoint_every or last < epochs:
            for callback in callbacks:
                state_of(callback)  # refuses here, and not after an epoch
        if start is not None:
            self._go_on_from(start, tracks)
        first = 0 if start is None else start.epoch
        batches = Batches(
            data.x, data.y, data.train, batch_size=batch_size, epochs=epochs, seed=data.stream("batches"),
            preprocess=data.preprocess, first_epoch=first, weights=data.weights,
        )  # fmt: skip

        def keep(epoch: int) -> None:
            if checkpoint_every and (epoch + 1) % checkpoint_every == 0 and epoch + 1 < epochs:
                on_checkpoint(self._checkpoint(ride, tracks, epoch + 1, callbacks))

        watch = _Watch(self, tracks, data, on_epoch, keep, epochs=epochs, batch_size=batch_size, callbacks=callbacks)
        users = among(callbacks, watch.logs, None if start is None else start.callbacks)
        own = [each for strategy in ride.recipe for each in strategy.callbacks()]
        feed = self.feed(batches, watched=any(map(watches_steps, [*callbacks, *own])))
        self.model.fit(
            feed.data, epochs=last, initial_epoch=first, steps_per_epoch=feed.steps, shuffle=False, verbose=0,
            callbacks=[*users, watch],
        )  # fmt: skip
        watch.check_end(ride.recipe)
        if last < epochs and not self.model.stop_training:
            on_checkpoint(self._checkpoint(ride, tracks, last, callbacks))
            return []
        return [self._record(track, data) for track in tracks]

    def feed(self, batches: Batches, *, watched: bool = False) -> Fed:
        """Return batches as ``fit`` is to be given them; ``watched`` where somebody looks at each step."""
        fed = backends.adapter().feed(batches, watched=watched)
        if fed.most > 1:
            build_for(self.model, batches[0])  # for what fit sees first is no batch
        return fed

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return what the task keeps of the outputs for preprocessed inputs, in inference mode."""
        found = np.concatenate([self.task.predictions(each, self.head) for each in self._outputs(x)])
        return in_own_units(found, self._target_scale)

    def as_trained(self, y: np.ndarray) -> np.ndarray:
        """Return labels as the network is trained on them."""
        return scaled(y, self._target_scale)

    def _outputs(self, x: np.ndarray) -> Iterator[Any]:
        """Yield what the network gives for preprocessed inputs, in inference mode, float32, some at a time.

        Of several outputs it is a dict by name.
        """
        for chunk, count in _chunks(x):
            found = self.model.predict_on_batch(fed(chunk))
            if not self.task.outputs:
                yield _float32(found)[:count]
            else:
                named = by_output(self.model.network, found)
                yield {name: _float32(named[name])[:count] for name in self.task.outputs}

    def own_metrics(self, y: np.ndarray, x: np.ndarray) -> dict[str, float]:
        """Return the user's metrics of labels and preprocessed inputs, in inference mode."""
        if self.measured is None:
            return {}
        pieces = list(self._outputs(x))
        if isinstance(self.measured, MeasuredEach):
            named = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
            return self.measured.measure(y, named)
        return self.measured.measure(y, in_own_units(np.concatenate(pieces), self._target_scale))

    def restore(self, recipe: Recipe, data: SeedData, weights: list[np.ndarray]) -> None:
        """Stand where a run's best epoch stood."""
        self._reset(recipe, data)
        self.model.network.set_weights(weights)
        self.model.follow_weights()

    def _reset(self, recipe: Recipe, data: SeedData) -> None:
        for variable, value in self._start:
            variable.assign(value)
        self.model.network.set_weights(data.initial_weights)
        self.model.restart_state()
        self.model.set_recipe(recipe)
        self.model.set_seed(data.stream("training"))
        if any(strategy.needs_data or strategy.needs_range for strategy in recipe):
            limits = data.preprocess.range()
            low, high = limits if limits is not None else (None, None)
            self.model.adapt(data.preprocess(data.x[np.sort(data.train)]), low=low, high=high)
        self.model.stop_training = False
        self._target_scale = data.target_scale

    def _variables(self) -> list[Any]:
        model = self.model
        return [
            *model.trainable_variables, *model.non_trainable_variables, *model.optimizer.variables,
            *model.metrics_variables,
        ]  # fmt: skip

    def _checkpoint(
        self, ride: Ride, tracks: list[Track], epoch: int, callbacks: Sequence[keras.callbacks.Callback]
    ) -> Checkpoint:
        return Checkpoint(
            hyperparameters=ride.recipe.fingerprint(), seed=ride.seed, epoch=epoch,
            variables=[_value(variable) for variable in self._variables()],
            tracks={track.run.id: track.state() for track in tracks}, callbacks=[state_of(each) for each in callbacks],
        )  # fmt: skip

    def _go_on_from(self, checkpoint: Checkpoint, tracks: list[Track]) -> None:
        for variable, value in zip(self._variables(), checkpoint.variables, strict=True):
            variable.assign(value)
        for track in tracks:
            track.restore(checkpoint.tracks[track.run.id])

    def _record(self, track: Track, data: SeedData) -> Record:
        common: dict[str, Any] = {**track.run.summary(), "history": track.history, "device": backends.device()}
        if track.diverged:
            return Record(**common, status=DIVERGED, error=track.diverged)
        for variable, value in zip(self.model.standing(), track.best_weights, strict=True):
            variable.assign(value)
        validation = Predictions(self.predict(data.validation[0]), data.validation[1])
        test, own = None, {}
        if data.test is not None:
            x, y = data.test
            test, own = Predictions(self.predict(x), y), self.own_metrics(y, x)
        weights = self.model.evaluated_weights()
        return Record(
            **common, status=FINISHED, metrics={**track.metrics(validation, test, weights), **own},
            validation=validation, test=test, weights=weights,
        )  # fmt: skip


class _Watch(keras.callbacks.Callback):
    """Measures each epoch in inference mode and lets every track follow."""

    measures = True  # after the callbacks of the recipe, so that it sees what they did

    def __init__(
        self,
        program: Program,
        tracks: list[Track],
        data: SeedData,
        on_epoch: Callable[[int, dict], None],
        keep: Callable[[int], None],
        *,
        epochs: int,
        batch_size: int,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        super().__init__()
        self._callbacks = callbacks
        self._seen: tuple[list[np.ndarray], dict[str, float]] | None = None
        self._epochs, self._batch_size = epochs, batch_size
        self.tracks = tracks
        self._program = program
        self._data = data
        self._on_epoch = on_epoch
        self._keep = keep
        self._last: list[np.ndarray] = []
        self._x = np.concatenate([data.clean[0], data.validation[0]])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float((logs or {}).get("loss", np.nan))
        waiting = [track for track in self.tracks if not track.done]
        # What tracks look at: the weights that are trained, or what their observers bring, the same for equal ones.
        looked: dict[Strategy | None, tuple[list[np.ndarray] | None, list[Track]]] = {None: (None, [])}
        for track in waiting:
            brought = track.watchers.bring(self.model, epoch=epoch, epochs=self._epochs)
            looked.setdefault(None if brought is None else track.watchers.bringing, (brought, []))[1].append(track)
        shown: dict[str, float] = {}
        for brought, tracks in looked.values():
            if tracks:
                values, weights = self._measure(brought, settles=tracks[0].watchers.settles)
                for track in tracks:
                    track.follow(epoch, {"loss": loss, **values}, weights)
                shown = shown or values
        self._last = _copies(self._program.model.network) if self._follows_callbacks() else []
        self._on_epoch(epoch, shown)
        if all(track.done for track in self.tracks):
            self.model.stop_training = True
        elif not self.model.stop_training:
            self._keep(epoch)

    def logs(self) -> dict[str, float]:
        """Return what the user's callbacks are to see of this epoch, measured before them."""
        values = self._clean_metrics()
        self._seen = _copies(self._program.model.network), values
        return logs_of(values, self._program.task)

    def _values(self) -> dict[str, float]:
        """Return the clean metrics of the weights that are there, which the user's callbacks may have changed."""
        seen, self._seen = self._seen, None
        if seen is not None and all(map(np.array_equal, seen[0], self._program.model.network.get_weights())):
            return seen[1]
        return self._clean_metrics()

    def _follows_callbacks(self) -> bool:
        """Whether a callback may change weights; where they are averaged, Keras does at the end."""
        recipe = self._program.model.recipe
        averaged = getattr(unscaled(self._program.model.optimizer), "use_ema", False)
        return not averaged and (bool(self._callbacks) or any(strategy.implements("callbacks") for strategy in recipe))

    def check_end(self, recipe: Recipe) -> None:
        """Raise a ReglabError if weights changed after the last epoch was measured, where a study does not look."""
        network = self._program.model.network
        if self._last and not all(map(np.array_equal, self._last, network.get_weights())):
            names = [strategy.name for strategy in recipe if strategy.implements("callbacks")]
            names += [type(callback).__name__ for callback in self._callbacks]
            raise ReglabError(
                f"{', '.join(names)}: the weights change when training ends (on_train_end), and a study measures and "
                "keeps what is there at the end of each epoch. Change them in on_epoch_end, and put them back in "
                "on_epoch_begin."
            )

    def _measure(
        self, brought: list[np.ndarray] | None, *, settles: bool
    ) -> tuple[dict[str, float], Callable[[], list[np.ndarray]]]:
        """Return what is measured of the weights that are trained, or of others, and what gives copies of them."""
        standing = self._program.model.standing
        if brought is None:
            values = self._values()
            cache: list[list[np.ndarray]] = []

            def weights() -> list[np.ndarray]:
                if not cache:
                    cache.append([_value(variable) for variable in standing()])
                return cache[0]

            return values, weights
        shown = Shown(self._program.model, brought, inputs=self._inputs if settles else None)
        values, copies = self._clean_metrics(), [_value(variable) for variable in standing()]
        shown.back()
        return values, lambda: copies

    def _inputs(self) -> Iterator[np.ndarray | dict[str, np.ndarray]]:
        """Yield the training inputs in batches, in an order that the seed decides."""
        data = self._data
        order = np.random.default_rng(data.stream("statistics")).permutation(data.train)
        for start in range(0, len(order), self._batch_size):
            yield fed(data.preprocess(data.x[order[start : start + self._batch_size]]))

    def _clean_metrics(self) -> dict[str, float]:
        predicted, count = self._program.predict(self._x), len(self._data.clean[1])
        counts_train, counts_val = self._data.measured
        parts = {
            "train": (self._data.clean[1], slice(None, count), counts_train),
            "val": (self._data.validation[1], slice(count, None), counts_val),
        }
        return {
            f"{part}_{name}": value
            for part, (labels, rows, weights) in parts.items()
            for name, value in {
                **self._program.task.measured(labels, predicted[rows], weights),
                **self._program.own_metrics(labels, self._x[rows]),
            }.items()
        }


def _float32(outputs: Tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(outputs).astype("float32"))


def _value(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))


def _copies(network: keras.Model) -> list[np.ndarray]:
    """Return the weights as arrays of their own: some backends hand out views of memory they go on using."""
    return [np.array(weight) for weight in network.get_weights()]


def _chunks(x: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Yield equal pieces of ``x``, the last one padded with its own first row, and how many rows of each are real."""
    values, most = _ON_CPU if backends.device() == "CPU" else _ON_GPU
    size = min(max(32, min(most, values // numbers(example_shape(x)))), len(x))
    for start in range(0, len(x), size):
        piece = x[start : start + size]
        count = len(piece)
        if count < size:
            piece = np.concatenate([piece, np.repeat(piece[:1], size - count, axis=0)])
        yield piece, count
