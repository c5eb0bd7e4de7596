"""A copy of a layer made from the layer itself, for layers whose configuration does not say all that they are.

Keras copies a layer through its configuration. Layers without one, with one that leaves out an argument, with
functions that only live in this process (closures, lambdas), or with plain attributes that were set after they were
made, do not survive that. Here the attributes are copied: variables and layers become new ones, containers and plain
objects are copied with what they hold, and what cannot hold weights (functions, tensors, tables) is shared.
"""

from __future__ import annotations

import copy as copying
import functools
import inspect
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from reglab.keras_internals import NOT_COPIED, VARIABLE_ATTRIBUTES, autocast_of, fresh_values, track_again

__all__ = ["Twins"]

_SHARED = (
    str,
    bytes,
    int,
    float,
    complex,
    bool,
    type(None),
    type,
    types.ModuleType,
    types.BuiltinFunctionType,
    inspect.Signature,
    keras.DTypePolicy,
    keras.KerasTensor,
)
# Objects of these packages are tensors, tables and handles: nothing that training changes.
_OTHERS = ("tensorflow", "jax", "jaxlib", "numpy", "tensorboard", "h5py")


class Twins:
    """Copies things, each once: what was shared between them before is shared between the copies.

    Args:
        graph: copies a Sequential or Functional model that is inside a layer.
        is_graph: whether a model is one.
    """

    def __init__(self, graph: Callable[[Any, Twins], Any], is_graph: Callable[[Any], bool]) -> None:
        self._graph, self._is_graph = graph, is_graph
        self._made: dict[int, tuple[Any, Any]] = {}  # with the original, so that its id is not given to another

    def of(self, thing: Any, *, outermost: bool = False) -> Any:
        """Return the copy of a thing, or the thing itself if it can be shared."""
        if isinstance(thing, _SHARED):
            return thing
        if id(thing) in self._made:
            return self._made[id(thing)][1]
        if isinstance(thing, keras.Variable):
            return self._remember(thing, _variable(thing))
        if isinstance(thing, keras.Model) and self._is_graph(thing) and not outermost:
            return self._remember(thing, self._graph(thing, self))
        if isinstance(thing, np.ndarray):
            return self._remember(thing, thing.copy())
        if isinstance(thing, list | dict | set | tuple):
            return self._container(thing)
        if isinstance(thing, types.FunctionType):
            return self._function(thing)
        if isinstance(thing, types.MethodType):
            return types.MethodType(thing.__func__, self.of(thing.__self__))
        if isinstance(thing, functools.partial):
            return functools.partial(self.of(thing.func), *self.of(thing.args), **self.of(thing.keywords))
        return self._object(thing)

    def know(self, thing: object, copy: object) -> None:
        """Take a copy that was made otherwise for the copy of a thing."""
        self._remember(thing, copy)

    def _remember(self, thing: object, copy: Any) -> Any:
        self._made[id(thing)] = thing, copy
        return copy

    def _container(self, thing: Any) -> Any:
        kind: Any = type(thing)
        if isinstance(thing, tuple):
            items = [self.of(item) for item in thing]
            return self._remember(thing, kind(*items) if hasattr(thing, "_fields") else tuple(items))
        # Filled through the built-in type, past the tracking of Keras' own containers: all is tracked already.
        copy = self._remember(thing, kind.__new__(kind))
        for name, value in vars(thing).items() if hasattr(thing, "__dict__") else ():
            copy.__dict__[name] = self.of(value)
        if isinstance(thing, dict):
            put = OrderedDict.__setitem__ if isinstance(thing, OrderedDict) else dict.__setitem__
            for key, value in thing.items():
                put(copy, self.of(key), self.of(value))
        elif isinstance(thing, set):
            set.update(copy, [self.of(item) for item in thing])
        else:
            list.extend(copy, [self.of(item) for item in list.__iter__(thing)])
        return copy

    def _function(self, thing: types.FunctionType) -> types.FunctionType:
        """Return a function that reaches the copies of those layers that it reaches from where it was written."""
        cells = thing.__closure__ or ()
        held = [_content(cell) for cell in cells]
        if any(isinstance(value, keras.Variable) and id(value) not in self._made for value in held):
            raise TypeError(f"its function {thing.__qualname__!r} reaches a weight that may be another layer's")
        if not any(isinstance(value, keras.Layer | keras.Variable) for value in held):
            return thing
        copy = types.FunctionType(
            thing.__code__,
            thing.__globals__,
            thing.__name__,
            thing.__defaults__,
            tuple(types.CellType() for _ in cells),
        )
        copy.__kwdefaults__ = thing.__kwdefaults__
        self._remember(thing, copy)
        for cell, value in zip(copy.__closure__ or (), held, strict=True):
            if value is not _EMPTY:
                cell.cell_contents = self.of(value)
        return copy

    def _object(self, thing: Any) -> Any:
        package = type(thing).__module__.partition(".")[0]
        if package in _OTHERS or not hasattr(thing, "__dict__"):
            return thing
        if package == "torch":
            return self._remember(thing, copying.deepcopy(thing))
        try:
            made: Any = type(thing)
            copy = made.__new__(made)
        except TypeError:  # made by C code, or by a __new__ with arguments of its own
            return thing
        self._remember(thing, copy)
        fresh = fresh_values(thing)
        # What Keras wraps for each object: its build method.
        made_with = {name for name, value in vars(copy).items() if isinstance(value, types.FunctionType)}
        for name, value in vars(thing).items():
            if name in made_with or name in NOT_COPIED:
                continue
            copy.__dict__[name] = fresh[name]() if name in fresh else self._attribute(name, value)
        return copy

    def _attribute(self, name: str, value: Any) -> Any:
        if name == "_modules":  # PyTorch's list of the layers and parameters in a layer
            return type(value)((k, self.of(v)) for k, v in value.items() if k not in NOT_COPIED)
        return self.of(value)

    def settle(self) -> None:
        """Make Keras' trackers know the copies: they remember by identity what they track."""
        for original, copy in self._made.values():
            track_again(original, copy)


_EMPTY = object()


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _EMPTY


def _variable(variable: keras.Variable) -> keras.Variable:
    copy = keras.Variable(
        keras.ops.convert_to_numpy(variable),
        dtype=variable.dtype,
        trainable=variable.trainable,
        autocast=autocast_of(variable),
        aggregation=variable.aggregation,
        name=variable.name,
    )
    for name in VARIABLE_ATTRIBUTES:
        if name in vars(variable):
            copy.__dict__[name] = vars(variable)[name]
    return copy
