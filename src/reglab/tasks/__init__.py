"""What a model predicts, one kind per file; ``base.py`` says what a task owns."""

from __future__ import annotations

from reglab.tasks.base import COSTS, Activation, Head, Metric, Task, with_batch
from reglab.tasks.binary import Binary
from reglab.tasks.kinds import KINDS, of_classes, of_values, read_task
from reglab.tasks.regression import Regression
from reglab.tasks.single_label import SingleLabel

__all__ = [
    "COSTS",
    "KINDS",
    "Activation",
    "Binary",
    "Head",
    "Metric",
    "Regression",
    "SingleLabel",
    "Task",
    "of_classes",
    "of_values",
    "read_task",
    "with_batch",
]
