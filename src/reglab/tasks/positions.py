"""Classes per position: a class for each time step of a series, each token of a text, or each pixel of an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reglab.aliases import Loss, Tensor
from reglab.data.labels import IGNORED, Form
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.tasks import outputs as ends
from reglab.tasks import per_position as of
from reglab.tasks.base import ByName, Pair
from reglab.tasks.classes import OfClasses, check_logits, class_probabilities, finished
from reglab.tasks.head import Head, with_batch
from reglab.tasks.hold_out import anyhow, by_labels
from reglab.tasks.metric import Metric

__all__ = ["Positions"]

_SMALLEST = 1e-37  # of a probability in float32
_MOST_POINTS = 100_000  # of which bias and variance are
_MOST_SHARES = 3  # that an example is told by

ACCURACY = Metric(
    "accuracy", "accuracy per position", of.accuracy, per_example=of.accuracy_scores, weighted=of.accuracy,
)  # fmt: skip
MEAN_IOU = Metric(
    "mean_iou", "mean IoU", of.mean_iou, per_example=of.mean_iou_scores, weighted=of.mean_iou,
    meaning="intersection over union, mean over classes",
)  # fmt: skip
DICE = Metric(
    "dice", "Dice", of.dice, per_example=of.dice_scores, weighted=of.dice, meaning="F1 of each class, mean over classes"
)
CROSS_ENTROPY = Metric(
    "cross_entropy", "cross-entropy", of.cross_entropy, better="lower", scale=1.0, unit="nats", apart="nats",
    form=".3f", rough=".2f", highest=float("inf"), per_example=of.cross_entropy_scores, weighted=of.cross_entropy,
    meaning="mean over positions",
)  # fmt: skip


def shares_of(row: np.ndarray, names: Sequence[str]) -> str:
    """Return how much of an example is given each class, those that are given none left out.

    >>> shares_of(np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]]), ["sky", "sea"])
    'sky 25.0 %, sea 75.0 %'
    """
    given = np.bincount(row.argmax(axis=-1).ravel(), minlength=len(names))
    shares = 100 * given / given.sum()
    return ", ".join(f"{name} {share:.1f} %" for name, share in zip(names, shares, strict=True) if share)


METRICS = (MEAN_IOU, ACCURACY, DICE, CROSS_ENTROPY)


@dataclass(frozen=True, kw_only=True)
class Positions(OfClasses):
    """Each example has a class per position: per time step, per token, per pixel.

    A model has one output per position and class, which end in softmax or give logits, and is trained with the
    cross-entropy, mean over positions; of two classes it can have one, a probability of the second or its logit.
    Positions that are labelled -1, or that the model's own mask leaves out, count neither in the loss nor in metrics.
    What is kept are probabilities, in float16, for there are many.

    Attributes:
        shape: of the positions: ``(steps,)`` or ``(height, width)``.
        ignored: whether some positions are labelled -1.

    Example:
        >>> Positions(classes=("sky", "sea"), shape=(32, 32), deciding="mean_iou").decides.shown(0.75)
        '75.00 %'
    """

    kind: ClassVar[str] = "positions"
    form: ClassVar[Form] = "per_position"
    takes_masks: ClassVar[bool] = True
    per_position: ClassVar[bool] = True
    distance: ClassVar[str] = "Brier score per position"
    accuracy: ClassVar[Metric] = ACCURACY
    cross_entropy: ClassVar[Metric] = CROSS_ENTROPY

    deciding: str = "accuracy"
    shape: tuple[int, ...]
    ignored: bool = False

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return METRICS

    @property
    def columns(self) -> tuple[Metric, ...]:
        return tuple(metric for metric in METRICS if metric != self.decides)

    # --- models ----------------------------------------------------------------------------------------------------

    def loss(self, head: Head) -> keras.losses.Loss:
        logits = head.activation == "linear"
        if head.outputs == 1:
            return keras.losses.BinaryCrossentropy(from_logits=logits)
        ignored = IGNORED if self.ignored else None
        return keras.losses.SparseCategoricalCrossentropy(from_logits=logits, ignore_class=ignored)

    def check_loss(self, loss: Loss, head: Head) -> None:
        check_logits(loss, head)
        leaves_out = not isinstance(loss, keras.losses.Loss) or loss.get_config().get("ignore_class") == IGNORED
        if self.ignored and not leaves_out:
            raise ReglabError(
                f"Some positions have the label {IGNORED} and count nowhere, which the loss {type(loss).__name__} does "
                f"not know. Give sparse_categorical_crossentropy(ignore_class={IGNORED}), or a function of your own."
            )

    def label_forms(self, head: Head) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
        """Return class indices ``(N, ...)``, and distributions ``(N, ..., classes)`` where there is an output each."""
        one_hot = np.eye(len(self.classes), dtype="float32")
        return (lambda y: y,) if head.outputs == 1 or self.ignored else (lambda y: y, lambda y: one_hot[y])

    def costs(self, y: Tensor, outputs: Tensor, head: Head, weights: Mapping[str, float] | None = None) -> Tensor:
        """Return the cross-entropy of each example, mean over its positions, in nats."""
        ops = keras.ops
        y = ops.cast(y, "int32")
        there = y != IGNORED
        if head.outputs == 1:
            if head.activation == "linear":
                outputs = ops.concatenate([ops.zeros_like(outputs), outputs], axis=-1)
            else:
                outputs = ops.log(ops.maximum(ops.concatenate([1.0 - outputs, outputs], axis=-1), _SMALLEST))
        elif head.activation != "linear":
            outputs = ops.log(ops.maximum(outputs, _SMALLEST))
        costs = ops.sparse_categorical_crossentropy(ops.where(there, y, 0), outputs, from_logits=True)
        there, axes = ops.cast(there, costs.dtype), tuple(range(1, len(y.shape)))
        return ops.sum(costs * there, axis=axes) / ops.maximum(ops.sum(there, axis=axes), 1.0)

    def kept_by(self, head: Head) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
        return (*class_probabilities(head), ends.halved)

    @property
    def kept_shape(self) -> tuple[int, ...]:
        return (*self.shape, len(self.classes))

    def chosen(self, predictions: np.ndarray) -> np.ndarray:
        return np.asarray(predictions.argmax(axis=-1))

    def in_words(self, labels: np.ndarray) -> tuple[str, ...]:
        """Return how much of each example is of each class, the largest shares first, three at most."""
        return tuple(self._in_words(row[row != IGNORED]) for row in np.asarray(labels))

    def _in_words(self, of_one: np.ndarray) -> str:
        shares = np.bincount(of_one, minlength=len(self.classes)) / max(1, of_one.size)
        there = [i for i in np.argsort(-shares, kind="stable") if shares[i]]
        told = [f"{self.classes[i]} {100 * shares[i]:.0f} %" for i in there[:_MOST_SHARES]]
        rest = shares[there[_MOST_SHARES:]].sum()
        return ", ".join([*told, *([f"others {100 * rest:.0f} %"] if rest else [])]) or "no label"

    def counting(self, y: np.ndarray) -> np.ndarray:
        return np.asarray((y != IGNORED).reshape(len(y), -1).any(axis=1))

    def measurable(self, y: np.ndarray) -> bool:
        return bool(self.counting(y).any())

    @property
    def said_of(self) -> Callable[[np.ndarray, Sequence[str]], str]:
        return shares_of

    def finish(self, outputs: Tensor, head: Head, *, of: str = "") -> Tensor:
        return finished(outputs, head, of)

    def check_shape(self, shape: tuple[int | None, ...]) -> None:
        count, binary = len(self.classes), len(self.classes) == 2
        if shape == (*self.shape, count) or (binary and shape == (*self.shape, 1)):
            return
        wanted = with_batch((*self.shape, count)) + (f" or {with_batch((*self.shape, 1))}" if binary else "")
        raise ReglabError(
            f"The model's output has shape {with_batch(shape)}; the data has one of {count} classes for each of "
            f"{self._places} positions, so expected is {wanted}. Give a model that keeps the positions, such as "
            f"recurrent layers with return_sequences=True or convolutions with padding='same', and ends in {count} "
            "units or filters."
        )

    @property
    def _places(self) -> str:
        return "x".join(map(str, self.shape))

    def check_head(self, head: Head) -> None:
        if head.activation == "sigmoid" and head.outputs > 1:
            raise ReglabError(
                f"The model ends in {head.outputs} sigmoids per position, which tell of each class whether it is "
                "there; here each position is of one class. End it in softmax, or without activation."
            )
        if head.activation == "softmax" and head.outputs == 1:
            raise ReglabError(
                "The model ends in a softmax over one output per position, which is always 1. End it in sigmoid, or "
                "give it 2 outputs."
            )
        if self.ignored and head.outputs == 1:
            raise ReglabError(
                "Some positions are to be ignored, which the binary cross-entropy of a single output cannot do. Give "
                "the model 2 outputs per position, with softmax."
            )

    def masked(self, y: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.where(mask.reshape(mask.shape[: y.ndim]), y, IGNORED).astype(y.dtype)

    def misfit(self, y: np.ndarray, predictions: np.ndarray) -> str:
        count = len(self.classes)
        if y.shape[1:] != self.shape or predictions.shape != (*y.shape, count) or y.dtype.kind not in "iu":
            return (
                f"probabilities {predictions.shape} and labels {y.dtype} {y.shape} are not of {count} classes for each "
                f"of {self._places} positions"
            )
        return "" if not y.size or IGNORED <= y.min() <= y.max() < count else f"labels are not of {count} classes"

    @property
    def numbers(self) -> int:
        return math.prod(self.shape) * (len(self.classes) + 2) // 2  # two bytes per probability, four per label

    # --- data ------------------------------------------------------------------------------------------------------

    def hold_out(self, y: np.ndarray, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the examples that stay and those that are held out, both with the classes in proportion.

        An example counts as one of a class that it has, or, of a class that all have, as one that has much of it.
        """
        kinds = self._kinds(y)
        return by_labels(kinds, size, seed=seed) if kinds.shape[1] else anyhow(len(y), size, seed=seed)

    def _kinds(self, y: np.ndarray) -> np.ndarray:
        """Return which examples have a class, or more of it than half of the examples, ``(N, kinds)`` of 0 and 1."""
        shares = np.stack([(y == i).reshape(len(y), -1).mean(axis=1) for i in range(len(self.classes))], axis=1)
        there = np.where((shares > 0).all(axis=0), shares > np.median(shares, axis=0), shares > 0)
        return there[:, there.any(axis=0) & ~there.all(axis=0)].astype("int8")

    def hold_out_of_few(self, y: np.ndarray, share: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return self.hold_out(y, share, seed=seed) if len(y) > 1 else (np.arange(len(y)), np.arange(0))

    def strata(self, y: np.ndarray) -> np.ndarray:
        return self._kinds(y)

    def fewest(self, y: np.ndarray) -> int:
        return 1

    def counted(self, y: np.ndarray) -> str:
        return f" of {self._places} positions"

    def details(self, y: np.ndarray, predictions: np.ndarray) -> dict[str, Any]:
        """Return ``confusion``, counts of positions ``(classes, classes)``."""
        return {"confusion": of.confusion(y, predictions)}

    def by_name(self, details: Sequence[Mapping[str, Any]]) -> ByName:
        """Return IoU, Dice, precision and recall of each class, of all runs together; NaN where there is 0 / 0."""
        counts = np.sum([each["confusion"] for each in details], axis=0)
        hits, given, true = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
        parts = {"IoU": (hits, given + true - hits), "Dice": (2 * hits, given + true),
                 "precision": (hits, given), "recall": (hits, true)}  # fmt: skip
        scores = {
            name: np.divide(above, below, out=np.full(len(hits), np.nan), where=below > 0)
            for name, (above, below) in parts.items()
        }
        return ByName("class", "classes", true // len(details), scores, compared="IoU", of="positions")

    # --- diagnosis -------------------------------------------------------------------------------------------------

    def blind(self, y: np.ndarray) -> np.ndarray:
        """Return the frequencies of the classes, for every position."""
        shares = np.bincount(y[y != IGNORED].ravel(), minlength=len(self.classes)) / max(1, (y != IGNORED).sum())
        return np.broadcast_to(shares, (*y.shape, len(shares)))

    def points(self, y: np.ndarray, predictions: np.ndarray) -> Pair | None:
        """Return positions as points, one-hot and by their probabilities; of very many every so manyth."""
        there = np.flatnonzero((y != IGNORED).ravel())
        there = there[:: -(-len(there) // _MOST_POINTS) or 1]
        count, lead = len(self.classes), predictions.shape[: predictions.ndim - y.ndim - 1]
        if not len(there):
            return None
        given = predictions.reshape(*lead, -1, count)[..., there, :]
        return np.eye(count)[y.ravel()[there]], given

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "classes": list(self.classes), "shape": list(self.shape), "ignored": self.ignored,
            "deciding": self.deciding,
        }  # fmt: skip
