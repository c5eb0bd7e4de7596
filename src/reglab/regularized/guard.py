"""A model and its copy are compared before anything is trained: weights, flags, what they give for made-up inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from reglab.aliases import Tensor, Tensors
from reglab.keras_internals import generators_in, is_graph, mask_of, run_graph, takes_training
from reglab.regularized.probes import probes
from reglab.regularized.state import Unlike, together
from reglab.regularized.trial import undisturbed

__all__ = ["Difference", "difference", "runs"]

_TOLERANCE = 1e-4  # relative to the largest number; the same operations in the same order give the same bits


@dataclass(frozen=True)
class Difference:
    """A layer that differs from its copy, or None for the model as a whole, and in what."""

    layer: Any
    what: str

    def __str__(self) -> str:
        if self.layer is None:
            return f"The model {self.what}"
        return f"The layer {self.layer.name!r} ({type(self.layer).__name__}) {self.what}"


def difference(model: keras.Model, copy: keras.Model, pairs: Sequence[tuple[Any, Any]]) -> Difference | None:
    """Return in what a copy differs from the model it was made of, or None.

    Compared are the number, order and values of weights, what is frozen, penalties and constraints on weights, and for
    the same random inputs and random streams the outputs, masks and losses, in inference and in training mode. Nothing
    moves in either. What the model gives no two times alike is not compared.

    Args:
        model: the original.
        copy: its copy; what taps do in training is left out.
        pairs: each layer of the model with its copy, in the order of the model.
    """
    for pair in pairs:
        if found := _other_state(*pair):
            return Difference(pair[0], found)
    order = _weights(model), _weights(copy)
    if order[0] != order[1]:
        return Difference(None, f"has {len(order[0])} weights, and its copy {len(order[1])}, or in another order")
    for x in probes(model):
        first = runs(model, x, training=False)
        if first is None:
            continue
        for training in (False, True):
            want = first if not training else runs(model, x, training=True)
            got = runs(copy, x, training=training, model=model)
            if want is None or _alike(want, got):
                continue
            if not _alike(want, runs(model, x, training=training)):
                continue  # random in a way of its own
            return _blamed(model, pairs, x, training=training)
        break
    return None


def runs(
    network: keras.Model, x: Tensors, *, training: bool, model: keras.Model | None = None
) -> list[np.ndarray] | None:
    """Return outputs, masks and losses of a network for inputs, as arrays, or None if it does not take them.

    Args:
        network: what is run.
        x: its inputs.
        training: whether in training mode.
        model: the model that the network is a copy of. The copy draws from the model's random streams, and must not
            reach its variables, which are NaN meanwhile.
    """
    kwargs = {"training": training} if _takes_training(network) else {}
    try:
        return _run(network, (x,), kwargs, network, model or network)
    except Exception:  # made-up inputs may be none that a model takes: indices that are too large, a size too small
        return None


def _run(
    function: Callable[..., Tensors],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    layer: keras.Layer,
    original: keras.Layer,
) -> list[np.ndarray] | None:
    streams = _streams(layer), _streams(original)
    if len(streams[0]) != len(streams[1]):
        return None
    values = [(own, other.value) for own, other in zip(*streams, strict=True)]
    own = {id(variable) for variable in layer.variables}
    foreign = [(v, _nothing(v)) for v in original.variables if id(v) not in own]
    with undisturbed(layer.variables, [*values, *foreign]) as scope:
        outputs = keras.tree.flatten(function(*args, **kwargs))
        masks = [mask for y in outputs if (mask := mask_of(y)) is not None]
        losses = [keras.ops.cast(loss, "float32") for loss in scope.losses]
        return [_array(y) for y in (*outputs, *masks, sum(losses[1:], losses[0]) if losses else 0.0) if y is not None]


def _nothing(variable: keras.Variable) -> Tensor:
    value = keras.ops.zeros_like(keras.ops.convert_to_tensor(variable))  # JAX takes no variable here
    return value * np.nan if "float" in variable.dtype else value


def _array(y: Tensor) -> np.ndarray:
    if isinstance(y, float):
        return np.asarray(y, "float32")
    if hasattr(y, "to_tensor"):  # ragged
        y = y.to_tensor()
    if getattr(y, "dtype", None) is not None and "string" in str(y.dtype):
        return np.asarray(y)
    if keras.backend.standardize_dtype(y.dtype) in ("bfloat16", "float16"):
        y = keras.ops.cast(y, "float32")
    return np.asarray(keras.ops.convert_to_numpy(y))


def _alike(want: list[np.ndarray], got: list[np.ndarray] | None) -> bool:
    if got is None or [a.shape for a in want] != [b.shape for b in got]:
        return False
    return all(_close(a, b) for a, b in zip(want, got, strict=True))


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype.kind != "f" or a.dtype != b.dtype:
        return a.dtype == b.dtype and bool(np.array_equal(a, b))
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return False
    # For each example by itself: one with large numbers does not hide what is wrong with another.
    rows = (len(a), -1) if a.ndim else (1, 1)
    a, b = np.where(finite, a, 0).reshape(rows), np.where(finite, b, 0).reshape(rows)
    return not a.size or bool((np.abs(a - b).max(axis=1) <= _TOLERANCE * np.abs(a).max(axis=1)).all())


def _takes_training(model: keras.Model) -> bool:
    return takes_training(model, True) or is_graph(model)


def _streams(layer: keras.Layer) -> list[Any]:
    return [generator.state for generator in generators_in(layer)]


def _weights(model: keras.Layer) -> list[tuple[Any, ...]]:
    trained = {id(weight) for weight in model.trainable_weights}
    return [(tuple(w.shape), str(w.dtype), id(w) in trained, _digest(w)) for w in model.weights]


def _digest(weight: keras.Variable) -> int:
    return hash(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes())


def _other_state(source: keras.Operation, copy: keras.Operation) -> str | None:
    """Return how a layer's weights, flags, penalties or constraints differ from its copy's."""
    if source is copy or not isinstance(source, keras.Layer):
        return None
    try:
        layers = list(together(source, copy))
    except Unlike as error:
        return f"cannot be copied: {error}"
    for old, new in layers:
        if old.trainable != new.trainable:
            return f"is copied as trainable={new.trainable} where it is trainable={old.trainable}"
        if old.compute_dtype != new.compute_dtype:
            return f"is copied with dtype {new.compute_dtype} where it has {old.compute_dtype}"
    if [w.name for w in source.weights] != [w.name for w in copy.weights]:
        return "cannot be copied: its weights have other names in the copy"
    if _weights(source) != _weights(copy):
        return "cannot be copied: its copy has other weights"
    for a, b in zip(source.weights, copy.weights, strict=True):
        for kind in ("regularizer", "constraint"):
            ours, theirs = getattr(a, kind, None), getattr(b, kind, None)
            if (ours or theirs) and not _same_function(ours, theirs, a):
                return f"has a {kind} on its weight {a.name!r} that its copy does not have"
    return None


def _same_function(
    ours: Callable[[Tensor], Tensor] | None, theirs: Callable[[Tensor], Tensor] | None, weight: keras.Variable
) -> bool:
    if ours is None or theirs is None:
        return False
    with undisturbed():
        value = keras.ops.convert_to_tensor(weight)
        return _alike(
            [_array(keras.ops.convert_to_tensor(ours(value)))], [_array(keras.ops.convert_to_tensor(theirs(value)))]
        )


def _blamed(model: keras.Model, pairs: Sequence[tuple[Any, Any]], x: Tensors, *, training: bool) -> Difference:
    """Return the first layer whose copy gives something else than it does for the inputs that it has in the model."""
    mode = "training" if training else "inference"
    what = f"gives other outputs than its copy in {mode}: its configuration does not say all that it is"
    copies = {id(source): copy for source, copy in pairs}
    calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []
    if is_graph(model):
        with undisturbed(model.variables):
            _recorded(model, x, calls, training=training)
    for layer, args, kwargs in calls:
        copy = copies.get(id(layer))
        if copy is None or copy is layer:
            continue
        try:
            want = _run(layer, args, kwargs, layer, layer)
            got = _run(copy, args, kwargs, copy, layer)
        except Exception:
            return Difference(layer, what)
        if want is not None and not _alike(want, got):
            return Difference(layer, what)
    return Difference(None if calls else model, what)


def _recorded(model: keras.Model, x: Tensors, calls: list[Any], *, training: bool) -> Tensors:
    """Run a Sequential or Functional model, and enter each call of a layer in it, nested models included."""
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            x = _entered(layer, (x,), {}, calls, training=training)
        return x
    return run_graph(model, x, lambda layer, *args, **kwargs: _entered(layer, args, kwargs, calls, training=training))


def _entered(
    layer: keras.Operation, args: tuple[Any, ...], kwargs: dict[str, Any], calls: list[Any], *, training: bool
) -> Tensors:
    if is_graph(layer):
        return _recorded(layer, args[0], calls, training=training)
    if not isinstance(layer, keras.Layer):
        return layer(*args, **kwargs)
    if takes_training(layer, False):  # as Keras does, whatever it was called with
        kwargs = {**kwargs, "training": training}
    calls.append((layer, args, kwargs))
    return layer(*args, **kwargs)
