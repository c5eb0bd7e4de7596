"""The state of a layer, given to its copy: weights, which of them are frozen, and what Keras saves beside weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import keras

from reglab.keras_internals import layers_in, own_variables, set_trainable_alone

__all__ = ["Unlike", "copy_assets", "copy_state", "together"]


class Unlike(Exception):
    """A copy has other weights or other layers inside than its original."""


def together(source: keras.Layer, copy: keras.Layer) -> Iterator[tuple[Any, Any]]:
    """Yield a layer and its copy, and each layer inside it with its copy.

    Raises:
        Unlike: if they do not hold the same layers.
    """
    yield source, copy
    inside, copies = layers_in(source, deep=False), layers_in(copy, deep=False)
    if [type(layer) for layer in inside] != [type(layer) for layer in copies]:
        raise Unlike(f"it holds {len(inside)} layers, and its copy {len(copies)} or others")
    for pair in zip(inside, copies, strict=True):
        yield from together(*pair)


def copy_state(source: keras.Layer, copy: keras.Layer) -> None:
    """Give ``copy`` the state of ``source`` and of all layers inside it; the random streams are the caller's.

    Raises:
        Unlike: if it cannot take that state.
    """
    for old, new in together(source, copy):
        variables, copies = own_variables(old), own_variables(new)
        if [_kind(v) for v in variables] != [_kind(v) for v in copies]:
            raise Unlike(f"it has {len(variables)} weights, and its copy {len(copies)} or others")
        _load(old, new)
        for variable, of_copy in zip(variables, copies, strict=True):
            of_copy.assign(keras.ops.convert_to_numpy(variable))
            if of_copy.trainable != variable.trainable:
                of_copy.trainable = variable.trainable
        if new.trainable != old.trainable:
            set_trainable_alone(new, old.trainable)


def copy_assets(source: keras.Layer, copy: keras.Layer) -> None:
    """Give ``copy`` what Keras saves beside arrays: a vocabulary. It may be needed before the layer is built."""
    if callable(getattr(source, "save_assets", None)) and callable(getattr(copy, "load_assets", None)):
        with tempfile.TemporaryDirectory() as folder:
            source.save_assets(folder)
            copy.load_assets(folder)
        return
    for pair in zip(layers_in(source, deep=False), layers_in(copy, deep=False), strict=False):
        copy_assets(*pair)


def _load(source: keras.Layer, copy: keras.Layer) -> None:
    """Let a layer with a way of its own to load do what that does beside assigning, such as to derive other values."""
    if type(copy).load_own_variables is keras.Layer.load_own_variables:
        return
    store: dict[str, Any] = {}
    source.save_own_variables(store)
    copy.load_own_variables({name: keras.ops.convert_to_numpy(value) for name, value in store.items()})


def _kind(variable: keras.Variable) -> tuple[Any, ...]:
    return tuple(variable.shape), variable.dtype
