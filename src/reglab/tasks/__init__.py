"""What a model predicts, one kind per file; ``base.py`` says what a task owns."""

from __future__ import annotations

from reglab.tasks.base import ByName, Task
from reglab.tasks.binary import Binary
from reglab.tasks.head import Activation, Head, with_batch
from reglab.tasks.kinds import (
    KINDS,
    direction,
    forms_of,
    kind_said,
    of_classes,
    of_log,
    of_positions,
    of_sets,
    of_values,
    read_task,
    register,
    task_for,
)
from reglab.tasks.metric import COSTS, Metric
from reglab.tasks.multi_label import MultiLabel
from reglab.tasks.positions import Positions
from reglab.tasks.regression import Regression
from reglab.tasks.several import Outputs
from reglab.tasks.single_label import SingleLabel

__all__ = [
    "COSTS",
    "KINDS",
    "Activation",
    "Binary",
    "ByName",
    "Head",
    "Metric",
    "MultiLabel",
    "Outputs",
    "Positions",
    "Regression",
    "SingleLabel",
    "Task",
    "direction",
    "forms_of",
    "kind_said",
    "of_classes",
    "of_log",
    "of_positions",
    "of_sets",
    "of_values",
    "read_task",
    "register",
    "task_for",
    "with_batch",
]
