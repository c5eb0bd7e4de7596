"""Single-label classification: each example is of one of several classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.tasks.base import Metric
from reglab.tasks.classes import METRICS, ClassTask

__all__ = ["SingleLabel"]


@dataclass(frozen=True, kw_only=True)
class SingleLabel(ClassTask):
    """Each example is of one of several classes.

    Accuracy decides, or balanced accuracy: :func:`reglab.tasks.recognized` says when. What ends in softmax, or gives
    logits, is trained with the categorical cross-entropy, of class indices.

    Example:
        >>> task = SingleLabel(classes=("cat", "dog", "fish"))
        >>> task.decides.title, task.criterion.title
        ('accuracy', 'cross-entropy')
    """

    kind: ClassVar[str] = "single-label"

    deciding: str = "accuracy"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return METRICS
