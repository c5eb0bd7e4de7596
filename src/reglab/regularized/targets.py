"""Labels as the loss and the metrics want them, and the loss of each example.

Mixup and label smoothing make distributions over classes out of class indices, one per example or per position. The
loss then has to be the dense form of the sparse one; metrics keep getting labels in the form the user gave. Numbers to
predict are mixed as they are. What needs none of that takes any losses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from reglab import backends
from reglab.aliases import Loss, Tensor, Tensors
from reglab.errors import ReglabError
from reglab.inert import loss_name
from reglab.keras_internals import mask_of, with_mask
from reglab.regularized.parts import Part
from reglab.strategies import Batch, Strategy

__all__ = ["Targets", "of_numbers", "weighted"]

_LOSSES = keras.losses
# A loss is known by what it is. A function or a class of the user's may have the name of one of Keras'.
_SPARSE = (_LOSSES.SparseCategoricalCrossentropy, _LOSSES.sparse_categorical_crossentropy)
_DENSE = (
    _LOSSES.CategoricalCrossentropy,
    _LOSSES.CategoricalFocalCrossentropy,
    _LOSSES.KLDivergence,
    _LOSSES.categorical_crossentropy,
    _LOSSES.categorical_focal_crossentropy,
    _LOSSES.kl_divergence,
)
_BINARY = (
    _LOSSES.BinaryCrossentropy,
    _LOSSES.BinaryFocalCrossentropy,
    _LOSSES.binary_crossentropy,
    _LOSSES.binary_focal_crossentropy,
)
_NUMBERS = (
    _LOSSES.MeanSquaredError,
    _LOSSES.MeanAbsoluteError,
    _LOSSES.Huber,
    _LOSSES.LogCosh,
    _LOSSES.mean_squared_error,
    _LOSSES.mean_absolute_error,
    _LOSSES.huber,
    _LOSSES.log_cosh,
)


class Targets:
    """What is known of the labels from the loss that a model was compiled with.

    Args:
        loss: as given to ``compile``.
        parts: the strategies at work.
        outputs: the shapes of the model's outputs, batch first, or None where they are not known.

    Raises:
        ReglabError: if a strategy needs to know more of the loss than there is to know.
    """

    def __init__(self, loss: object, parts: list[Part], outputs: list[tuple[int | None, ...]] | None = None) -> None:
        self.soft = next((part.strategy.name for part in parts if part.strategy.soft_targets), None)
        needing = self.soft or next((part.strategy.name for part in parts if _takes_losses(part)), None)
        self.loss = _only(loss, needing, outputs)
        self._outputs = outputs
        self.sparse = _is(self.loss, _SPARSE, exactly=True)
        config = self.loss.get_config() if self.sparse and isinstance(self.loss, keras.losses.Loss) else {}
        self.indices = self.sparse and config.get("axis", -1) == -1  # of classes, along the last axis of the outputs
        self.ignored = config.get("ignore_class")
        self.probabilities = _is(self.loss, _BINARY, exactly=True)
        self.of_indices = any(_is(each, _SPARSE) for each in _all(loss))
        self.binary = _is(self.loss, _BINARY)
        self.numbers = of_numbers(self.loss)
        if self.loss is not None:
            for part in parts:
                part.strategy.check_loss(self.loss)
        for part in parts:
            if part.strategy.soft_targets:
                self._prepare_for(part.strategy, loss)

    def _prepare_for(self, strategy: Strategy, loss: object) -> None:
        if self.numbers and not strategy.mixes_numbers:
            raise ReglabError(
                f"{strategy.name} spreads labels over classes; the loss {loss_name(loss)} is of numbers to predict: "
                "there are none to be spread over. Leave it out of the recipe; mixup mixes numbers."
            )
        if self.sparse and _is(self.loss, _SPARSE, exactly=True):
            self.loss = _dense_form(self.loss)
        elif not (self.binary or self.numbers) and not _is(self.loss, _DENSE):
            numbers = ", or mean_squared_error of numbers to predict" if strategy.mixes_numbers else ""
            raise ReglabError(
                f"{strategy.name} needs a cross-entropy loss of Keras', whose labels can be distributions; compile() "
                f"was given {loss_name(loss)}. Use sparse_categorical_crossentropy, categorical_crossentropy or "
                f"binary_crossentropy{numbers}, or leave {strategy.name} out of the recipe."
            )

    def soften(self, y: Tensor, y_pred: Tensors, weights: Tensor | None = None) -> tuple[Any, Any]:
        """Return labels as float32 distributions, shaped as the outputs, and the weights of their losses.

        Labels that are distributions stay as they are. Numbers to predict become float32. Of labels that the loss
        ignores the weight is 0, and the others weigh the more, so that the mean is that of those that count.
        """
        ops = keras.ops
        if isinstance(y_pred, dict | list | tuple):
            raise ReglabError(
                f"{self.soft} acts on the labels of one output; the model has several. Leave it out of the recipe, or "
                "train the outputs apart."
            )
        output = tuple(y_pred.shape)
        classes = int(output[-1] or 0)  # known: weights made it
        y = ops.convert_to_tensor(y)
        if self.binary or self.numbers:
            return self._as_outputs(ops.cast(y, "float32"), output), weights
        if len(y.shape) == len(output) and y.shape[-1] == classes and classes > 1:
            return ops.cast(y, "float32"), weights
        labels = ops.cast(ops.squeeze(y, axis=-1) if len(y.shape) == len(output) else y, "int32")
        known = ops.logical_and(labels >= 0, labels < classes)
        if self.ignored is not None:
            counted = labels != self.ignored
            known, weights = ops.logical_or(known, ops.logical_not(counted)), _weighing(counted, weights)
        # A label that is no class would be no class at all, and train towards nothing.
        one_hot = ops.one_hot(ops.clip(labels, 0, classes - 1), classes, dtype="float32")
        return ops.where(ops.expand_dims(known, -1), one_hot, np.float32("nan")), weights

    def _as_outputs(self, y: Tensor, output: tuple[int | None, ...]) -> Tensor:
        """Return labels with the last axis of the outputs, where they lack it."""
        if len(y.shape) == len(output) - 1 and output[-1] == 1:
            y = keras.ops.expand_dims(y, -1)
        known = zip(y.shape[1:], output[1:], strict=False)
        if len(y.shape) != len(output) or any(None not in pair and pair[0] != pair[1] for pair in known):
            raise ReglabError(
                f"{self.soft} changes labels as the outputs are, {output}, and labels are {tuple(y.shape)}. Give as "
                "many labels as outputs."
            )
        return y

    def on_batch(self, batch: Batch, part: Part, change: Callable[[Batch], Batch]) -> Batch:
        """Return a batch that a strategy changed."""
        return change(batch)

    def check_labels(self, y: object) -> None:
        """Raise a ReglabError if labels that are at hand are none of the model's classes.

        TensorFlow stops at such a class index in the middle of an epoch; on JAX, Keras would train it towards nothing,
        as it does on all backends with labels of a binary cross-entropy below 0 or above 1.
        """
        if not (isinstance(y, np.ndarray) and y.dtype.kind in "iuf" and y.size):
            return
        if self.probabilities and ((y < 0) | (y > 1)).any():
            wrong = y[(y < 0) | (y > 1)]
            raise ReglabError(
                f"A binary cross-entropy takes labels from 0 to 1; {wrong.size} of {y.size} are others, such as "
                f"{wrong[0]}. Give 0 and 1, or another loss."
            )
        if not (self.indices and self._outputs):
            return
        classes = self._outputs[0][-1]
        per_output = y.ndim == len(self._outputs[0]) - 1 or y.shape[1:] == (1,)
        if not (per_output and classes):
            return
        wrong = y[((y < 0) | (y >= classes)) & (y != self.ignored)]
        if wrong.size:
            raise ReglabError(
                f"The model has {classes} outputs, for the labels 0 to {classes - 1}; {wrong.size} of {y.size} are "
                f"others, such as {wrong[0]}. Number the classes from 0 on, or give the last layer more units."
            )

    def harden(self, y: Tensor) -> Tensor:
        """Return labels in the form the user gave them, for metrics: the heaviest class, or numbers as they are."""
        ops = keras.ops
        if self.numbers:
            return y
        if self.binary:
            return ops.cast(ops.cast(y, "float32") > 0.5, "float32")
        heaviest = ops.argmax(y, axis=-1)
        return heaviest if self.sparse else ops.one_hot(heaviest, y.shape[-1], dtype="float32")

    def each(self, y: Tensor, y_pred: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the loss of each example, in float32, without reduction; what is masked counts nothing.

        Args:
            y: labels.
            y_pred: what the model gives for them.
            weights: how much each loss counts; by default alike.
        """
        if self.loss is None:
            raise ReglabError("The model has no loss. Give one to compile(loss=...).")
        if not keras.ops.is_tensor(y_pred):
            raise ReglabError(
                "A strategy of the recipe needs the loss of one output, and the model has several. Leave it out, or "
                "train the outputs apart."
            )
        mask = mask_of(y_pred)
        if y_pred.dtype in {"float16", "bfloat16"} or "16" in str(y_pred.dtype):
            y_pred = keras.ops.cast(y_pred, "float32")
        if len(y.shape) == len(y_pred.shape) - 1 and y_pred.shape[-1] == 1:
            y = keras.ops.expand_dims(y, -1)
        y_pred = self.laid_out(y_pred)
        loss = self.loss.call if isinstance(self.loss, keras.losses.Loss) else self.loss
        if not _of_keras(loss):
            y = keras.ops.cast(y, "float32")  # as Keras gives it to a loss of the user's
        values = loss(y, y_pred)
        values = values if mask is None else weighted(values, mask)
        return values if weights is None else weighted(values, weights)

    def laid_out(self, y_pred: Tensors) -> Any:
        """Return outputs, with their masks, of which the loss has a gradient on every backend."""
        if not self.of_indices or self.soft:
            return y_pred
        by_class = backends.adapter().by_class
        return keras.tree.map_structure(lambda each: with_mask(by_class(each), mask_of(each)), y_pred)

    def distributions(self, y_pred: Tensor) -> Tensor:
        """Return predictions as float32 distributions along the last axis; a sigmoid is one over two classes.

        Raises:
            ReglabError: if the loss is no cross-entropy, so that nothing says what the predictions are.
        """
        ops = keras.ops
        if not _is(self.loss, (*_SPARSE, *_DENSE, *_BINARY)):
            raise ReglabError(
                f"A strategy of the recipe compares predictions as distributions over classes, and the loss "
                f"{loss_name(self.loss)} is no cross-entropy of Keras'. Leave it out of the recipe, or use such a loss."
            )
        logits = isinstance(self.loss, keras.losses.Loss) and self.loss.get_config().get("from_logits", False)
        y_pred = ops.cast(y_pred, "float32")
        if self.binary:
            given = ops.sigmoid(y_pred) if logits else y_pred
            return ops.stack([1.0 - given, given], axis=-1)
        return ops.softmax(y_pred, axis=-1) if logits else y_pred


