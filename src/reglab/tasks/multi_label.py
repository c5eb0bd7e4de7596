"""Multi-label classification: each example has any number of several labels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reglab.aliases import Loss, Tensor
from reglab.data.labels import Form
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.tasks import label_sets as of
from reglab.tasks import outputs as ends
from reglab.tasks import probabilities
from reglab.tasks.base import ByName, Pair, Task
from reglab.tasks.classes import check_logits
from reglab.tasks.head import Activation, Head, with_batch
from reglab.tasks.hold_out import by_labels
from reglab.tasks.metric import Metric

__all__ = ["MultiLabel"]

_SMALLEST = 1e-37  # of a probability in float32

MAP = Metric(
    "map", "mAP", of.mean_average_precision, per_example=of.precision_scores, weighted=of.mean_average_precision,
    meaning="average precision, mean over labels",
)  # fmt: skip
MICRO_F1 = Metric(
    "micro_f1", "micro F1", of.micro_f1, per_example=of.micro_f1_scores, weighted=of.micro_f1,
    meaning="F1 of all labels together, each given from a probability of a half on",
)  # fmt: skip
MACRO_F1 = Metric(
    "macro_f1", "macro F1", of.macro_f1, per_example=of.macro_f1_scores, weighted=of.macro_f1,
    meaning="F1 of each label, mean over labels",
)  # fmt: skip
SUBSET = Metric(
    "subset_accuracy", "subset accuracy", of.subset_accuracy, per_example=of.exact_scores, counts=True,
    meaning="share of examples with all their labels and no other",
)  # fmt: skip
LOG_LOSS = Metric(
    "log_loss", "log loss", of.log_loss, better="lower", scale=1.0, unit="nats", apart="nats", form=".3f", rough=".2f",
    highest=float("inf"), per_example=of.bit_surprise, aliases=("binary_crossentropy",),
    meaning="binary cross-entropy, mean over labels",
)  # fmt: skip
METRICS = (
    MAP,
    MICRO_F1,
    MACRO_F1,
    SUBSET,
    Metric("hamming", "Hamming loss", of.hamming, better="lower", per_example=of.hamming_scores,
           meaning="share of labels that are wrongly given or missing"),
    LOG_LOSS,
)  # fmt: skip


def given_of(row: np.ndarray, names: Sequence[str]) -> str:
    """Return the labels of a prediction whose probability is a half or more, each with it.

    >>> given_of(np.array([0.75, 0.25, 0.5]), ["sea", "sun", "sand"])
    'sea 0.750, sand 0.500'
    """
    return ", ".join(f"{name} {value:.3f}" for name, value in zip(names, row, strict=True) if value >= 0.5)


@dataclass(frozen=True, kw_only=True)
class MultiLabel(Task):
    """Each example has any number of several labels; mAP decides unless another metric is named.

    A model has one output per label, a probability or its logit, and is trained with the binary cross-entropy, mean
    over labels. What is kept are probabilities. A label is given where its probability is a half or more.

    Attributes:
        labels: their names, in the order of columns.

    Example:
        >>> MultiLabel(labels=("sea", "sunset")).decides.shown(0.875)
        '87.50 %'
    """

    kind: ClassVar[str] = "multi-label"
    form: ClassVar[Form] = "sets"
    ending: ClassVar[Activation] = "sigmoid"
    column: ClassVar[tuple[str, str]] = ("label", "labels")
    uninformed: ClassVar[str] = "the frequencies of the labels"
    distance: ClassVar[str] = "Brier score, summed over labels,"

    deciding: str = "map"
    labels: tuple[str, ...]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return METRICS

    @property
    def success(self) -> Metric:
        return MAP

    @property
    def criterion(self) -> Metric:
        return LOG_LOSS

    @property
    def columns(self) -> tuple[Metric, ...]:
        return tuple(metric for metric in (MAP, MICRO_F1, SUBSET, LOG_LOSS) if metric != self.decides)

    @property
    def fitted(self) -> tuple[str, ...]:
        return ("macro_f1_at_thresholds",)

    def adjusted(self, y: np.ndarray, predictions: np.ndarray, validation: Pair) -> dict[str, float]:
        """Return the macro-averaged F1 where each label is given from the threshold on that is best on validation."""
        labels, given = validation
        cuts = [
            probabilities.threshold(labels[:, i], _two(given[:, i])) if labels[:, i].any() else 0.5
            for i in range(len(self.labels))
        ]
        shifted = np.where(predictions >= np.array(cuts, predictions.dtype), 1.0, 0.0)
        return {"macro_f1_at_thresholds": of.macro_f1(y, shifted)}

    # --- models ----------------------------------------------------------------------------------------------------

    def loss(self, head: Head) -> keras.losses.Loss:
        return keras.losses.BinaryCrossentropy(from_logits=head.activation == "linear")

    def check_loss(self, loss: Loss, head: Head) -> None:
        check_logits(loss, head)

    def costs(self, y: Tensor, outputs: Tensor, head: Head, weights: Mapping[str, float] | None = None) -> Tensor:
        """Return the binary cross-entropy of each example, mean over labels, in nats."""
        ops = keras.ops
        y = ops.cast(y, "float32")
        if head.activation != "linear":
            # As a difference of logarithms, so that neither end leaves the range of float32.
            outputs = ops.log(ops.maximum(outputs, _SMALLEST)) - ops.log(ops.maximum(1.0 - outputs, _SMALLEST))
        return ops.mean(ops.softplus(outputs * (1.0 - 2.0 * y)), axis=-1)

    def kept_by(self, head: Head) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
        return (ends.sigmoids,) if head.activation == "linear" else ()

    def check_shape(self, shape: tuple[int | None, ...]) -> None:
        count = len(self.labels)
        if shape == (count,):
            return
        positions = (
            " If the data has a class per position, such as a step or a pixel, name that task."
            if len(shape) > 1
            else ""
        )
        raise ReglabError(
            f"The model's output has shape {with_batch(shape)}; the data has {count} labels, of which each example has "
            f"any number, so expected is (batch, {count}). Give the last layer {count} units with a sigmoid.{positions}"
        )

    def check_head(self, head: Head) -> None:
        if head.activation == "softmax":
            raise ReglabError(
                f"The model ends in a softmax, whose outputs sum to 1; here an example has any number of "
                f"{len(self.labels)} labels. End it in sigmoid, or without activation; or name another task (--task)."
            )

    def misfit(self, y: np.ndarray, predictions: np.ndarray) -> str:
        count = len(self.labels)
        if y.shape != predictions.shape or y.shape[1:] != (count,) or y.dtype.kind not in "iu":
            return f"probabilities {predictions.shape} and labels {y.dtype} {y.shape} are not of {count} labels"
        return "" if np.isin(y, (0, 1)).all() else "labels other than 0 and 1 are among them"

    @property
    def names(self) -> tuple[str, ...]:
        return self.labels

    @property
    def numbers(self) -> int:
        return 2 * len(self.labels)

    # --- data ------------------------------------------------------------------------------------------------------

    def hold_out(self, y: np.ndarray, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions that stay and those that are held out, both with the labels in proportion."""
        return by_labels(y, size, seed=seed)

    def hold_out_of_few(self, y: np.ndarray, share: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return by_labels(y, share, seed=seed) if len(y) > 1 else (np.arange(len(y)), np.arange(0))

    def strata(self, y: np.ndarray) -> np.ndarray:
        return y

    def fewest(self, y: np.ndarray) -> int:
        return 1

    def counted(self, y: np.ndarray) -> str:
        return f" of {len(self.labels)} labels"

    def details(self, y: np.ndarray, predictions: np.ndarray) -> dict[str, Any]:
        """Return ``average_precisions`` and ``counts`` of labels: hits, given and there, ``(3, labels)``."""
        return {
            "average_precisions": of.average_precisions(y, predictions),
            "counts": np.stack(of.counts(y, predictions)).astype(int),
        }

    def by_name(self, details: Sequence[Mapping[str, Any]]) -> ByName:
        """Return average precision, mean over runs, and precision, recall and F1 of all runs together."""
        hits, given, true = np.sum([each["counts"] for each in details], axis=0)
        return ByName(
            "label",
            "labels",
            true // len(details),
            {
                "average precision": np.mean([each["average_precisions"] for each in details], axis=0),
                "precision": hits / np.maximum(given, 1),
                "recall": hits / np.maximum(true, 1),
                "F1": 2 * hits / np.maximum(given + true, 1),
            },
            compared="average precision",
        )

    @property
    def said_of(self) -> Callable[[np.ndarray, Sequence[str]], str]:
        return given_of

    def chosen(self, predictions: np.ndarray) -> np.ndarray:
        return np.asarray(predictions >= 0.5)

    def in_words(self, labels: np.ndarray) -> tuple[str, ...]:
        sets = [[name for name, there in zip(self.labels, row, strict=True) if there] for row in labels]
        return tuple(", ".join(of_one) or "no label" for of_one in sets)

    def measurable(self, y: np.ndarray) -> bool:
        return bool(y.any())  # an average precision is of examples that have the label

    def right(self, y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        return of.exact(y, predictions)

    # --- diagnosis -------------------------------------------------------------------------------------------------

    def points(self, y: np.ndarray, predictions: np.ndarray) -> Pair:
        """Return label sets and probabilities as points: their distance is the Brier score, summed over labels."""
        return y, predictions

    @classmethod
    def of_log(cls, names: Collection[str], *, loss: str = "", outputs: int | None = None) -> MultiLabel | None:
        """Return the task of a log of a model with several outputs and the binary cross-entropy, or with a log loss."""
        several = loss in LOG_LOSS.aliases and outputs is not None and outputs > 2
        if not several and (loss or not {LOG_LOSS.name, MAP.name} & set(names)):
            return None
        return cls(labels=tuple(map(str, range(outputs or 0))))

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "labels": list(self.labels), "deciding": self.deciding}


def _two(positive: np.ndarray) -> np.ndarray:
    return np.stack([1 - positive, positive], axis=1)
