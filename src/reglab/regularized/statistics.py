"""Statistics of BatchNormalization, computed anew for the weights that a network has now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from reglab import backends
from reglab.aliases import Tensor, Tensors
from reglab.keras_internals import layers_in
from reglab.regularized.parts import random_states

if TYPE_CHECKING:
    from reglab.regularized.model import RegularizedModel

__all__ = ["averaged_layers", "recomputed", "settle", "statistics_of"]


def averaged_layers(network: keras.Model) -> list[Any]:
    """Return the layers of a network that keep running averages of what passes, and are trained."""
    return [
        layer
        for layer in layers_in(network, itself=True)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]


def settle(model: RegularizedModel, batches: Iterable[Any]) -> None:
    """Compute the running means and variances of a network anew (:func:`recomputed`); nothing else moves.

    Random streams go on from where they stand, and are put back. It is what ``torch.optim.swa_utils.update_bn`` does,
    but for batches of unequal size and for the variance, which is not that of a sample.

    Args:
        model: a regularized model.
        batches: inputs.
    """
    layers = averaged_layers(model.network)
    if layers:
        randoms = [keras.ops.convert_to_tensor(state) for state in _streams(model)]
        recomputed(layers, _gathering(model, statistics_of(layers)), randoms, batches)


def statistics_of(layers: list[Any]) -> list[Any]:
    """Return the running means and variances of layers, as variables."""
    return [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]


def recomputed(layers: list[Any], gather: Callable[..., Any], randoms: list[Tensor], batches: Iterable[Any]) -> None:
    """Give each running mean and variance the mean over batches of what it is of each of them.

    ``mean = sum n_b mean_b / sum n_b``, and the same for the variance (which is that within batches), over batches of
    ``n_b`` examples that pass through the network in training mode, with weights as they are.

    Args:
        layers: of BatchNormalization.
        gather: the pass: from inputs, averages and random streams before it to averages and streams after it.
        randoms: where the random streams stand.
        batches: inputs.
    """
    averages = statistics_of(layers)
    sums, count, shares = [np.zeros(1)] * len(averages), 0, None
    for batch in batches:
        x = keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
        zeros = [keras.ops.zeros(variable.shape, dtype=variable.dtype) for variable in averages]
        found, after = gather(x, zeros, randoms)
        found = [_array(each) for each in found]
        if shares is None:
            ones = [keras.ops.ones(variable.shape, dtype=variable.dtype) for variable in averages]
            kept = [_array(one) - zero for one, zero in zip(gather(x, ones, randoms)[0], found, strict=True)]
            momentums = [layer.momentum for layer in layers for _ in range(2)]
            shares = [
                _share_of_batch(momentum, of_one, zero)
                for momentum, of_one, zero in zip(momentums, kept, found, strict=True)
            ]
        size = len(keras.tree.flatten(batch)[0])
        sums = [total + size * each for total, each in zip(sums, found, strict=True)]
        randoms, count = after, count + size
    if shares is None:
        return
    for variable, total, share in zip(averages, sums, shares, strict=True):
        if share > 0:  # a layer that is not run in training mode keeps what it has
            variable.assign((total / (count * share)).astype("float32"))


def _gathering(model: RegularizedModel, averages: list[Any]) -> Any:
    """Return the compiled pass: from inputs, averages and streams before it to averages and streams after it."""
    if model._held.gather is None:
        streams = _streams(model)

        def passed(x: Tensors, before: list[Any], randoms: list[Any]) -> tuple[list[Any], list[Any]]:
            values = [*zip(averages, before, strict=True), *zip(streams, randoms, strict=True)]
            with model._frozen_scope(values) as scope:
                model._forward(x, training=True)
            return [scope.get_current_value(v) for v in averages], [scope.get_current_value(v) for v in streams]

        model._held.gather = backends.adapter().compiled(passed, model.variables)
    return model._held.gather


def _streams(model: RegularizedModel) -> list[Any]:
    return [*(part.random.state for part in model._held.parts), *random_states(model.network)]


def _share_of_batch(momentum: float, kept: np.ndarray, found: np.ndarray) -> float:
    """Return how much of a running average comes from a batch: ``1 - momentum ** calls``.

    ``kept`` is how much is left of what was there; it says how often the layer was called, to rounding, and best where
    little was added to it.
    """
    left = float(kept.flat[np.argmin(np.abs(found))])
    if left >= 1.0:
        return 0.0
    if momentum <= 0:
        return 1.0
    calls = max(1, round(np.log(max(left, 1e-12)) / np.log(momentum)))
    return 1.0 - momentum**calls


def _array(value: Tensor) -> np.ndarray:
    """Return a value in double precision, in memory of its own."""
    return np.array(keras.ops.convert_to_numpy(value), "float64")