def weighted(values: Tensor, weights: Tensor) -> Tensor:
    """Return losses times their weights, which may have an axis less, or one of size 1 more, as in Keras."""
    ops = keras.ops
    weights = ops.cast(weights, values.dtype)
    if len(weights.shape) == len(values.shape) + 1 and weights.shape[-1] == 1:
        weights = ops.squeeze(weights, axis=-1)
    while 0 < len(weights.shape) < len(values.shape):
        weights = ops.expand_dims(weights, axis=-1)
    return values * weights


def of_numbers(loss: Any) -> bool:
    """Whether a loss is one of Keras' own of numbers to predict."""
    return _is(loss, _NUMBERS)


def _takes_losses(part: Part) -> bool:
    """Whether a strategy asks for the loss of each example: for its gradient, or for a term beside it."""
    return part.overrides("perturb_inputs") or part.strategy.perturbs_weights or part.overrides("loss")


def _only(loss: Any, needing: str | None, outputs: list[tuple[int | None, ...]] | None) -> Loss | None:
    """Return the loss where it is one of one output, else None; refuse that if a strategy needs it."""
    several = outputs is not None and len(outputs) > 1
    structured = isinstance(loss, list | tuple) or (isinstance(loss, dict) and "class_name" not in loss)
    if structured and len(loss) == 1 and not several and not isinstance(loss, dict):
        loss, structured = loss[0], False
    if not (structured or several):
        return keras.losses.get(loss)
    if needing:
        given, of = (loss, "losses") if structured else (outputs or (), "outputs")
        raise ReglabError(
            f"{needing} needs one loss of one output; here are {len(given)} {of}. Leave it out of the "
            "recipe, or train the outputs apart. Penalties, dropout, noise, weight decay and averaging take any losses."
        )
    return None


