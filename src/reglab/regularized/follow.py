"""Which layers and operations belong to the layer before them: normalizations, activations, what joins branches."""

from __future__ import annotations

import math

import keras
import numpy as np

from reglab.keras_internals import Node, call_with, generators_in
from reglab.regularized.trial import run_alone

__all__ = ["adds", "keeps_units"]

# Known without a trial: most models have many of them, and normalizations may look at more than one place.
_KNOWN = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.RMSNormalization,
    keras.layers.UnitNormalization,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
    keras.layers.Concatenate,
    keras.layers.Add,
    keras.layers.Subtract,
    keras.layers.Multiply,
    keras.layers.Average,
    keras.layers.Maximum,
    keras.layers.Minimum,
)
_MOST_NUMBERS = 2**22  # a trial with more is too slow


def keeps_units(operation: keras.Operation, node: Node | None) -> bool:
    """Whether what an operation gives are the units it is given, bent, scaled or joined, each at its place.

    It is told by what it does and not by its name, so that ``keras.ops.relu(x)`` is as good as ``layers.ReLU()(x)``: it
    keeps the shape, or puts inputs side by side, draws nothing at random, and what it gives at one place depends on
    what it is given at that place alone. Pooling, attention and reshaping do not keep units. The caller makes sure that
    it has no kernel.

    Args:
        operation: a layer or an operation of a graph.
        node: its call in that graph, as Keras records it, or None where it is not known.
    """
    if isinstance(operation, _KNOWN):
        return True
    if node is None or isinstance(operation, keras.Model) or len(node.outputs) != 1 or not node.input_tensors:
        return False
    if isinstance(operation, keras.Layer) and (not operation.built or _random(operation)):
        return False
    shapes = [tuple(tensor.shape) for tensor in node.input_tensors]
    output = tuple(node.outputs[0].shape)
    if any("float" not in tensor.dtype for tensor in (*node.input_tensors, node.outputs[0])) or len(output) < 2:
        return False
    return _side_by_side(shapes, output) or (output in shapes and _place_by_place(operation, node))


def adds(operation: keras.Operation, node: Node) -> bool:
    """Whether what an operation gives is the sum of the two things of one shape that it is given, tried on numbers."""
    tensors = node.input_tensors
    if len(tensors) != 2 or tensors[0] is tensors[1] or len(node.outputs) != 1:
        return False
    if isinstance(operation, keras.layers.Add):
        return True
    shapes = {tuple(tensor.shape) for tensor in (*tensors, node.outputs[0])}
    shape = tuple(4 if size is None else size for size in tuple(tensors[0].shape))
    dtypes = (tensors[0].dtype, tensors[1].dtype)
    if isinstance(operation, keras.Layer) or len(shapes) > 1 or not all("float" in dtype for dtype in dtypes):
        return False
    random = np.random.default_rng(0)
    small = math.prod(shape) <= _MOST_NUMBERS
    values = [random.normal(size=shape if small else (4,) * len(shape)).astype("float32") for _ in tensors]
    found = _given(operation, node, {id(tensor): value for tensor, value in zip(tensors, values, strict=True)})
    return found is not None and np.allclose(found, values[0] + values[1], atol=1e-2)


def _random(layer: keras.Layer) -> bool:
    return bool(generators_in(layer))


def _side_by_side(shapes: list[tuple[int | None, ...]], output: tuple[int | None, ...]) -> bool:
    """Whether the output has the inputs one behind the other along one axis."""
    if len(shapes) < 2 or any(len(shape) != len(output) for shape in shapes):
        return False
    other = [axis for axis, size in enumerate(output) if any(shape[axis] != size for shape in shapes)]
    if len(other) != 1:
        return False
    sizes = [shape[other[0]] for shape in shapes]
    return None not in sizes and sum(size for size in sizes if size) == output[other[0]]


def _place_by_place(operation: keras.Operation, node: Node) -> bool:
    """Whether a change of the first input at one place, all its channels, changes the output there alone."""
    shape = tuple(4 if size is None else size for size in tuple(node.outputs[0].shape))
    if math.prod(shape) > _MOST_NUMBERS:
        return False
    random = np.random.default_rng(0)
    tensors = {id(tensor): tensor for tensor in node.input_tensors}
    values = {
        key: random.normal(size=[4 if size is None else size for size in tuple(tensor.shape)]).astype("float32")
        for key, tensor in tensors.items()
    }
    changed = next(key for key, tensor in tensors.items() if tuple(tensor.shape) == tuple(node.outputs[0].shape))
    place = tuple(size // 2 for size in shape[:-1])
    before = _given(operation, node, values)
    values[changed] = values[changed].copy()
    values[changed][place] += 1.0
    after = _given(operation, node, values)
    if before is None or after is None or before.shape != shape:
        return False
    moved = np.argwhere((before != after).any(axis=-1))
    return all(tuple(at) == place for at in moved)


def _given(operation: keras.Operation, node: Node, values: dict[int, np.ndarray]) -> np.ndarray | None:
    tensors = {key: keras.ops.convert_to_tensor(value) for key, value in values.items()}
    args, kwargs = call_with(node, tensors)
    y = run_alone(operation, *args, **kwargs)
    return None if y is None or not keras.ops.is_tensor(y) else np.asarray(keras.ops.convert_to_numpy(y))
