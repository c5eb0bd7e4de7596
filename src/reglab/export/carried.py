"""What scripts carry beside the functions of strategies: real code, whose source is taken from here.

Like every function that a script carries, these know NumPy as ``np`` and of Keras ``keras``, ``layers`` and ``ops``,
and call each other, and functions of strategies, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from reglab import backends
from reglab.aliases import Logs, Optimizer, Random, Tensor
from reglab.regularized.roles import role
from reglab.regularized.statistics import recomputed, statistics_of

__all__ = [
    "Averages", "Context", "InTraining", "Mean", "SettledMean", "bind", "go_by", "hold", "kept_for", "kernels",
    "laid_out", "made_of", "normalizing", "of_each", "tether",
]  # fmt: skip

by_class = backends.adapter().by_class
compiled = backends.adapter().compiled


class InTraining(layers.Layer):
    """Changes what passes in training, by a function of it, of some numbers and of a stream of random numbers."""

    def __init__(
        self, function: Callable[..., Tensor], numbers: tuple[Tensor, ...], random: Random, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.function, self.numbers, self.random = function, numbers, random
        self.supports_masking = True

    def call(self, h: Tensor, training: bool = False) -> Tensor:
        return self.function(h, *self.numbers, self.random) if training else h


class Averages(keras.callbacks.Callback):
    """Lets validation see the averages of the weights, and training go on from the weights themselves.

    ``keras.callbacks.SwapEMAWeights`` swaps by adding and subtracting on TensorFlow, which moves the last bits.
    """

    def on_test_begin(self, logs: Logs = None) -> None:
        weights = self.model.trainable_variables
        self.moving = [np.array(ops.convert_to_numpy(weight)) for weight in weights]
        self.model.optimizer.finalize_variable_values(weights)  # the averages, for now
        for weight in weights:  # on JAX, memory that weights and averages share is gone for both after a step
            weight.assign(np.array(ops.convert_to_numpy(weight)))

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if epoch > 0:
            for weight, value in zip(self.model.trainable_variables, self.moving, strict=True):
                weight.assign(value)


class Mean(keras.callbacks.Callback):
    """Lets validation see a mean of the weights that epochs end with, and training go on from the weights themselves.

    ``average`` is a function of how many epochs are averaged and their mean, the weights that an epoch ended with, and
    its number; it gives the number and the mean then.
    """

    def __init__(self, network: keras.Model, average: Callable[..., tuple[int, list[np.ndarray]]]) -> None:
        super().__init__()
        self.network, self.average = network, average
        self.epoch = 0
        self.kept: tuple[int, list[np.ndarray]] = (0, [])
        self.moving: list[np.ndarray] = []

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch = epoch
        if self.moving:
            self.network.set_weights(self.moving)

    def on_test_begin(self, logs: Logs = None) -> None:
        trained = self.network.trainable_variables
        self.kept = self.average(self.kept, [np.array(ops.convert_to_numpy(w)) for w in trained], self.epoch)
        if self.kept[0]:
            self.moving = [np.array(ops.convert_to_numpy(w)) for w in self.network.weights]
            for w, mean in zip(trained, self.kept[1], strict=True):
                w.assign(mean.astype("float32"))
            self.settle()

    def settle(self) -> None:
        """Leave the rest of the network as it is."""


class SettledMean(Mean):
    """A mean of weights with statistics of BatchNormalization of its own, computed on the training inputs."""

    def __init__(
        self,
        network: keras.Model,
        average: Callable[..., tuple[int, list[np.ndarray]]],
        inputs: Callable[[], Iterable[Any]],
    ) -> None:
        super().__init__(network, average)
        self.inputs = inputs
        self.gather: Any = None

    def settle(self) -> None:
        """Compute the statistics anew; random streams go on from where they stand, and are put back."""
        found = normalizing(self.network)
        streams = [v for v in self.model.variables if "seed_generator_state" in v.name]
        moving = [*statistics_of(found), *streams]

        def passed(x: Tensor, averages: list[Tensor], randoms: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            values = {id(v): (v, v.value) for v in self.model.variables}
            values |= {id(v): (v, value) for v, value in zip(moving, [*averages, *randoms], strict=True)}
            with keras.StatelessScope(state_mapping=list(values.values())) as scope:
                self.model(x, training=True)
            after = [scope.get_current_value(v) for v in moving]
            return after[: len(averages)], after[len(averages) :]

        self.gather = self.gather or compiled(passed, self.model.variables)
        recomputed(found, self.gather, [ops.convert_to_tensor(state) for state in streams], self.inputs())


def normalizing(layer: keras.Layer) -> list[Any]:
    """Return the layers of BatchNormalization in a network that keep running averages, and are trained."""
    if isinstance(layer, layers.BatchNormalization):
        return [layer] if layer.trainable else []
    inside = [layer.layer] if isinstance(layer, layers.Wrapper) else getattr(layer, "layers", [])
    return list({id(each): each for one in inside for each in normalizing(one)}.values())


class Context:
    """A batch on its way through a model, for terms of the loss that are made of it."""

    def __init__(
        self,
        model: keras.Model,
        loss: keras.losses.Loss,
        slope: Callable[..., Tensor],
        x: Tensor,
        y: Tensor,
        y_pred: Tensor,
    ) -> None:
        self.model, self.loss, self.slope = model, loss, slope
        self.x, self.y, self.y_pred = x, y, y_pred

    def forward(self, x: Tensor, *, training: bool) -> Tensor:
        """Return what the model gives for other inputs; in training random streams move, and nothing else does."""
        with keras.StatelessScope(state_mapping=[(v, v.value) for v in self.model.variables]) as scope:
            y = self.model.call(x, training=training)
        for v in self.model.variables if training else []:
            if "seed_generator_state" in v.name:
                v.assign(scope.get_current_value(v))
        return y

    def data_loss(self, y_pred: Tensor) -> Tensor:
        """Return the mean loss of other predictions."""
        return ops.mean(self.loss.call(self.y, y_pred))

    def probabilities(self, y_pred: Tensor) -> Tensor:
        """Return predictions as distributions along the last axis; a sigmoid is one over two classes."""
        logits, y_pred = self.loss.get_config()["from_logits"], ops.cast(y_pred, "float32")
        if isinstance(self.loss, keras.losses.BinaryCrossentropy):
            given = ops.sigmoid(y_pred) if logits else y_pred
            return ops.stack([1.0 - given, given], axis=-1)
        return ops.softmax(y_pred, axis=-1) if logits else y_pred

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the batch."""
        return ops.mean(values)

    def gradient(self, function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
        """Return the gradient of a scalar function, as a constant."""
        return ops.stop_gradient(self.slope(function, at))


def kernels(network: keras.Model) -> list[Any]:
    """Return the trained kernels of a network, embeddings left out."""
    found = [w for w in network.trainable_variables if role(w) == "kernel"]
    return [w for w in found if "embeddings" not in w.name]


def kept_for(network: keras.Model, first: Callable[[np.ndarray, int], np.ndarray]) -> list[Any]:
    """Return a variable for each of the kernels, with what a function of it and of its number makes it begin with."""
    chosen = {id(w) for w in kernels(network)}
    made = [
        first(np.array(ops.convert_to_numpy(w)), index)
        for index, w in enumerate(network.trainable_variables)
        if id(w) in chosen
    ]
    return [keras.Variable(value, trainable=False, dtype="float32", autocast=False) for value in made]


def made_of(
    network: keras.Model, values: list[Tensor], kept: list[Any], function: Callable[[Tensor, Tensor], Tensor]
) -> list[Tensor]:
    """Return values of weights, those of kernels changed by a function of them and of what is kept for each."""
    beside = {id(w): u for w, u in zip(kernels(network), kept, strict=True)}
    pairs = zip(network.trainable_variables, values, strict=True)
    return [function(value, ops.convert_to_tensor(beside[id(w)])) if id(w) in beside else value for w, value in pairs]


def go_by(optimizer: Optimizer, network: keras.Model, change: Callable[[Any], Any]) -> None:
    """Let an optimizer go by gradients of kernels that a function changed."""
    apply, chosen = optimizer.apply, {id(w) for w in kernels(network)}
    changes = [id(w) in chosen for w in network.trainable_variables]

    def changed(gradients: Sequence[Tensor], variables: Sequence[keras.Variable] | None = None) -> Any:
        pairs = zip(gradients, changes, strict=True)
        return apply([change(g) if known and g is not None else g for g, known in pairs], variables)

    optimizer.apply = changed


def bind(network: keras.Model, constraint: Callable[[Any], Any]) -> None:
    """Let a function change kernels after each step of the optimizer."""
    for w in kernels(network):
        w.constraint = constraint


def hold(network: keras.Model, coefficient: float) -> None:
    """Penalize the squared distance of kernels and biases from where they are now."""
    for w in network.trainable_variables:
        if role(w) is not None:
            w.regularizer = tether(ops.convert_to_numpy(w), coefficient, w.regularizer)


def tether(start: np.ndarray, coefficient: float, own: Callable[[Tensor], Tensor] | None) -> Callable[[Any], Any]:
    """Return a regularizer that draws a weight to a value, beside one that it has already."""
    return lambda w: coefficient * ops.sum(ops.square(w - start)) + (0.0 if own is None else own(w))


def of_each(
    change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], x: Tensor, y: dict[str, Tensor], random: Random
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a batch that a function changed: with the labels of each output in turn, by the same random draws."""
    start, moved, labels = ops.copy(random.state), x, {}
    for name, of_output in y.items():
        random.state.assign(start)
        moved, labels[name] = change(x, of_output)
    return moved, labels


def laid_out(call: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loss of class indices with outputs as it needs them for a gradient."""
    return lambda y, y_pred: call(y, by_class(y_pred))
