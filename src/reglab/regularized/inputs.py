"""What a model's inputs are: numbers that measure something, or indices that stand for something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from reglab.aliases import Tensor, Tensors
from reglab.keras_internals import calls_in, is_graph, layers_in
from reglab.regularized.graph import flat_layers, history, inputs_of
from reglab.regularized.probes import probes
from reglab.regularized.trial import run_alone
from reglab.strategies import ModelInput

__all__ = ["indexed", "known_inputs", "looks_up", "masked", "takes_as_they_are", "takes_indices"]

# Layers that look their input up.
_LOOKUPS = (
    keras.layers.Embedding,
    keras.layers.IntegerLookup,
    keras.layers.StringLookup,
    keras.layers.TextVectorization,
    keras.layers.CategoryEncoding,
    keras.layers.Hashing,
    keras.layers.HashedCrossing,
)
_MASKING = (keras.layers.Masking,)
_Kinds = tuple[type[keras.Layer], ...]
# Layers and operations behind which the same numbers stand, in another order or type.
_PASSING = (
    keras.layers.InputLayer,
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    keras.layers.Masking,
    keras.layers.Identity,
)
_PASSING_OPERATIONS = {"Cast", "GetItem", "Reshape", "Squeeze", "ExpandDims", "Split", "Slice", "Take", "Transpose"}


def known_inputs(model: keras.Model) -> list[ModelInput]:
    """Return what is known of each input of a model; of one that does not know its inputs yet, nothing."""
    if is_graph(model):
        tensors = inputs_of(model)
        return [
            ModelInput(
                tuple(tensor.shape),
                keras.backend.standardize_dtype(tensor.dtype),
                indices=_reaches(model, position, _LOOKUPS) or _ignores_fractions(model, position),
                masked=_reaches(model, position, _MASKING),
            )
            for position, tensor in enumerate(tensors)
        ]
    # A subclassed model says neither shape nor dtype. It takes numbers as they are given to it, and where it masks by
    # value is not known: as a rule at its input.
    indices, masks = _ignores_fractions(model, 0), any(isinstance(layer, _MASKING) for layer in flat_layers(model))
    return [ModelInput((None,), indices=indices, masked=masks)] if indices or masks else []


def takes_indices(model: keras.Model) -> bool:
    """Whether a model of one input takes indices, such as token ids: numbers that measure nothing."""
    return any(given.indices for given in known_inputs(model))


def takes_as_they_are(model: keras.Model) -> bool:
    """Whether a model of one input takes indices, or finds padding by its value: what scaling would destroy."""
    return any(given.indices or given.masked for given in known_inputs(model))


def indexed(model: keras.Model) -> frozenset[str]:
    """Return the names of the inputs that a model takes as indices; of a model of one input also the empty name."""
    return _names(model, lambda given: given.indices)


def masked(model: keras.Model) -> frozenset[str]:
    """Return the names of the inputs that have steps masked by their values; of a model of one input also the empty."""
    return _names(model, lambda given: given.masked)


def _names(model: keras.Model, which: Callable[[ModelInput], bool]) -> frozenset[str]:
    known = known_inputs(model)
    names = [tensor.name for tensor in inputs_of(model)] if is_graph(model) else [""] * len(known)
    found = {name for name, given in zip(names, known, strict=True) if which(given)}
    return frozenset({*found, ""} if found and len(known) == 1 else found)


def looks_up(model: keras.Model, x: Tensor) -> bool:
    """Whether a batch is taken for indices by a model that said nothing of its inputs before it was given them.

    Integers in rows are, where a subclassed model has an embedding; images and sequences of vectors are not.
    """
    integers = keras.backend.standardize_dtype(x.dtype) in {"int32", "int64", "uint32", "uint64"}
    return not is_graph(model) and integers and len(x.shape) == 2 and _has_lookup(model)


def _has_lookup(model: keras.Model) -> bool:
    return any(isinstance(layer, _LOOKUPS) for layer in flat_layers(model))


def _hides_lookup(model: keras.Layer) -> bool:
    """Whether something looks numbers up where the graph does not say which."""
    if isinstance(model, _LOOKUPS):
        return False
    if is_graph(model):
        return any(_hides_lookup(layer) for layer in model.layers)
    return any(isinstance(layer, _LOOKUPS) for layer in layers_in(model))


def _reaches(model: keras.Model, position: int, kinds: _Kinds) -> bool:
    """Whether a layer of these kinds gets the numbers of an input as they are."""
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            if isinstance(layer, kinds):
                return True
            if is_graph(layer):
                return _reaches(layer, 0, kinds)
            if not isinstance(layer, _PASSING):
                return False
        return False
    waiting = [model.inputs[position]]
    seen: set[tuple[str, int]] = set()
    nodes = calls_in(model)
    while waiting:
        tensor = waiting.pop()
        if (key := history(tensor)) in seen:
            continue
        seen.add(key)
        for node in nodes:
            places = [at for at, taken in enumerate(node.input_tensors) if taken is tensor]
            if not places:
                continue
            operation = node.operation
            if isinstance(operation, kinds):
                return True
            if is_graph(operation):
                if any(_reaches(operation, at, kinds) for at in places if at < len(inputs_of(operation))):
                    return True
            elif isinstance(operation, _PASSING) or type(operation).__name__ in _PASSING_OPERATIONS:
                waiting += node.outputs
    return False


def _ignores_fractions(model: keras.Model, position: int) -> bool:
    """Whether a model with an embedding inside something of the user's own sees the whole part of an input alone.

    That is how such an embedding is told from one that encodes places.
    """
    if not _hides_lookup(model):
        return False
    for x in probes(model):
        flat = keras.tree.flatten(x)
        given = np.asarray(keras.ops.convert_to_numpy(flat[position])) if keras.ops.is_tensor(flat[position]) else None
        if given is None or given.dtype.kind != "f":
            continue
        whole = np.abs(np.floor(given))

        def outputs(values: np.ndarray, x: Tensors = x, flat: list[Any] = flat) -> Any:
            tensors = [*flat[:position], keras.ops.convert_to_tensor(values), *flat[position + 1 :]]
            y = run_alone(model, keras.tree.pack_sequence_as(x, tensors))
            if y is None:
                return None
            return [np.asarray(keras.ops.convert_to_numpy(each)) for each in keras.tree.flatten(y)]

        first = outputs(whole)
        if first is None:
            continue
        fractional, other = outputs(whole + 0.4), outputs(np.flip(whole, axis=0))
        return _equal(first, fractional) and not _equal(first, other)
    return False


def _equal(some: list[np.ndarray], others: list[np.ndarray] | None) -> bool:
    return others is not None and all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))
