"""Running a layer, an operation or a model on made-up inputs, without a trace of it anywhere."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from reglab import backends
from reglab.aliases import Tensor, Tensors
from reglab.keras_internals import unseeded_drawn_from

__all__ = ["run_alone", "undisturbed"]


@contextmanager
def undisturbed(
    variables: Iterable[keras.Variable] = (), values: Iterable[tuple[keras.Variable, Tensor]] = ()
) -> Iterator[Any]:
    """Give a scope in which nothing that is run moves: neither variables, nor metrics, nor random streams.

    Random numbers that are drawn from no stream of a layer's are the same in each such scope.

    Args:
        variables: whose values cannot change.
        values: pairs of a variable and the value it has in the scope, in place of its own.
    """
    mapping = {id(v): (v, v.value) for v in variables}
    mapping.update({id(v): (v, value) for v, value in values})
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(0)
    np.random.seed(0)
    try:
        with (
            unseeded_drawn_from(keras.random.SeedGenerator(0, name="undisturbed")),
            backends.adapter().random_kept(),
            keras.StatelessScope(state_mapping=list(mapping.values()), collect_losses=True) as scope,
        ):
            yield scope
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def run_alone(operation: keras.Operation | Callable[..., Tensors], *args: Any, **kwargs: Any) -> Tensors | None:
    """Return what a layer or function gives for some inputs, in inference mode, or None if it does not take them."""
    variables = operation.variables if isinstance(operation, keras.Layer) else ()
    try:
        with undisturbed(variables):
            return operation(*args, **kwargs)
    except Exception:  # whatever it raises, it does not take them
        return None
