"""The kinds of tasks by name, and which one labels are of.

A script makes a kind of its own known by :func:`register`, a package by an entry point of the group ``reglab.tasks``,
named as the kind is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from reglab.catalogue import Catalogue
from reglab.data.labels import IGNORED, Output
from reglab.data.several import kinds_in
from reglab.errors import ReglabError, nearest
from reglab.tasks.base import Task
from reglab.tasks.binary import Binary
from reglab.tasks.classes import ACCURACY, BALANCED, imbalanced
from reglab.tasks.multi_label import MultiLabel
from reglab.tasks.positions import ACCURACY as PER_POSITION
from reglab.tasks.positions import MEAN_IOU, Positions
from reglab.tasks.regression import Regression
from reglab.tasks.several import Outputs
from reglab.tasks.single_label import SingleLabel

__all__ = [
    "KINDS",
    "direction",
    "forms_of",
    "kind_said",
    "of_classes",
    "of_log",
    "of_outputs",
    "of_positions",
    "of_sets",
    "of_values",
    "read_task",
    "register",
    "task_for",
]

KINDS: Catalogue[type[Task]] = Catalogue(
    (SingleLabel, Binary, MultiLabel, Positions, Regression), base=Task, what="task", key="kind", group="reglab.tasks"
)
register = KINDS.add


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
    kind = str(held.get("kind"))
    if kind == Outputs.kind and isinstance(held.get("tasks"), Mapping):
        tasks = tuple((name, read_task(of_name)) for name, of_name in held["tasks"].items())
        return Outputs(tasks=tasks, deciding=held["deciding"])
    if kind not in KINDS:
        raise ReglabError(f"There is no kind of task {kind!r}.{nearest(kind, KINDS)} There are {', '.join(KINDS)}.")
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
            has more than twice its equal share of the examples, or more than four fifths of them.

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


def kind_said(text: str) -> str:
    """Return what was said of tasks in the form in which a study holds it: a kind, or one of each output by name.

    Raises:
        ReglabError: for a kind that there is not.

    >>> kind_said("regression"), kind_said("size = regression,label=binary")
    ('regression', 'size=regression,label=binary')
    """
    return kinds_in("task", text, KINDS, of="outputs")


def _by_output(kind: str) -> dict[str, str]:
    """Return the kinds that were said of several outputs, by name; empty where one was said of all."""
    return dict(part.split("=", 1) for part in kind_said(kind).split(",") if "=" in part)


def forms_of(kind: str) -> str | dict[str, str]:
    """Return the form of the labels that a kind of task has, of several outputs by name.

    >>> forms_of("regression"), forms_of("size=regression")
    ('numbers', {'size': 'numbers'})
    """
    said = _by_output(kind)
    return {name: KINDS[one].form for name, one in said.items()} if said else KINDS[kind].form


def of_outputs(
    y: np.ndarray, outputs: Mapping[str, Output], *, kind: str | None = None, metric: str | None = None
) -> Task:
    """Return the task of labels of several outputs.

    Args:
        y: labels with a field per output.
        outputs: what those of each are.
        kind: of the task of each, as ``NAME=KIND`` with commas between, or of all.
        metric: the one that decides, with the name of its output before it; by default that of the first output.

    >>> y = np.array([(0, 1.5), (1, 2.5)], [("kind", "int32"), ("size", "float32")])
    >>> of_outputs(y, {"kind": Output("classes", ("a", "b")), "size": Output("numbers", ("size",))}).deciding
    'kind_accuracy'
    """
    said = _by_output(kind) if kind else {}
    tasks = tuple(
        (name, task_for(of.form, y[name], of.names, kind=said.get(name) if said else kind))
        for name, of in outputs.items()
    )
    first, task = tasks[0]
    return Outputs(tasks=tasks, deciding=metric or f"{first}_{task.deciding}")


def task_for(
    form: str,
    y: np.ndarray,
    names: Sequence[str],
    *,
    kind: str | None = None,
    metric: str | None = None,
    outputs: Mapping[str, Output] | None = None,
) -> Task:
    """Return the task of labels that have a form, as :attr:`reglab.Dataset.form` says it; see :func:`of_classes`.

    >>> task_for("numbers", np.array([0.5, 1.5]), ("price",)).kind
    'regression'
    """
    if outputs:
        return of_outputs(y, outputs, kind=kind, metric=metric)
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
