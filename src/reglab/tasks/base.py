"""Tasks: what a model predicts, and everything that follows from it.

A :class:`Task` is a frozen value, one file per kind. The rest of the package never asks which kind a task is; it asks
the task:

=================================  ===================================================================================
question                           answered by
=================================  ===================================================================================
does a model fit these labels?     :meth:`Task.check_shape` and :meth:`Task.check_head`, given what it ends in
what is it trained with?           :meth:`Task.loss`, unless a study names another: :meth:`Task.check_loss`,
                                   :meth:`Task.label_forms`, :meth:`Task.weigh`
what is kept of its outputs?       :meth:`Task.predictions`: one array per part of the data, examples first
what is measured?                  :attr:`Task.metrics`, each a :class:`Metric`: a name, a function of labels and
                                   predictions, the better direction, the unit it is shown in, scores per example
what decides?                      :attr:`Task.decides`, one of them: which epoch, which run and which recipe is the
                                   best; what verdicts are about; what a search maximizes
what is followed each epoch?       :attr:`Task.watched`: what decides, :attr:`Task.success` (how much of what can be
                                   learned is learned) and :attr:`Task.criterion` (what the loss measures)
what does a result consist of?     :attr:`Task.recorded`: every scalar of a finished run, in the order of tables
how are examples held out?         :meth:`Task.hold_out`, so that each part has its share of everything;
                                   :meth:`Task.strata`: of what, where whole groups are
what does a table show besides?    :attr:`Task.columns`
what more is there to see?         :meth:`Task.details`: by name, what sections of the report are made of;
                                   :meth:`Task.by_name`: a table of classes or labels from it
what is a table seen beside?       :meth:`Task.references`: guessing, and scikit-learn's standard models
what do people take home?          :meth:`Task.finish`: layers from a model's outputs to what is kept of them;
                                   :meth:`Task.in_keras` and :meth:`Task.in_python`: a metric where reglab is not;
                                   :attr:`Task.said_of`: a prediction in words
what does a diagnosis go by?       :attr:`Task.level`, from :meth:`Task.chance` to :attr:`Task.attainable`, and
                                   :attr:`Task.criterion`; :meth:`Task.overconfidence` where predictions say how sure
                                   they are; :meth:`Task.points`, of which bias and variance are
which labels would be wrong?       :meth:`Task.mislabelled`
which task is a training log of?   :meth:`Task.of_log`, and by which names it has a metric: :attr:`Metric.aliases`
=================================  ===================================================================================

A task is written into a folder as plain data (:meth:`Task.to_dict`), so whoever reads the folder knows it without the
data and without Keras, which is imported only where a loss is asked for. No sentence is made here; the words and units
that sentences need are.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reglab.aliases import Loss, Tensor
from reglab.data.labels import Form
from reglab.data.several import by_input
from reglab.errors import ReglabError, nearest
from reglab.lazy import keras
from reglab.tasks.head import Activation, Head
from reglab.tasks.metric import COSTS, Metric, Score

__all__ = ["ByName", "Pair", "Task", "each_of"]

Pair = tuple[np.ndarray, np.ndarray]  # labels and predictions


def each_of(row: np.ndarray, names: Sequence[str]) -> str:
    """Return the numbers of a prediction with their names.

    >>> each_of(np.array([0.5, 2.0]), ["width", "height"])
    'width 0.5, height 2'
    """
    return ", ".join(f"{name} {value:.6g}" for name, value in zip(names, row, strict=True))


def layer_name(name: str, of: str) -> str:
    """Return the name of a layer behind one of several outputs, or behind the only one, whose name is empty.

    >>> layer_name("predictions", "a/b"), layer_name("predictions", "")
    ('a_b_predictions', 'predictions')
    """
    return f"{of.replace('/', '_')}_{name}" if of else name  # Keras takes a slash for a level


@dataclass(frozen=True, eq=False)
class ByName:
    """What is told of each class or label by itself.

    Attributes:
        what: one of them is: ``class``, ``label``.
        many: several of them are: ``classes``, ``labels``.
        support: how many examples each has, of one run.
        scores: by what they are called, shares ``(names,)``.
        compared: one of them, by which recipes are compared.
        of: what is counted by ``support``.
    """

    what: str
    many: str
    support: np.ndarray
    scores: Mapping[str, np.ndarray]
    compared: str
    of: str = "examples"


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """What is predicted; see the module.

    Attributes:
        kind: how ``--task`` calls it.
        form: what labels are: a class per example, numbers to predict, or sets of labels.
        ending: the activation that a network of reglab's own ends in.
        takes_masks: whether a model's own mask says which labels count.
        column: what a column of a prediction is one of, such as ``class``, and its plural.
        kept: what a prediction holds for each of them.
        per_position: whether such a network gives an output for each time step, token or pixel.
        deciding: the name of the metric that decides.
        probabilities: whether predictions say how sure they are, so that they can be too sure.
        attainable: which :attr:`level` a good model attains on training examples, where nothing else is known; None
            where labels hold noise of unknown size, as numbers to predict usually do.
        uninformed: what :meth:`chance` is that of, in words.
        distance: what the mean squared distance of :meth:`points` is called.

    Raises:
        ReglabError: for a metric that there is not, or that cannot decide.
    """

    kind: ClassVar[str]
    form: ClassVar[Form] = "classes"
    ending: ClassVar[Activation] = "softmax"
    takes_masks: ClassVar[bool] = False
    column: ClassVar[tuple[str, str]] = ("class", "classes")
    kept: ClassVar[str] = "probability"
    per_position: ClassVar[bool] = False
    probabilities: ClassVar[bool] = True
    attainable: ClassVar[float | None] = 1.0
    uninformed: ClassVar[str] = "chance"
    distance: ClassVar[str] = ""

    deciding: str

    def __post_init__(self) -> None:
        known = [metric.name for metric in self.metrics if metric.better]
        if self.deciding not in known:
            raise ReglabError(
                f"metric={self.deciding!r} cannot decide for {self.kind}.{nearest(self.deciding, known)} Give one of "
                f"{', '.join(known)}."
            )

    # --- metrics ---------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """Every number that labels and predictions give, the most important one first."""

    @property
    @abstractmethod
    def success(self) -> Metric:
        """How much of what can be learned is learned: a share, higher is better, 1 at most."""

    @property
    @abstractmethod
    def criterion(self) -> Metric:
        """What the loss measures, without penalties: lower is better, and it grows when predictions get too sure."""

    @property
    @abstractmethod
    def columns(self) -> tuple[Metric, ...]:
        """What a table of recipes shows beside the deciding metric, the most important one first."""

    @property
    def outputs(self) -> Mapping[str, Task]:
        """The task of each of several outputs of a model, by its name; empty where a model has one."""
        return {}

    def of_output(self, metric: Metric) -> tuple[str, Task, Metric]:
        """Return of which output a metric is, by name (of a single one empty), with the task and the metric there."""
        return "", self, metric

    @property
    def units(self) -> int | dict[str, int]:
        """How many units the last layer of a network usually has; of several outputs by name."""
        return len(self.names)

    @property
    def scalable(self) -> bool:
        """Whether networks can be trained on standardized labels, for these are numbers to predict."""
        return self.form == "numbers"

    @property
    def fitted(self) -> tuple[str, ...]:
        """Names of what predictions give that were adjusted on validation first; see :meth:`adjusted`."""
        return ()

    def metric(self, name: str) -> Metric:
        """Return the metric of a name."""
        known = {metric.name: metric for metric in self.metrics}
        if name not in known:
            raise ReglabError(
                f"There is no metric {name!r} of {self.kind}.{nearest(name, known)} There are {', '.join(known)}."
            )
        return known[name]

    @property
    def decides(self) -> Metric:
        """The metric by which epochs, runs and recipes are chosen and compared."""
        return self.metric(self.deciding)

    @property
    def watched(self) -> tuple[Metric, ...]:
        """The metrics that are measured after each epoch, on the training part and on validation."""
        return tuple(dict.fromkeys((self.decides, self.success, self.criterion)))

    def measured(self, y: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> dict[str, float]:
        """Return the watched metrics of a part, by name; NaN where a prediction is not a number."""
        if not all(np.isfinite(each).all() for each in by_input(predictions).values()):
            return {metric.name: math.nan for metric in self.watched}
        return {metric.name: metric(y, predictions, weights) for metric in self.watched}

    def scores(self, y: np.ndarray, predictions: np.ndarray, *, validation: Pair | None = None) -> dict[str, float]:
        """Return every scalar that predictions give; with ``validation`` those too that are adjusted on it."""
        found = {metric.name: metric(y, predictions) for metric in self.metrics}
        return found if validation is None else {**found, **self.adjusted(y, predictions, validation)}

    def adjusted(self, y: np.ndarray, predictions: np.ndarray, validation: Pair) -> dict[str, float]:
        """Return the numbers of :attr:`fitted`."""
        return {}

    def gaps(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return by how much validation is worse than the training part, from ``train_*`` and ``val_*`` values.

        ``gap`` is that of the deciding metric; that of the criterion has its name before it.
        """
        found = {}
        for metric in self.watched:
            if name := self._gap(metric):
                better, worse = ("train", "val") if metric.better == "higher" else ("val", "train")
                found[name] = values[f"{better}_{metric.name}"] - values[f"{worse}_{metric.name}"]
        return found

    def _gap(self, metric: Metric) -> str:
        """Return what the gap of a watched metric is called, or an empty text where none is recorded."""
        if metric == self.decides:
            return "gap"
        return f"{metric.name}_gap" if metric == self.criterion else ""

    @property
    def recorded(self) -> tuple[str, ...]:
        """The names of all scalars of a finished run, in the order of tables."""
        of_parts = [
            name
            for metric in self.watched
            for name in (f"train_{metric.name}", f"val_{metric.name}", self._gap(metric))
            if name
        ]
        return (*(metric.name for metric in self.metrics), *self.fitted, "sparsity", *of_parts, *COSTS)

    # --- models ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def check_shape(self, shape: tuple[int | None, ...]) -> None:
        """Raise a ReglabError if outputs of this shape, without the batch, cannot be predictions of these labels."""

    @abstractmethod
    def check_head(self, head: Head) -> None:
        """Raise a ReglabError if a model that ends so cannot be trained on these labels."""

    @abstractmethod
    def loss(self, head: Head) -> keras.losses.Loss:
        """Return the Keras loss that such outputs are trained with."""

    def check_loss(self, loss: Loss, head: Head) -> None:
        """Raise a ReglabError for a loss of somebody's that outputs which end so cannot be trained with."""
        return

    def label_forms(self, head: Head) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
        """Return in which forms losses may want labels, the usual one first: of classes, indices and distributions."""
        return (lambda y: y,)

    def weigh(
        self, y: np.ndarray, weights: str | Mapping[str, float] | Sequence[float], train: np.ndarray
    ) -> np.ndarray:
        """Return how much each example counts in the training loss by its class, float32 ``(N,)``.

        Args:
            y: labels of all examples.
            weights: by class, or ``balanced``: so that each class counts as much as any other.
            train: the positions of the examples that are trained on.
        """
        raise ReglabError(
            f"class_weight={weights!r} says how much classes count, and {self.kind} has none that an example is of. "
            "Leave it out."
        )

    @abstractmethod
    def costs(self, y: Tensor, outputs: Tensor, head: Head, weights: Mapping[str, float] | None = None) -> Tensor:
        """Return the criterion of each example, ``(N,)``, of tensors: what an attack climbs.

        Its gradient does not vanish where probabilities are all but 0 or 1, as far as float32 can tell them apart.

        Args:
            y: labels; of several outputs, as ``outputs``, by name.
            outputs: of a model, float32.
            head: what it ends in.
            weights: of several outputs how much each counts; by default alike.
        """

    def predictions(self, outputs: np.ndarray, head: Head) -> np.ndarray:
        """Return what is kept of a model's outputs, float32, examples first."""
        for step in self.kept_by(head):
            outputs = step(outputs)
        return outputs

    def kept_by(self, head: Head) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
        """Return the functions, one after another, from outputs to what is kept of them; none if that is the same."""
        return ()

    @property
    def kept_shape(self) -> tuple[int, ...]:
        """The shape of one prediction as a network that people take home gives it."""
        return (len(self.names),)

    def masked(self, y: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return labels of which those that a model's mask leaves out count nowhere."""
        return y

    @property
    def said_of(self) -> Callable[[np.ndarray, Sequence[str]], str]:
        """A function that needs nothing else: a prediction in words, from its row and the names of columns."""
        return each_of

    def finish(self, outputs: Tensor, head: Head, *, of: str = "") -> Any:
        """Return, by layers of Keras behind a model's outputs, what is kept of them: float32, a column per name.

        Layers have the name of the output that they are ``of`` before their own, where a model has several.
        """
        activation = self.ending if head.activation == "linear" else "linear"
        return keras.layers.Activation(activation, dtype="float32", name=layer_name("predictions", of))(outputs)

    def in_keras(self, metric: Metric, head: Head, *, dense: bool = False) -> str:
        """Return the Keras metric that measures the same of such outputs, as text; empty where there is none.

        ``dense`` says that labels are distributions over classes.
        """
        return ""

    def in_python(self, metric: Metric) -> Score:
        """Return the function of labels and predictions that measures it where reglab is not.

        Its source is taken along, with the functions of reglab's that it calls, which know NumPy, SciPy and
        scikit-learn.
        """
        return metric.function

    @abstractmethod
    def misfit(self, y: np.ndarray, predictions: np.ndarray) -> str:
        """Return what is wrong with kept labels and predictions that cannot be of this task; empty if nothing is."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What the columns of a prediction are called: of classes, of labels, of targets."""

    @property
    @abstractmethod
    def numbers(self) -> int:
        """How many numbers a prediction and its label are."""

    # --- data ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def hold_out(self, y: np.ndarray, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of examples that stay and of those that are held out, each with its share of everything.

        Args:
            y: labels.
            size: a share of the examples, or their number.
            seed: of the draw.

        Raises:
            ValueError: if there are too few examples for it, saying of what.
        """

    @abstractmethod
    def hold_out_of_few(self, y: np.ndarray, share: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the same where there may be too few examples of some kind, which then are held out as far as they can.

        What is held out can be nothing.
        """

    def strata(self, y: np.ndarray) -> np.ndarray:
        """Return what parts have their share of where whole groups of examples are held out; by default of nothing.

        Args:
            y: labels.

        Returns:
            The stratum of each example, ``(N,)``, or which it has, ``(N, strata)`` of 0 and 1.
        """
        return np.zeros(len(y), "int64")

    @abstractmethod
    def fewest(self, y: np.ndarray) -> int:
        """Return how many examples a part needs to have a share of everything."""

    @abstractmethod
    def counted(self, y: np.ndarray) -> str:
        """Return how many kinds of labels there are, after "examples": `` of 3 classes``, or nothing."""

    def references(self) -> dict[str, Callable[[int], Any]]:
        """Return the models that networks on tables are seen beside, by name: makers of scikit-learn's, given a seed.

        They predict what is kept of a model's outputs, by ``predict_proba`` where they have it.
        """
        return {}

    def compact(self, predictions: np.ndarray) -> np.ndarray:
        """Return predictions as they are kept where space counts: what was predicted stays the same."""
        return predictions

    def details(self, y: np.ndarray, predictions: np.ndarray) -> dict[str, Any]:
        """Return what sections of the report are made of, by name."""
        return {}

    def by_name(self, details: Sequence[Mapping[str, Any]]) -> ByName | None:
        """Return what is told of each class or label, from the details of one run or of several; or None."""
        return None

    def chosen(self, predictions: np.ndarray) -> np.ndarray:
        """Return the labels that predictions come to."""
        return predictions

    def in_words(self, labels: np.ndarray) -> tuple[str, ...]:
        """Return each label as people read it."""
        return tuple(each_of(row, self.names) for row in np.asarray(labels).reshape(len(labels), -1))

    def counting(self, y: np.ndarray) -> np.ndarray:
        """Return which examples have a label that counts, booleans ``(N,)``."""
        return np.ones(len(y), bool)

    def measurable(self, y: np.ndarray) -> bool:
        """Whether what is watched has a value on such labels, whatever is predicted."""
        return bool(len(y))

    def right(self, y: np.ndarray, predictions: np.ndarray) -> np.ndarray | None:
        """Return which examples are predicted rightly, booleans ``(N,)``; None where that is a matter of degree."""
        return None

    @property
    def said(self) -> str:
        """What the first line says of the task and of what decides; empty where that is what one expects."""
        return f"{self.kind} by {self.decides.title}"

    def why(self, y: np.ndarray) -> str:
        """Return why another metric than usual decides by default for these labels, after "for"; or an empty text."""
        return ""

    # --- diagnosis -------------------------------------------------------------------------------------------------

    @property
    def level(self) -> Metric:
        """What a diagnosis goes by: the metric that decides, where it is a share of all there is, else success."""
        return self.decides if self.decides.whole else self.success

    def blind(self, y: np.ndarray) -> np.ndarray:
        """Return predictions for these labels that ignore the inputs: the mean label, for all of them."""
        return np.broadcast_to(np.mean(y, axis=0, dtype="float64"), y.shape)

    def chance(self, y: np.ndarray | None = None) -> float:
        """Return the :attr:`level` of predictions that ignore the inputs, of these labels or of any."""
        return 0.0 if y is None else self.level(y, self.blind(y))

    def level_at(self, criterion: float, deviation: float) -> float | None:
        """Return the level that goes with a value of the criterion, of labels with this standard deviation.

        None where it does not follow from it.
        """
        return None

    def overconfidence(self, y: np.ndarray, predictions: np.ndarray) -> tuple[float, float] | None:
        """Return mean confidence minus success, and the temperature that suits predictions; None where neither is."""
        return None

    def points(self, y: np.ndarray, predictions: np.ndarray) -> Pair | None:
        """Return labels ``(N, D)`` and predictions ``(..., N, D)`` as points, for bias and variance; None without any.

        Their mean squared distance is an error of the task, its :attr:`distance`.
        """
        return None

    def memorized(self, success: float, share: float) -> float | None:
        """Return how much of wrong labels is learned at least, given the success on examples of which a share has them.

        None where success does not bound it.
        """
        return None

    def mislabelled(self, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return wrong labels for examples: each that of another one."""
        order = random.permutation(len(y))
        wrong = np.empty_like(y)
        wrong[order] = y[np.roll(order, 1)]
        return wrong

    @classmethod
    def of_log(cls, names: Collection[str], *, loss: str = "", outputs: int | None = None) -> Task | None:
        """Return the task that a training log is of, or None if it is of another kind.

        Args:
            names: of its metrics, without ``train_`` and ``val_``.
            loss: the name of the loss among Keras' own; empty where that is not known.
            outputs: how many outputs the model has, where that is known.
        """
        return None

    # --- on disk ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the task as plain data, with its ``kind``."""
