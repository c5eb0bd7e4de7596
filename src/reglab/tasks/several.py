"""Several outputs: a task per output, by its name, of which one decides.

Labels and predictions are held as one array with a field per output (:mod:`reglab.data.several`), so whatever chooses
and joins rows does so for all of them. What is asked of a task is answered by that of the output that decides, or by
each for its own field; metrics have the name of their output before them, as in Keras: ``kind_accuracy``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from reglab.data.labels import Form
from reglab.data.several import together
from reglab.errors import ReglabError
from reglab.tasks.base import ByName, Pair, Task
from reglab.tasks.head import Head
from reglab.tasks.metric import Metric

__all__ = ["Outputs"]


@dataclass(frozen=True)
class _Field:
    """A function of labels and predictions, of the field of one output; equal for the same of the same."""

    output: str
    function: Callable[..., Any]

    def __call__(self, y: np.ndarray, predictions: np.ndarray, *more: Any) -> Any:
        return self.function(y[self.output], predictions[self.output], *more)


def _of(output: str, metric: Metric) -> Metric:
    """Return a metric of one output as one of all of them."""
    return replace(
        metric,
        name=f"{output}_{metric.name}",
        title=f"{output} {metric.title}",
        function=_Field(output, metric.function),
        per_example=None if metric.per_example is None else _Field(output, metric.per_example),
        weighted=None if metric.weighted is None else _Field(output, metric.weighted),
        aliases=tuple(f"{output}_{alias}" for alias in metric.aliases),
        squares=tuple(f"{output}_{alias}" for alias in metric.squares),
        compiled="",
    )


@dataclass(frozen=True, kw_only=True)
class Outputs(Task):
    """A model has several outputs, each of which predicts something of its own; a metric of one of them decides.

    It is trained with the sum of their losses, each times its loss weight. Examples are held out as the output that
    decides has them held out. By default the first output decides, by the metric that would decide of it alone.

    Attributes:
        tasks: name and task of each output.

    Example:
        >>> from reglab.tasks import Regression, SingleLabel
        >>> task = Outputs(
        ...     tasks=(("kind", SingleLabel(classes=("a", "b", "c"))), ("size", Regression(targets=("size",)))),
        ...     deciding="size_rmse",
        ... )
        >>> task.decides.title, task.watched[-1].name
        ('size RMSE', 'kind_accuracy')
    """

    kind: ClassVar[str] = "several outputs"
    form: ClassVar[Form] = "outputs"

    tasks: tuple[tuple[str, Task], ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        # What a diagnosis and sentences say is of the output that decides.
        of_one = self.one
        for name in ("column", "kept", "probabilities", "attainable", "uninformed", "distance", "ending"):
            object.__setattr__(self, name, getattr(of_one, name))

    @property
    def outputs(self) -> Mapping[str, Task]:
        return dict(self.tasks)

    @property
    def first(self) -> str:
        """The name of the output that decides."""
        return next(name for name, task in self.tasks for metric in task.metrics
                    if self.deciding == f"{name}_{metric.name}")  # fmt: skip

    @property
    def one(self) -> Task:
        """The task of the output that decides."""
        return dict(self.tasks)[self.first]

    def _each(self, function: Callable[[Task, np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
        return together({name: function(task, values[name]) for name, task in self.tasks})

    # --- metrics ---------------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return tuple(_of(name, metric) for name, task in self.tasks for metric in task.metrics)

    def of_output(self, metric: Metric) -> tuple[str, Task, Metric]:
        return next((name, task, own) for name, task in self.tasks for own in task.metrics if _of(name, own) == metric)

    @property
    def success(self) -> Metric:
        return _of(self.first, self.one.success)

    @property
    def criterion(self) -> Metric:
        return _of(self.first, self.one.criterion)

    @property
    def others(self) -> tuple[Metric, ...]:
        """What would decide of each of the other outputs alone."""
        return tuple(_of(name, task.decides) for name, task in self.tasks if name != self.first)

    @property
    def columns(self) -> tuple[Metric, ...]:
        found = (*self.others, *(_of(self.first, metric) for metric in self.one.columns))
        return tuple(metric for metric in found if metric != self.decides)

    @property
    def watched(self) -> tuple[Metric, ...]:
        return tuple(dict.fromkeys((*super().watched, *self.others)))

    @property
    def fitted(self) -> tuple[str, ...]:
        return tuple(f"{name}_{each}" for name, task in self.tasks for each in task.fitted)

    def adjusted(self, y: np.ndarray, predictions: np.ndarray, validation: Pair) -> dict[str, float]:
        labels, given = validation
        return {
            f"{name}_{key}": value
            for name, task in self.tasks
            for key, value in task.adjusted(y[name], predictions[name], (labels[name], given[name])).items()
        }

    # --- models ----------------------------------------------------------------------------------------------------

    @property
    def units(self) -> dict[str, int]:
        return {name: len(task.names) for name, task in self.tasks}

    def check_shape(self, shape: tuple[int | None, ...]) -> None:
        raise ReglabError(
            f"The model has one output; the data has labels of {', '.join(self.outputs)}. Give a model with these "
            "outputs, or the labels of one."
        )

    def check_head(self, head: Head) -> None:
        for name, task in self.tasks:
            task.check_head(head.by_output[name])

    def loss(self, head: Head) -> dict[str, Any]:
        return {name: task.loss(head.by_output[name]) for name, task in self.tasks}

    def weigh(self, y: np.ndarray, weights: str | Mapping[str, float] | Sequence[float], train: np.ndarray) -> Any:
        raise ReglabError(
            f"class_weight={weights!r} says how much classes of one output count, and here are those of "
            f"{', '.join(self.outputs)}. Give sample_weight, a number per example, or loss_weights, one per output."
        )

    def costs(self, y: Any, outputs: Any, head: Head, weights: Mapping[str, float] | None = None) -> Any:
        """Return the sum of the criterions of all outputs, each times its weight."""
        total = 0.0
        for name, task in self.tasks:
            costs = task.costs(y[name], outputs[name], head.by_output[name])
            total = total + (weights or {}).get(name, 1.0) * costs
        return total

    def predictions(self, outputs: Any, head: Head) -> np.ndarray:
        """Return what each task keeps of its output, a field per output."""
        return together({name: task.predictions(outputs[name], head.by_output[name]) for name, task in self.tasks})

    def finish(self, outputs: Any, head: Head, *, of: str = "") -> dict[str, Any]:
        """Return the same of each output, by name."""
        return {name: task.finish(outputs[name], head.by_output[name], of=name) for name, task in self.tasks}

    @property
    def said_of(self) -> Callable[[np.ndarray, Sequence[str]], str]:
        return self.one.said_of

    def misfit(self, y: np.ndarray, predictions: np.ndarray) -> str:
        names = tuple(self.outputs)
        if y.dtype.names != names or predictions.dtype.names != names:
            return f"labels and predictions are not of the outputs {', '.join(names)}"
        found = {name: task.misfit(y[name], predictions[name]) for name, task in self.tasks}
        return next((f"output {name}: {problem}" for name, problem in found.items() if problem), "")

    @property
    def names(self) -> tuple[str, ...]:
        return self.one.names

    @property
    def numbers(self) -> int:
        return sum(task.numbers for _, task in self.tasks)

    # --- data ------------------------------------------------------------------------------------------------------

    def hold_out(self, y: np.ndarray, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions that stay and those that are held out, as the output that decides has it."""
        return self.one.hold_out(y[self.first], size, seed=seed)

    def hold_out_of_few(self, y: np.ndarray, share: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return self.one.hold_out_of_few(y[self.first], share, seed=seed)

    def strata(self, y: np.ndarray) -> np.ndarray:
        return self.one.strata(y[self.first])

    def fewest(self, y: np.ndarray) -> int:
        return self.one.fewest(y[self.first])

    def counted(self, y: np.ndarray) -> str:
        return self.one.counted(y[self.first])

    def details(self, y: np.ndarray, predictions: np.ndarray) -> dict[str, Any]:
        """Return the details of the output that decides."""
        return self.one.details(y[self.first], predictions[self.first])

    def by_name(self, details: Sequence[Mapping[str, Any]]) -> ByName | None:
        return self.one.by_name(details)

    def chosen(self, predictions: np.ndarray) -> np.ndarray:
        return self._each(lambda task, values: task.chosen(values), predictions)

    def in_words(self, labels: np.ndarray) -> tuple[str, ...]:
        told = [
            # A number that is called as its output has the name in its words.
            [words if task.names == (name,) else f"{name} {words}" for words in task.in_words(labels[name])]
            for name, task in self.tasks
        ]
        return tuple("; ".join(each) for each in zip(*told, strict=True))

    def counting(self, y: np.ndarray) -> np.ndarray:
        """Return which examples have a label that counts, of any output."""
        return np.any([task.counting(y[name]) for name, task in self.tasks], axis=0)

    def measurable(self, y: np.ndarray) -> bool:
        return all(task.measurable(y[name]) for name, task in self.tasks)

    def right(self, y: np.ndarray, predictions: np.ndarray) -> np.ndarray | None:
        return self.one.right(y[self.first], predictions[self.first])

    @property
    def said(self) -> str:
        return f"{len(self.tasks)} outputs ({', '.join(self.outputs)}) by {self.decides.title}"

    def why(self, y: np.ndarray) -> str:
        """Return why another metric than usual decides of the output that decides."""
        return self.one.why(y[self.first])

    # --- diagnosis -------------------------------------------------------------------------------------------------

    @property
    def level(self) -> Metric:
        return _of(self.first, self.one.level)

    def blind(self, y: np.ndarray) -> np.ndarray:
        return self._each(lambda task, values: task.blind(values), y)

    def chance(self, y: np.ndarray | None = None) -> float:
        return self.one.chance(None if y is None else y[self.first])

    def level_at(self, criterion: float, deviation: float) -> float | None:
        return self.one.level_at(criterion, deviation)

    def overconfidence(self, y: np.ndarray, predictions: np.ndarray) -> tuple[float, float] | None:
        return self.one.overconfidence(y[self.first], predictions[self.first])

    def points(self, y: np.ndarray, predictions: np.ndarray) -> Pair | None:
        return self.one.points(y[self.first], predictions[self.first])

    def memorized(self, success: float, share: float) -> float | None:
        return self.one.memorized(success, share)

    def mislabelled(self, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return wrong labels of every output, each as its task makes them."""
        return self._each(lambda task, values: task.mislabelled(values, random), y)

    # --- on disk ---------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "deciding": self.deciding, "tasks": {name: task.to_dict() for name, task in self.tasks},
        }  # fmt: skip