def _is(loss: Loss | None, known: tuple[Any, ...], *, exactly: bool = False) -> bool:
    """Whether a loss is one of Keras' own, or of a class made of it; ``exactly`` counts no such class."""
    if isinstance(loss, keras.losses.Loss):
        classes = tuple(one for one in known if isinstance(one, type))
        return type(loss) in classes if exactly else isinstance(loss, classes)
    return any(loss is one for one in known)


def _all(loss: object) -> list[Any]:
    """Return all losses that ``compile`` was given, of however many outputs."""
    if isinstance(loss, dict) and "class_name" in loss:
        return [keras.losses.get(loss)]
    return [keras.losses.get(each) if isinstance(each, str) else each for each in keras.tree.flatten(loss)]


def _of_keras(function: Callable[..., Tensor]) -> bool:
    return str(getattr(function, "__module__", "")).startswith("keras.")


def _weighing(counted: Tensor, weights: Tensor | None) -> Tensor:
    """Return weights of losses of which some are ignored, with the sum that they have without."""
    ops = keras.ops
    counts = ops.cast(counted, "float32")
    size = ops.cast(ops.prod(ops.shape(counts)), "float32")
    counts = counts * (size / ops.maximum(ops.sum(counts), 1.0))
    return counts if weights is None else weighted(counts, weights)


def _dense_form(loss: Loss) -> keras.losses.CategoricalCrossentropy:
    """Return the categorical cross-entropy that a sparse one is on one-hot labels."""
    config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    return keras.losses.CategoricalCrossentropy(
        from_logits=config.get("from_logits", False),
        axis=config.get("axis", -1),
        reduction=config.get("reduction", "sum_over_batch_size"),
    )
