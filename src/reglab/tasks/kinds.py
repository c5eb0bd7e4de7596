"""The kinds of tasks by name, and which one labels are of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from reglab.data.labels import IGNORED
from reglab.errors import ReglabError, nearest
from reglab.tasks.base import Task
from reglab.tasks.binary import Binary
from reglab.tasks.classes import ACCURACY, BALANCED, imbalanced
from reglab.tasks.multi_label import MultiLabel
from reglab.tasks.positions import ACCURACY as PER_POSITION
from reglab.tasks.positions import MEAN_IOU, Positions
from reglab.tasks.regression import Regression
from reglab.tasks.single_label import SingleLabel

__all__ = [
    "KINDS",
    "direction",
    "of_classes",
    "of_log",
    "of_positions",
    "of_sets",
    "of_values",
    "read_task",
    "task_for",
]

KINDS: dict[str, type[Task]] = {each.kind: each for each in (SingleLabel, Binary, MultiLabel, Positions, Regression)}


def direction(name: str) -> Literal["higher", "lower", ""]:
    """Return which values of a metric are the better ones, by its name or the end of it; empty where it is unknown.

    >>> direction("accuracy"), direction("first_output_mae"), direction("colour")
    ('higher', 'lower', '')
    """
    # Which metrics a kind has does not depend on the names of its classes or targets, so a task without any will do.
    known = {metric.name: metric.better for kind in KINDS.values() for metric in object.__new__(kind).metrics}
    return next((known[each] for each in known if name == each or name.endswith(f"_{each}")), "")


def read_task(held: Mapping[str, Any]) -> Task:
    """Return the task that :meth:`Task.to_dict` wrote.

    >>> read_task({"kind": "binary", "classes": ["no", "yes"], "deciding": "auc"})
    Binary(deciding='auc', classes=('no', 'yes'))
    """
    kind = held.get("kind")
    if kind not in KINDS:
        raise ReglabError(
            f"There is no kind of task {kind!r}.{nearest(str(kind), KINDS)} There are {', '.join(KINDS)}."
        )
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in held.items() if key != "kind"
    }
    return KINDS[kind](**fields)


def of_classes(y: np.ndarray, classes: Sequence[str], *, kind: str | None = None, metric: str | None = None) -> Task:
    """Return the task that class indices ``y`` are labels of.

    Args:
        y: class indices ``(N,)``.
        classes: the names of the classes.
        kind: of the task; by default binary for two classes.
        metric: the name of the metric that decides. By default accuracy, or balanced accuracy where the largest class
            has more than twice its equal share of the examples.

    >>> of_classes(np.array([0, 1, 2]), ("a", "b", "c")).deciding
    'accuracy'
    >>> of_classes(np.array([0] * 8 + [1, 2]), ("a", "b", "c")).deciding
    'balanced_accuracy'
    """
    if metric is None:
        metric = (BALANCED if imbalanced(y, len(classes)) else ACCURACY).name
    kind = kind or (Binary.kind if len(classes) == 2 else SingleLabel.kind)
    return read_task({"kind": kind, "classes": list(classes), "deciding": metric})


def of_values(targets: Sequence[str], *, kind: str | None = None, metric: str | None = None) -> Task:
    """Return the task of numbers to predict; see :func:`of_classes`.

    >>> of_values(("price",)).deciding
    'rmse'
    """
    return _with_metric({"kind": kind or Regression.kind, "targets": list(targets)}, metric)


def of_sets(labels: Sequence[str], *, kind: str | None = None, metric: str | None = None) -> Task:
    """Return the task of labels of which each example has any number; see :func:`of_classes`.

    >>> of_sets(("sea", "sunset")).deciding
    'map'
    """
    return _with_metric({"kind": kind or MultiLabel.kind, "labels": list(labels)}, metric)


def of_positions(y: np.ndarray, classes: Sequence[str], *, kind: str | None = None, metric: str | None = None) -> Task:
    """Return the task of a class per position, by default decided by the mean IoU of pixels, the accuracy of steps.

    >>> of_positions(np.zeros((5, 8, 8), int), ("sky", "sea")).deciding
    'mean_iou'
    """
    held = {"kind": kind or Positions.kind, "classes": list(classes), "shape": list(y.shape[1:])}
    default = (MEAN_IOU if y.ndim > 2 else PER_POSITION).name
    return _with_metric({**held, "ignored": bool((y == IGNORED).any())}, metric or default)


def _with_metric(held: dict[str, Any], metric: str | None) -> Task:
    return read_task(held if metric is None else {**held, "deciding": metric})


def task_for(
    form: str, y: np.ndarray, names: Sequence[str], *, kind: str | None = None, metric: str | None = None
) -> Task:
    """Return the task of labels that have a form, as :attr:`reglab.Dataset.form` says it; see :func:`of_classes`.

    >>> task_for("numbers", np.array([0.5, 1.5]), ("price",)).kind
    'regression'
    """
    if form == "classes":
        return of_classes(y, names, kind=kind, metric=metric)
    if form == "per_position":
        return of_positions(y, names, kind=kind, metric=metric)
    return (of_sets if form == "sets" else of_values)(names, kind=kind, metric=metric)


def of_log(names: Collection[str], *, loss: str = "", outputs: int | None = None) -> Task | None:
    """Return the task that a training log is of, or None if it is of none that is known; see :meth:`Task.of_log`.

    >>> of_log({"loss", "mae"}).deciding
    'mae'
    """
    found = (kind.of_log(names, loss=loss, outputs=outputs) for kind in KINDS.values())
    return next((task for task in found if task is not None), None)
