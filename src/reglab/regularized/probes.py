"""Made-up inputs that a model takes, to compare it with its copy on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from reglab.aliases import Tensor
from reglab.keras_internals import is_graph
from reglab.regularized.graph import flat_layers, inputs_of

__all__ = ["probes"]

# Sizes for axes of which a model does not say the size: the smallest first, since networks have a smallest image.
_SIZES = (8, 32, 96, 224)
# Examples of usual numbers first; a network may hide a difference in saturated units for one scale, and not for others.
_SCALES = (1.0, 1.0, 0.1, 100.0)
_MOST_INDICES = 16
_WORDS = ("a", "the", "good movie", "Zyzzyva", "one two three four five", "")


def probes(model: keras.Model) -> Iterator[Any]:
    """Yield inputs for ``model``, structured as it takes them: random, of each input's shape and dtype.

    What a model takes beside shapes is read from its layers: how many indices an embedding knows, the words and numbers
    of a vocabulary. The first ones that the model can be run on are the ones to use. There are none for a model that
    does not know the shapes of its inputs yet.
    """
    known = _Known(model)
    for struct, kinds in _inputs(model, known):
        for size in _SIZES:
            random = np.random.default_rng(0)
            flat = keras.tree.flatten(struct)
            arrays = [
                known.array(random, spec, kind, size, position)
                for position, (spec, kind) in enumerate(zip(flat, kinds, strict=True))
            ]
            yield keras.tree.pack_sequence_as(struct, [_tensor(array) for array in arrays])
            if all(None not in tuple(spec.shape)[1:] for spec in flat):
                break  # every size is known


def _inputs(model: keras.Model, known: _Known) -> Iterator[tuple[Any, list[str]]]:
    """Yield specifications of the inputs and what each may be made of, the likeliest first."""
    if is_graph(model):
        if not inputs_of(model):
            return
        struct = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        flat = keras.tree.flatten(struct)
        yield struct, [known.kind(spec.dtype) for spec in flat]
        yield struct, ["floats" if "float" in spec.dtype else known.kind(spec.dtype) for spec in flat]
        return
    shapes = _built_with(model)
    if shapes is None:
        return
    for kind, dtype in (("indices", "int32"), ("floats", "float32"), ("indices", "float32"), ("words", "string")):
        if kind == "indices" and dtype == "int32" and not known.indexed:
            continue
        struct = keras.tree.map_shape_structure(lambda shape, d=dtype: keras.KerasTensor(shape, dtype=d), shapes)
        yield struct, [kind] * len(keras.tree.flatten(struct))


def _built_with(model: keras.Model) -> Any:
    """Return the shapes that a subclassed model was built with, or None."""
    config = model.get_build_config() if model.built else None
    if not config:
        return None
    shapes = config.get("input_shape", config.get("shapes_dict"))
    if isinstance(shapes, dict) and "shapes_dict" in config:
        if len(shapes) != 1:
            return None
        shapes = next(iter(shapes.values()))
    return shapes


class _Known:
    """What the layers of a model say of its inputs."""

    def __init__(self, model: keras.Model) -> None:
        layers = flat_layers(model)
        sizes = [getattr(layer, name, None) for layer in layers for name in ("input_dim", "num_tokens")]
        self.indices = min([size for size in sizes if isinstance(size, int) and size > 0], default=_MOST_INDICES)
        self.indexed = any(isinstance(size, int) for size in sizes)
        vocabulary: list[Any] = []
        for layer in layers:
            vocabulary += _vocabulary(layer)
        self.words = [word for word in vocabulary if isinstance(word, str)]
        self.numbers = [int(word) for word in vocabulary if isinstance(word, int | np.integer)]

    def kind(self, dtype: str) -> str:
        if dtype == "string":
            return "words"
        return "floats" if "float" in dtype and not self.indexed else "indices"

    def array(
        self, random: np.random.Generator, spec: keras.KerasTensor, kind: str, size: int, position: int
    ) -> np.ndarray:
        shape = tuple(size if n is None else int(n) for n in tuple(spec.shape)[1:])
        rows = len(_SCALES) if spec.shape[0] is None else int(spec.shape[0])
        dtype = keras.backend.standardize_dtype(spec.dtype)
        if kind == "words":
            return random.choice(np.array([*_WORDS, *self.words[:100]]), size=(rows, *shape))
        if dtype == "bool":
            return random.integers(0, 2, (rows, *shape)).astype(bool)
        if kind == "indices":
            most = 256 if dtype == "uint8" and not self.indexed else self.indices
            values = random.integers(0, most, (rows, *shape))
            if self.numbers and not self.indexed_alone:
                known = random.choice(np.array(self.numbers[:100]), size=(rows, *shape))
                values = np.where(random.random((rows, *shape)) < 0.7, known, values)
            return (
                values.astype("int64" if dtype == "int64" else "int32") if "int" in dtype else values.astype("float32")
            )
        scales = np.resize(_SCALES, rows).reshape((rows, *[1] * len(shape)))
        return (random.normal(size=(rows, *shape)) * scales).astype("float32")

    @property
    def indexed_alone(self) -> bool:
        """Whether inputs go to an embedding and not by way of a vocabulary."""
        return self.indexed and not self.numbers


def _vocabulary(layer: keras.Layer) -> list[Any]:
    try:
        words = layer.get_vocabulary()
    except Exception:  # has none, or has not learned one yet
        return []
    return list(words) if isinstance(words, list | tuple | np.ndarray) else []


def _tensor(array: np.ndarray) -> Tensor:
    if array.dtype.kind in "US":
        import tensorflow  # layers of texts work with TensorFlow's strings on every backend

        return tensorflow.constant(array)
    return keras.ops.convert_to_tensor(array)
