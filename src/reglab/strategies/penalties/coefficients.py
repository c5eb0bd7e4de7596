"""What penalties with a coefficient per role have in common: of kernels, biases and activities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab import backends
from reglab.aliases import Tensor
from reglab.lazy import keras
from reglab.schedules import Schedule
from reglab.strategies.base import Strategy
from reglab.strategies.given import Place, StrengthView
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["ACTIVITY", "BIAS", "KERNEL", "Penalty", "magnitude", "squares"]

_PAPER = "Srivastava, Regularization Strategies in Deep Learning, Table 1; Goodfellow et al. 2016, section 7.1"
KERNEL = "coefficient on kernels: of convolutions, dense, separable and recurrent layers, and embeddings"
BIAS = "coefficient on biases"
ACTIVITY = "coefficient on the outputs of hidden layers that have a kernel, averaged over the batch"


def magnitude(x: Tensor) -> Tensor:
    """Return the sum of all absolute values."""
    return keras.ops.sum(keras.ops.absolute(x))


def squares(x: Tensor) -> Tensor:
    """Return the sum of all squares."""
    return backends.adapter().sum_of_squares(x)


@dataclass(frozen=True)
class Penalty(Strategy):
    """A penalty with a coefficient per role; one of zero leaves its term out of the program."""

    stage: ClassVar[Stage] = Stage.LOSS
    paper: ClassVar[str] = _PAPER
    zero: ClassVar[dict[str, float]] = {"kernel": 0.0, "bias": 0.0, "activity": 0.0}

    def terms(self) -> frozenset[str]:
        values = {key: getattr(self, key) for key in ("kernel", "bias", "activity")}
        return frozenset(
            key for key, value in values.items() if isinstance(value, Schedule) or value not in (0, (0, 0))
        )

    def penalizes(self, kind: str) -> bool:
        return kind in self.terms()

    @property
    def penalizes_activity(self) -> bool:
        return "activity" in self.terms()

    def penalty(self, weight: Tensor, place: Place, s: StrengthView) -> Tensor:
        return self.measure(weight, place.kind, s)

    def activity_penalty(self, outputs: Tensor, s: StrengthView) -> Tensor:
        return self.measure(outputs, "activity", s)

    def measure(self, x: Tensor, what: str, s: StrengthView) -> Tensor:
        """Return the size of ``x`` times the coefficient of its role: ``kernel``, ``bias`` or ``activity``."""
        raise NotImplementedError

    def write_keras(self, script: TrainingScript) -> None:
        for role in ("kernel", "bias", "activity"):
            if role in self.terms():
                value = getattr(self, role)
                numbers = f"l1={value[0]!r}, l2={value[1]!r}" if isinstance(value, tuple) else repr(value)
                script.regularize(role, f"keras.regularizers.{type(self).__name__}({numbers})")
