"""What tasks have in common that give each example one of several classes, by a probability of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reglab.aliases import Loss, Tensor
from reglab.errors import ReglabError, nearest
from reglab.lazy import dummy, ensemble, keras, linear_model
from reglab.tasks import outputs as ends
from reglab.tasks import probabilities as of
from reglab.tasks.base import ByName, Pair, Task, layer_name
from reglab.tasks.head import Head, with_batch
from reglab.tasks.hold_out import by_class, by_class_of_few
from reglab.tasks.metric import Metric

__all__ = [
    "ACCURACY",
    "BALANCED",
    "CROSS_ENTROPY",
    "METRICS",
    "ClassTask",
    "OfClasses",
    "by_class_weights",
    "check_logits",
    "class_probabilities",
    "finished",
    "imbalanced",
]

_SMALLEST = 1e-37  # of a probability in float32

ACCURACY = Metric(
    "accuracy", "accuracy", of.accuracy, per_example=of.hits, counts=True, compiled="'accuracy'",
    aliases=("acc", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy"),
)  # fmt: skip
BALANCED = Metric(
    "balanced_accuracy",
    "balanced accuracy",
    of.balanced_accuracy,
    per_example=of.balanced_hits,
    counts=True,
    weighted=of.balanced_accuracy,
)
PRECISION = Metric("precision", "precision", of.macro_precision, averaged="macro")
CROSS_ENTROPY = Metric(
    "cross_entropy",
    "cross-entropy",
    of.cross_entropy,
    better="lower",
    scale=1.0,
    unit="nats",
    apart="nats",
    form=".3f",
    rough=".2f",
    highest=float("inf"),
    per_example=of.surprise,
    aliases=("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"),
)
ECE = Metric(
    "ece",
    "ECE",
    of.expected_calibration_error,
    better="lower",
    unit="points",
    form=".1f",
    meaning="expected calibration error",
)
METRICS = (
    ACCURACY,
    PRECISION,
    Metric("recall", "recall", of.macro_recall, averaged="macro"),
    Metric("f1", "F1", of.macro_f1, averaged="macro"),
    Metric("top_5", "top-5 accuracy", of.top_k),
    CROSS_ENTROPY,
    Metric("brier", "Brier score", of.brier, better="lower", scale=1.0, unit="", apart="", form=".3f", highest=2.0),
    ECE,
    Metric("overconfidence", "overconfidence", of.overconfidence, better="", unit="points", form=".1f", lowest=-1.0),
    BALANCED,
)


# Where the largest class has more than this times its equal share, or more than this share of all labels, accuracy says
# little of the others.
_LARGE, _LARGE_SHARE = 2.0, 0.8


def imbalanced(y: np.ndarray, classes: int) -> bool:
    """Whether one class has more than twice its equal share of the labels, or more than four fifths of them.

    >>> imbalanced(np.array([0, 0, 1, 2]), 3), imbalanced(np.array([0, 0, 0, 0, 1, 2]), 3)
    (False, False)
    >>> imbalanced(np.array([0, 0, 0, 0, 0, 1, 2]), 3), imbalanced(np.array([0] * 9 + [1]), 2)
    (True, True)
    """
    share = float(np.bincount(y, minlength=classes).max()) / max(1, len(y))
    return share * classes > _LARGE or share > _LARGE_SHARE


def likeliest(row: np.ndarray, names: Sequence[str]) -> str:
    """Return the most probable class of a prediction with its probability.

    >>> likeliest(np.array([0.25, 0.75]), ["cat", "dog"])
    'dog 0.750'
    """
    return f"{names[int(row.argmax())]} {row.max():.3f}"


def class_probabilities(head: Head) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
    """Return the functions from outputs of classes to a probability of each, along the last axis."""
    if head.outputs > 1:
        return (ends.softmaxed,) if head.activation == "linear" else ()
    return (ends.sigmoids, ends.of_two) if head.activation == "linear" else (ends.of_two,)


def finished(outputs: Tensor, head: Head, of: str) -> Tensor:
    """Return the same of a network, by layers of Keras behind its outputs."""
    made = "sigmoid" if head.outputs == 1 else "softmax"
    activation = made if head.activation == "linear" else "linear"
    found = keras.layers.Activation(activation, dtype="float32", name=layer_name("probabilities", of))(outputs)
    if head.outputs > 1:
        return found
    first = keras.layers.Rescaling(-1.0, offset=1.0, dtype="float32", name=layer_name("first_class", of))(found)
    return keras.layers.Concatenate(dtype="float32", name=layer_name("classes", of))([first, found])


def check_logits(loss: Loss, head: Head) -> None:
    """Raise a ReglabError for a loss of probabilities where a model gives logits, and for one of logits elsewhere."""
    logits = head.activation == "linear"
    takes = loss.get_config().get("from_logits") if isinstance(loss, keras.losses.Loss) else None
    takes = False if isinstance(loss, keras.losses.KLDivergence) else takes
    if takes is not None and takes != logits:
        gives, wants = ("logits", "probabilities") if logits else ("probabilities", "logits")
        raise ReglabError(
            f"The loss {type(loss).__name__} takes {wants} (from_logits={takes}), and the model gives {gives}. Give "
            f"the loss from_logits={logits}, or end the model otherwise."
        )


def by_class_weights(
    y: np.ndarray, weights: str | Mapping[str, float] | Sequence[float], train: np.ndarray, classes: Sequence[str]
) -> np.ndarray:
    """Return the weight of each example's class, float32 ``(N,)``; a class that is not named has 1, as in Keras.

    ``balanced`` is scikit-learn's: training examples, divided by classes times those of the class. Names count as
    class indices, as Keras takes them, where they are no names.

    >>> y = np.array([0, 0, 0, 1])
    >>> by_class_weights(y, "balanced", np.arange(4), ("cat", "dog")).tolist()
    [0.6666666865348816, 0.6666666865348816, 0.6666666865348816, 2.0]
    >>> by_class_weights(y, {"dog": 5}, np.arange(4), ("cat", "dog")).tolist()
    [1.0, 1.0, 1.0, 5.0]
    """
    if isinstance(weights, str):
        counts = np.bincount(y[train], minlength=len(classes))
        of_classes = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    elif isinstance(weights, Mapping):
        of_classes = np.ones(len(classes))
        indices = {str(index): index for index in range(len(classes))}
        by_name = {name: index for index, name in enumerate(classes)}
        named = set(weights) <= set(by_name) or not set(weights) <= set(indices)
        positions = by_name if named else indices
        for name, weight in weights.items():
            if name not in positions:
                raise ReglabError(
                    f"class_weight names {name!r}, which is no class of the data.{nearest(name, by_name)} There are "
                    f"{', '.join(classes)}."
                )
            of_classes[positions[name]] = weight
    elif len(weights) == len(classes):
        of_classes = np.asarray(weights)
    else:
        raise ReglabError(f"class_weight has {len(weights)} weights; the data has {len(classes)} classes.")
    return np.asarray(of_classes.astype("float32")[y])


@dataclass(frozen=True, kw_only=True)
class OfClasses(Task):
    """Labels are classes, of which a model gives probabilities: of examples, or of their positions.

    Attributes:
        accuracy: the share of labels that are right, as it is counted here.
        cross_entropy: of the probabilities.
        classes: their names, in the order of class indices.
    """

    accuracy: ClassVar[Metric]
    cross_entropy: ClassVar[Metric]

    classes: tuple[str, ...]

    @property
    def success(self) -> Metric:
        return self.accuracy

    @property
    def criterion(self) -> Metric:
        return self.cross_entropy

    @property
    def names(self) -> tuple[str, ...]:
        return self.classes


@dataclass(frozen=True, kw_only=True)
class ClassTask(OfClasses):
    """Each example is of one class."""

    distance: ClassVar[str] = "Brier score"
    accuracy: ClassVar[Metric] = ACCURACY
    cross_entropy: ClassVar[Metric] = CROSS_ENTROPY

    @property
    def columns(self) -> tuple[Metric, ...]:
        return tuple(metric for metric in (PRECISION, CROSS_ENTROPY, ECE) if metric != self.decides)

    @property
    def fitted(self) -> tuple[str, ...]:
        return ("temperature", "ece_tempered", "cross_entropy_tempered")

    def adjusted(self, y: np.ndarray, predictions: np.ndarray, validation: Pair) -> dict[str, float]:
        """Return what dividing logits by a temperature gives, which is fitted on validation and changes no decision."""
        found = of.temperature(*validation)
        scaled = of.tempered(predictions, found)
        return {
            "temperature": found,
            "ece_tempered": of.expected_calibration_error(y, scaled),
            "cross_entropy_tempered": of.cross_entropy(y, scaled),
        }

    # --- models ----------------------------------------------------------------------------------------------------

    def loss(self, head: Head) -> keras.losses.Loss:
        """Return the cross-entropy that such outputs are trained with, on class indices."""
        logits = head.activation == "linear"
        if head.outputs == 1:
            return keras.losses.BinaryCrossentropy(from_logits=logits)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)

    def check_loss(self, loss: Loss, head: Head) -> None:
        check_logits(loss, head)

    def label_forms(self, head: Head) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
        """Return class indices ``(N,)``, and distributions ``(N, classes)`` where there is an output per class."""
        one_hot = np.eye(len(self.classes), dtype="float32")
        return (lambda y: y,) if head.outputs == 1 else (lambda y: y, lambda y: one_hot[y])

    def weigh(
        self, y: np.ndarray, weights: str | Mapping[str, float] | Sequence[float], train: np.ndarray
    ) -> np.ndarray:
        return by_class_weights(y, weights, train, self.classes)

    def costs(self, y: Tensor, outputs: Tensor, head: Head, weights: Mapping[str, float] | None = None) -> Tensor:
        """Return the cross-entropy of each example, in nats."""
        ops, logits = keras.ops, head.activation == "linear"
        y = ops.cast(y, "int32")
        if logits and head.outputs > 1:
            return ops.sparse_categorical_crossentropy(y, outputs, from_logits=True)
        if logits:
            return ops.softplus(outputs[:, 0] * (1.0 - 2.0 * ops.cast(y, "float32")))
        if head.outputs == 1:
            outputs = ops.concatenate([1.0 - outputs, outputs], axis=-1)
        right = ops.one_hot(y, outputs.shape[-1], dtype="float32")
        chosen = ops.sum(outputs * right, axis=-1)
        others = ops.sum(outputs * (1.0 - right), axis=-1)
        # As a difference of logarithms, so that neither a tiny p(y) nor tiny others leave the range of float32.
        return ops.softplus(ops.log(ops.maximum(others, _SMALLEST)) - ops.log(ops.maximum(chosen, _SMALLEST)))

    def kept_by(self, head: Head) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
        return class_probabilities(head)

    @property
    def said_of(self) -> Callable[[np.ndarray, Sequence[str]], str]:
        return likeliest

    def finish(self, outputs: Tensor, head: Head, *, of: str = "") -> Tensor:
        return finished(outputs, head, of)

    def in_keras(self, metric: Metric, head: Head, *, dense: bool = False) -> str:
        one, logits = head.outputs == 1, head.activation == "linear"
        if metric == ACCURACY:
            # By its name Keras takes the accuracy that goes with the loss, and of one output the cut at 0.5.
            return 'keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")' if one and logits else '"accuracy"'
        if metric == CROSS_ENTROPY:
            form = "Binary" if one else f"{'' if dense else 'Sparse'}Categorical"
            return f'keras.metrics.{form}Crossentropy({"from_logits=True, " if logits else ""}name="cross_entropy")'
        return ""

    def check_shape(self, shape: tuple[int | None, ...]) -> None:
        count, binary = len(self.classes), len(self.classes) == 2
        if shape == (count,) or (binary and shape == (1,)):
            return
        wanted = f"(batch, {count})" + (" or (batch, 1)" if binary else "")
        raise ReglabError(
            f"The model's output has shape {with_batch(shape)}; the data has {count} classes, so expected is {wanted}. "
            f"Give the last layer {count} units, and no axis but batch and classes."
        )

    def check_head(self, head: Head) -> None:
        if head.activation == "sigmoid" and head.outputs > 1:
            raise ReglabError(
                f"The model ends in {head.outputs} sigmoids, which tell of each class whether it is there; here each "
                "example is of one class. End it in softmax, or without activation."
            )
        if head.activation == "softmax" and head.outputs == 1:
            raise ReglabError(
                "The model ends in a softmax over one output, which is always 1. End it in sigmoid, or give it 2 "
                "outputs."
            )

    def misfit(self, y: np.ndarray, predictions: np.ndarray) -> str:
        if predictions.ndim != 2 or y.ndim != 1 or y.dtype.kind not in "iu":
            return f"probabilities {predictions.shape} and labels {y.dtype} {y.shape} do not fit"
        count = predictions.shape[1]
        if count != len(self.classes) or (len(y) and not 0 <= y.min() <= y.max() < count):
            return f"probabilities of {count} classes, or a label among them, are not of {len(self.classes)} classes"
        return ""

    @property
    def numbers(self) -> int:
        return len(self.classes) + 1

    # --- data ------------------------------------------------------------------------------------------------------

    def hold_out(self, y: np.ndarray, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions that stay and those that are held out, both with the classes in proportion."""
        try:
            return by_class(y, size, seed=seed)
        except ValueError as error:
            counts = np.bincount(y, minlength=len(self.classes))
            rarest = int(counts.argmin())
            raise ValueError(
                f"every class has to be in it, and the rarest, {self.classes[rarest]!r}, has {counts[rarest]} ({error})"
            ) from None

    def hold_out_of_few(self, y: np.ndarray, share: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return by_class_of_few(y, share, seed=seed)

    def strata(self, y: np.ndarray) -> np.ndarray:
        return y

    def fewest(self, y: np.ndarray) -> int:
        return len(np.unique(y))

    def counted(self, y: np.ndarray) -> str:
        return f" of {len(np.unique(y))} classes"

    def references(self) -> dict[str, Callable[[int], Any]]:
        return {
            "the majority": lambda seed: dummy.DummyClassifier(strategy="prior"),
            "logistic regression": lambda seed: linear_model.LogisticRegression(max_iter=1000),
            "gradient boosting": lambda seed: ensemble.HistGradientBoostingClassifier(random_state=seed),
        }

    def compact(self, predictions: np.ndarray) -> np.ndarray:
        """Return rounded probabilities where what decides is which class is most probable; that class stays.

        To hundredths of ten classes, thousandths of a hundred, and so on.
        """
        if not self.decides.counts:
            return predictions
        digits = max(2, math.ceil(math.log10(len(self.classes)) + 1))
        found, first = predictions.round(digits), predictions.argmax(axis=-1)
        rows = np.flatnonzero(found.argmax(axis=-1) != first)
        found[rows, first[rows]] += 10.0**-digits
        return np.asarray(found.round(digits))

    def details(self, y: np.ndarray, predictions: np.ndarray) -> dict[str, Any]:
        """Return ``confusion``, counts ``(classes, classes)``, and ``calibration``, confidence against accuracy."""
        return {"confusion": of.confusion(y, predictions), "calibration": of.calibration(y, predictions)}

    def by_name(self, details: Sequence[Mapping[str, Any]]) -> ByName:
        """Return precision, recall and F1 of each class, of all runs together; what would divide by zero is 0."""
        counts = np.sum([each["confusion"] for each in details], axis=0)
        hits, given, true = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
        scores = {
            "precision": hits / np.maximum(given, 1),
            "recall": hits / np.maximum(true, 1),
            "F1": 2 * hits / np.maximum(given + true, 1),
        }
        return ByName("class", "classes", true // len(details), scores, compared="recall")

    def chosen(self, predictions: np.ndarray) -> np.ndarray:
        return np.asarray(predictions.argmax(axis=-1))

    def in_words(self, labels: np.ndarray) -> tuple[str, ...]:
        return tuple(self.classes[label] for label in labels)

    def right(self, y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        return np.asarray(self.chosen(predictions) == y)

    # --- diagnosis -------------------------------------------------------------------------------------------------

    def blind(self, y: np.ndarray) -> np.ndarray:
        """Return the frequencies of the classes, for every example."""
        shares = np.bincount(y, minlength=len(self.classes)) / len(y)
        return np.broadcast_to(shares, (len(y), len(shares)))

    def chance(self, y: np.ndarray | None = None) -> float:
        """Return the level of the frequencies, or of classes that are equally frequent; 0 where they are not known."""
        if y is None:
            y = np.arange(len(self.classes))
        return super().chance(y) if len(y) else 0.0

    def overconfidence(self, y: np.ndarray, predictions: np.ndarray) -> tuple[float, float]:
        return of.overconfidence(y, predictions), of.temperature(y, predictions)

    def points(self, y: np.ndarray, predictions: np.ndarray) -> Pair:
        """Return labels as one-hot points, and the probabilities: their distance is the Brier score."""
        return np.eye(predictions.shape[-1])[y], predictions

    def memorized(self, success: float, share: float) -> float:
        """Return ``1 - (1 - success) / share``: of the others no more than all can be right."""
        return max(0.0, 1 - (1 - success) / share)

    def mislabelled(self, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return for each example a class that it is not of."""
        return (y + random.integers(1, len(self.classes), size=len(y))) % len(self.classes)

    @property
    def said(self) -> str:
        return "" if self.decides == ACCURACY else f"by {self.decides.title}"

    def why(self, y: np.ndarray) -> str:
        counts = np.bincount(y, minlength=len(self.classes))
        largest = int(counts.argmax())
        if self.decides != BALANCED or not imbalanced(y, len(self.classes)):
            return ""
        share = f"{100 * counts[largest] / len(y):.0f} % of the examples are of the class {self.classes[largest]!r}"
        return f"{share}, and accuracy says little of the others"

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "classes": list(self.classes), "deciding": self.deciding}
