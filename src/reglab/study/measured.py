"""Metrics of the user's, Keras' or own, measured beside those of the task: each epoch, and on the test set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from reglab.errors import ReglabError, nearest
from reglab.expressions import Call, parse_list
from reglab.study.as_text import SHORT, plain
from reglab.study.content import digest
from reglab.study.objects import Kept
from reglab.tasks import Head, Task

__all__ = ["Measured", "MeasuredEach"]

_OF_TASKS = {"acc", "crossentropy", "ce"}  # short for what a task has, which Keras chooses by the shape of labels


class Measured:
    """Metrics that are measured beside a task's own.

    Args:
        given: names with options, as text; what was kept of Keras metrics; functions of ``(y_true, y_pred)``.
        task: what is predicted. What it measures of each epoch itself is left out.

    Attributes:
        names: what they are called, in their order.

    Raises:
        ReglabError: for a name or an option that Keras does not know.
    """

    def __init__(self, given: Sequence[Any], task: Task) -> None:
        known = {metric.name for metric in task.metrics}
        left_out = _OF_TASKS | known
        found = [
            (each, _metric(each)) for each in _flat(given) if not (isinstance(each, Call) and each.name in left_out)
        ]
        self._given = {metric.name: each for each, metric in found}
        self._metrics = {metric.name: metric for _, metric in found if metric.name not in known}
        self._forms: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
        self.names = tuple(self._metrics)

    def fit(self, task: Task, head: Head, y: np.ndarray, outputs: np.ndarray) -> None:
        """Find out in which form each metric takes labels, on a few of them.

        Raises:
            ReglabError: for one that takes none of the task's.
        """
        for name, metric in self._metrics.items():
            errors = []
            for form in task.label_forms(head):
                try:
                    _value(metric, form(y), outputs)
                except Exception as error:  # whatever it raises, it cannot be measured
                    errors.append(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
                    continue
                self._forms[name] = form
                break
            else:
                raise ReglabError(
                    f"The metric {name} cannot be taken of labels {y.shape} and outputs {outputs.shape} ({errors[0]}). "
                    "Leave it out; what the task measures is there in any case."
                )

    def identified(self) -> list[str]:
        """Return what the metrics are, each as a text that is the same for the same."""
        own = {name: each for name, each in self._given.items() if not isinstance(each, Call | Kept)}
        return [f"{name} {digest(own.get(name, _what(metric)))}" for name, metric in self._metrics.items()]

    def measure(self, y: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        """Return each metric of what a model gives, examples first."""
        return {name: _value(metric, self._forms[name](y), outputs) for name, metric in self._metrics.items()}


class MeasuredEach:
    """Metrics of several outputs, each with the name of its output before its own.

    Args:
        of: what is measured of each output, by name.
    """

    def __init__(self, of: Mapping[str, Measured]) -> None:
        self._of = of
        self.names = tuple(f"{output}_{name}" for output, measured in of.items() for name in measured.names)

    def fit(self, task: Task, head: Head, y: np.ndarray, outputs: Mapping[str, np.ndarray]) -> None:
        """Find out in which form each metric takes labels; see :meth:`Measured.fit`."""
        for name, measured in self._of.items():
            measured.fit(task.outputs[name], head.by_output[name], y[name], outputs[name])

    def identified(self) -> list[str]:
        """Return what the metrics are, each as a text that is the same for the same."""
        return [f"{output}_{text}" for output, measured in self._of.items() for text in measured.identified()]

    def measure(self, y: np.ndarray, outputs: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return each metric of what a model gives for each output, examples first."""
        return {
            f"{output}_{name}": value
            for output, measured in self._of.items()
            for name, value in measured.measure(y[output], outputs[output]).items()
        }


def _flat(given: Sequence[Any]) -> list[Any]:
    """Return texts as the single metrics that they name."""
    return [one for each in given for one in (parse_list(each) if isinstance(each, str) else [each])]


def _metric(given: Kept | Call | Callable[..., Any]) -> keras.metrics.Metric:
    """Return a Keras metric: of a name with options, of what was kept of one, or of a function."""
    if isinstance(given, Kept):
        return given.made()
    if not isinstance(given, Call):
        return keras.metrics.MeanMetricWrapper(given, name=str(getattr(given, "__name__", type(given).__name__)))
    classes = {
        plain(name): value for name, value in vars(keras.metrics).items()
        if isinstance(value, type) and issubclass(value, keras.metrics.Metric) and value is not keras.metrics.Metric
    }  # fmt: skip
    cls = classes.get(plain(SHORT.get(given.name.upper(), given.name)))
    if cls is None:
        raise ReglabError(
            f"Keras has no metric {given.name!r}.{nearest(given.name, [cls.__name__ for cls in classes.values()])} In "
            "Python, give a metric or a function of (y_true, y_pred)."
        )
    try:
        return cls(**given.kwargs)
    except (TypeError, ValueError) as error:
        raise ReglabError(f"metric {given.name}: {str(error).splitlines()[0]}") from error


def _what(metric: keras.metrics.Metric) -> Any:
    """Return what a metric is: its class and its configuration."""
    return [type(metric), {key: value for key, value in metric.get_config().items() if key not in ("name", "dtype")}]


def _value(metric: keras.metrics.Metric, y: np.ndarray, outputs: np.ndarray) -> float:
    """Return a metric of all examples at once."""
    metric.reset_state()
    metric.update_state(y, outputs)
    return float(np.asarray(keras.ops.convert_to_numpy(metric.result())).mean())
