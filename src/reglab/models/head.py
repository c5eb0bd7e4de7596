"""The end of a classifier: whether it gives probabilities or logits, and whether it fits the data."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import special

from reglab.errors import ReglabError
from reglab.keras_internals import made_by
from reglab.lazy import keras

__all__ = ["Head", "check_output"]

Kind = Literal["softmax", "logits", "sigmoid", "binary_logits"]
Ending = Literal["softmax", "sigmoid", "linear"]

_ROWS = 16
_SCALES = (1.0, 100.0)  # logits that lie in [0, 1] by chance leave it when the inputs grow; probabilities stay
_TOLERANCE = 1e-2  # ten probabilities rounded to bfloat16 sum to 1 within this


@dataclass(frozen=True)
class Head:
    """What a model's outputs are.

    ``softmax`` and ``logits`` have shape ``(batch, classes)``; ``sigmoid`` and ``binary_logits``, for two classes,
    ``(batch, 1)``: of the second class.
    """

    kind: Kind

    def loss(self) -> Any:
        """Return the cross-entropy that such outputs are trained with, on class indices."""
        if self.kind in {"softmax", "logits"}:
            return keras.losses.SparseCategoricalCrossentropy(from_logits=self.kind == "logits")
        return keras.losses.BinaryCrossentropy(from_logits=self.kind == "binary_logits")

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return probabilities ``(batch, classes)`` from the model's outputs."""
        if self.kind == "softmax":
            return outputs

        if self.kind == "logits":
            return special.softmax(outputs, axis=-1)
        positive = special.expit(outputs) if self.kind == "binary_logits" else outputs
        return np.concatenate([1 - positive, positive], axis=-1)


def check_output(model: Any, *, num_classes: int, input_shape: tuple[int, ...]) -> Head:
    """Return the head of ``model``, after making sure that it takes the data's inputs and tells its classes apart.

    Whether the outputs are probabilities is read from the layer that gives them, a dense or an activation layer with
    one of Keras' own activations. Where that does not say it (subclassed models, other functions), it is seen from the
    outputs for random inputs of two scales: rows in [0, 1], which sum to 1 if there is an output for each class.

    Args:
        model: a ``keras.Model``. One that is not built yet is built by the call.
        num_classes: how many classes the data has.
        input_shape: the shape of one example, without the batch.

    Raises:
        ReglabError: if the model does not fit, saying what it takes and gives and what the data has.

    Example:
        >>> from reglab.models import mlp
        >>> check_output(mlp((4,), 3), num_classes=3, input_shape=(4,))
        Head(kind='softmax')
    """
    _check_input(model, input_shape)
    outputs = _outputs(model, np.zeros((2, *input_shape), "float32"))
    classwise = outputs.ndim == 2 and outputs.shape[1] == num_classes > 1
    binary = outputs.ndim == 2 and outputs.shape[1] == 1 and num_classes == 2
    if not (classwise or binary):
        wanted = f"(batch, {num_classes})" + (" or (batch, 1)" if num_classes == 2 else "")
        raise ReglabError(
            f"The model's output has shape {_batch(outputs.shape[1:])}; the data has {num_classes} classes, so "
            f"expected is {wanted}. Give the last layer {num_classes} units, and no axis but batch and classes."
        )
    return Head(_kind(model, outputs, input_shape))


def _kind(model: Any, outputs: np.ndarray, input_shape: tuple[int, ...]) -> Kind:
    ending, count = _ending(model), outputs.shape[1]
    if ending == "sigmoid" and count > 1:
        raise ReglabError(
            f"The model ends in {count} sigmoids, which tell of each class whether it is there; here each example is "
            "of one class. End it in softmax, or without activation."
        )
    if ending == "softmax" and count == 1:
        raise ReglabError(
            "The model ends in a softmax over one output, which is always 1. End it in sigmoid, or give it 2 outputs."
        )
    probabilities = ending != "linear" if ending else _gives_probabilities(model, outputs, input_shape)
    if count == 1:
        return "sigmoid" if probabilities else "binary_logits"
    return "softmax" if probabilities else "logits"


def _check_input(model: Any, input_shape: tuple[int, ...]) -> None:
    inputs, outputs = (getattr(model, name, None) or () for name in ("inputs", "outputs"))
    for what, tensors in (("inputs", inputs), ("outputs", outputs)):
        if len(tensors) > 1:
            raise ReglabError(
                f"The model has {len(tensors)} {what}; a study feeds one and reads one. Give a "
                "model with one input and one output."
            )
    if inputs and not _fits(tuple(inputs[0].shape)[1:], input_shape):
        raise ReglabError(
            f"The model takes inputs of shape {_batch(inputs[0].shape[1:])}; the data has {_batch(input_shape)}. Build "
            "it for that shape, or read images in another size (image_size) or color_mode."
        )


def _fits(expected: tuple[int | None, ...], given: tuple[int, ...]) -> bool:
    same = len(expected) == len(given)
    return same and all(want in (None, have) for want, have in zip(expected, given, strict=True))


def _outputs(model: Any, x: np.ndarray) -> np.ndarray:
    """Return the model's outputs for a batch, in inference mode, as float32."""
    try:
        outputs = model(x, training=False)
    except ReglabError:
        raise
    except Exception as error:
        raise ReglabError(
            f"The model cannot take inputs of shape {_batch(x.shape[1:])}: {type(error).__name__}: {error}"
        ) from error
    if isinstance(outputs, list | tuple) and len(outputs) == 1:
        outputs = outputs[0]
    if not keras.ops.is_tensor(outputs):
        raise ReglabError(
            f"The model returns {type(outputs).__name__}; a classifier returns one tensor. Give a model "
            "with one output."
        )
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32")))


def _ending(model: Any) -> Ending | None:
    """Return the activation that the model ends in, or None where its last layer does not say it."""
    layer = model
    while getattr(layer, "outputs", None):  # a model may end in a model
        layer, _ = made_by(layer.outputs[0])
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    if not isinstance(layer, keras.layers.Dense | keras.layers.Activation):
        return None
    activations = keras.activations
    # By identity: the name of tf.nn.softmax is softmax_v2, and a user's softmax may be anything.
    known: dict[Any, Ending] = {
        activations.softmax: "softmax",
        activations.sigmoid: "sigmoid",
        activations.linear: "linear",
    }
    return known.get(layer.activation)


def _gives_probabilities(model: Any, outputs: np.ndarray, input_shape: tuple[int, ...]) -> bool:
    """Whether the outputs, given for zeros, stay in [0, 1] for other inputs, and sum to 1 where there are several."""
    x = np.random.default_rng(0).normal(size=(_ROWS, *input_shape)).astype("float32")
    # An embedding takes the zeros and refuses other numbers, or gives NaN for them.
    with contextlib.suppress(ReglabError):
        outputs = np.concatenate([outputs, *(_outputs(model, scale * x) for scale in _SCALES)])
    outputs = outputs[np.isfinite(outputs).all(axis=-1)]
    if not ((outputs >= 0) & (outputs <= 1)).all():
        return False
    if outputs.shape[1] == 1:
        return bool(outputs.any())  # a sigmoid is nowhere 0 for all inputs; a layer initialized with zeros is
    return bool(np.allclose(outputs.sum(axis=-1), 1, atol=_TOLERANCE))


def _batch(shape: Sequence[int | None]) -> str:
    """Write a shape with its batch axis, the way an error shows it.

    >>> _batch((28, 28, 1))
    '(batch, 28, 28, 1)'
    """
    return f"({', '.join(['batch', *map(str, shape)])})"
