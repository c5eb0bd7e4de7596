"""Several inputs per example, by name, held as one array; and so are labels and predictions of several outputs.

It has a field per input (a NumPy structured array), so that rows of all inputs are chosen, joined, sent and written
together, by the same code that does it for one array. Only what a network is fed is a dict: :func:`fed`.

    >>> x = together({"image": np.zeros((4, 8, 8, 1), "uint8"), "age": np.ones((4, 1), "float32")})
    >>> x[1:3].shape, example_shape(x)
    ((2,), {'image': (8, 8, 1), 'age': (1,)})
    >>> fed(x)["age"].shape, fed(np.zeros((4, 2))).shape
    ((4, 1), (4, 2))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

import numpy as np

from reglab.errors import ReglabError, nearest

__all__ = [
    "Shape", "apart", "by_input", "called", "each", "example_shape", "fed", "kinds_in", "numbers", "together",
    "with_batch_axis",
]  # fmt: skip

Shape: TypeAlias = "tuple[int, ...] | dict[str, tuple[int, ...]]"
"""Of an example: sizes, or of several inputs a dict of them by name."""


def by_input(x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the array of each input by its name; a single array has the name ``""``."""
    return {name: x[name] for name in x.dtype.names} if x.dtype.names else {"": x}


def called(data: str, name: str) -> str:
    """Return how an error calls an input: ``made: words``, or the data alone where it has one input."""
    return f"{data}: {name}" if name else data


def kinds_in(option: str, text: str, known: Collection[str], *, of: str) -> str:
    """Return a kind, or ``NAME=KIND`` of several with commas between, in the form in which a study holds it.

    Args:
        option: what an error calls it, such as ``task``.
        text: what was said.
        known: the kinds that there are.
        of: what has names, ``inputs`` or ``outputs``.

    Raises:
        ReglabError: for a kind that there is not, or several of which one has no name.
    """
    parts = [tuple(word.strip() for word in part.split("=", 1)) for part in text.split(",")]
    form = f"NAME={option.upper()} with commas between"
    for *_, kind in parts:
        if kind not in known:
            raise ReglabError(
                f"{option}={text!r} is invalid.{nearest(kind, known)} Expected one of {', '.join(known)}; of several "
                f"{of}, {form}."
            )
    if len(parts) > 1 and any(len(part) == 1 for part in parts):
        raise ReglabError(f"{option}={text!r} is invalid. Of several {of}, give {form}.")
    return ",".join("=".join(part) for part in parts)


def together(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the arrays of several inputs, ``(N, ...)`` each, as one."""
    first = next(iter(inputs.values()))
    found = np.empty(len(first), [(name, x.dtype, x.shape[1:]) for name, x in inputs.items()])
    for name, x in inputs.items():
        found[name] = x
    return found


def each(function: Callable[[str, np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return what a function of name and array makes of every input."""
    if not x.dtype.names:
        return function("", x)
    given = by_input(x)
    made = {name: function(name, of_name) for name, of_name in given.items()}
    return x if all(made[name] is of_name for name, of_name in given.items()) else together(made)


def fed(x: np.ndarray) -> np.ndarray | dict[str, np.ndarray]:
    """Return examples as a network is given them: an array, or a dict of the arrays of several inputs."""
    return {name: np.ascontiguousarray(of_name) for name, of_name in by_input(x).items()} if x.dtype.names else x


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Return how far the numbers of two arrays, of several inputs or outputs of all of them, are apart at most.

    >>> apart(together({"a": np.zeros(2), "b": np.ones(2)}), together({"a": np.zeros(2), "b": np.full(2, 3.0)}))
    2.0
    """
    others = by_input(other)
    return float(max(np.abs(of_name - others[name]).max() for name, of_name in by_input(one).items()))


def example_shape(x: np.ndarray) -> Shape:
    """Return the shape of one example."""
    return {name: of.shape[1:] for name, of in by_input(x).items()} if x.dtype.names else tuple(x.shape[1:])


def with_batch_axis(shape: Shape) -> tuple[int | None, ...] | dict[str, tuple[int | None, ...]]:
    """Return a shape with the batch in front, of unknown size.

    >>> with_batch_axis((8, 3)), with_batch_axis({"a": (2,)})
    ((None, 8, 3), {'a': (None, 2)})
    """
    return {name: (None, *of) for name, of in shape.items()} if isinstance(shape, dict) else (None, *shape)


def numbers(shape: Shape) -> int:
    """Return how many numbers an example has."""
    return sum(map(math.prod, shape.values())) if isinstance(shape, dict) else math.prod(shape)
