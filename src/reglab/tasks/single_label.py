"""Single-label classification: each example is of one of several classes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from reglab.tasks.classes import ACCURACY, CROSS_ENTROPY, METRICS, ClassTask
from reglab.tasks.metric import Metric

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

    @classmethod
    def of_log(cls, names: Collection[str], *, loss: str = "", outputs: int | None = None) -> SingleLabel | None:
        """Return the task of a log that has an accuracy or a cross-entropy; of classes the number, if that is known."""
        several = loss == "binary_crossentropy" and outputs is not None and outputs > 2
        if several or (loss and loss not in CROSS_ENTROPY.aliases):
            return None
        known = {name for metric in (ACCURACY, CROSS_ENTROPY) for name in (metric.name, *metric.aliases)}
        if not loss and not known & set(names):
            return None
        return cls(classes=tuple(map(str, range(max(outputs, 2) if outputs else 0))))
