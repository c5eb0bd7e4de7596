"""A bound on the weights that come into each unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Tensor
from reglab.declare import param
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.given import StrengthView, Weight
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["MaxNorm", "bounded"]


def bounded(kernel: Tensor, norm: Tensor) -> Tensor:
    """Return a kernel ``(..., units)`` in which the weights that come into a unit have at most this L2 norm."""
    ops = keras.ops
    axes = tuple(range(len(kernel.shape) - 1))
    norms = ops.sqrt(ops.sum(ops.square(kernel), axis=axes, keepdims=True))
    # As keras.constraints.MaxNorm computes it.
    return kernel * (ops.clip(norms, 0, norm) / (keras.config.epsilon() + norms))


@dataclass(frozen=True)
class MaxNorm(Strategy):
    """Scales the weights that come into a unit down to the norm ``norm`` where a step left them longer.

    ``W[..., j] <- W[..., j] * min(||W[..., j]||, norm) / ||W[..., j]||`` after each step, for each unit (or filter)
    ``j`` of each kernel. It is ``keras.constraints.MaxNorm`` over all axes but the last. Biases, normalization weights
    and embeddings are left alone. The weights that training begins with are not scaled before the first step. With
    ``ema`` the averages are those of the weights before they are scaled, as with Keras' constraints.

    Differences from the paper: Srivastava et al. use it with dropout and large learning rates; here it is alone.

    Example: ``MaxNorm(norm=3.0)``
    """

    name: ClassVar[str] = "max_norm"
    formula: ClassVar[str] = "W_j <- W_j * min(||W_j||, norm) / ||W_j|| after each step, for each unit j"
    paper: ClassVar[str] = "Srivastava et al. 2014, Journal of Machine Learning Research 15, section 5.1"
    stage: ClassVar[Stage] = Stage.UPDATE
    after: ClassVar[tuple[str, ...]] = ("weight_decay", "ema", "learning_rate")

    norm: float = param(
        3.0,
        "largest L2 norm of the weights that come into a unit",
        low=0,
        open_low=True,
        strength=True,
        search=(0.5, 5.0, "log"),
    )

    def after_update(self, weights: list[Weight], s: StrengthView) -> list[Tensor]:
        return [
            bounded(value, s.norm) if place.kind == "kernel" and place.name != "embeddings" else value
            for value, place in weights
        ]

    def write_keras(self, script: TrainingScript) -> None:
        script.on_kernels("bind", f"lambda w: {script.carry(bounded)}(w, {self.norm!r})")
