"""Binary classification: each example is of one of two classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reglab.errors import ReglabError
from reglab.tasks import probabilities as of
from reglab.tasks.base import Pair
from reglab.tasks.classes import METRICS, ClassTask
from reglab.tasks.metric import Metric

__all__ = ["Binary"]

_RANKED = (
    Metric("auc", "AUC", of.auc, per_example=of.placements, meaning="area under the ROC curve"),
    Metric("average_precision", "average precision", of.average_precision),
)


@dataclass(frozen=True, kw_only=True)
class Binary(ClassTask):
    """Each example is of one of two classes; metrics of one class are of the second.

    A model has one output, a probability of the second class or its logit, which is trained with the binary
    cross-entropy, or an output per class as with several classes. What is kept are probabilities of both.

    Example:
        >>> Binary(classes=("benign", "malignant"), deciding="auc").decides.shown(0.9825)
        '98.25 %'
    """

    kind: ClassVar[str] = "binary"

    deciding: str = "accuracy"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.classes) != 2:
            raise ReglabError(f"A binary task has two classes; the data has {len(self.classes)}. Use single-label.")

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (*METRICS, *_RANKED)

    @property
    def fitted(self) -> tuple[str, ...]:
        return (*super().fitted, "threshold", "f1_at_threshold")

    def adjusted(self, y: np.ndarray, predictions: np.ndarray, validation: Pair) -> dict[str, float]:
        """Return what a temperature and a threshold give that are fitted on validation."""
        cut = of.threshold(*validation)
        found = {"threshold": cut, "f1_at_threshold": of.f1_of_second(y, predictions, cut)}
        return {**super().adjusted(y, predictions, validation), **found}
