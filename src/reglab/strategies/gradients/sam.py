"""Sharpness-aware minimization."""

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

__all__ = ["SAM", "ascent"]


def ascent(gradients: list[Tensor], rho: Tensor) -> list[Tensor]:
    """Return the step of length ``rho`` along the gradient of all weights together."""
    ops = keras.ops
    squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients]
    norm = ops.sqrt(sum(squares[1:], squares[0]))
    factor = rho / (norm + 1e-12)
    return [ops.cast(g, "float32") * factor for g in gradients]


@dataclass(frozen=True)
class SAM(Strategy):
    """Takes the gradient where the data loss nearby is about largest: at ``W + rho * g / ||g||``.

    ``g`` is the gradient of the data loss at ``W``, its norm over all trainable weights together; both passes see the
    same batch and the same random draws. The second gradient is applied to ``W``. It costs a second forward and
    backward pass.

    Differences from the paper (Foret et al.): penalties do not take part in the ascent, and their own gradient is
    taken at ``W``; statistics of BatchNormalization move in the second pass only.

    Example: ``SAM(rho=0.05)``
    """

    name: ClassVar[str] = "sam"
    formula: ClassVar[str] = "gradient of the data loss at W + rho * g / ||g||, g = its gradient at W"
    paper: ClassVar[str] = "Foret et al. 2021, arXiv:2010.01412"
    stage: ClassVar[Stage] = Stage.GRADIENTS
    zero: ClassVar[dict[str, float]] = {"rho": 0.0}

    rho: float = param(
        0.05, "how far the ascent goes", low=0, strength=True, search=(0.01, 0.5, "log"), unit="norm of all weights"
    )

    @property
    def perturbs_weights(self) -> bool:
        return True

    def perturb_weights(self, gradients: list[Tensor], weights: list[Weight], s: StrengthView) -> list[Tensor]:
        return ascent(gradients, s.rho)

    def write_keras(self, script: TrainingScript) -> None:
        script.gradient()
        script.ascent = script.carry(ascent), ["gradients", repr(self.rho)]
